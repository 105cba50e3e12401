#pragma once
// The producers of the daemon, one for each cluster and set of properties that events are written to, however many
// buses and triggers write there. Owned by the service; on the admin thread.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <spdlog/logger.h>

#include "config/config.hpp"
#include "gateway/events/kafka/client_threads.hpp"
#include "gateway/events/topic_log.hpp"

namespace rouse::gateway::events {

class clusters {
 public:
  /// Both outlive this.
  clusters(client_threads& threads, spdlog::logger& log) : threads_(threads), log_(log) {}
  /// Waits for what is on its way, a few seconds at most. After all that writes has ended.
  ~clusters();
  clusters(const clusters&) = delete;
  clusters& operator=(const clusters&) = delete;

  /// What is wrong with the properties of what the configuration names, or nothing. Makes the producers that it needs;
  /// waits for no broker.
  [[nodiscard]] std::string prepare(const config::snapshot& next);

  /// Of a cluster that was prepared.
  [[nodiscard]] std::shared_ptr<event_log> log_of(const config::kafka_cluster& cluster, const std::string& topic);

  /// Ends the producers that no log uses any more. Does not wait.
  void drop_unused();
  /// Ends all of them. Does not wait.
  void close();

 private:
  std::string need(const config::kafka_cluster& cluster);

  client_threads& threads_;
  spdlog::logger& log_;
  std::vector<std::pair<config::kafka_cluster, std::shared_ptr<producer>>> all_;
  std::vector<std::shared_ptr<producer>> ending_;
};

/// Where a trigger's events come from, when that is Kafka; nothing: elsewhere.
[[nodiscard]] const config::kafka_cluster* cluster_of(const config::trigger& trigger, const config::snapshot& in);

}  // namespace rouse::gateway::events
