// Who may talk to the admin interface, and what a request asks for: everything that needs no socket.

#include <stdexcept>
#include <string>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "gateway/admin/endpoints.hpp"
#include "gateway/admin/guard.hpp"

using namespace rouse;
using namespace rouse::gateway;

namespace {

http::request_head with_authorization(std::initializer_list<std::string_view> values) {
  http::request_head head;
  for (const auto value : values) {
    http::field field;
    field.name = "aUTHORIZATION";
    field.value = value;
    head.fields.push_back(field);
  }
  return head;
}

}  // namespace

TEST_CASE("on loopback the Host must be the listener's own") {
  const guard rules({"127.0.0.1", 9080}, 9080, "");
  for (const char* good : {"127.0.0.1", "127.0.0.1:9080", "localhost", "LocalHost:9080"})
    CHECK(rules.host_allowed(good));
  for (const char* bad : {"", "evil.example", "evil.example:9080", "127.0.0.1:9081", "127.0.0.1:", "127.0.0.1:09080",
                          "localhost.evil.example", "127.0.0.2:9080", "[::1]:9080", "127.0.0.1.evil.example:9080",
                          ":9080", "user@127.0.0.1:9080", "0.0.0.0:9080", "127.1:9080", "localhost:9080:9080"}) {
    INFO(bad);
    CHECK_FALSE(rules.host_allowed(bad));
  }
  CHECK(rules.authority() == "127.0.0.1:9080");

  const guard six({"::1", 0}, 4711, "");
  CHECK(six.authority() == "[::1]:4711");
  CHECK(six.host_allowed("[::1]:4711"));
  CHECK(six.host_allowed("[::1]"));
  CHECK(six.host_allowed("localhost:4711"));
  CHECK_FALSE(six.host_allowed("::1"));
  CHECK_FALSE(six.host_allowed("[::1]:4712"));
}

TEST_CASE("beyond loopback a token is a must, and names are not looked at") {
  CHECK_THROWS_AS(guard({"0.0.0.0", 9080}, 9080, ""), std::invalid_argument);
  CHECK_THROWS_AS(guard({"192.0.2.1", 9080}, 9080, ""), std::invalid_argument);
  CHECK_THROWS_AS(guard({"::", 9080}, 9080, ""), std::invalid_argument);
  CHECK_THROWS_AS(guard({"localhost", 9080}, 9080, ""), std::invalid_argument);
  CHECK_NOTHROW(guard({"127.9.9.9", 9080}, 9080, ""));
  CHECK_NOTHROW(guard({"::ffff:127.0.0.1", 9080}, 9080, ""));
  CHECK(guard({"0.0.0.0", 9080}, 9080, "s").host_allowed("rouse.internal"));
}

TEST_CASE("the token") {
  using verdict = guard::token_verdict;
  const guard rules({"127.0.0.1", 9080}, 9080, "s3cret");
  CHECK(rules.check_token(with_authorization({"Bearer s3cret"})) == verdict::allowed);
  CHECK(rules.check_token(with_authorization({"bearer s3cret"})) == verdict::allowed);
  CHECK(rules.check_token({}) == verdict::missing);
  for (const char* bad : {"", "s3cret", "Basic s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crett",
                          "Bearer s3creT", "Bearer s3crets3cret", "Bearers3cret"}) {
    INFO(bad);
    CHECK(rules.check_token(with_authorization({bad})) == verdict::wrong);
  }
  CHECK(rules.check_token(with_authorization({"Bearer s3cret", "Bearer s3cret"})) == verdict::wrong);
  CHECK(guard({"127.0.0.1", 9080}, 9080, "").check_token({}) == verdict::allowed);
  CHECK_FALSE(same_secret("", ""));
}

TEST_CASE("a page of another site has another Origin") {
  const guard rules({"127.0.0.1", 9080}, 9080, "");
  const auto with = [](std::initializer_list<std::string_view> origins) {
    http::request_head head;
    head.host = "localhost:9080";
    for (const auto value : origins) {
      http::field field;
      field.name = "oRIGIN";
      field.value = value;
      head.fields.push_back(field);
    }
    return head;
  };
  CHECK(rules.origin_allowed(with({})));
  CHECK(rules.origin_allowed(with({"http://localhost:9080"})));
  CHECK(rules.origin_allowed(with({"https://LocalHost:9080"})));
  for (const char* bad : {"", "null", "http://", "localhost:9080", "http://localhost", "http://localhost:9081",
                          "http://evil.example", "http://localhost:9080.evil.example", "http://evil@localhost:9080",
                          "ftp://localhost:9080", "http://localhost:9080/", "http://127.0.0.1:9080"}) {
    INFO(bad);
    CHECK_FALSE(rules.origin_allowed(with({bad})));
  }
  CHECK_FALSE(rules.origin_allowed(with({"http://localhost:9080", "http://localhost:9080"})));
}

