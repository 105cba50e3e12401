// Binary mode, and how the mode of an HTTP message is found.
#include "gateway/events/cloudevents/header_value.hpp"
#include "support.hpp"

using namespace events_test;

namespace {

const headers required{
    {"ce-specversion", "1.0"}, {"ce-id", "42"}, {"ce-source", "/shop/eu"}, {"ce-type", "com.shop.order.paid"}};

headers with(const std::string& name, const std::string& value) {
  headers out = required;
  auto const same = [&](const auto& one) { return one.first == name; };
  auto const found = std::find_if(out.begin(), out.end(), same);
  if (found != out.end()) {
    found->second = value;
  } else {
    out.emplace_back(name, value);
  }
  return out;
}

headers without(const std::string& name) {
  headers out = required;
  std::erase_if(out, [&](const auto& one) { return one.first == name; });
  return out;
}

headers twice(const std::string& name, const std::string& value) {
  headers out = with(name, value);
  out.emplace_back("CE" + name.substr(2), value);
  return out;
}

result<cloud_event> binary(const headers& list, std::optional<std::string_view> type = {}, std::string_view body = "") {
  return parse_binary(views(list), type, body);
}

std::optional<std::string> decoded(std::string_view text) {
  return decode_header_value(text).value;
}

}  // namespace

TEST_CASE("the mode is told by the Content-Type, in any case, batch first") {
  CHECK(mode_of("application/cloudevents-batch+json") == content_mode::batch);
  CHECK(mode_of("Application/CloudEvents-Batch+JSON; charset=utf-8") == content_mode::batch);
  CHECK(mode_of("application/cloudevents+json") == content_mode::structured);
  CHECK(mode_of("APPLICATION/CLOUDEVENTS+json;charset=UTF-8") == content_mode::structured);
  CHECK(mode_of("application/cloudevents") == content_mode::structured);
  CHECK(mode_of("application/json") == content_mode::binary);
  CHECK(mode_of("application/cloudevent+json") == content_mode::binary);
  CHECK(mode_of("") == content_mode::binary);
}

TEST_CASE("an event in binary mode") {
  const headers list{{"Host", "x"},
                     {"CE-SpecVersion", "1.0"},
                     {"Ce-Id", "a%20b"},
                     {"ce-source", "/s"},
                     {"ce-type", "t"},
                     {"ce-subject", "\"q\""},
                     {"ce-time", "2026-01-31T09:30:00Z"},
                     {"ce-dataschema", "urn:x"},
                     {"ce-Count", "5"},
                     {"ce-empty", ""},
                     {"cep", "no"},
                     {"x-ce-id", "no"}};
  auto const event = right(parse_binary(views(list), "Application/JSON", "{\"a\": 1}"));
  CHECK(event.id == "a b");
  CHECK(event.source == "/s");
  CHECK(event.type == "t");
  CHECK(event.subject == "q");
  CHECK(event.time == "2026-01-31T09:30:00Z");
  CHECK(event.dataschema == "urn:x");
  CHECK(event.datacontenttype == "Application/JSON");
  CHECK(event.extensions == decltype(event.extensions){{"count", {"5"}}, {"empty", {""}}});
  CHECK(event.data == "{\"a\": 1}");
  CHECK(event.kind == data_kind::opaque);
  CHECK(resolved_kind(event) == data_kind::json);
}

TEST_CASE("an empty body is no data") {
  auto const event = right(binary(required, "text/plain"));
  CHECK(event.kind == data_kind::none);
  CHECK(event.datacontenttype == "text/plain");
}

TEST_CASE("percent-encoding of header values, both ways") {
  CHECK(encode_header_value("Euro \u20ac \U0001F600") == "Euro%20%E2%82%AC%20%F0%9F%98%80");
  CHECK(encode_header_value("a\"b%c~!") == "a%22b%25c~!");
  CHECK(encode_header_value("\x7f") == "%7F");
  CHECK(decoded("Euro%20%E2%82%AC%20%F0%9F%98%80") == "Euro \u20ac \U0001F600");
  CHECK(decoded("%e2%82%ac") == "\u20ac");
  CHECK(decoded("%2541") == "%41");  // one round only
  CHECK(decoded("a b\\c") == "a b\\c");
  CHECK(decoded("\u20ac") == "\u20ac");
  CHECK(decoded("\"a \\\"b\\\\ %41\"") == "a \"b\\ A");  // unquoted first, then decoded
  CHECK(decoded("%22a%22") == "\"a\"");                  // what was encoded is not unquoted
  CHECK(decoded("\"\"") == "");
  CHECK(decoded("a\"b\"") == "a\"b\"");
  CHECK_FALSE(decoded("%C3%28"));
  CHECK_FALSE(decoded("%ED%A0%80"));  // a lone surrogate
  CHECK_FALSE(decoded("\xff"));
  CHECK_FALSE(decoded("100%"));
  CHECK_FALSE(decoded("%4"));
  CHECK_FALSE(decoded("%G0"));
  CHECK_FALSE(decoded("\"a"));
  CHECK_FALSE(decoded("\""));
  CHECK_FALSE(decoded("\"a\\\""));
  CHECK_FALSE(decoded("\"a\"b"));
}

