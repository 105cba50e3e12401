#include "gateway/events/cloudevents/event.hpp"

#include "config/text.hpp"
#include "gateway/events/cloudevents/json_text.hpp"
#include "gateway/events/cloudevents/media_type.hpp"
#include "gateway/events/cloudevents/rules.hpp"

namespace rouse::gateway::events {
namespace {

/// Deepest JSON of `opaque` data that goes into a structured message as JSON.
constexpr std::size_t deepest_data = 512;

bool is_utf8(std::string_view text) {
  return config::first_invalid_utf8(text) == text.npos;
}

/// What is wrong with data made by hand; empty when nothing is.
std::string data_problem(const cloud_event& event) {
  if (event.kind == data_kind::none && !event.data.empty()) return "is there, but its kind says that there is none";
  if (event.kind == data_kind::text && !is_utf8(event.data)) return "is not valid UTF-8; send it as binary data";
  if (event.kind == data_kind::json) return detail::json_problem(event.data, deepest_data).value_or("");
  return {};
}

}  // namespace

std::optional<std::string_view> attribute(const cloud_event& event, std::string_view name) {
  auto const given = [](const std::optional<std::string>& value) {
    return value ? std::optional<std::string_view>(*value) : std::nullopt;
  };
  if (name == "type") return event.type;
  if (name == "source") return event.source;
  if (name == "id") return event.id;
  if (name == "specversion") return spec_version;
  if (name == "subject") return given(event.subject);
  if (name == "time") return given(event.time);
  if (name == "datacontenttype") return given(event.datacontenttype);
  if (name == "dataschema") return given(event.dataschema);
  auto const found = event.extensions.find(name);
  if (found == event.extensions.end()) return std::nullopt;
  return found->second.value;
}

data_kind resolved_kind(const cloud_event& event) {
  if (event.kind != data_kind::opaque) return event.kind;
  if (!event.datacontenttype) return data_kind::binary;
  const std::string& type = *event.datacontenttype;
  if (detail::is_json_type(type)) {
    return detail::json_problem(event.data, deepest_data) ? data_kind::binary : data_kind::json;
  }
  return detail::is_text_type(type) && is_utf8(event.data) ? data_kind::text : data_kind::binary;
}

std::optional<event_error> validate(const cloud_event& event) {
  std::optional<event_error> wrong;
  auto const check = [&](std::string_view name, std::string_view value, extension_type type) {
    if (!wrong) wrong = detail::check_value(name, value, type);
  };
  auto const check_given = [&](std::string_view name, const std::optional<std::string>& value) {
    if (value) check(name, *value, extension_type::string);
  };
  check("id", event.id, extension_type::string);
  check("source", event.source, extension_type::string);
  check("type", event.type, extension_type::string);
  check_given("datacontenttype", event.datacontenttype);
  check_given("dataschema", event.dataschema);
  check_given("subject", event.subject);
  check_given("time", event.time);
  for (const auto& [name, value] : event.extensions) {
    if (!wrong) wrong = detail::check_extension_name(name);
    check(name, value.value, value.type);
  }
  if (wrong) return wrong;
  std::string problem = data_problem(event);
  if (problem.empty()) return std::nullopt;
  return event_error{fault::invalid, "data", "the data " + problem, std::nullopt};
}

}  // namespace rouse::gateway::events
