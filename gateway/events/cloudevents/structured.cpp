#include "gateway/events/cloudevents/structured.hpp"

#include <algorithm>

#include "config/text.hpp"
#include "gateway/events/cloudevents/base64.hpp"
#include "gateway/events/cloudevents/json_text.hpp"
#include "gateway/events/cloudevents/rules.hpp"

namespace rouse::gateway::events {
namespace {

using config::shown;
using detail::broken;
using detail::event_builder;
using detail::json_type;
using members = std::vector<std::pair<std::string, std::string_view>>;
using problem = std::optional<event_error>;

std::string_view describe(json_type type) {
  switch (type) {
    case json_type::object:
      return "an object";
    case json_type::array:
      return "an array";
    case json_type::string:
      return "a string";
    case json_type::number:
      return "a number";
    case json_type::boolean:
      return "a boolean";
    case json_type::null:
      break;
  }
  return "null";
}

problem take_number(event_builder& out, std::string_view name, std::string_view value) {
  if (value.find_first_not_of("-0123456789") != value.npos) {
    return broken(name, "is " + shown(value) +
                            ", but a number must be whole, from -2147483648 to 2147483647 and without an exponent; "
                            "send others as a string");
  }
  return out.set(name, value == "-0" ? "0" : std::string(value), extension_type::integer);
}

problem take_attribute(event_builder& out, std::string_view name, std::string_view value) {
  if (auto wrong = detail::check_name(name)) return wrong;
  json_type const type = detail::type_of(value);
  if (type == json_type::null) return std::nullopt;
  if (type == json_type::string) return out.set(name, detail::json_string(value));
  if (detail::is_core(name)) return broken(name, "is " + std::string(describe(type)) + "; it must be a string");
  if (type == json_type::number) return take_number(out, name, value);
  if (type == json_type::boolean) return out.set(name, std::string(value), extension_type::boolean);
  return broken(name, "is " + std::string(describe(type)) + "; it must be a string, a whole number or a boolean");
}

/// `given` and `encoded` are the members `data` and `data_base64` as they stand; empty where they are null or missing.
problem take_data(event_builder& out, std::string_view given, std::string_view encoded) {
  if (!given.empty() && !encoded.empty()) {
    return event_error{fault::invalid, "data", "`data` and `data_base64` are both there; send one of them",
                       std::nullopt};
  }
  if (!encoded.empty()) {
    auto const wrong = [](const std::string& rule) {
      return event_error{fault::invalid, "data", "`data_base64` " + rule, std::nullopt};
    };
    json_type const type = detail::type_of(encoded);
    if (type != json_type::string) return wrong("is " + std::string(describe(type)) + "; it must be a string");
    auto bytes = detail::decode_base64(detail::json_string(encoded));
    if (!bytes) return wrong("is not valid base64; use the alphabet with `+` and `/`, padded with `=`");
    out.set_data(data_kind::binary, std::move(*bytes));
  } else if (!given.empty()) {
    const auto& type = out.event().datacontenttype;
    bool const text = type && !detail::is_json_type(*type) && detail::type_of(given) == json_type::string;
    // A string of another type than JSON is that text; everything else stays as it stands.
    out.set_data(text ? data_kind::text : data_kind::json, text ? detail::json_string(given) : std::string(given));
  }
  return std::nullopt;
}

/// The name that more than one member has.
std::optional<std::string_view> repeated(const members& all) {
  std::vector<std::string_view> names;
  for (const auto& [name, value] : all) names.push_back(name);
  std::sort(names.begin(), names.end());
  auto const twice = std::adjacent_find(names.begin(), names.end());
  return twice == names.end() ? std::nullopt : std::optional(*twice);
}

/// `json` is valid.
result<cloud_event> read_event(std::string_view json) {
  json_type const type = detail::type_of(json);
  if (type != json_type::object) {
    return event_error{fault::invalid, "", "the event is " + std::string(describe(type)) + "; it must be a JSON object",
                       std::nullopt};
  }
  members const all = detail::json_members(json);
  if (auto const name = repeated(all)) return broken(*name, "is there twice; send it once");
  event_builder out;
  std::string_view data;
  std::string_view base64;
  auto const is_version = [](const auto& member) { return member.first == "specversion"; };
  // First, for an event of another version breaks other rules as well.
  auto const version = std::find_if(all.begin(), all.end(), is_version);
  if (version != all.end()) {
    if (auto wrong = take_attribute(out, version->first, version->second)) return *std::move(wrong);
  }
  for (const auto& [name, value] : all) {
    if (name == "specversion") continue;
    if (name == "data" || name == "data_base64") {
      if (detail::type_of(value) != json_type::null) (name == "data" ? data : base64) = value;
    } else if (auto wrong = take_attribute(out, name, value)) {
      return *std::move(wrong);
    }
  }
  if (auto wrong = take_data(out, data, base64)) return *std::move(wrong);
  return std::move(out).finish();
}

problem check_json(std::string_view json, const event_limits& limits, const char* what) {
  if (auto wrong = detail::check_size(json.size(), limits)) return wrong;
  if (auto wrong = detail::json_problem(json, limits.most_depth)) {
    return event_error{fault::invalid, "", std::string(what) + " " + *wrong, std::nullopt};
  }
  return std::nullopt;
}

void append_member(std::string& out, std::string_view name, std::string_view value) {
  out += ",\"";
  out += name;
  out += "\":";
  detail::append_json_string(out, value);
}

void append_data(std::string& out, const cloud_event& event) {
  data_kind const kind = resolved_kind(event);
  // A null would be read as no data at all.
  bool const null = kind == data_kind::json && detail::json_trimmed(event.data) == "null";
  if (kind == data_kind::none) return;
  if (kind == data_kind::binary || null) {
    out += ",\"data_base64\":\"" + detail::encode_base64(event.data) + '"';
  } else if (kind == data_kind::json) {
    out += ",\"data\":";
    out += event.data;
  } else {
    append_member(out, "data", event.data);
  }
}

void append_event(std::string& out, const cloud_event& event) {
  out += R"({"specversion":"1.0")";
  append_member(out, "id", event.id);
  append_member(out, "source", event.source);
  append_member(out, "type", event.type);
  if (event.datacontenttype) append_member(out, "datacontenttype", *event.datacontenttype);
  if (event.dataschema) append_member(out, "dataschema", *event.dataschema);
  if (event.subject) append_member(out, "subject", *event.subject);
  if (event.time) append_member(out, "time", *event.time);
  for (const auto& [name, one] : event.extensions) {
    if (one.type == extension_type::string) {
      append_member(out, name, one.value);
    } else {
      out += ",\"" + name + "\":" + one.value;
    }
  }
  append_data(out, event);
  out += '}';
}

}  // namespace

namespace detail {

std::optional<event_error> check_format(std::string_view content_type, content_mode mode) {
  std::string_view const expected = mode == content_mode::batch ? batch_type : structured_type;
  if (is_utf8_type(content_type, expected)) return std::nullopt;
  return event_error{
      fault::unsupported, "",
      "the content type " + shown(content_type) + " is not supported; send events as " + shown(expected) + ", in UTF-8",
      std::nullopt};
}

std::optional<event_error> check_size(std::size_t bytes, const event_limits& limits) {
  if (bytes <= limits.most_bytes) return std::nullopt;
  return event_error{fault::too_large, "",
                     "the message has " + std::to_string(bytes) + " bytes; at most " +
                         std::to_string(limits.most_bytes) + " are taken",
                     std::nullopt};
}

}  // namespace detail

result<cloud_event> parse_structured(std::string_view json, const event_limits& limits) {
  if (auto wrong = check_json(json, limits, "the event")) return *std::move(wrong);
  return read_event(detail::json_trimmed(json));
}

result<std::vector<cloud_event>> parse_batch(std::string_view json, const event_limits& limits) {
  if (auto wrong = check_json(json, limits, "the batch")) return *std::move(wrong);
  std::string_view const array = detail::json_trimmed(json);
  if (detail::type_of(array) != json_type::array) {
    return event_error{
        fault::invalid, "",
        "the batch is " + std::string(describe(detail::type_of(array))) + "; it must be a JSON array of events",
        std::nullopt};
  }
  std::vector<cloud_event> out;
  for (std::string_view const item : detail::json_items(array)) {
    auto made = read_event(item);
    if (!made) {
      event_error why = std::move(made.error());
      why.index = out.size();
      why.message = "event " + std::to_string(out.size()) + " of the batch (counted from 0): " + why.message;
      return why;
    }
    out.push_back(*std::move(made));
  }
  return out;
}

std::string write_structured(const cloud_event& event) {
  std::string out;
  out.reserve(256 + event.data.size());
  append_event(out, event);
  return out;
}

std::string write_batch(std::span<const cloud_event> events) {
  std::string out = "[";
  for (const cloud_event& event : events) {
    if (out.size() > 1) out += ',';
    append_event(out, event);
  }
  return out += ']';
}

}  // namespace rouse::gateway::events
