#pragma once
// Events as JSON (CloudEvents JSON format 1.0.2), one or a batch. Pure; any thread.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/events/cloudevents/event.hpp"
#include "gateway/events/cloudevents/limits.hpp"
#include "gateway/events/cloudevents/media_type.hpp"

namespace rouse::gateway::events {

/// Content types of what the functions below write.
inline constexpr std::string_view structured_type = "application/cloudevents+json";
inline constexpr std::string_view batch_type = "application/cloudevents-batch+json";

/// An event as one JSON object.
[[nodiscard]] result<cloud_event> parse_structured(std::string_view json, const event_limits& limits = {});

/// A JSON array of events: all, or the error of the first one that is not valid. May be empty.
[[nodiscard]] result<std::vector<cloud_event>> parse_batch(std::string_view json, const event_limits& limits = {});

/// The event as one JSON object; JSON data stands in it byte for byte.
[[nodiscard]] std::string write_structured(const cloud_event& event);

[[nodiscard]] std::string write_batch(std::span<const cloud_event> events);

namespace detail {

/// Why a message of `mode` cannot be read, by its content type: a format other than JSON, a charset other than UTF-8.
[[nodiscard]] std::optional<event_error> check_format(std::string_view content_type, content_mode mode);

/// Why a message of `bytes` cannot be read.
[[nodiscard]] std::optional<event_error> check_size(std::size_t bytes, const event_limits& limits);

}  // namespace detail
}  // namespace rouse::gateway::events
