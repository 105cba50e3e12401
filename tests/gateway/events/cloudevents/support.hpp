#pragma once
// What the tests of events share: a plain event, seeded random ones, and tables of messages that must be refused.

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gateway/events/cloudevents/http.hpp"
#include "gateway/events/cloudevents/kafka.hpp"
#include "gateway/events/cloudevents/structured.hpp"

namespace events_test {

using namespace rouse::gateway::events;

inline cloud_event plain_event() {
  cloud_event out;
  out.id = "42";
  out.source = "/shop/eu";
  out.type = "com.shop.order.paid";
  return out;
}

/// A result's event; fails the test, with the reason, where there is none.
template <class Value>
Value right(result<Value> made) {
  INFO((made ? std::string() : made.error().message));
  REQUIRE(made.has_value());
  return *std::move(made);
}

/// A message that must be refused, for this attribute, with this in the reason.
struct refused {
  std::string attribute;
  std::string reason;
};

template <class Value>
void check_refused(const result<Value>& made, const refused& expected) {
  REQUIRE_FALSE(made.has_value());
  const event_error& why = made.error();
  INFO(why.attribute << ": " << why.message);
  CHECK(why.attribute == expected.attribute);
  CHECK(why.message.find(expected.reason) != std::string::npos);
}

using headers = std::vector<std::pair<std::string, std::string>>;

inline std::vector<header_view> views(const headers& list) {
  std::vector<header_view> out;
  for (const auto& [name, value] : list) out.push_back({name, value});
  return out;
}

inline std::vector<kafka_header> kafka_views(const headers& list) {
  std::vector<kafka_header> out;
  for (const auto& [name, value] : list) out.push_back({name, value});
  return out;
}

/// Random valid events, the same for the same seed.
class event_source {
 public:
  explicit event_source(unsigned seed) : random_(seed) {}

  cloud_event next() {
    cloud_event out;
    out.id = text(1);
    out.source = pick({"/", "/shop/eu", "https://example.com/a%20b?c=%25#d", "urn:uuid:1", "mailto:a@b", "a/b;c=1,d"});
    out.type = text(1);
    if (chance(3)) out.subject = text(1);
    if (chance(3)) out.dataschema = pick({"https://example.com/schema.json#/a", "urn:x:y"});
    if (chance(3)) out.time = pick({"2026-01-31T09:30:00Z", "1990-12-31t23:59:60z", "2026-02-28T23:59:59.123+05:30"});
    for (std::size_t left = number(4); left > 0; --left) out.extensions[name()] = value();
    if (chance(4)) give_data(out);
    return out;
  }

  std::size_t number(std::size_t below) { return random_() % below; }
  bool chance(std::size_t of) { return number(of) != 0; }

 private:
  std::string pick(std::vector<std::string> from) { return from[number(from.size())]; }

  std::string name() {
    static constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789";
    std::string out = "x";
    for (std::size_t left = number(20); left > 0; --left) out += letters[number(letters.size())];
    return out;
  }

  /// Characters that some encoding has to do something about.
  std::string text(std::size_t least) {
    std::string out;
    for (std::size_t left = least + number(12); left > 0; --left) {
      out += pick({"a", "Z",      "0",      " ",      "\"",         "%",      "%41", "\\", "/",       ";", ",",
                   "~", "\u00e9", "\u20ac", "\u4e2d", "\U0001F600", "\u00a0", "'",   "{",  "\\u0041", "="});
    }
    return out;
  }

  extension value() {
    if (chance(3)) return {text(0), extension_type::string};
    if (chance(2)) return {pick({"0", "-1", "2147483647", "-2147483648", "7"}), extension_type::integer};
    return {pick({"true", "false"}), extension_type::boolean};
  }

  void give_data(cloud_event& out) {
    switch (number(4)) {
      case 0:
        out.datacontenttype = pick({"application/json", "application/vnd.a+json; v=1", "text/json"});
        out.kind = data_kind::json;
        out.data = pick({"{}", "[1, 2.50, 1e3]", "\"text\"", "12345678901234567890123", "{\"b\":1,\"a\":{\"b\":\"}\"}}",
                         "false", "{\"d\": \"\\ud83d\\ude00\\n\"}"});
        return;
      case 1:
        out.datacontenttype = pick({"text/plain", "text/plain; charset=\"UTF-8\"", "application/xml"});
        out.kind = data_kind::text;
        out.data = text(1) + pick({"", "\n", "\x01", "\x7f", "\uffff"});
        return;
      default:
        if (chance(2)) out.datacontenttype = pick({"application/octet-stream", "image/png"});
        out.kind = data_kind::binary;
        for (std::size_t left = 1 + number(20); left > 0; --left) out.data += static_cast<char>(number(256));
        return;
    }
  }

  std::mt19937 random_;
};

}  // namespace events_test
