// Events in Kafka records.
#include "support.hpp"

using namespace events_test;

namespace {

const headers required{
    {"ce_specversion", "1.0"}, {"ce_id", "42"}, {"ce_source", "/shop/eu"}, {"ce_type", "com.shop.order.paid"}};

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
  out.emplace_back(name, value);
  return out;
}

result<cloud_event> parse(const headers& list, std::optional<std::string_view> value = {}) {
  return parse_kafka(kafka_views(list), value);
}

std::optional<content_mode> mode(const headers& list) {
  return mode_of(kafka_views(list));
}

}  // namespace

TEST_CASE("how a record carries an event") {
  CHECK(mode(required) == content_mode::binary);
  CHECK(mode({{"ce_id", "1"}}) == content_mode::binary);
  CHECK(mode({{"Content-Type", "application/CloudEvents+json"}}) == content_mode::structured);
  CHECK(mode({{"content-type", "application/cloudevents-batch+json"}}) == content_mode::structured);
  CHECK_FALSE(mode({}));
  CHECK_FALSE(mode({{"content-type", "application/json"}, {"ce_trace", "x"}, {"ce-id", "1"}}));
}

TEST_CASE("headers are UTF-8, without percent-encoding") {
  headers list = with("ce_subject", "100% \u20ac \"q\" %41");
  list.emplace_back("content-type", "text/plain");
  list.emplace_back("other", "\xff");
  list.emplace_back("CE_ID", "another's");
  auto const event = right(parse(list, "hello"));
  CHECK(event.subject == "100% \u20ac \"q\" %41");
  CHECK(event.datacontenttype == "text/plain");
  CHECK(event.extensions.empty());
  CHECK(event.data == "hello");
  auto const record = write_kafka(event, content_mode::binary);
  CHECK(record.headers == header_list{{"content-type", "text/plain"},
                                      {"ce_specversion", "1.0"},
                                      {"ce_id", "42"},
                                      {"ce_source", "/shop/eu"},
                                      {"ce_type", "com.shop.order.paid"},
                                      {"ce_subject", "100% \u20ac \"q\" %41"}});
  CHECK(record.value == "hello");
}

TEST_CASE("a null value is no data, an empty one is empty data") {
  auto const none = right(parse(required));
  CHECK(none.kind == data_kind::none);
  CHECK_FALSE(write_kafka(none, content_mode::binary).value);
  auto const empty = right(parse(required, ""));
  CHECK(empty.kind == data_kind::opaque);
  CHECK(write_kafka(empty, content_mode::binary).value == "");
}

TEST_CASE("a header without a value is an attribute that is absent") {
  std::vector<kafka_header> list = kafka_views(required);
  list.push_back({"ce_subject", {}});
  list.push_back({"content-type", {}});
  auto const event = right(parse_kafka(list, "x"));
  CHECK_FALSE(event.subject);
  CHECK_FALSE(event.datacontenttype);
  list[1].value.reset();
  check_refused(parse_kafka(list, "x"), {"id", "is missing"});
}

TEST_CASE("structured records") {
  const std::string json = R"({"specversion":"1.0","id":"1","source":"/","type":"t","data":{"a":1}})";
  const headers list{{"content-type", "application/cloudevents+json; charset=UTF-8"}, {"ce_id", "no"}};
  auto const event = right(parse(list, json));
  CHECK(event.id == "1");
  auto const record = write_kafka(event, content_mode::structured);
  CHECK(record.headers == header_list{{"content-type", "application/cloudevents+json"}});
  CHECK(right(parse(record.headers, *record.value)) == event);
  check_refused(parse(list), {"", "has no value"});
  check_refused(parse(list, "[]"), {"", "must be a JSON object"});
  check_refused(parse({{"content-type", "application/cloudevents-batch+json"}}, "[]"), {"", "is not supported"});
  check_refused(parse({{"content-type", "application/cloudevents+avro"}}, "[]"), {"", "is not supported"});
}

TEST_CASE("the partition key becomes the record's key where that is wanted") {
  cloud_event event = plain_event();
  CHECK_FALSE(write_kafka(event, content_mode::binary, record_key::from_partitionkey).key);
  event.extensions["partitionkey"] = {"k 1"};
  CHECK_FALSE(write_kafka(event, content_mode::binary).key);
  for (content_mode const one : {content_mode::binary, content_mode::structured}) {
    auto const record = write_kafka(event, one, record_key::from_partitionkey);
    CHECK(record.key == "k 1");
    CHECK(right(parse(record.headers, record.value)).extensions == event.extensions);  // and stays an extension
  }
}

TEST_CASE("what is no event in a record is refused, with the attribute and its rule") {
  struct row {
    headers list;
    refused expected;
  };
  const std::string long_name(65, 'x');
  const std::vector<row> rows{
      {{}, {"specversion", "is missing"}},
      {without("ce_specversion"), {"specversion", "is missing"}},
      {without("ce_id"), {"id", "is missing"}},
      {without("ce_source"), {"source", "is missing"}},
      {without("ce_type"), {"type", "is missing"}},
      {with("ce_specversion", "0.3"), {"specversion", "`1.0`"}},
      {with("ce_specversion", "%31.0"), {"specversion", "`1.0`"}},
      {with("ce_specversion", ""), {"specversion", "`1.0`"}},
      {with("ce_id", ""), {"id", "is empty"}},
      {with("ce_source", ""), {"source", "is empty"}},
      {with("ce_type", ""), {"type", "is empty"}},
      {with("ce_subject", ""), {"subject", "is empty"}},
      {with("ce_time", ""), {"time", "is empty"}},
      {with("ce_time", "now"), {"time", "RFC 3339"}},
      {with("ce_dataschema", ""), {"dataschema", "is empty"}},
      {with("ce_dataschema", "x"), {"dataschema", "absolute URI"}},
      {with("ce_source", "a b"), {"source", "URI-reference"}},
      {with("ce_source", "/%zz"), {"source", "URI-reference"}},
      {with("ce_datacontenttype", "text/plain"), {"datacontenttype", "`content-type`"}},
      {with("content-type", "json"), {"datacontenttype", "media type"}},
      {with("content-type", ""), {"datacontenttype", "is empty"}},
      {twice("content-type", "text/plain"), {"datacontenttype", "is there twice"}},
      {with("ce_data", "x"), {"data", "cannot be"}},
      {with("ce_", "x"), {"", "a-z"}},
      {with("ce_Id", "x"), {"Id", "a-z"}},
      {with("ce_a_b", "x"), {"a_b", "a-z"}},
      {with("ce_" + long_name, "x"), {long_name, "65 characters"}},
      {twice("ce_id", "1"), {"id", "is there twice"}},
      {twice("ce_ext", "1"), {"ext", "is there twice"}},
      {with("ce_subject", std::string("\0", 1)), {"subject", "U+0000"}},
      {with("ce_subject", "a\nb"), {"subject", "U+000A"}},
      {with("ce_subject", "\u0085"), {"subject", "U+0085"}},
      {with("ce_subject", "\uFFFE"), {"subject", "U+FFFE"}},
      {with("ce_subject", "\xED\xA0\x80"), {"subject", "UTF-8"}},
      {with("ce_subject", "\xC0\x80"), {"subject", "UTF-8"}},
  };
  for (const row& one : rows) {
    INFO((one.list.empty() ? "" : one.list.back().first + ": " + one.list.back().second));
    check_refused(parse(one.list, "x"), one.expected);
  }
  event_limits limits;
  limits.most_bytes = 100;
  CHECK(parse_kafka(kafka_views(required), std::string(100, 'x'), limits).error().what == fault::too_large);
}
