// What changes state: who may, with what body, and what comes of it.

#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "gateway/admin/action_request.hpp"
#include "running_admin.hpp"

using namespace rouse;
using namespace rouse::test;
using nlohmann::json;

namespace {

struct endpoint_case {
  std::string method;
  std::string target;
  std::string body;
  std::string asks;
};

const std::vector<endpoint_case> all{
    {"PUT", "/api/v1/functions/hello/scale", R"({"min": 1, "max": 5})", "scale hello 1 5"},
    {"PUT", "/api/v1/functions/hello/traffic", R"({"v2": 10, "v1": 90})", "traffic hello v1=90 v2=10"},
    {"POST", "/api/v1/functions/hello/restart", "{}", "restart hello"},
    {"PUT", "/api/v1/pools/cloud/cordon", R"({"cordoned": true})", "cordon cloud"},
    {"POST", "/api/v1/dead-letters/redrive", R"({"owner": "bill"})", "redrive bill"},
    {"POST", "/api/v1/dead-letters/purge", R"({"id": 12})", "purge #12"},
    {"POST", "/api/v1/reload", "{}", "reload"},
    {"POST", "/api/v1/drain", "", "drain"},
};

using asked = std::vector<std::string>;

json problem(const std::string& answer) {
  CHECK(holds(answer, "Content-Type: application/problem+json\r\n"));
  return json::parse(body_of(answer));
}

}  // namespace

TEST_CASE("each action is asked for once, and its result is the answer") {
  running_admin admin;
  for (const auto& one : all) {
    INFO(one.target);
    admin.actions.answer_with({200, {}, "hello now has 1 to 5 instances", {}});
    const auto answer = admin.change(one.method, one.target, one.body);
    CHECK(status_of(answer) == 200);
    CHECK(holds(answer, "Content-Type: application/json\r\n"));
    CHECK(body_of(answer) == "{\"detail\":\"hello now has 1 to 5 instances\"}\n");
    CHECK(admin.actions.asked() == asked{one.asks});
  }
  admin.actions.answer_with({202, {}, "begun", {"first", "second"}});
  const auto begun = admin.change("POST", "/api/v1/drain", "");
  CHECK(status_of(begun) == 202);
  CHECK(json::parse(body_of(begun))["lines"] == json{"first", "second"});
}

TEST_CASE("dead letters and triggers are read without changing anything") {
  running_admin admin;
  gateway::action_result listed;
  listed.body = "{\"dead_letters\": []}\n";
  admin.actions.answer_with(listed);
  CHECK(body_of(admin.get("/api/v1/dead-letters")) == listed.body);
  CHECK(status_of(admin.get("/api/v1/dead-letters?owner=bill&after=7")) == 200);
  CHECK(status_of(admin.get("/api/v1/dead-letters/12")) == 200);
  CHECK(admin.actions.asked() ==
        asked{"dead-letters all after 0", "dead-letters bill after 7", "dead-letters #12 after 0"});
  for (const char* wrong : {"/api/v1/dead-letters?owner=", "/api/v1/dead-letters?of=bill",
                            "/api/v1/dead-letters?after=x", "/api/v1/dead-letters/twelve"}) {
    INFO(wrong);
    CHECK(status_of(admin.get(wrong)) == 400);
  }
  CHECK(admin.actions.asked().empty());

  gateway::event_numbers numbers;
  gateway::event_numbers::trigger one;
  one.name = "bill";
  one.source = "bus orders";
  one.function = "billing";
  one.delivered = 5;
  one.dead = 1;
  one.waiting = 3;
  one.oldest = std::chrono::milliseconds(2500);
  one.paused = "no room";
  one.problem = "no broker";
  one.lanes = {{"clicks/0", 7, ""}, {"clicks/1", 0, "record 3"}};
  numbers.triggers.push_back(one);
  numbers.queues.push_back({"thumb", 4, 400, 1, ""});
  numbers.dead.push_back({"bill", 1});
  admin.actions.numbers = std::make_shared<const gateway::event_numbers>(numbers);
  const auto shown = json::parse(body_of(admin.get("/api/v1/triggers")));
  CHECK(shown["triggers"]["bill"]["delivered"] == 5);
  CHECK(shown["triggers"]["bill"]["oldest_ms"] == 2500);
  CHECK(shown["triggers"]["bill"]["paused"] == "no room");
  CHECK(shown["triggers"]["bill"]["problem"] == "no broker");
  CHECK(shown["triggers"]["bill"]["partitions"]["clicks/0"]["lag"] == 7);
  CHECK(shown["triggers"]["bill"]["partitions"]["clicks/1"]["held_by"] == "record 3");
  CHECK(shown["queues"]["thumb"]["requests"] == 4);
  const auto metrics = body_of(admin.get("/metrics"));
  INFO(metrics);
  CHECK(holds(metrics, "rouse_events_total{trigger=\"bill\",outcome=\"delivered\"} 5"));
  CHECK(holds(metrics, "rouse_event_oldest_seconds{trigger=\"bill\"} 2.5"));
  CHECK(holds(metrics, "rouse_event_lag{trigger=\"bill\",partition=\"clicks/0\"} 7"));
  CHECK(holds(metrics, "rouse_event_lag{trigger=\"bill\",partition=\"clicks/1\"} 0"));
  CHECK(holds(metrics, "rouse_dead_letters_total{trigger=\"bill\"} 1"));
  CHECK(holds(metrics, "rouse_queue_depth{function=\"thumb\"} 4"));
}