TEST_CASE("times of RFC 3339") {
  for (const char* good :
       {"2026-01-31T09:30:00Z", "2026-01-31t09:30:00z", "2024-02-29T00:00:00.1Z", "0000-01-01T00:00:00Z",
        "2026-01-31T09:30:00.123456789123+14:00", "2026-01-31T09:30:00-00:00", "1990-12-31T23:59:60Z",
        "1990-12-31T15:59:60-08:00", "1991-01-01T05:29:60+05:30", "9999-12-31T23:59:59Z"}) {
    INFO(good);
    CHECK(binary(with("ce-time", good)).has_value());
  }
  for (const char* bad : {"2026-01-31",
                          "2026-01-31T09:30Z",
                          "2026-01-31 09:30:00Z",
                          "2026-01-31T09:30:00",
                          "2026-02-29T00:00:00Z",
                          "2026-13-01T00:00:00Z",
                          "2026-00-01T00:00:00Z",
                          "2026-01-00T00:00:00Z",
                          "2026-01-01T24:00:00Z",
                          "2026-01-01T00:60:00Z",
                          "2026-01-01T00:00:61Z",
                          "2026-01-01T12:00:60Z",
                          "2026-01-01T00:00:00.Z",
                          "2026-01-01T00:00:00,5Z",
                          "2026-01-01T00:00:00+0100",
                          "2026-01-01T00:00:00+24:00",
                          "2026-01-01T00:00:00Zx",
                          "+026-01-01T00:00:00Z",
                          "26-01-01T00:00:00Z",
                          "1769851800"}) {
    INFO(bad);
    check_refused(binary(with("ce-time", bad)), {"time", "RFC 3339"});
  }
}

TEST_CASE("what is no event in binary mode is refused, with the attribute and its rule") {
  struct row {
    headers list;
    refused expected;
  };
  const std::string long_name(65, 'x');
  const std::vector<row> rows{
      {{{"host", "x"}}, {"", "this is no CloudEvent"}},
      {without("ce-specversion"), {"specversion", "is missing"}},
      {without("ce-id"), {"id", "is missing"}},
      {without("ce-source"), {"source", "is missing"}},
      {without("ce-type"), {"type", "is missing"}},
      {with("ce-specversion", "0.3"), {"specversion", "`1.0`"}},
      {with("ce-specversion", "1.0.2"), {"specversion", "`1.0`"}},
      {with("ce-specversion", ""), {"specversion", "`1.0`"}},
      {with("ce-id", ""), {"id", "is empty; it must be a non-empty string"}},
      {with("ce-source", ""), {"source", "is empty"}},
      {with("ce-type", "\"\""), {"type", "is empty"}},
      {with("ce-subject", ""), {"subject", "is empty"}},
      {with("ce-time", ""), {"time", "is empty"}},
      {with("ce-dataschema", ""), {"dataschema", "is empty"}},
      {with("ce-datacontenttype", "text/plain"), {"datacontenttype", "`Content-Type`"}},
      {with("ce-data", "x"), {"data", "cannot be"}},
      {with("ce-", "x"), {"", "a-z"}},
      {with("ce-a-b", "x"), {"a-b", "a-z"}},
      {with("ce-a_b", "x"), {"a_b", "a-z"}},
      {with("ce-data_base64", "x"), {"data_base64", "a-z"}},
      {with("ce-" + long_name, "x"), {long_name, "65 characters"}},
      {twice("ce-id", "1"), {"id", "is there twice"}},
      {twice("ce-specversion", "1.0"), {"specversion", "is there twice"}},
      {twice("ce-subject", "1"), {"subject", "is there twice"}},
      {twice("ce-ext", ""), {"ext", "is there twice"}},
      {with("ce-source", "a%20b"), {"source", "URI-reference"}},
      {with("ce-source", "http://[::1"), {"source", "URI-reference"}},
      {with("ce-source", "/%25zz"), {"source", "URI-reference"}},
      {with("ce-source", "/%C3%BC"), {"source", "URI-reference"}},
      {with("ce-dataschema", "/schema.json"), {"dataschema", "absolute URI"}},
      {with("ce-dataschema", "schema"), {"dataschema", "absolute URI"}},
      {with("ce-subject", "%00"), {"subject", "U+0000"}},
      {with("ce-subject", "a%1Fb"), {"subject", "U+001F"}},
      {with("ce-subject", "%7F"), {"subject", "U+007F"}},
      {with("ce-subject", "%C2%85"), {"subject", "U+0085"}},
      {with("ce-ext", "%EF%BF%BE"), {"ext", "U+FFFE"}},
      {with("ce-ext", "%EF%B7%90"), {"ext", "U+FDD0"}},
      {with("ce-ext", "%F4%8F%BF%BF"), {"ext", "U+10FFFF"}},
      {with("ce-ext", "%ED%A0%80"), {"ext", "UTF-8"}},
      {with("ce-ext", "%FF"), {"ext", "UTF-8"}},
      {with("ce-ext", "\xC3"), {"ext", "UTF-8"}},
      {with("ce-ext", "50%"), {"ext", "`%25`"}},
      {with("ce-ext", "\"open"), {"ext", "not closed"}},
      {with("ce-time", "yesterday"), {"time", "RFC 3339"}},
  };
  for (const row& one : rows) {
    INFO(one.list.back().first << ": " << one.list.back().second);
    check_refused(binary(one.list), one.expected);
  }
  for (const char* type : {"", "json", "application/", "/json", "a b/c", "text/plain; charset",
                           "text/plain; charset=", "text/plain; a=\"b", "text/pl\u00e4in", "text/plain, text/html"}) {
    INFO(type);
    check_refused(binary(required, type), {"datacontenttype", ""});
  }
}

