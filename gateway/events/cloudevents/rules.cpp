#include "gateway/events/cloudevents/rules.hpp"

#include <algorithm>
#include <array>
#include <boost/url/parse.hpp>
#include <charconv>
#include <chrono>

#include "config/text.hpp"
#include "gateway/events/cloudevents/media_type.hpp"

namespace rouse::gateway::events::detail {
namespace {

using config::shown;

constexpr std::array<std::string_view, 8> core{"specversion",     "id",         "source",  "type",
                                               "datacontenttype", "dataschema", "subject", "time"};

/// The character at `at` of valid UTF-8, and its length.
std::pair<std::uint32_t, std::size_t> character(std::string_view text, std::size_t at) {
  auto const byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at + i])); };
  std::uint32_t const first = byte(0);
  if (first < 0x80) return {first, 1};
  if (first < 0xE0) return {(first & 0x1FU) << 6U | (byte(1) & 0x3FU), 2};
  if (first < 0xF0) return {(first & 0x0FU) << 12U | (byte(1) & 0x3FU) << 6U | (byte(2) & 0x3FU), 3};
  return {(first & 0x07U) << 18U | (byte(1) & 0x3FU) << 12U | (byte(2) & 0x3FU) << 6U | (byte(3) & 0x3FU), 4};
}

/// "U+001F"
std::string code_point(std::uint32_t c) {
  std::array<char, 8> digits{};
  auto const end = std::to_chars(digits.data(), digits.data() + digits.size(), c, 16).ptr;
  std::string const hex = config::upper({digits.data(), static_cast<std::size_t>(end - digits.data())});
  return "U+" + std::string(hex.size() < 4 ? 4 - hex.size() : 0, '0') + hex;
}

/// What is wrong with a String of the specification; empty when nothing is.
std::string string_problem(std::string_view value) {
  bool const plain = std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
  if (plain) return {};
  if (config::first_invalid_utf8(value) != value.npos) return "is not valid UTF-8; send text in UTF-8";
  for (std::size_t at = 0; at < value.size();) {
    auto const [c, length] = character(value, at);
    if (c < 0x20 || (c >= 0x7F && c < 0xA0)) {
      return "holds the control character " + code_point(c) + "; leave control characters out";
    }
    if ((c & 0xFFFEU) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF)) {
      return "holds " + code_point(c) + ", which is not a character; leave it out";
    }
    at += length;
  }
  return {};
}

bool is_integer(std::string_view text) {
  std::int32_t value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && text == std::to_string(value);
}

std::string core_problem(std::string_view name, std::string_view value) {
  if (name == "specversion") {
    return value == spec_version ? "" : "is " + shown(value) + "; only events of version `1.0` are taken";
  }
  if (value.empty()) {
    bool const required = name == "id" || name == "source" || name == "type";
    return required ? "is empty; it must be a non-empty string" : "is empty; give it a value or leave it out";
  }
  if (name == "source" && !boost::urls::parse_uri_reference(value)) {
    return "is " + shown(value) +
           ", which is no URI-reference; write one such as `/shop/eu` or `https://example.com/shop`, with other "
           "characters percent-encoded";
  }
  if (name == "dataschema" && !boost::urls::parse_uri(value)) {
    return "is " + shown(value) + ", which is no absolute URI; write one such as `https://example.com/schema.json`";
  }
  if (name == "time" && !is_timestamp(value)) {
    return "is " + shown(value) + ", which is no RFC 3339 time; write one such as `2026-01-31T09:30:00Z`";
  }
  if (name == "datacontenttype" && !is_media_type(value)) {
    return "is " + shown(value) + ", which is no media type; write one such as `application/json`";
  }
  return {};
}

std::string extension_problem(std::string_view value, extension_type type) {
  if (type == extension_type::integer && !is_integer(value)) {
    return "is " + shown(value) + ", but an integer must be from -2147483648 to 2147483647; send others as a string";
  }
  if (type == extension_type::boolean && value != "true" && value != "false") {
    return "is " + shown(value) + ", but a boolean must be `true` or `false`";
  }
  return {};
}

/// Reads the pieces of a time one after the other.
struct time_reader {
  std::string_view rest;

  bool take(std::string_view any_of) {
    if (rest.empty() || any_of.find(rest.front()) == any_of.npos) return false;
    rest.remove_prefix(1);
    return true;
  }
  bool number(std::size_t digits, int most, int& out) {
    if (rest.size() < digits) return false;
    out = 0;
    for (char const c : rest.substr(0, digits)) {
      if (c < '0' || c > '9') return false;
      out = out * 10 + (c - '0');
    }
    rest.remove_prefix(digits);
    return out <= most;
  }
  bool fraction() {
    std::size_t const digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
    rest.remove_prefix(digits);
    return digits > 0;
  }
};

}  // namespace

