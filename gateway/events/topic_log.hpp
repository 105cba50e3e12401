#pragma once
// A bus on a topic, or the topic for a trigger's dead letters. Any thread.

#include <memory>
#include <string>
#include <vector>

#include "gateway/events/event_log.hpp"
#include "gateway/events/kafka/producer.hpp"

namespace rouse::gateway::events {

/// The event in binary mode. Its key is what `order: key` goes by, so that a topic keeps the same order as an embedded
/// bus: `partitionkey`, or else `subject`; of a record that was wrapped, the key that it had.
[[nodiscard]] kafka_record record_of(const cloud_event& event);

class topic_log final : public event_log {
 public:
  topic_log(std::shared_ptr<producer> to, std::string topic) : to_(std::move(to)), topic_(std::move(topic)) {}
  void append(std::vector<cloud_event> events, append_done then) override;
  void append_encoded(std::vector<std::string> events, append_done then) override;

 private:
  const std::shared_ptr<producer> to_;
  const std::string topic_;
};

}  // namespace rouse::gateway::events
