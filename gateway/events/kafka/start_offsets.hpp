#pragma once
// Where to begin reading the partitions that a group was given, and how far they reach. Asks the cluster, and waits for
// it: for the reader's thread.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "gateway/events/kafka/handles.hpp"
#include "gateway/events/kafka/topic_settings.hpp"

namespace rouse::gateway::events {

struct partition_extent {
  std::string topic;
  std::int32_t partition = 0;
  std::int64_t first = 0;  ///< the earliest that there is
  std::int64_t end = 0;    ///< after the last
};

struct partition_start {
  std::string topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::int64_t end = 0;   ///< after the last there is now
  std::string metadata;   ///< what was committed with the offset
  bool committed = true;  ///< false: the group had committed nothing for it
  /// Partitions that the topic has, where the group has committed nothing for this one.
  std::uint32_t partitions_known = 0;
};

template <typename T>
struct answer_of {
  std::vector<T> all;
  std::string problem;  ///< empty: `all` is whole
};

/// Blocks for `timeout` at most, some times over.
[[nodiscard]] answer_of<partition_extent> look_up_extents(rd_kafka_t* client, const partition_list& of,
                                                          std::chrono::milliseconds timeout);

/// A partition that the group committed nothing for begins at its beginning where it is new in a topic that the group
/// knows already, and else as `start` and `since` of the settings say. Which partitions a topic had when the group
/// began stands in the metadata of its commits (offset_ledger::partitions_known), so that members that begin at the
/// same time agree.
[[nodiscard]] answer_of<partition_start> look_up_starts(rd_kafka_t* client, const partition_list& of,
                                                        const topic_settings& settings,
                                                        std::chrono::milliseconds timeout);

/// Why one of the topics cannot be read; empty: they all can, as far as the cluster says.
[[nodiscard]] std::string check_topics(rd_kafka_t* client, const std::vector<std::string>& topics,
                                       std::chrono::milliseconds timeout);

}  // namespace rouse::gateway::events
