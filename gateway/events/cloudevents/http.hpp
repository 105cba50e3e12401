#pragma once
// Events in HTTP messages (CloudEvents HTTP binding 1.0.2), apart from any socket. Pure; any thread.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/events/cloudevents/event.hpp"
#include "gateway/events/cloudevents/limits.hpp"
#include "gateway/events/cloudevents/media_type.hpp"

namespace rouse::gateway::events {

/// A header as it came, without white space around the value.
struct header_view {
  std::string_view name;
  std::string_view value;
};

/// One event in binary mode: its attributes are the headers `ce-*` (names in any case), the others are passed over; an
/// empty body is no data.
[[nodiscard]] result<cloud_event> parse_binary(std::span<const header_view> headers,
                                               std::optional<std::string_view> content_type, std::string_view body,
                                               const event_limits& limits = {});

/// Any mode, by the one Content-Type among `headers`: one event, or those of a batch.
[[nodiscard]] result<std::vector<cloud_event>> parse_http(std::span<const header_view> headers, std::string_view body,
                                                          const event_limits& limits = {});

using header_list = std::vector<std::pair<std::string, std::string>>;

/// Whether binary mode can carry the event: one whose data is itself announced as a CloudEvent would be taken for that.
[[nodiscard]] bool fits_binary(const cloud_event& event);

/// The headers of an event that fits_binary(), in lower case and ready for the wire, Content-Type among them; the body
/// is `event.data`. JSON data without a `datacontenttype` is announced as `application/json`.
[[nodiscard]] header_list binary_headers(const cloud_event& event);

struct http_message {
  header_list headers;  ///< Content-Type among them; no framing
  std::string body;
};

/// `mode` is binary or structured; what does not fit_binary() is written structured.
[[nodiscard]] http_message write_http(const cloud_event& event, content_mode mode);

namespace detail {

/// The content type that goes with the event in binary mode, if any.
[[nodiscard]] std::optional<std::string_view> binary_content_type(const cloud_event& event);

/// Calls `each(name, value)` for every attribute but `datacontenttype`, `specversion` first.
template <class Each>
void for_each_attribute(const cloud_event& event, Each&& each) {
  each(std::string_view("specversion"), spec_version);
  each(std::string_view("id"), std::string_view(event.id));
  each(std::string_view("source"), std::string_view(event.source));
  each(std::string_view("type"), std::string_view(event.type));
  if (event.dataschema) each(std::string_view("dataschema"), std::string_view(*event.dataschema));
  if (event.subject) each(std::string_view("subject"), std::string_view(*event.subject));
  if (event.time) each(std::string_view("time"), std::string_view(*event.time));
  for (const auto& [name, one] : event.extensions) each(std::string_view(name), std::string_view(one.value));
}

}  // namespace detail
}  // namespace rouse::gateway::events
