#pragma once
// A Kafka record as an event: the CloudEvent that it carries, or one that wraps it. Pure; any thread.

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "gateway/events/cloudevents/event.hpp"
#include "gateway/events/cloudevents/kafka.hpp"

namespace rouse::gateway::events {

/// As it was read. Views into what the client library holds.
struct raw_record {
  std::string_view topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::optional<std::chrono::sys_time<std::chrono::milliseconds>> written;
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  std::span<const kafka_header> headers;
};

struct record_event {
  cloud_event event;
  /// It says that it is a CloudEvent, and is none that is valid: why. `event` wraps it then.
  std::string unreadable;
};

/// Where a record is: TOPIC/PARTITION/OFFSET.
[[nodiscard]] std::string place_of(std::string_view topic, std::int32_t partition, std::int64_t offset);

[[nodiscard]] record_event event_of(const raw_record& record);

/// The event that wraps a record: type `dev.rouse.kafka.record`, source `/kafka/TOPIC`, id `partition:P/offset:O`, time
/// that of the record, subject none; extensions kafkatopic, kafkapartition, kafkaoffset, kafkakey (or kafkakeybase64,
/// where the key is not text that an attribute may hold) and kafkaheaders (JSON: an array of [name, value], the value
/// text, {"base64": ...} or null; kafkaheadersbase64 holds that where an attribute may not); data the value as it is,
/// of the type that the header `content-type` says or application/octet-stream, and none for a null value.
[[nodiscard]] cloud_event wrapped(const raw_record& record);

}  // namespace rouse::gateway::events
