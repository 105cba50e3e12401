// The request that delivers an event, and what a reply to it means.

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "gateway/events/event_request.hpp"
#include "gateway/http/message.hpp"

namespace {

using namespace rouse;
using namespace rouse::gateway;
using namespace rouse::gateway::events;
using namespace std::chrono_literals;
using kind = delivery_result::kind;

delivery_result answered(unsigned status, std::vector<std::pair<std::string, std::string>> fields = {},
                         std::string body = {}) {
  delivery_result out;
  out.how = kind::answered;
  out.status = status;
  out.fields = std::move(fields);
  out.body = std::move(body);
  return out;
}

delivery_result ended(kind how, std::string detail = {}) {
  delivery_result out;
  out.how = how;
  out.detail = std::move(detail);
  return out;
}

cloud_event paid() {
  cloud_event event;
  event.id = "7";
  event.source = "/shop";
  event.type = "com.shop.paid";
  event.datacontenttype = "application/json";
  event.kind = data_kind::json;
  event.data = R"({"amount":1})";
  return event;
}

struct sent {
  event_request request;
  http::request_head head;
  sent(const cloud_event& event, config::event_delivery how = config::event_delivery::binary)
      : request(make_request(event, how, "billing", 1, 2, 3)) {
    const auto parsed = http::parse_request(request.head, 65536, head);
    INFO(request.head);
    INFO(parsed.why.detail);
    REQUIRE(parsed.what == http::parse_result::kind::done);
    REQUIRE(parsed.head_bytes == request.head.size());
  }
  [[nodiscard]] std::vector<std::string> all(std::string_view name) const {
    std::vector<std::string> out;
    for (const auto& field : head.fields) {
      if (field.name.size() != name.size()) continue;
      bool same = true;
      for (std::size_t i = 0; i < name.size(); ++i) same = same && std::tolower(field.name[i]) == name[i];
      if (same) out.emplace_back(field.value);
    }
    return out;
  }
};

using texts = std::vector<std::string>;

}  // namespace

TEST_CASE("an event in binary mode is a valid request") {
  auto event = paid();
  event.subject = "gr\xc3\xbcn 1%";
  event.time = "2026-03-10T02:03:04Z";
  event.extensions["partitionkey"] = {"k", extension_type::string};
  const sent one(event);
  CHECK(one.head.method == "POST");
  CHECK(one.head.target == "/");
  CHECK(one.head.host == "billing");
  CHECK(one.head.body == http::framing::length);
  CHECK(one.head.content_length == event.data.size());
  CHECK(one.request.body == event.data);
  CHECK(one.all("content-length") == texts{"12"});
  CHECK(one.all("content-type") == texts{"application/json"});
  CHECK(one.all("ce-specversion") == texts{"1.0"});
  CHECK(one.all("ce-id") == texts{"7"});
  CHECK(one.all("ce-source") == texts{"/shop"});
  CHECK(one.all("ce-type") == texts{"com.shop.paid"});
  CHECK(one.all("ce-subject") == texts{"gr%C3%BCn%201%25"});
  CHECK(one.all("ce-time") == texts{"2026-03-10T02:03:04Z"});
  CHECK(one.all("ce-partitionkey") == texts{"k"});
  CHECK(one.all("x-request-id").size() == 1);
  CHECK(one.all("traceparent").size() == 1);
  CHECK(one.all("x-forwarded-for").empty());
}

TEST_CASE("an event without data has a length of 0") {
  auto event = paid();
  event.kind = data_kind::none;
  event.data.clear();
  event.datacontenttype = std::nullopt;
  const sent one(event);
  CHECK(one.all("content-length") == texts{"0"});
  CHECK(one.all("content-type").empty());
  CHECK(one.request.body.empty());
}

TEST_CASE("an event in structured mode is a valid request") {
  const sent one(paid(), config::event_delivery::structured);
  CHECK(one.all("content-length") == texts{std::to_string(one.request.body.size())});
  REQUIRE(one.all("content-type").size() == 1);
  CHECK(one.all("content-type").front().starts_with("application/cloudevents+json"));
  CHECK(one.all("ce-id").empty());
  const auto body = nlohmann::json::parse(one.request.body);
  CHECK(body["id"] == "7");
  CHECK(body["data"]["amount"] == 1);
}

TEST_CASE("the trace of an event goes on") {
  const std::string parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  auto event = paid();
  event.extensions["traceparent"] = {parent, extension_type::string};
  for (const auto how : {config::event_delivery::binary, config::event_delivery::structured})
    CHECK(sent(event, how).all("traceparent") == texts{parent});
  event.extensions["traceparent"] = {"nonsense", extension_type::string};
  const auto made = sent(event).all("traceparent");
  REQUIRE(made.size() == 1);
  CHECK(made.front() != "nonsense");
  CHECK(made.front().starts_with("00-"));
}