TEST_CASE("a choice of dead letters says which") {
  running_admin admin;
  for (const char* wrong :
       {"", "{}", R"({"owner": ""})", R"({"owner": "a", "id": 1})", R"({"id": "1"})", R"({"all": true})"}) {
    INFO(wrong);
    CHECK(status_of(admin.change("POST", "/api/v1/dead-letters/purge", wrong)) == 400);
  }
  CHECK(admin.actions.asked().empty());
}

TEST_CASE("a refusal is a problem with its lines") {
  running_admin admin;
  admin.actions.answer_with({422, "invalid-config", "Nothing was changed.", {"rouse.yaml:2:3: \xff"}});
  const auto answer = admin.change("POST", "/api/v1/reload", "{}");
  CHECK(status_of(answer) == 422);
  const auto said = problem(answer);
  CHECK(said["type"] == "invalid-config");
  CHECK(said["status"] == 422);
  CHECK(said["detail"] == "Nothing was changed.");
  CHECK(said["lines"] == json{"rouse.yaml:2:3: \xef\xbf\xbd"});
  admin.actions.answer_with({404, "no-function", "There is no such function.", {}});
  const auto unknown = admin.change("POST", "/api/v1/functions/nobody/restart", "{}");
  CHECK(status_of(unknown) == 404);
  CHECK(problem(unknown)["type"] == "no-function");
  CHECK_FALSE(problem(unknown).contains("lines"));
}

TEST_CASE("nobody else's page changes anything") {
  running_admin admin;
  const std::string type = "Content-Type: application/json\r\n";
  for (const auto& one : all) {
    INFO(one.target);
    CHECK(status_of(admin.change(one.method, one.target, one.body, "")) == 415);
    CHECK(status_of(admin.change(one.method, one.target, one.body, "Content-Type: text/plain\r\n")) == 415);
    CHECK(status_of(admin.change(one.method, one.target, one.body, type + "Origin: http://evil.example\r\n")) == 403);
    CHECK(status_of(admin.change(one.method, one.target, one.body, type + "Origin: null\r\n")) == 403);
    const auto rebound = admin.raw(one.method + " " + one.target + " HTTP/1.1\r\nHost: evil.example\r\n" + type +
                                   "Origin: http://evil.example\r\nContent-Length: 2\r\n\r\n{}");
    CHECK(status_of(rebound) == 403);
    const auto own = admin.change(one.method, one.target, one.body, type + "Origin: http://localhost\r\n");
    CHECK(status_of(own) == 200);
    CHECK(admin.actions.asked() == asked{one.asks});
  }
}

TEST_CASE("with a token, it is wanted for what changes state") {
  running_admin admin("s3cret");
  const std::string type = "Content-Type: application/json\r\n";
  for (const auto& one : all) {
    INFO(one.target);
    CHECK(status_of(admin.change(one.method, one.target, one.body, type)) == 401);
    CHECK(status_of(admin.change(one.method, one.target, one.body, type + "Authorization: Bearer no\r\n")) == 401);
    CHECK(admin.actions.asked().empty());
    CHECK(status_of(admin.change(one.method, one.target, one.body, type + "Authorization: Bearer s3cret\r\n")) == 200);
    CHECK(admin.actions.asked().size() == 1);
  }
}

TEST_CASE("the method must be the one") {
  running_admin admin;
  for (const auto& one : all) {
    for (const char* method : {"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"}) {
      if (one.method == method) continue;
      INFO(method << " " << one.target);
      const auto answer = admin.change(method, one.target, one.body);
      CHECK(status_of(answer) == 405);
      CHECK(holds(answer, "\r\nAllow: " + one.method + "\r\n"));
    }
  }
  CHECK(admin.actions.asked().empty());
}