TEST_CASE("names may be longer than recommended, and an error names the version first") {
  CHECK(binary(with("ce-" + std::string(64, 'x'), "1")).has_value());
  headers old = with("ce-subject", "");
  old.insert(old.begin(), {"ce-a-b", "x"});
  for (auto& [name, value] : old) {
    if (name == "ce-specversion") value = "0.3";
  }
  check_refused(binary(old), {"specversion", "0.3"});
}

TEST_CASE("size is bounded by body and attributes") {
  event_limits limits;
  limits.most_bytes = 200;
  CHECK(parse_binary(views(required), {}, std::string(50, 'x'), limits).has_value());
  auto const body = parse_binary(views(required), {}, std::string(200, 'x'), limits);
  check_refused(body, {"", "at most 200"});
  CHECK(body.error().what == fault::too_large);
  CHECK(parse_binary(views(with("ce-x", std::string(200, 'x'))), {}, "", limits).error().what == fault::too_large);
  CHECK(parse_binary(views(with("cookie", std::string(200, 'x'))), {}, "", limits).has_value());
}

TEST_CASE("any mode by the Content-Type among the headers") {
  const std::string json = R"({"specversion":"1.0","id":"1","source":"/","type":"t"})";
  auto const parse = [](const headers& list, std::string_view body) { return parse_http(views(list), body); };
  headers list = required;
  list.emplace_back("Content-TYPE", "text/plain");
  auto const one = right(parse(list, "hello"));
  REQUIRE(one.size() == 1);
  CHECK(one[0].datacontenttype == "text/plain");
  CHECK(
      right(parse({{"content-type", "application/cloudevents+json; charset=utf-8"}, {"ce-id", "no"}}, json)).at(0).id ==
      "1");
  CHECK(right(parse({{"content-type", "application/cloudevents-batch+json"}}, "[" + json + "," + json + "]")).size() ==
        2);
  CHECK(right(parse(required, "")).at(0).id == "42");

  list.emplace_back("content-type", "text/plain");
  check_refused(parse(list, ""), {"datacontenttype", "twice"});
  for (const char* type : {"application/cloudevents", "application/cloudevents+xml", "application/cloudevents-batch",
                           "application/cloudevents+json; charset=utf-16", "application/cloudevents-batch+avro"}) {
    INFO(type);
    auto const made = parse({{"content-type", type}}, json);
    check_refused(made, {"", "is not supported"});
    CHECK(made.error().what == fault::unsupported);
  }
  check_refused(parse({{"content-type", "application/json"}}, json), {"", "no CloudEvent"});
}

TEST_CASE("an event is written in binary mode") {
  cloud_event event = plain_event();
  event.subject = "a \"b\" 100% \u20ac";
  event.extensions["count"] = {"-5", extension_type::integer};
  event.datacontenttype = "text/plain";
  event.kind = data_kind::text;
  event.data = "hello";
  auto const message = write_http(event, content_mode::binary);
  CHECK(message.headers == header_list{{"content-type", "text/plain"},
                                       {"ce-specversion", "1.0"},
                                       {"ce-id", "42"},
                                       {"ce-source", "/shop/eu"},
                                       {"ce-type", "com.shop.order.paid"},
                                       {"ce-subject", "a%20%22b%22%20100%25%20%E2%82%AC"},
                                       {"ce-count", "-5"}});
  CHECK(message.body == "hello");
}

TEST_CASE("JSON data without a content type is announced as JSON") {
  auto const event = right(parse_structured(R"({"specversion":"1.0","id":"1","source":"/","type":"t","data":"text"})"));
  CHECK_FALSE(event.datacontenttype);
  auto const message = write_http(event, content_mode::binary);
  CHECK(message.headers.at(0) == std::pair<std::string, std::string>("content-type", "application/json"));
  CHECK(message.body == "\"text\"");
}

TEST_CASE("data that is itself announced as an event does not go in binary mode") {
  cloud_event event = plain_event();
  event.datacontenttype = "Application/CloudEvents+JSON";
  event.kind = data_kind::json;
  event.data = "{}";
  CHECK_FALSE(fits_binary(event));
  auto const message = write_http(event, content_mode::binary);
  CHECK(message.headers == header_list{{"content-type", "application/cloudevents+json"}});
  CHECK(right(parse_http(views(message.headers), message.body)).at(0) == event);
  CHECK(write_kafka(event, content_mode::binary).headers == message.headers);
}