bool is_core(std::string_view name) {
  return std::find(core.begin(), core.end(), name) != core.end();
}

event_error broken(std::string_view name, const std::string& rule) {
  return {fault::invalid, std::string(name), "attribute " + shown(name) + " " + rule, std::nullopt};
}

bool is_timestamp(std::string_view text) {
  time_reader in{text};
  int year = 0;
  int month = 0;
  int day = 0;
  if (!in.number(4, 9999, year) || !in.take("-") || !in.number(2, 12, month) || !in.take("-") ||
      !in.number(2, 31, day)) {
    return false;
  }
  using namespace std::chrono;
  bool const exists = year_month_day(std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                     std::chrono::day(static_cast<unsigned>(day)))
                          .ok();
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (!exists || !in.take("Tt") || !in.number(2, 23, hour) || !in.take(":") || !in.number(2, 59, minute) ||
      !in.take(":") || !in.number(2, 60, second)) {
    return false;
  }
  if (in.take(".") && !in.fraction()) return false;
  int ahead = 0;  // of UTC, in minutes
  if (!in.take("Zz")) {
    int const sign = in.rest.starts_with('-') ? -1 : 1;
    int hours = 0;
    int minutes = 0;
    if (!in.take("+-") || !in.number(2, 23, hours) || !in.take(":") || !in.number(2, 59, minutes)) return false;
    ahead = sign * (hours * 60 + minutes);
  }
  constexpr int day_minutes = 24 * 60;
  int const utc = (hour * 60 + minute - ahead + 2 * day_minutes) % day_minutes;
  return in.rest.empty() && (second < 60 || utc == day_minutes - 1);
}

std::optional<event_error> check_name(std::string_view name) {
  if (name == "data") {
    return broken(name, "cannot be: `data` is the name of the event's data; send that as the body or as `data`");
  }
  bool const letters =
      std::all_of(name.begin(), name.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
  if (name.empty() || !letters) {
    return broken(name, "has no valid name; names are made of the letters a-z and the digits 0-9");
  }
  if (name.size() > longest_name) {
    return broken(name, "has a name of " + std::to_string(name.size()) + " characters; use at most 20, never over " +
                            std::to_string(longest_name));
  }
  return std::nullopt;
}

std::optional<event_error> check_extension_name(std::string_view name) {
  if (is_core(name)) return broken(name, "is no extension; set the event's own attribute");
  return check_name(name);
}

std::optional<event_error> check_value(std::string_view name, std::string_view value, extension_type type) {
  std::string rule = string_problem(value);
  if (rule.empty()) {
    if (!is_core(name)) {
      rule = extension_problem(value, type);
    } else if (type != extension_type::string) {
      rule = "must be a string";
    } else {
      rule = core_problem(name, value);
    }
  }
  if (rule.empty()) return std::nullopt;
  return broken(name, rule);
}

std::optional<event_error> event_builder::set(std::string_view name, std::string value, extension_type type) {
  if (auto wrong = check_name(name)) return wrong;
  if (auto wrong = check_value(name, value, type)) return wrong;
  if (place(name, std::move(value), type)) return std::nullopt;
  return broken(name, "is there twice; send it once");
}

/// False when it is there already.
bool event_builder::place(std::string_view name, std::string&& value, extension_type type) {
  auto const once = [&](auto& member, bool taken) {
    if (!taken) member = std::move(value);
    return !taken;
  };
  if (name == "specversion") return !std::exchange(has_version_, true);
  // What was set is not empty: check_value() has seen it.
  if (name == "id") return once(event_.id, !event_.id.empty());
  if (name == "source") return once(event_.source, !event_.source.empty());
  if (name == "type") return once(event_.type, !event_.type.empty());
  if (name == "datacontenttype") return once(event_.datacontenttype, event_.datacontenttype.has_value());
  if (name == "dataschema") return once(event_.dataschema, event_.dataschema.has_value());
  if (name == "subject") return once(event_.subject, event_.subject.has_value());
  if (name == "time") return once(event_.time, event_.time.has_value());
  return event_.extensions.try_emplace(std::string(name), extension{std::move(value), type}).second;
}

void event_builder::set_data(data_kind kind, std::string bytes) {
  event_.kind = kind;
  event_.data = std::move(bytes);
}

result<cloud_event> event_builder::finish() && {
  constexpr const char* required = "is missing; every event must have a non-empty one";
  if (!has_version_) return broken("specversion", "is missing; every event must have it, with the value `1.0`");
  if (event_.id.empty()) return broken("id", required);
  if (event_.source.empty()) return broken("source", required);
  if (event_.type.empty()) return broken("type", required);
  return std::move(event_);
}

}  // namespace rouse::gateway::events::detail