TEST_CASE("nothing in an event ends a line of the head") {
  auto event = paid();
  event.subject = "a\r\nX-Evil: 1";
  event.extensions["x"] = {"b\nc", extension_type::string};
  const sent one(event);
  CHECK(one.all("x-evil").empty());
}

TEST_CASE("what becomes of an event by what its function did") {
  for (const unsigned status : {200U, 201U, 202U, 204U, 299U}) CHECK(judge(answered(status)) == verdict::done);
  for (const unsigned status : {404U, 408U, 409U, 429U, 500U, 501U, 502U, 503U, 504U, 599U})
    CHECK(judge(answered(status)) == verdict::retry);
  for (const unsigned status : {300U, 301U, 304U, 400U, 401U, 403U, 405U, 410U, 413U, 415U, 422U, 499U})
    CHECK(judge(answered(status)) == verdict::hopeless);
  CHECK(judge(ended(kind::broken)) == verdict::retry);
  CHECK(judge(ended(kind::timed_out)) == verdict::retry);
  CHECK(judge(ended(kind::refused)) == verdict::refused);
}

TEST_CASE("Retry-After in seconds is read, a date is none") {
  CHECK(retry_after_of(answered(503, {{"Retry-After", "7"}})) == 7s);
  CHECK(retry_after_of(answered(503, {{"retry-after", "120"}})) == 120s);
  CHECK(retry_after_of(answered(503)) == 0s);
  CHECK(retry_after_of(answered(503, {{"Retry-After", ""}})) == 0s);
  CHECK(retry_after_of(answered(503, {{"Retry-After", "soon"}})) == 0s);
  CHECK(retry_after_of(answered(503, {{"Retry-After", "-5"}})) == 0s);
  CHECK(retry_after_of(answered(503, {{"Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"}})) == 0s);
  CHECK(retry_after_of(answered(503, {{"Retry-After", "99999999999999999999"}})) == 0s);
  auto broken = ended(kind::broken);
  broken.fields = {{"Retry-After", "7"}};
  CHECK(retry_after_of(broken) == 0s);
}

TEST_CASE("a failure is described for people") {
  CHECK(describe(answered(500)) == "the function answered 500");
  CHECK(describe(answered(500, {}, "no way")).find("no way") != std::string::npos);
  CHECK(describe(answered(500, {}, std::string(100'000, 'x'))).size() < 2000);
  CHECK(describe(answered(500, {}, "a\nb\x1b[31m")).find_first_of("\n\x1b") == std::string::npos);
  CHECK(describe(ended(kind::broken, "the connection broke")) == "the connection broke");
}

TEST_CASE("a reply that is no event has none") {
  for (const auto& reply : {answered(204), answered(200, {{"Content-Type", "application/json"}}, R"({"id":"1"})"),
                            answered(200, {{"Content-Type", "text/plain"}, {"X-Ce-Id", "1"}}, "text")}) {
    const auto found = events_in_reply(reply);
    REQUIRE(found);
    CHECK(found->empty());
  }
}

TEST_CASE("a reply in binary mode is an event") {
  const auto found = events_in_reply(answered(200,
                                              {{"CE-SpecVersion", "1.0"},
                                               {"ce-id", "a"},
                                               {"ce-type", "done"},
                                               {"ce-source", "/f"},
                                               {"Content-Type", "text/plain"}},
                                              "thanks"));
  REQUIRE(found);
  REQUIRE(found->size() == 1);
  CHECK(found->front().id == "a");
  CHECK(found->front().data == "thanks");
}

TEST_CASE("a structured reply is an event, a batch is several") {
  const std::string one = R"({"specversion":"1.0","id":"1","type":"t","source":"/s"})";
  const std::string two = R"({"specversion":"1.0","id":"2","type":"t","source":"/s"})";
  auto found = events_in_reply(answered(200, {{"content-type", "application/cloudevents+json; charset=utf-8"}}, one));
  REQUIRE(found);
  REQUIRE(found->size() == 1);
  CHECK(found->front().id == "1");
  found = events_in_reply(
      answered(200, {{"Content-Type", "application/cloudevents-batch+json"}}, "[" + one + "," + two + "]"));
  REQUIRE(found);
  REQUIRE(found->size() == 2);
  CHECK((*found)[1].id == "2");
}

TEST_CASE("a reply that wants to be an event and is none says why") {
  for (const auto& reply : {answered(200, {{"ce-specversion", "1.0"}, {"ce-id", "a"}, {"ce-type", "t"}}),
                            answered(200, {{"ce-id", "a"}}), answered(200, {{"ce-specversion", "0.3"}, {"ce-id", "a"}}),
                            answered(200, {{"Content-Type", "application/cloudevents+json"}}, "{"),
                            answered(200, {{"Content-Type", "application/cloudevents-batch+json"}}, "{}")}) {
    const auto found = events_in_reply(reply);
    REQUIRE_FALSE(found);
    CHECK_FALSE(found.error().message.empty());
  }
}
