// JSON: one event, and batches.
#include <nlohmann/json.hpp>

#include "support.hpp"

using namespace events_test;

namespace {

/// An event with `members`, which begin with a comma or are empty.
std::string event_with(const std::string& members) {
  return R"({"specversion":"1.0","id":"42","source":"/shop/eu","type":"t")" + members + "}";
}

/// The same, but for one attribute that has `value` instead.
std::string event_but(const std::string& name, const std::string& value) {
  nlohmann::ordered_json all = nlohmann::ordered_json::parse(event_with(""));
  all[name] = nlohmann::ordered_json::parse(value);
  return all.dump();
}

std::string event_without(const std::string& name) {
  auto all = nlohmann::ordered_json::parse(event_with(""));
  all.erase(name);
  return all.dump();
}

cloud_event parse(const std::string& json) {
  INFO(json);
  return right(parse_structured(json));
}

}  // namespace

TEST_CASE("an event as JSON") {
  auto const event = parse(event_with(
      R"( , "subject" : "\u00e9\ud83d\ude00", "dataschema":"urn:x", "time":"2026-01-31T09:30:00Z",
      "\u0065xt":"s", "count":-5, "zero":-0, "flag":true, "none":null, "datacontenttype":"text/plain", "data":"a\nb")"));
  CHECK(event.id == "42");
  CHECK(event.source == "/shop/eu");
  CHECK(event.type == "t");
  CHECK(event.subject == "\u00e9\U0001F600");
  CHECK(event.dataschema == "urn:x");
  CHECK(event.time == "2026-01-31T09:30:00Z");
  CHECK(event.extensions == decltype(event.extensions){{"ext", {"s"}},
                                                       {"count", {"-5", extension_type::integer}},
                                                       {"zero", {"0", extension_type::integer}},
                                                       {"flag", {"true", extension_type::boolean}}});
  CHECK(event.kind == data_kind::text);
  CHECK(event.data == "a\nb");
}

TEST_CASE("JSON data keeps every byte") {
  const std::string data = "{\"b\" : 1.50,\"a\":12345678901234567890123 , \"b\":[ \"}\\\"]\" , 1e2]}";
  for (const char* type : {"", R"(,"datacontenttype":"application/json")", R"(,"datacontenttype":"a/b+JSON; x=1")"}) {
    auto const event = parse(event_with(std::string(type) + ",\"data\" : " + data + " "));
    CHECK(event.kind == data_kind::json);
    CHECK(event.data == data);
    CHECK(write_structured(event).find("\"data\":" + data + "}") != std::string::npos);
  }
}

TEST_CASE("what data is, by its content type and its JSON") {
  CHECK(parse(event_with("")).kind == data_kind::none);
  CHECK(parse(event_with(R"(,"data":null)")).kind == data_kind::none);
  CHECK(parse(event_with(R"(,"data":null,"data_base64":null)")).kind == data_kind::none);
  // JSON string data is not parsed again.
  auto event = parse(event_with(R"(,"data":"{\"a\":1}")"));
  CHECK(event.kind == data_kind::json);
  CHECK(event.data == R"("{\"a\":1}")");
  event = parse(event_with(R"(,"datacontenttype":"application/xml","data":"<a/>")"));
  CHECK(event.kind == data_kind::text);
  CHECK(event.data == "<a/>");
  event = parse(event_with(R"(,"datacontenttype":"text/plain","data":{"a": 1})"));
  CHECK(event.kind == data_kind::json);
  CHECK(event.data == R"({"a": 1})");
  event = parse(event_with(R"(,"datacontenttype":"application/json","data_base64":"eyJhIjoxfQ==")"));
  CHECK(event.kind == data_kind::binary);
  CHECK(event.data == R"({"a":1})");
  CHECK(write_structured(event).find(R"("data_base64":"eyJhIjoxfQ==")") != std::string::npos);
  event = parse(event_with(R"(,"data_base64":"","data":null)"));
  CHECK(event.kind == data_kind::binary);
  CHECK(event.data.empty());
  event = parse(event_with(R"(,"data":"")"));
  CHECK(event.data == "\"\"");
}

TEST_CASE("data that came in binary mode is written by its content type") {
  auto const written = [](std::optional<std::string> type, const std::string& data) {
    cloud_event event = plain_event();
    event.datacontenttype = std::move(type);
    event.kind = data_kind::opaque;
    event.data = data;
    auto json = nlohmann::json::parse(write_structured(event));
    return json.contains("data") ? "data " + json["data"].dump() : "base64 " + json["data_base64"].get<std::string>();
  };
  CHECK(written("application/json", " {\"a\": 1} ") == "data {\"a\":1}");
  CHECK(written("application/json; charset=utf-8", "5") == "data 5");
  CHECK(written("application/json", "{not json") == "base64 e25vdCBqc29u");
  CHECK(written("application/json", "1,\"id\":2") == "base64 MSwiaWQiOjI=");
  CHECK(written("application/json", std::string("1\0,", 3)) == "base64 MQAs");
  CHECK(written("application/json", "\xEF\xBB\xBF{}") == "base64 77u/e30=");
  CHECK(written("application/json", "") == "base64 ");
  CHECK(written("application/json", "null") == "base64 bnVsbA==");
  CHECK(written("application/json", std::string(600, '[') + std::string(600, ']')).starts_with("base64 "));
  CHECK(written("text/plain", "a\x01\n\"\\\u20ac") == "data \"a\\u0001\\n\\\"\\\\\u20ac\"");
  CHECK(written("text/plain", "\xff") == "base64 /w==");
  CHECK(written("text/plain; charset=iso-8859-1", "a") == "base64 YQ==");
  CHECK(written("image/svg+xml", "<a/>") == "data \"<a/>\"");
  CHECK(written("image/png", "a") == "base64 YQ==");
  CHECK(written({}, "{}") == "base64 e30=");  // nothing says what it is
}

TEST_CASE("what is no event in JSON is refused, with the attribute and its rule") {
  struct row {
    std::string json;
    refused expected;
  };
  const std::string long_name(65, 'x');
  const std::vector<row> rows{
      {"", {"", "not valid JSON"}},
      {"{", {"", "not valid JSON"}},
      {event_with("") + "x", {"", "not valid JSON"}},
      {event_with("") + std::string("\0x", 2), {"", "not valid JSON"}},
      {event_with(",}"), {"", "not valid JSON"}},
      {"\xEF\xBB\xBF" + event_with(""), {"", "byte order mark"}},
      {"/**/" + event_with(""), {"", "not valid JSON"}},
      {event_with(",\"a\":NaN"), {"", "not valid JSON"}},
      {event_with(",\"a\":01"), {"", "not valid JSON"}},
      {event_with(",\"a\":\"\xff\""), {"", "not valid JSON"}},
      {event_with(",\"a\":\"\n\""), {"", "not valid JSON"}},
      {event_with(R"(,"a":"\ud800")"), {"", "not valid JSON"}},
      {event_with(R"(,"a":"\udc00x")"), {"", "not valid JSON"}},
      {event_with(",\"data\":" + std::string(200, '[') + std::string(200, ']')), {"", "deeper than 128"}},
      {"[" + event_with("") + "]", {"", "is an array; it must be a JSON object"}},
      {"\"x\"", {"", "is a string"}},
      {"null", {"", "is null"}},
      {event_without("specversion"), {"specversion", "is missing"}},
      {event_without("id"), {"id", "is missing"}},
      {event_without("source"), {"source", "is missing"}},
      {event_without("type"), {"type", "is missing"}},
      {event_but("id", "null"), {"id", "is missing"}},
      {event_but("specversion", "\"0.3\""), {"specversion", "only events of version `1.0`"}},
      {event_but("specversion", "1.0"), {"specversion", "is a number; it must be a string"}},
      {event_but("id", "\"\""), {"id", "is empty; it must be a non-empty string"}},
      {event_but("id", "42"), {"id", "is a number; it must be a string"}},
      {event_but("source", "\"\""), {"source", "is empty"}},
      {event_but("source", "\"a b\""), {"source", "URI-reference"}},
      {event_but("source", "[]"), {"source", "is an array"}},
      {event_but("type", "true"), {"type", "is a boolean"}},
      {event_but("type", "{}"), {"type", "is an object"}},
      {event_but("subject", "\"\""), {"subject", "is empty"}},
      {event_but("subject", "\"\\u0000\""), {"subject", "U+0000"}},
      {event_but("subject", "\"\\u009f\""), {"subject", "U+009F"}},
      {event_but("subject", "\"\\uffff\""), {"subject", "U+FFFF"}},
      {event_but("subject", "\"\\ud83f\\udffe\""), {"subject", "U+1FFFE"}},
      {event_but("time", "\"2026-02-30T00:00:00Z\""), {"time", "RFC 3339"}},
      {event_but("time", "1769851800"), {"time", "is a number"}},
      {event_but("dataschema", "\"a\""), {"dataschema", "absolute URI"}},
      {event_but("datacontenttype", "\"json\""), {"datacontenttype", "media type"}},
      {event_but("datacontenttype", "\"a/b\\r\\nx: y\""), {"datacontenttype", "U+000D"}},
      {event_but("datacontenttype", "\"\""), {"datacontenttype", "is empty"}},
      {event_with(R"(,"id":"43")"), {"id", "is there twice"}},
      {event_with(R"(,"\u0069d":"42")"), {"id", "is there twice"}},
      {event_with(R"(,"a":null,"a":null)"), {"a", "is there twice"}},
      {event_with(R"(,"data":1,"data":1)"), {"data", "is there twice"}},
      {event_with(R"(,"Foo":"x")"), {"Foo", "a-z"}},
      {event_with(R"(,"a_b":null)"), {"a_b", "a-z"}},
      {event_with(R"(,"":"x")"), {"", "a-z"}},
      {event_with(R"(,"caf\u00e9":"x")"), {"caf\u00e9", "a-z"}},
      {event_with(",\"" + long_name + "\":1"), {long_name, "65 characters"}},
      {event_with(R"(,"a":1.5)"), {"a", "must be whole"}},
      {event_with(R"(,"a":1.0)"), {"a", "must be whole"}},
      {event_with(R"(,"a":1e2)"), {"a", "must be whole"}},
      {event_with(R"(,"a":2147483648)"), {"a", "from -2147483648 to 2147483647"}},
      {event_with(R"(,"a":-2147483649)"), {"a", "from -2147483648 to 2147483647"}},
      {event_with(R"(,"a":99999999999999999999)"), {"a", "from -2147483648 to 2147483647"}},
      {event_with(R"(,"a":{})"), {"a", "is an object"}},
      {event_with(R"(,"a":[1])"), {"a", "is an array"}},
      {event_with(R"(,"data":1,"data_base64":"")"), {"data", "both there"}},
      {event_with(R"(,"data_base64":1)"), {"data", "is a number; it must be a string"}},
      {event_with(R"(,"data_base64":"YQ")"), {"data", "base64"}},
      {event_with(R"(,"data_base64":"YQ= ")"), {"data", "base64"}},
      {event_with(R"(,"data_base64":"YR==")"), {"data", "base64"}},
      {event_with(R"(,"data_base64":"Y===")"), {"data", "base64"}},
      {event_with(R"(,"data_base64":"YQ==YQ==")"), {"data", "base64"}},
      {event_with(R"(,"data_base64":"_-==")"), {"data", "base64"}},
  };
  for (const row& one : rows) {
    INFO(one.json);
    check_refused(parse_structured(one.json), one.expected);
    // The same in a batch, behind an event that is right.
    if (one.json.starts_with('{') && one.expected.reason.find("valid JSON") == std::string::npos &&
        one.expected.reason.find("deeper") == std::string::npos) {
      auto const batch = parse_batch("[" + event_with("") + " , " + one.json + "," + event_but("id", "1") + "]");
      check_refused(batch, one.expected);
      CHECK(batch.error().index == 1);
      CHECK(batch.error().message.find("event 1 of the batch") == 0);
    }
  }
}

TEST_CASE("a batch is read in whole or not at all") {
  CHECK(right(parse_batch(" [ ] ")).empty());
  auto const both = right(parse_batch("[" + event_with("") + "\n,\t" + event_with(R"(,"data":[{"a":"]"}])") + "]"));
  REQUIRE(both.size() == 2);
  CHECK(both[1].data == R"([{"a":"]"}])");
  CHECK(right(parse_batch(write_batch(both))) == both);
  CHECK(write_batch({}) == "[]");
  check_refused(parse_batch(event_with("")), {"", "must be a JSON array"});
  check_refused(parse_batch("[" + event_with("") + ",null]"), {"", "event 1 of the batch"});
  check_refused(parse_batch("[" + event_with("") + ",]"), {"", "the batch is not valid JSON"});
  check_refused(parse_batch("[[]]"), {"", "is an array"});
  check_refused(parse_batch("7"), {"", "is a number"});
}

TEST_CASE("size and depth are bounded") {
  event_limits limits;
  limits.most_bytes = event_with("").size();
  limits.most_depth = 2;
  CHECK(parse_structured(event_with(""), limits).has_value());
  CHECK(parse_structured(event_with("") + " ", limits).error().what == fault::too_large);
  limits.most_bytes = 1000;
  CHECK(parse_structured(event_with(",\"data\":[]"), limits).has_value());
  check_refused(parse_structured(event_with(",\"data\":[{}]"), limits), {"", "deeper than 2 levels"});
  CHECK(parse_batch("[" + event_with("") + "]", limits).has_value());
  check_refused(parse_batch("[" + event_with(",\"data\":{}") + "]", limits), {"", "deeper than 2 levels"});
}

TEST_CASE("what parsers make of damaged messages is valid or nothing") {
  std::mt19937 random(7);
  event_source source(8);
  std::size_t taken = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string json = write_structured(source.next());
    for (std::size_t left = 1 + random() % 3; left > 0; --left) {
      std::size_t const at = random() % json.size();
      if (random() % 2 == 0) {
        json[at] = static_cast<char>(random() % 2 == 0 ? random() % 256
                                                       : static_cast<unsigned char>("{}[]\",:\\0"[random() % 9]));
      } else {
        json.erase(at, 1 + random() % 3);
      }
    }
    auto const made = parse_structured(json);
    if (!made) continue;
    ++taken;
    INFO(json);
    REQUIRE_FALSE(validate(*made));
    REQUIRE(right(parse_structured(write_structured(*made))) == *made);
  }
  CHECK(taken > 1000);
}
