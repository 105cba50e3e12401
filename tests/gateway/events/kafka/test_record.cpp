// Records as events: CloudEvents as they are, all others wrapped, and broken ones kept with why.

#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>
#include <vector>

#include "gateway/events/kafka/record.hpp"

namespace {

using namespace rouse::gateway::events;

raw_record plain() {
  raw_record out;
  out.topic = "clicks.eu";
  out.partition = 3;
  out.offset = 8'000'000'000;
  out.written = std::chrono::sys_time<std::chrono::milliseconds>(std::chrono::milliseconds(1'700'000'000'123));
  out.key = "user-7";
  out.value = "{\"a\":1}";
  return out;
}

std::string text(const cloud_event& event, const char* name) {
  return std::string(attribute(event, name).value_or("(none)"));
}

}  // namespace

TEST_CASE("a record that is no CloudEvent is wrapped, with all that it came with") {
  auto record = plain();
  const kafka_header headers[] = {
      {"content-type", "application/json"}, {"trace", "\"x\"\n"}, {"none", std::nullopt}, {"bytes", "\xff\x00z"}};
  record.headers = headers;
  const auto out = event_of(record);
  CHECK(out.unreadable.empty());
  CHECK_FALSE(validate(out.event));
  CHECK(out.event.type == "dev.rouse.kafka.record");
  CHECK(out.event.source == "/kafka/clicks.eu");
  CHECK(out.event.id == "partition:3/offset:8000000000");
  CHECK(out.event.time == "2023-11-14T22:13:20.123Z");
  CHECK(out.event.datacontenttype == "application/json");
  CHECK(out.event.data == "{\"a\":1}");
  CHECK(text(out.event, "kafkatopic") == "clicks.eu");
  CHECK(text(out.event, "kafkapartition") == "3");
  CHECK(out.event.extensions.at("kafkapartition").type == extension_type::integer);
  CHECK(text(out.event, "kafkaoffset") == "8000000000");
  CHECK(text(out.event, "kafkakey") == "user-7");
  const auto json = nlohmann::json::parse(text(out.event, "kafkaheaders"));
  CHECK(json.size() == 4);
  CHECK(json[1][0] == "trace");
  CHECK(json[1][1] == "\"x\"\n");
  CHECK(json[2][1].is_null());
  CHECK(json[3][1]["base64"] == "/w==");  // a literal ends at its zero
  CHECK(place_of(record.topic, record.partition, record.offset) == "clicks.eu/3/8000000000");
}

TEST_CASE("a bare record has no more than it has") {
  raw_record record;
  record.topic = "t";
  const auto out = event_of(record);
  CHECK_FALSE(validate(out.event));
  CHECK(out.event.kind == data_kind::none);
  CHECK_FALSE(out.event.datacontenttype);
  CHECK_FALSE(out.event.time);
  CHECK(out.event.extensions.size() == 3);
  record.value = "";
  CHECK(event_of(record).event.kind == data_kind::opaque);
  CHECK(event_of(record).event.datacontenttype == "application/octet-stream");
}

TEST_CASE("keys, headers and times that no attribute may hold make no event invalid") {
  auto record = plain();
  using namespace std::string_view_literals;
  for (const auto key : {""sv, "\x00\x01"sv, "\xff\xfe"sv, "tab\there"sv, "\xef\xbf\xbf"sv, "\xc2\x85"sv, "grün"sv}) {
    record.key = key;
    for (const auto value : {"\x00\x01"sv, "\xff"sv, "\xef\xbf\xbf"sv, "\xc2\x85"sv, "\x7f"sv, "plain"sv}) {
      const kafka_header headers[] = {{"h", value}, {value, "v"}, {"content-type", value}};
      record.headers = headers;
      for (const auto ms : {std::int64_t{0}, std::int64_t{-5}, std::numeric_limits<std::int64_t>::max(),
                            std::int64_t{253'402'300'800'000}}) {
        record.written = std::chrono::sys_time<std::chrono::milliseconds>(std::chrono::milliseconds(ms));
        const auto out = event_of(record);
        const auto wrong = validate(out.event);
        INFO((wrong ? wrong->message : ""));
        CHECK_FALSE(wrong);
      }
    }
  }
  record.headers = {};
  CHECK(text(event_of(record).event, "kafkakey") == "grün");
  record.key = "\xff\xfe"sv;
  CHECK(text(event_of(record).event, "kafkakeybase64") == "//4=");
}

TEST_CASE("a CloudEvent in a record is that event") {
  auto record = plain();
  SECTION("binary") {
    const kafka_header headers[] = {
        {"ce_specversion", "1.0"}, {"ce_id", "1"}, {"ce_source", "/s"}, {"ce_type", "t"}, {"ce_subject", "me"}};
    record.headers = headers;
    const auto out = event_of(record);
    CHECK(out.unreadable.empty());
    CHECK(out.event.id == "1");
    CHECK(out.event.subject == "me");
    CHECK(out.event.extensions.empty());
    CHECK(out.event.data == "{\"a\":1}");
  }
  SECTION("structured, and larger than what callers may send") {
    const kafka_header headers[] = {{"Content-Type", "application/cloudevents+json; charset=utf-8"}};
    record.headers = headers;
    const std::string value =
        R"({"specversion":"1.0","id":"1","source":"/s","type":"t","data":")" + std::string(2U << 20U, 'x') + "\"}";
    record.value = value;
    const auto out = event_of(record);
    CHECK(out.unreadable.empty());
    CHECK(out.event.id == "1");
  }
}

TEST_CASE("a record that says it is a CloudEvent and is none is kept whole, with why") {
  auto record = plain();
  std::vector<kafka_header> headers;
  SECTION("binary") {
    headers = {{"ce_specversion", "1.0"}, {"ce_id", ""}, {"ce_source", "/s"}, {"ce_type", "t"}};
    record.headers = headers;
    CHECK(event_of(record).unreadable.find("`id`") != std::string::npos);
  }
  SECTION("structured") {
    headers = {{"content-type", "application/cloudevents+json"}};
    record.headers = headers;
    CHECK_FALSE(event_of(record).unreadable.empty());
    record.value = std::nullopt;
    CHECK_FALSE(event_of(record).unreadable.empty());
  }
  SECTION("a batch") {
    headers = {{"content-type", "application/cloudevents-batch+json"}};
    record.headers = headers;
    record.value = "[]";
    CHECK_FALSE(event_of(record).unreadable.empty());
  }
  const auto out = event_of(record);
  CHECK_FALSE(validate(out.event));
  CHECK(out.event.type == "dev.rouse.kafka.record");
  CHECK(out.event.data == record.value.value_or(""));
  // Sent on with the type of an event, the wrapped record would be taken for that event.
  CHECK(out.event.datacontenttype.value_or("application/octet-stream") == "application/octet-stream");
}
