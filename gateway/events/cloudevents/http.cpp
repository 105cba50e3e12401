#include "gateway/events/cloudevents/http.hpp"

#include "config/text.hpp"
#include "gateway/events/cloudevents/header_value.hpp"
#include "gateway/events/cloudevents/rules.hpp"
#include "gateway/events/cloudevents/structured.hpp"

namespace rouse::gateway::events {
namespace {

using config::lower;
using problem = std::optional<event_error>;

constexpr std::string_view prefix = "ce-";

bool is_attribute(std::string_view name) {
  return name.size() >= prefix.size() && lower(name.substr(0, prefix.size())) == prefix;
}

problem take_header(detail::event_builder& out, const std::string& name, std::string_view value) {
  if (name == "datacontenttype") {
    return detail::broken(name, "cannot be the header `ce-datacontenttype`; in binary mode `Content-Type` says it");
  }
  if (auto wrong = detail::check_name(name)) return wrong;
  decoded_value decoded = decode_header_value(value);
  if (!decoded.value) return detail::broken(name, decoded.error);
  return out.set(name, std::move(*decoded.value));
}

problem check_headers(std::span<const header_view> headers, std::size_t body, const event_limits& limits) {
  std::size_t bytes = body;
  bool any = false;
  for (const header_view& one : headers) {
    if (!is_attribute(one.name)) continue;
    any = true;
    bytes += one.name.size() + one.value.size();
  }
  if (any) return detail::check_size(bytes, limits);
  return event_error{fault::invalid, "",
                     "this is no CloudEvent; send its attributes as the headers `ce-specversion`, `ce-id`, `ce-source` "
                     "and `ce-type`, or the whole event as `application/cloudevents+json`",
                     std::nullopt};
}

result<std::vector<cloud_event>> as_list(result<cloud_event> one) {
  if (!one) return std::move(one.error());
  std::vector<cloud_event> out;
  out.push_back(*std::move(one));
  return out;
}

}  // namespace

result<cloud_event> parse_binary(std::span<const header_view> headers, std::optional<std::string_view> content_type,
                                 std::string_view body, const event_limits& limits) {
  if (auto wrong = check_headers(headers, body.size(), limits)) return *std::move(wrong);
  detail::event_builder out;
  // The version first, for an event of another version breaks other rules as well.
  for (bool const version : {true, false}) {
    for (const header_view& one : headers) {
      if (!is_attribute(one.name)) continue;
      std::string const name = lower(one.name.substr(prefix.size()));
      if ((name == "specversion") != version) continue;
      if (auto wrong = take_header(out, name, one.value)) return *std::move(wrong);
    }
  }
  if (content_type) {
    if (auto wrong = out.set("datacontenttype", std::string(*content_type))) return *std::move(wrong);
  }
  if (!body.empty()) out.set_data(data_kind::opaque, std::string(body));
  return std::move(out).finish();
}

result<std::vector<cloud_event>> parse_http(std::span<const header_view> headers, std::string_view body,
                                            const event_limits& limits) {
  std::optional<std::string_view> type;
  for (const header_view& one : headers) {
    if (lower(one.name) != "content-type") continue;
    if (type) return detail::broken("datacontenttype", "is there twice: send one `Content-Type`");
    type = one.value;
  }
  content_mode const mode = mode_of(type.value_or(""));
  if (mode == content_mode::binary) return as_list(parse_binary(headers, type, body, limits));
  if (auto wrong = detail::check_format(*type, mode)) return *std::move(wrong);
  if (mode == content_mode::batch) return parse_batch(body, limits);
  return as_list(parse_structured(body, limits));
}

bool fits_binary(const cloud_event& event) {
  return !event.datacontenttype || mode_of(*event.datacontenttype) == content_mode::binary;
}

header_list binary_headers(const cloud_event& event) {
  header_list out;
  out.reserve(8 + event.extensions.size());
  if (auto const type = detail::binary_content_type(event)) out.emplace_back("content-type", *type);
  detail::for_each_attribute(event, [&](std::string_view name, std::string_view value) {
    out.emplace_back(std::string(prefix) += name, encode_header_value(value));
  });
  return out;
}

http_message write_http(const cloud_event& event, content_mode mode) {
  if (mode == content_mode::binary && fits_binary(event)) return {binary_headers(event), event.data};
  http_message out;
  out.headers.emplace_back("content-type", structured_type);
  out.body = write_structured(event);
  return out;
}

namespace detail {

std::optional<std::string_view> binary_content_type(const cloud_event& event) {
  if (event.datacontenttype) return *event.datacontenttype;
  if (event.kind == data_kind::json) return "application/json";
  return std::nullopt;
}

}  // namespace detail
}  // namespace rouse::gateway::events
