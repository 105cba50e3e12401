#pragma once
// What a consumer of topics is to do, and within which bounds. Values.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace rouse::gateway::events {

struct topic_settings {
  config::kafka_cluster cluster;
  std::vector<std::string> topics;
  std::string group;
  config::event_start start = config::event_start::latest;  ///< for a group that has committed nothing
  /// What `latest` means: records from then on, however late the group comes to be; nothing: when it does.
  std::optional<std::chrono::sys_time<std::chrono::milliseconds>> since;
  std::string trigger;  ///< its name, for the log
};

/// Bounds, as they are in the product; tests use smaller ones.
struct topic_limits {
  std::uint64_t most_beyond = 100'000;            ///< records of a partition handed out beyond the first unsettled one
  std::size_t most_buffered = 2'000;              ///< records that were read and not fetched
  std::size_t most_buffered_bytes = 4U << 20U;    ///< of those
  std::size_t most_read_ahead = 8U << 20U;        ///< bytes of unsettled records that were read again with others
  std::chrono::milliseconds commit_every{500};    ///< when something changed
  std::chrono::milliseconds revoke_wait{30'000};  ///< for what is in flight of a revoked partition
  std::chrono::milliseconds close_wait{10'000};   ///< for the last commit and the good-bye to the group
};

}  // namespace rouse::gateway::events
