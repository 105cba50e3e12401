// The admin server over real sockets.

#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "running_admin.hpp"

using namespace rouse;
using namespace rouse::test;
using nlohmann::json;

TEST_CASE("health and readiness") {
  running_admin admin;
  CHECK(status_of(admin.get("/healthz")) == 200);
  CHECK(body_of(admin.get("/readyz")) == "ok\n");
  admin.unready = "standby";
  const auto answer = admin.get("/readyz");
  CHECK(status_of(answer) == 503);
  CHECK(body_of(answer) == "standby\n");
  CHECK(status_of(admin.get("/healthz")) == 200);
}

TEST_CASE("every answer carries the security fields, none allows another origin") {
  running_admin admin;
  for (const char* target : {"/", "/healthz", "/metrics", "/openapi.json", "/api/v1/functions", "/nothing"}) {
    const auto answer = admin.get(target, "Origin: http://evil.example\r\n");
    INFO(target);
    CHECK(holds(answer, "\r\nX-Content-Type-Options: nosniff\r\n"));
    CHECK(holds(answer, "\r\nCache-Control: no-store\r\n"));
    CHECK(holds(answer, "\r\nDate: "));
    CHECK_FALSE(holds(answer, "Access-Control"));
  }
  CHECK(holds(body_of(admin.get("/")), "GET /api/v1/functions"));
  CHECK(json::parse(body_of(admin.get("/openapi.json")))["paths"].contains("/metrics"));
}

TEST_CASE("functions and instances as JSON") {
  running_admin admin;
  const auto all = json::parse(body_of(admin.get("/api/v1/functions")));
  REQUIRE(all["functions"].size() == 2);
  const auto one = json::parse(body_of(admin.get("/api/v1/functions/hello")));
  CHECK(one == all["functions"][0]);
  CHECK(one["revision"] == "hello-0badcafe");
  CHECK(one["parked"] == 3);
  CHECK(one["parked_bytes"] == 4096);
  CHECK(one["in_flight"] == 7);
  CHECK(one["desired"] == 2);
  CHECK(one["failure"].is_null());
  REQUIRE(one["instances"].size() == 2);
  CHECK(one["instances"][0]["address"] == "127.0.0.1:20001");
  CHECK(one["instances"][0]["age_ms"] == 65000);
  CHECK(one["instances"][1]["state"] == "starting");
  CHECK(one["instances"][1]["address"].is_null());
  CHECK(one["decisions"][0]["at"] == "2024-05-01T12:00:00.123Z");
  CHECK(one["decisions"][0]["from"] == 1);
  CHECK(one["decisions"][0]["to"] == 2);
  CHECK(one["decisions"][0]["reason"] == "3 parked + 7 in flight / 7 per instance -> 2");

  const auto instances = json::parse(body_of(admin.get("/api/v1/instances")))["instances"];
  REQUIRE(instances.size() == 2);
  CHECK(instances[0]["function"] == "hello");
  CHECK(instances[0]["revision"] == "hello-0badcafe");
  CHECK(instances[0]["name"] == "hello-0badcafe-11");
}

TEST_CASE("what a failed start wrote cannot break the JSON") {
  running_admin admin;
  {
    const std::lock_guard lock(admin.mutex);
    admin.status[0].revisions[0].failure = "wrote \"\xff\n\x1b[0m\"";
  }
  const auto one = json::parse(body_of(admin.get("/api/v1/functions/hello")));
  CHECK(one["failure"].get<std::string>().substr(0, 7) == "wrote \"");
}

TEST_CASE("metrics over HTTP") {
  running_admin admin;
  admin.worker().unmatched.add(5);
  const auto answer = admin.get("/metrics");
  CHECK(holds(answer, "Content-Type: text/plain; version=0.0.4"));
  CHECK(holds(answer, "rouse_unmatched_requests_total 5\n"));
  CHECK(holds(answer, "rouse_instances_desired{function=\"hello\",revision=\"hello-0badcafe\"} 2\n"));
  CHECK_FALSE(holds(answer, "function=\"idle\""));
}

