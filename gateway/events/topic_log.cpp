#include "gateway/events/topic_log.hpp"

#include <utility>

#include "gateway/events/cloudevents/base64.hpp"
#include "gateway/events/cloudevents/storage.hpp"

namespace rouse::gateway::events {

kafka_record record_of(const cloud_event& event) {
  auto out = write_kafka(event, content_mode::binary);
  for (const auto* const name : {"partitionkey", "subject", "kafkakey"}) {
    if (const auto value = attribute(event, name)) {
      out.key = std::string(*value);
      return out;
    }
  }
  if (const auto bytes = attribute(event, "kafkakeybase64")) out.key = detail::decode_base64(*bytes);
  return out;
}

void topic_log::append(std::vector<cloud_event> events, append_done then) {
  std::vector<kafka_record> records;
  records.reserve(events.size());
  for (const auto& event : events) records.push_back(record_of(event));
  to_->append(topic_, std::move(records), std::move(then));
}

void topic_log::append_encoded(std::vector<std::string> events, append_done then) {
  std::vector<cloud_event> decoded;
  for (const auto& one : events) {
    auto event = decode(one);
    if (!event) {
      append_result refused;
      refused.how = append_result::kind::broken;
      refused.problem = "what was to be written is no event";
      return then(std::move(refused));
    }
    decoded.push_back(std::move(*event));
  }
  append(std::move(decoded), std::move(then));
}

}  // namespace rouse::gateway::events
