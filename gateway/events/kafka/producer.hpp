#pragma once
// Writes records to the topics of one cluster: what it says is kept was acknowledged by all in-sync replicas. Shared by
// all who write there with the same properties; owned by the service. One thread of its own collects the
// acknowledgements; librdkafka has more behind it.
//
// Records of one key arrive in the order in which they were given, and once, as long as the client lives (idempotent
// producer). When librdkafka gives such a client up for good, what it held is reported as failed and a new one is made.

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <spdlog/logger.h>
#include <boost/system/result.hpp>

#include "config/config.hpp"
#include "gateway/events/append_result.hpp"
#include "gateway/events/cloudevents/kafka.hpp"

namespace rouse::gateway::events {

/// Most that waits for its acknowledgement; beyond it new records are refused as `busy`.
struct producer_limits {
  std::size_t most_bytes = std::size_t{48} << 20U;
  std::size_t most_records = 50'000;
};

class producer {
 public:
  /// Opens no connection before there is something to write, or what is wrong with the cluster's properties.
  static boost::system::result<std::unique_ptr<producer>, std::string> make(const config::kafka_cluster& cluster,
                                                                            spdlog::logger& log,
                                                                            producer_limits limits = {});
  /// close(), unless that was done.
  ~producer();
  producer(const producer&) = delete;
  producer& operator=(const producer&) = delete;

  /// Any thread; never waits for the cluster. `then` has the answer for all of them; where one is refused, others may
  /// be there all the same (`perhaps_kept`).
  void append(const std::string& topic, std::vector<kafka_record> records, append_done then);

  /// Takes no more, and waits for what is on its way at most so long; the rest is answered as failed. `then`s have come
  /// when it returns, unless librdkafka hangs.
  void close(std::chrono::milliseconds patience);

  /// Why nothing can be written at the moment, in words; empty: nothing hinders.
  [[nodiscard]] std::string problem() const;

  /// For tests: as if librdkafka had given the client up.
  void break_client();

 private:
  class core;
  explicit producer(std::shared_ptr<core> made);
  const std::shared_ptr<core> core_;
};

}  // namespace rouse::gateway::events