TEST_CASE("what is not there, not allowed or not HTTP") {
  running_admin admin;
  const auto missing = admin.get("/api/v1/nothing");
  CHECK(status_of(missing) == 404);
  CHECK(holds(missing, "Content-Type: application/problem+json\r\n"));
  CHECK(json::parse(body_of(missing))["status"] == 404);
  CHECK(json::parse(body_of(admin.get("/api/v1/functions/nobody")))["type"] == "no-function");
  CHECK(status_of(admin.get("/api/v1/functions?limit=1")) == 400);

  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH"}) {
    const auto answer = admin.ask(method, "/api/v1/functions");
    INFO(method);
    CHECK(status_of(answer) == 405);
    CHECK(holds(answer, "\r\nAllow: GET, HEAD\r\n"));
  }
  CHECK(status_of(admin.ask("POST", "/metrics", "Content-Length: 2\r\n")) == 413);
  CHECK(status_of(admin.ask("GET", "/metrics", "Transfer-Encoding: chunked\r\n")) == 413);

  CHECK(status_of(admin.raw("GET / HTTP/1.1\r\n\r\n")) == 400);  // no Host
  CHECK(status_of(admin.raw("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n")) == 400);
  CHECK(status_of(admin.raw("GET / HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n")) == 400);
  CHECK(status_of(admin.raw("garbage\r\n\r\n")) == 400);
  CHECK(status_of(admin.get("/", "X: " + std::string(20'000, 'x') + "\r\n")) == 431);
}

TEST_CASE("HEAD has a length and no body") {
  running_admin admin;
  caller one(admin.port());
  one.send("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  REQUIRE(one.read_to_end());
  CHECK(holds(one.got(), "Content-Length: 3\r\n"));
  CHECK(body_of(one.got()).empty());
}

TEST_CASE("connections are kept, and pipelined requests answered in order") {
  running_admin admin;
  caller one(admin.port());
  const std::string host = " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(admin.port()) + "\r\n\r\n";
  one.send("GET /healthz" + host + "GET /api/v1/functions/hello" + host + "GET /nothing" + host);
  CHECK(body_of(one.read_answer()) == "ok\n");
  CHECK(holds(one.read_answer(), "hello-0badcafe"));
  CHECK(status_of(one.read_answer()) == 404);
  one.send("GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n");
  CHECK(holds(one.read_answer(), "Connection: close\r\n"));
  CHECK(one.read_to_end());
}

TEST_CASE("a page whose name points here gets nothing") {
  running_admin admin;
  for (const char* target : {"/", "/healthz", "/metrics", "/api/v1/functions", "/api/v1/logs?function=hello"}) {
    const auto answer = admin.raw(std::string("GET ") + target +
                                  " HTTP/1.1\r\nHost: evil.example:" + std::to_string(admin.port()) + "\r\n\r\n");
    INFO(target);
    CHECK(status_of(answer) == 403);
    CHECK(holds(body_of(answer), "host-not-allowed"));
  }
  const auto absolute = admin.raw("GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(status_of(absolute) >= 400);
}

TEST_CASE("with a token, everything but the probes asks for it") {
  running_admin admin("s3cret", "0.0.0.0");
  CHECK(status_of(admin.get("/healthz")) == 200);
  CHECK(status_of(admin.get("/readyz")) == 200);
  for (const char* target : {"/", "/metrics", "/openapi.json", "/api/v1/functions", "/api/v1/instances",
                             "/api/v1/logs?function=hello", "/nothing"}) {
    INFO(target);
    const auto answer = admin.get(target);
    CHECK(status_of(answer) == 401);
    CHECK(holds(answer, "\r\nWWW-Authenticate: Bearer"));
    CHECK(status_of(admin.get(target, "Authorization: Bearer wrong\r\n")) == 401);
  }
  CHECK(status_of(admin.get("/metrics", "Authorization: Bearer s3cret\r\n")) == 200);
  const auto named = admin.raw("GET /metrics HTTP/1.1\r\nHost: rouse.internal\r\nAuthorization: Bearer s3cret\r\n\r\n");
  CHECK(status_of(named) == 200);
}

TEST_CASE("logs that are there, as newline-delimited JSON") {
  running_admin admin;
  const auto at = std::chrono::system_clock::time_point(1714564800123ms);
  admin.output.add("hello-1", "first", at);
  admin.output.add("hello-2", "second \x1b[31m\xff", at);
  admin.output.add("hello-1", "third", at);
  const auto answer = admin.get("/api/v1/logs?function=hello&after=1&limit=2");
  CHECK(holds(answer, "Content-Type: application/x-ndjson\r\n"));
  const auto body = body_of(answer);
  const auto first = json::parse(body.substr(0, body.find('\n')));
  CHECK(first["number"] == 2);
  CHECK(first["at"] == "2024-05-01T12:00:00.123Z");
  CHECK(first["instance"] == "hello-2");
  CHECK(first["text"] == "second \x1b[31m\xef\xbf\xbd");
  CHECK(json::parse(body.substr(body.find('\n') + 1))["number"] == 3);
  CHECK(status_of(admin.get("/api/v1/logs")) == 400);
  CHECK(status_of(admin.get("/api/v1/logs?function=hello&lines=3")) == 400);
  CHECK(status_of(admin.get("/api/v1/logs?function=nobody")) == 404);
}

TEST_CASE("followed logs go on until the server stops") {
  running_admin admin;
  admin.output.add("hello-1", "before", std::chrono::system_clock::now());
  caller one(admin.port());
  one.send("GET /api/v1/logs?function=hello&follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n");
  REQUIRE(one.read_until("before"));
  CHECK(holds(one.got(), "Transfer-Encoding: chunked\r\n"));
  admin.output.add("hello-1", "during", std::chrono::system_clock::now());
  REQUIRE(one.read_until("during"));
  admin.ask_to_stop();
  CHECK(one.read_to_end());
  CHECK(one.got().substr(one.got().size() - 5) == "0\r\n\r\n");
  const auto began = std::chrono::steady_clock::now();
  admin.stop();
  CHECK(std::chrono::steady_clock::now() - began < 3s);
}

TEST_CASE("followers leave their place when they go, and cannot take every connection") {
  running_admin admin;
  const std::string request = "GET /api/v1/logs?function=hello&follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n";
  std::vector<std::unique_ptr<caller>> followers;
  for (std::size_t i = 0; i < gateway::admin_limits::followers; ++i) {
    followers.push_back(std::make_unique<caller>(admin.port()));
    followers.back()->send(request);
    REQUIRE(followers.back()->read_until("200 OK"));
  }
  CHECK(status_of(admin.raw(request)) == 503);
  CHECK(status_of(admin.get("/healthz")) == 200);
  followers.pop_back();              // closed in full
  followers.front()->end_sending();  // closed in half
  CHECK(followers.front()->read_to_end());
  for (int i = 0; i < 2; ++i) {
    CHECK(soon([&] {
      auto next = std::make_unique<caller>(admin.port());
      next->send(request);
      const bool taken = next->read_until("200 OK");
      if (taken) followers.push_back(std::move(next));
      return taken;
    }));
  }
}

namespace {

activator::occurrence happened(std::string function, std::string text) {
  activator::occurrence out;
  out.type = "ready";
  out.function = std::move(function);
  out.text = std::move(text);
  return out;
}

}  // namespace

TEST_CASE("what happened and what happens, as server-sent events") {
  running_admin admin;
  const auto now = std::chrono::system_clock::from_time_t(1'700'000'000);
  auto scaled = happened("hello", "6 \"parked\"\n");
  scaled.type = "scale";
  scaled.revision = "hello-1";
  scaled.cause = "demand";
  scaled.count = activator::occurrence::step{0, 5};
  admin.story->add(scaled, now);
  admin.story->add(happened("other", "of another"), now);
  caller one(admin.port());
  const auto ask = [&](const std::string& query, const std::string& fields = {}) {
    one.send("GET /api/v1/events" + query + " HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n");
  };

  SECTION("all of it, and on and on until the server stops") {
    ask("");
    REQUIRE(one.read_until("of another"));
    CHECK(holds(one.got(), "Content-Type: text/event-stream\r\n"));
    CHECK(holds(one.got(), "Cache-Control: no-store\r\n"));
    CHECK(holds(one.got(), "id: 1\nevent: scale\ndata: {\"number\":1,\"at\":\"2023-11-14T22:13:20"));
    CHECK(holds(one.got(), R"("type":"scale","function":"hello","revision":"hello-1","cause":"demand","from":0,"to":5,)"
                           R"("text":"6 \"parked\"\n"})"
                           "\n\n"));
    admin.story->add(happened("hello", "during"), now);
    REQUIRE(one.read_until("during"));
    CHECK(holds(one.got(), "id: 3\nevent: ready\n"));
    admin.ask_to_stop();
    CHECK(one.read_to_end());
    CHECK(one.got().ends_with("0\r\n\r\n"));
  }
  SECTION("of one function") {
    ask("?function=hello");
    REQUIRE(one.read_until("id: 1\n"));
    admin.story->add(happened("other", "again"), now);
    admin.story->add(happened("hello", "during"), now);
    REQUIRE(one.read_until("during"));
    CHECK_FALSE(holds(one.got(), "other"));
  }
  SECTION("the newest of the past, and all that comes") {
    admin.story->add(happened("hello", "third"), now);
    ask("?limit=1&function=hello");
    REQUIRE(one.read_until("third"));
    CHECK_FALSE(holds(one.got(), "parked"));
    for (const char* text : {"fourth", "fifth"}) admin.story->add(happened("hello", text), now);
    REQUIRE(one.read_until("fifth"));
    CHECK(holds(one.got(), "fourth"));
  }
  SECTION("nothing of the past") {
    ask("?limit=0");
    REQUIRE(one.read_until("200 OK"));
    CHECK(soon([&] {  // it has passed what there was
      admin.story->add(happened("hello", "new"), now);
      return one.read_until("new");
    }));
    CHECK_FALSE(holds(one.got(), "parked"));
  }
  SECTION("what came after the one that was seen last") {
    ask(GENERATE("?after=0", "?limit=0"), "Last-Event-ID: 1\r\n");
    REQUIRE(one.read_until("of another"));
    CHECK_FALSE(holds(one.got(), "parked"));
  }
  SECTION("everything, where that was one of a daemon before this one") {
    ask("", "Last-Event-ID: 4711\r\n");
    REQUIRE(one.read_until("of another"));
    CHECK(holds(one.got(), "parked"));
  }
  SECTION("for HTTP/1.0, without chunks") {
    one.send("GET /api/v1/events HTTP/1.0\r\nHost: localhost\r\n\r\n");
    REQUIRE(one.read_until("of another"));
    CHECK_FALSE(holds(one.got(), "chunked"));
    CHECK(holds(one.got(), "\r\n\r\nid: 1\n"));
  }
  SECTION("or not") {
    CHECK(status_of(admin.get("/api/v1/events?follow=true")) == 400);
    CHECK(status_of(admin.get("/api/v1/events?limit=1001")) == 400);
    CHECK(holds(admin.ask("HEAD", "/api/v1/events"), "text/event-stream"));
    ask("");
    std::vector<std::unique_ptr<caller>> followers;
    for (std::size_t i = 0; i < gateway::admin_limits::followers; ++i) {
      followers.push_back(std::make_unique<caller>(admin.port()));
      followers.back()->send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    CHECK(soon([&] { return status_of(admin.get("/api/v1/events")) == 503; }));
  }
}

TEST_CASE("idle connections make room for those who ask") {
  running_admin admin;
  std::vector<std::unique_ptr<caller>> idle;
  for (std::size_t i = 0; i < gateway::admin_limits::connections; ++i) {
    idle.push_back(std::make_unique<caller>(admin.port()));
    idle.back()->send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    REQUIRE(status_of(idle.back()->read_answer()) == 200);
  }
  CHECK(status_of(admin.get("/healthz")) == 200);
  CHECK(idle.front()->read_to_end());  // the longest idle one went
  idle.back()->send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(status_of(idle.back()->read_answer()) == 200);
}

TEST_CASE("a control thread that has ended delays nobody's end") {
  running_admin admin;
  admin.stop_control();
  caller one(admin.port());
  one.send("GET /api/v1/functions HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(status_of(admin.get("/healthz")) == 200);  // is not behind it
  const auto began = std::chrono::steady_clock::now();
  admin.stop();
  CHECK(std::chrono::steady_clock::now() - began < 2s);
  CHECK(status_of(one.read_answer()) == 503);
}

TEST_CASE("a port in use is said in words") {
  running_admin admin;
  boost::asio::io_context context;
  config::snapshot snapshot;
  spdlog::logger log("test", std::make_shared<spdlog::sinks::null_sink_mt>());
  gateway::admin_sources sources{snapshot.server, {}, {}, {}, context, {}, {}, log};
  gateway::admin_server second(context, {"127.0.0.1", admin.port()}, std::move(sources));
  CHECK_THROWS_WITH(second.start(),
                    Catch::Contains("127.0.0.1:" + std::to_string(admin.port())) && Catch::Contains("server.admin"));
}
