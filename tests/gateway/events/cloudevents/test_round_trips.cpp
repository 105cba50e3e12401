// Random events through every mode and back.
#include "gateway/events/cloudevents/header_value.hpp"
#include "gateway/events/cloudevents/storage.hpp"
#include "support.hpp"

using namespace events_test;

namespace {

/// What binary mode keeps: extensions are strings, and the content type says what the data is.
cloud_event as_in_binary(cloud_event event) {
  for (auto& [name, one] : event.extensions) one.type = extension_type::string;
  event.kind = resolved_kind(event);
  return event;
}

}  // namespace

TEST_CASE("random events come back as they were") {
  event_source source(1);
  for (int round = 0; round < 5000; ++round) {
    cloud_event const event = source.next();
    INFO(write_structured(event));
    REQUIRE_FALSE(validate(event));
    REQUIRE(right(parse_structured(write_structured(event))) == event);
    REQUIRE(decode(encode(event)) == event);

    auto const binary = write_http(event, content_mode::binary);
    for (const auto& [name, value] : binary.headers) {
      auto const plain = [](char c) { return c >= 0x20 && c < 0x7F; };
      REQUIRE(std::all_of(value.begin(), value.end(), plain));
    }
    auto const back = right(parse_http(views(binary.headers), binary.body));
    REQUIRE(back.size() == 1);
    REQUIRE(as_in_binary(back[0]) == as_in_binary(event));
    // And from there on as JSON: the same but for the types of extensions.
    REQUIRE(right(parse_structured(write_structured(back[0]))) == as_in_binary(event));

    auto const structured = write_http(event, content_mode::structured);
    REQUIRE(right(parse_http(views(structured.headers), structured.body)).at(0) == event);

    auto const record = write_kafka(event, content_mode::binary);
    REQUIRE(as_in_binary(right(parse_kafka(kafka_views(record.headers), record.value))) == as_in_binary(event));
    auto const whole = write_kafka(event, content_mode::structured);
    REQUIRE(right(parse_kafka(kafka_views(whole.headers), whole.value)) == event);
  }
}

TEST_CASE("random batches come back as they were") {
  event_source source(2);
  for (int round = 0; round < 500; ++round) {
    std::vector<cloud_event> events(source.number(6));
    for (cloud_event& one : events) one = source.next();
    REQUIRE(right(parse_batch(write_batch(events))) == events);
  }
}

TEST_CASE("header values come back as they were, whatever the text") {
  std::mt19937 random(3);
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (std::size_t left = random() % 10; left > 0; --left) {
      // Any character of one, two and three bytes; no surrogates.
      unsigned const c = random() % 3 == 0   ? 0x800 + random() % 0xC000
                         : random() % 2 == 0 ? random() % 0x80
                                             : 0x80 + random() % 0x700;
      if (c < 0x80) {
        text += static_cast<char>(c);
      } else if (c < 0x800) {
        text += {static_cast<char>(0xC0U | c >> 6U), static_cast<char>(0x80U | (c & 0x3FU))};
      } else {
        text += {static_cast<char>(0xE0U | c >> 12U), static_cast<char>(0x80U | (c >> 6U & 0x3FU)),
                 static_cast<char>(0x80U | (c & 0x3FU))};
      }
    }
    REQUIRE(decode_header_value(encode_header_value(text)).value == text);
    std::string quoted;
    for (char const c : encode_header_value(text)) quoted += c == '\\' ? "\\\\" : std::string(1, c);
    REQUIRE(decode_header_value("\"" + quoted + "\"").value == text);
  }
}

TEST_CASE("events made by hand are checked") {
  cloud_event event = plain_event();
  CHECK_FALSE(validate(event));
  auto const wrong = [](cloud_event with, std::string_view name) {
    auto const why = validate(with);
    INFO((why ? why->message : "valid"));
    return why && why->attribute == name;
  };
  auto const changed = [&](auto&& change) {
    cloud_event out = event;
    change(out);
    return out;
  };
  CHECK(wrong(changed([](auto& e) { e.id = ""; }), "id"));
  CHECK(wrong(changed([](auto& e) { e.source = "a b"; }), "source"));
  CHECK(wrong(changed([](auto& e) { e.time = "now"; }), "time"));
  CHECK(wrong(changed([](auto& e) { e.subject = ""; }), "subject"));
  CHECK(wrong(changed([](auto& e) { e.datacontenttype = "a/b\r\n"; }), "datacontenttype"));
  CHECK(wrong(changed([](auto& e) { e.extensions["A"]; }), "A"));
  CHECK(wrong(changed([](auto& e) { e.extensions["id"]; }), "id"));
  CHECK(wrong(changed([](auto& e) { e.extensions["data"]; }), "data"));
  CHECK(wrong(changed([](auto& e) { e.extensions["n"] = {"01", extension_type::integer}; }), "n"));
  CHECK(wrong(changed([](auto& e) { e.extensions["n"] = {"2147483648", extension_type::integer}; }), "n"));
  CHECK(wrong(changed([](auto& e) { e.extensions["n"] = {"yes", extension_type::boolean}; }), "n"));
  CHECK(wrong(changed([](auto& e) { e.data = "x"; }), "data"));
  auto const with_data = [&](data_kind kind, const std::string& data) {
    return changed([&](auto& e) {
      e.kind = kind;
      e.data = data;
    });
  };
  CHECK(wrong(with_data(data_kind::json, "{"), "data"));
  CHECK(wrong(with_data(data_kind::json, ""), "data"));
  CHECK(wrong(with_data(data_kind::text, "\xff"), "data"));
  CHECK_FALSE(validate(with_data(data_kind::json, "{}")));
  CHECK_FALSE(validate(with_data(data_kind::binary, "\xff")));
}

TEST_CASE("attributes are found by their names") {
  cloud_event event = plain_event();
  event.extensions["lane"] = {"blue"};
  event.extensions["n"] = {"-5", extension_type::integer};
  CHECK(attribute(event, "specversion") == "1.0");
  CHECK(attribute(event, "id") == "42");
  CHECK(attribute(event, "source") == "/shop/eu");
  CHECK(attribute(event, "type") == "com.shop.order.paid");
  CHECK(attribute(event, "lane") == "blue");
  CHECK(attribute(event, "n") == "-5");
  for (const char* name : {"subject", "time", "datacontenttype", "dataschema", "data", "other", ""}) {
    CHECK_FALSE(attribute(event, name));
  }
  event.subject = "s";
  event.time = "t";
  event.datacontenttype = "c";
  event.dataschema = "d";
  CHECK(attribute(event, "subject") == "s");
  CHECK(attribute(event, "time") == "t");
  CHECK(attribute(event, "datacontenttype") == "c");
  CHECK(attribute(event, "dataschema") == "d");
}