TEST_CASE("only JSON changes anything") {
  const auto typed = [](std::initializer_list<std::string_view> types) {
    http::request_head head;
    for (const auto value : types) {
      http::field field;
      field.name = "content-TYPE";
      field.value = value;
      head.fields.push_back(field);
    }
    return guard::is_json(head);
  };
  CHECK(typed({"application/json"}));
  CHECK(typed({"Application/JSON ; charset=utf-8"}));
  for (const char* bad : {"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
                          "application/jsonp", "text/plain; application/json", "application/problem+json"}) {
    INFO(bad);
    CHECK_FALSE(typed({bad}));
  }
  CHECK_FALSE(typed({}));
  CHECK_FALSE(typed({"application/json", "application/json"}));
}

TEST_CASE("targets") {
  CHECK(match_target("/").what == endpoint::root);
  CHECK(match_target("/metrics?x=1").what == endpoint::metrics);
  CHECK(match_target("/api/v1/functions/hello").name == "hello");
  CHECK(match_target("/api/v1/logs?function=a").query == "function=a");
  CHECK(match_target("/api/v1/functions/scale").what == endpoint::function);
  CHECK(match_target("/api/v1/functions/scale").name == "scale");
  CHECK(match_target("/api/v1/functions/hello/scale").what == endpoint::scale);
  CHECK(match_target("/api/v1/functions/hello/scale").name == "hello");
  CHECK(match_target("/api/v1/functions/scale/restart").name == "scale");
  CHECK(match_target("/api/v1/functions/a/traffic").what == endpoint::traffic);
  CHECK(match_target("/api/v1/pools/cloud/cordon").what == endpoint::cordon);
  CHECK(match_target("/api/v1/pools/cloud/cordon").name == "cloud");
  CHECK(match_target("/api/v1/reload").what == endpoint::reload);
  for (const char* none :
       {"", "*", "/metrics/", "//metrics", "/api/v1/functions/", "/api/v1/functions/a/b", "/api/v1/../../metrics",
        "/Metrics", "/api/v1/pools/", "/api/v1/pools/a", "/api/v1/pools//cordon", "/api/v1/pools/a/b/cordon",
        "/api/v1/functions//scale", "/api/v1/functions/a/scale/", "/api/v1/functions/scale/b", "/api/v1/reload/",
        "/function/hello"}) {
    INFO(none);
    CHECK(match_target(none).what == endpoint::none);
  }
}

TEST_CASE("the query of logs: known, valid and once, or refused") {
  std::string why;
  const auto all = parse_logs_query("function=he%6Clo&after=12&limit=5&follow=true", why);
  REQUIRE(all);
  CHECK(all->function == "hello");
  CHECK(all->after == 12);
  CHECK(all->limit == 5);
  CHECK(all->follow);
  const auto least = parse_logs_query("function=a", why);
  REQUIRE(least);
  CHECK(least->after == 0);
  CHECK(least->limit == 1000);
  CHECK_FALSE(least->follow);
  for (const char* bad :
       {"", "function=", "limit=5", "function=a&limit=0", "function=a&limit=1001", "function=a&limit=-1",
        "function=a&after=x", "function=a&after=99999999999999999999", "function=a&follow=yes", "function=a&function=b",
        "function=%zz", "function=a%2", "function=a&tail=5", "function=a&after=1&after=2"}) {
    INFO(bad);
    why.clear();
    CHECK_FALSE(parse_logs_query(bad, why));
    CHECK_FALSE(why.empty());
  }
}

TEST_CASE("the query of events") {
  std::string why;
  const auto all = parse_events_query("", why);
  REQUIRE(all);
  CHECK(all->function.empty());
  CHECK(all->limit == 1000);
  REQUIRE(parse_events_query("function=a&limit=0&after=3", why));
  CHECK(parse_events_query("limit=0", why)->limit == 0);
  for (const char* bad : {"follow=true", "limit=1001", "after=", "function=", "limit=1&limit=1"}) {
    INFO(bad);
    why.clear();
    CHECK_FALSE(parse_events_query(bad, why));
    CHECK_FALSE(why.empty());
  }
}

TEST_CASE("the OpenAPI document describes what exists, and only that") {
  const auto document = nlohmann::json::parse(openapi_json());
  CHECK(document["openapi"] == "3.0.3");
  CHECK(document["info"]["version"].get<std::string>().find('{') == std::string::npos);
  CHECK(document["paths"].size() == 22);
  for (const auto& [path, item] : document["paths"].items()) {
    auto concrete = path;
    if (const auto at = concrete.find("{name}"); at != std::string::npos) concrete.replace(at, 6, "hello");
    INFO(path);
    const auto what = match_target(concrete).what;
    CHECK(what != endpoint::none);
    CHECK(item.size() == 1);
    const std::string method = !changes_state(what) ? "get" : methods_of(what) == "PUT" ? "put" : "post";
    CHECK(item.contains(method));
  }
}
