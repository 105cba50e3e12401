#pragma once
// Events in Kafka records (CloudEvents Kafka binding 1.0.2), apart from any client library. Pure; any thread.

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "gateway/events/cloudevents/event.hpp"
#include "gateway/events/cloudevents/http.hpp"
#include "gateway/events/cloudevents/limits.hpp"
#include "gateway/events/cloudevents/media_type.hpp"

namespace rouse::gateway::events {

/// A record's header as it came; a header may have no value, and then stands for an attribute that is absent.
struct kafka_header {
  std::string_view name;
  std::optional<std::string_view> value;
};

/// How a record carries an event; nullopt for a record that is none: it has neither the content type of one nor a
/// header of an attribute that every event must have. `batch` never: the binding has no batches, and such a record is
/// told so by parse_kafka().
[[nodiscard]] std::optional<content_mode> mode_of(std::span<const kafka_header> headers);

/// The event of a record. `value` nullopt is a null value: in binary mode no data (an empty value is empty data).
[[nodiscard]] result<cloud_event> parse_kafka(std::span<const kafka_header> headers,
                                              std::optional<std::string_view> value, const event_limits& limits = {});

struct kafka_record {
  std::optional<std::string> key;
  header_list headers;
  std::optional<std::string> value;  ///< nullopt: null
};

enum class record_key { none, from_partitionkey };

/// `mode` is binary or structured; what does not fit_binary() is written structured. With `from_partitionkey` the
/// extension of that name, if any, is the record's key as well.
[[nodiscard]] kafka_record write_kafka(const cloud_event& event, content_mode mode, record_key key = record_key::none);

}  // namespace rouse::gateway::events
