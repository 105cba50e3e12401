#include "gateway/events/cloudevents/kafka.hpp"

#include <algorithm>

#include "config/text.hpp"
#include "gateway/events/cloudevents/rules.hpp"
#include "gateway/events/cloudevents/structured.hpp"

namespace rouse::gateway::events {
namespace {

using problem = std::optional<event_error>;

constexpr std::string_view prefix = "ce_";

bool is_content_type(const kafka_header& header) {
  return header.value && config::lower(header.name) == "content-type";
}

bool is_required(std::string_view name) {
  return name == "ce_specversion" || name == "ce_id" || name == "ce_source" || name == "ce_type";
}

problem take_header(detail::event_builder& out, std::string_view name, std::string_view value) {
  if (name == "datacontenttype") {
    return detail::broken(name, "cannot be the header `ce_datacontenttype`; in binary mode `content-type` says it");
  }
  return out.set(name, std::string(value));
}

result<cloud_event> parse_record(std::span<const kafka_header> headers, std::optional<std::string_view> type,
                                 std::optional<std::string_view> value) {
  detail::event_builder out;
  // The version first, for an event of another version breaks other rules as well.
  for (bool const version : {true, false}) {
    for (const kafka_header& one : headers) {
      if (!one.value || !one.name.starts_with(prefix)) continue;
      std::string_view const name = one.name.substr(prefix.size());
      if ((name == "specversion") != version) continue;
      if (auto wrong = take_header(out, name, *one.value)) return *std::move(wrong);
    }
  }
  if (type) {
    if (auto wrong = out.set("datacontenttype", std::string(*type))) return *std::move(wrong);
  }
  if (value) out.set_data(data_kind::opaque, std::string(*value));
  return std::move(out).finish();
}

std::size_t size_of(std::span<const kafka_header> headers, std::optional<std::string_view> value) {
  std::size_t bytes = value.value_or("").size();
  for (const kafka_header& one : headers) {
    if (one.name.starts_with(prefix)) bytes += one.name.size() + one.value.value_or("").size();
  }
  return bytes;
}

}  // namespace

std::optional<content_mode> mode_of(std::span<const kafka_header> headers) {
  auto const type = std::find_if(headers.begin(), headers.end(), is_content_type);
  if (type != headers.end() && mode_of(*type->value) != content_mode::binary) return content_mode::structured;
  bool const any =
      std::any_of(headers.begin(), headers.end(), [](const kafka_header& one) { return is_required(one.name); });
  return any ? std::optional(content_mode::binary) : std::nullopt;
}

result<cloud_event> parse_kafka(std::span<const kafka_header> headers, std::optional<std::string_view> value,
                                const event_limits& limits) {
  std::optional<std::string_view> type;
  for (const kafka_header& one : headers) {
    if (!is_content_type(one)) continue;
    if (type) return detail::broken("datacontenttype", "is there twice; send one header `content-type`");
    type = one.value;
  }
  if (auto wrong = detail::check_size(size_of(headers, value), limits)) return *std::move(wrong);
  content_mode const mode = mode_of(type.value_or(""));
  if (mode == content_mode::binary) return parse_record(headers, type, value);
  if (auto wrong = detail::check_format(*type, content_mode::structured)) return *std::move(wrong);
  if (value) return parse_structured(*value, limits);
  return event_error{fault::invalid, "",
                     "the record has no value, but its content type says that the event is there; send the event as "
                     "the value, or its attributes as headers `ce_*`",
                     std::nullopt};
}

kafka_record write_kafka(const cloud_event& event, content_mode mode, record_key key) {
  kafka_record out;
  if (key == record_key::from_partitionkey) {
    if (auto const found = attribute(event, "partitionkey")) out.key = std::string(*found);
  }
  if (mode != content_mode::binary || !fits_binary(event)) {
    out.headers.emplace_back("content-type", structured_type);
    out.value = write_structured(event);
    return out;
  }
  if (auto const type = detail::binary_content_type(event)) out.headers.emplace_back("content-type", *type);
  detail::for_each_attribute(event, [&](std::string_view name, std::string_view value) {
    out.headers.emplace_back(std::string(prefix) += name, value);
  });
  if (event.kind != data_kind::none) out.value = event.data;
  return out;
}

}  // namespace rouse::gateway::events