TEST_CASE("a body that is not right changes nothing") {
  running_admin admin;
  const auto refused = [&](const std::string& method, const std::string& target, const std::string& body,
                           const std::string& because) {
    const auto answer = admin.change(method, target, body);
    INFO(target << " " << body << " -> " << answer);
    CHECK(status_of(answer) == 400);
    CHECK(holds(problem(answer)["detail"], because));
  };
  const std::string scale = "/api/v1/functions/hello/scale", traffic = "/api/v1/functions/hello/traffic";
  const std::string cordon = "/api/v1/pools/local/cordon", reload = "/api/v1/reload";
  for (const auto& target : {scale, traffic, cordon}) {
    for (const char* body : {"", "{", "min=2", "{\"min\":1} x", "{'min': 1}", "\xff\xfe"})
      refused("PUT", target, body, "is not JSON");
    for (const char* body : {"[]", "3", "\"min\"", "null", "[{\"min\":1}]"})
      refused("PUT", target, body, "not a JSON object");
    refused("PUT", target + "?min=3", R"({"min": 1})", "no query");
  }
  refused("PUT", scale, "{}", "neither");
  refused("PUT", scale, R"({"min": -1})", "`min` must be a whole number from 0, not -1");
  refused("PUT", scale, R"({"max": 1.5})", "not 1.5");
  refused("PUT", scale, R"({"max": "5"})", "not \"5\"");
  refused("PUT", scale, R"({"max": null})", "not null");
  refused("PUT", scale, R"({"max": 4294967296})", "4294967296");
  refused("PUT", scale, R"({"max": 0})", "at least 1");
  refused("PUT", scale, R"({"min": 3, "max": 2})", "above");
  refused("PUT", scale, R"({"min": 3, "min": 4})", "twice");
  refused("PUT", scale, R"({"minimum": 3})", "no key `minimum`");
  refused("PUT", traffic, "{}", "weight above 0");
  refused("PUT", traffic, R"({"v1": 0})", "weight above 0");
  refused("PUT", traffic, R"({"v1": -1, "v2": 2})", "`v1`");
  refused("PUT", traffic, R"({"v1": {"v2": 2}})", "`v1`");
  refused("PUT", traffic, R"({"v1": 1, "v1": 2})", "twice");
  for (const char* body : {"{}", R"({"cordoned": 1})", R"({"cordoned": true, "x": 1})", R"({"cordon": true})"})
    refused("PUT", cordon, body, "{\"cordoned\": true}");
  refused("POST", reload, R"({"path": "/etc/passwd"})", "no keys");
  refused("POST", reload, "[]", "not a JSON object");
  refused("POST", "/api/v1/functions/hello/restart", R"({"now": true})", "no keys");
  CHECK(admin.actions.asked().empty());
}

TEST_CASE("a body that is too large or has no length is not read") {
  running_admin admin;
  const std::string type = "Content-Type: application/json\r\n";
  const auto large = admin.ask("POST", "/api/v1/reload", type + "Content-Length: 65537\r\n");
  CHECK(status_of(large) == 413);
  CHECK(holds(large, "Connection: close\r\n"));
  const auto chunked =
      admin.ask("POST", "/api/v1/reload", type + "Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n");
  CHECK(status_of(chunked) == 411);
  CHECK(admin.actions.asked().empty());
  std::string padded = "{}" + std::string(65534, ' ');
  CHECK(status_of(admin.change("POST", "/api/v1/reload", padded)) == 200);
}

TEST_CASE("bodies come in pieces, and what follows them is the next request") {
  running_admin admin;
  caller one(admin.port());
  const std::string host = " HTTP/1.1\r\nHost: localhost\r\n";
  one.send("PUT /api/v1/pools/a/cordon" + host +
           "Content-Type: application/json\r\nContent-Length: 18\r\n\r\n{\"cordoned\": true}GET /healthz" + host +
           "\r\n");
  CHECK(status_of(one.read_answer()) == 200);
  CHECK(body_of(one.read_answer()) == "ok\n");
  one.send("PUT /api/v1/pools/b/cordon" + host +
           "Content-Type: application/json\r\nContent-Length: 18\r\nExpect: 100-continue\r\n\r\n");
  REQUIRE(one.read_until("100 Continue\r\n\r\n"));
  CHECK(admin.actions.asked() == asked{"cordon a"});
  one.send("{\"cordoned\"");
  one.send(": true}");
  one.send("GET /healthz" + host + "\r\n");
  REQUIRE(one.read_until("ok\n"));
  CHECK(admin.actions.asked() == asked{"cordon b"});
}

TEST_CASE("an action that nobody answers keeps nobody from ending") {
  running_admin admin;
  admin.actions.keep_silent();
  caller one(admin.port());
  one.send("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\r\n");
  REQUIRE(soon([&] { return !admin.actions.asked().empty(); }));
  CHECK(status_of(admin.get("/healthz")) == 200);
  const auto began = std::chrono::steady_clock::now();
  admin.stop();
  CHECK(std::chrono::steady_clock::now() - began < 2s);
  CHECK(status_of(one.read_answer()) == 503);
}

TEST_CASE("pools as JSON") {
  running_admin admin;
  {
    const std::lock_guard lock(admin.mutex);
    admin.pools[0].max_instances = 8;
    admin.pools.emplace_back().name = "cloud";
    admin.pools[1].cordoned = true;
  }
  const auto pools = json::parse(body_of(admin.get("/api/v1/pools")))["pools"];
  REQUIRE(pools.size() == 2);
  CHECK(pools[0]["name"] == "local");
  CHECK(pools[0]["instances"] == 2);
  CHECK(pools[0]["max_instances"] == 8);
  CHECK(pools[0]["cordoned"] == false);
  CHECK(pools[1]["max_instances"].is_null());
  CHECK(pools[1]["cordoned"] == true);
}
