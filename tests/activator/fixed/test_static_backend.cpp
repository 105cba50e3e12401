// The backend against servers that listen on this machine.
#include <catch2/catch.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "activator/backend/fixed/endpoint_watch.hpp"
#include "activator/backend/fixed/static_backend.hpp"
#include "tests/activator/backend_contract.hpp"
#include "tests/activator/backend_http/small_server.hpp"

using namespace rouse::fixed;
using namespace std::chrono_literals;
using rouse::activator::run_spec;
using rouse::activator::start_spec;
using rouse::activator::contract::recorder;
using rouse::activator::contract::run_until;
using rouse::backend_http::test::answer;
using rouse::backend_http::test::hear;
using rouse::backend_http::test::say;
using rouse::backend_http::test::small_server;

namespace {

/// Answers every GET with `status`; 0: takes the connection and says nothing.
struct web_server {
  std::atomic<int> status{200};
  std::atomic<int> asked{0};
  std::string last;
  small_server server{[this](int fd, int) {
    for (std::string got = hear(fd); !got.empty(); got = hear(fd)) {
      if (asked == 0) last = got;
      ++asked;
      if (status != 0) say(fd, answer(status, "hi"));
    }
  }};
  [[nodiscard]] std::string at(const std::string& host = "127.0.0.1") const {
    return host + ":" + std::to_string(server.port());
  }
};

struct bed {
  bed() {
    static_settings settings;
    settings.pool = "servers";
    settings.check_interval = 40ms;
    settings.resolve_interval = 40ms;
    settings.seed = 1;
    with = std::make_unique<static_backend>(io, heard, settings);
  }
  void serve(const std::vector<std::string>& endpoints) {
    spec.key = 1;
    spec.function = "app";
    spec.endpoints = endpoints;
    heard.inside_call = true;
    with->serve(spec);
    heard.inside_call = false;
  }
  void start(std::uint64_t id) {
    heard.inside_call = true;
    with->start({spec, id, "app-" + std::to_string(id), {}});
    heard.inside_call = false;
  }
  bool ready(std::uint64_t id) {
    return run_until(io, [&] { return heard.of(id).ready + heard.of(id).exits > 0; }) && heard.of(id).ready == 1;
  }
  bool ended(std::uint64_t id) {
    return run_until(io, [&] { return heard.of(id).exits > 0; });
  }
  bool stands(unsigned count) {
    return run_until(io, [&] { return heard.standing.contains(1) && heard.standing.at(1) == count; });
  }
  ~bed() { CHECK(heard.reports_from_inside == 0); }

  boost::asio::io_context io{1};
  recorder heard;
  run_spec spec;
  std::unique_ptr<static_backend> with;
};

}  // namespace

TEST_CASE("endpoints are instances, each once; what is released is there for the next") {
  bed on;
  const web_server a, b;
  on.serve({a.at(), b.at()});
  for (std::uint64_t id = 1; id <= 3; ++id) on.start(id);
  REQUIRE(on.ready(1));
  REQUIRE(on.ready(2));
  CHECK(on.heard.of(1).where.port != on.heard.of(2).where.port);
  REQUIRE(on.ended(3));
  CHECK(on.heard.of(3).exit.reason == "no-capacity");
  REQUIRE(on.stands(2));
  on.with->stop(1, 5s);
  REQUIRE(on.ended(1));
  CHECK(on.heard.of(1).exit.was_asked);
  on.start(4);
  REQUIRE(on.ready(4));
  CHECK(on.heard.of(4).where.port == on.heard.of(1).where.port);
  CHECK(rouse::activator::contract::get_status(rouse::activator::contract::dial(on.heard.of(1).where)) == 200);
}

TEST_CASE("with a path an endpoint is healthy while that answers 2xx") {
  bed on;
  web_server a;
  a.status = 503;
  on.spec.ready_path = "/healthz";
  on.serve({a.at("localhost")});
  on.start(1);
  REQUIRE(on.ended(1));
  CHECK(on.heard.of(1).exit.reason == "no-capacity");
  CHECK(on.heard.of(1).exit.detail == "none of 1 endpoint is healthy: " + a.at() + " answers GET /healthz with 503");
  REQUIRE(a.asked > 0);  // what the server has written before is seen
  CHECK(a.last.find("Host: " + a.at("localhost") + "\r\n") != std::string::npos);
  a.status = 204;
  REQUIRE(on.stands(1));
  on.start(2);
  REQUIRE(on.ready(2));
  a.status = 500;
  REQUIRE(on.ended(2));
  CHECK(on.heard.of(2).exit.reason == "unhealthy");
  CHECK(on.heard.of(2).exit.was_ready);
  CHECK_FALSE(on.heard.of(2).exit.was_asked);
  REQUIRE(on.stands(0));
  a.status = 200;
  REQUIRE(on.stands(1));
}

TEST_CASE("a server that goes takes its instance with it") {
  bed on;
  std::optional<web_server> a(std::in_place);
  const web_server b;
  on.serve({a->at(), b.at()});
  REQUIRE(on.stands(2));
  on.start(1);
  on.start(2);
  REQUIRE(on.ready(1));
  REQUIRE(on.ready(2));
  const auto on_a = on.heard.of(1).where.port == a->server.port() ? 1U : 2U;
  a.reset();
  REQUIRE(on.ended(on_a));
  CHECK(on.heard.of(on_a).exit.reason == "unhealthy");
  CHECK(on.heard.of(on_a).exit.detail.find("refuses connections") != std::string::npos);
  CHECK(on.stands(1));
  CHECK(on.heard.of(3 - on_a).exits == 0);
}

TEST_CASE("one that says nothing is not healthy when the check's time is over") {
  bed on;
  web_server a;
  a.status = 0;
  on.spec.ready_path = "/";
  on.serve({a.at()});
  on.start(1);
  REQUIRE(on.ended(1));
  CHECK(on.heard.of(1).exit.detail.find("does not answer GET / in time") != std::string::npos);
}

TEST_CASE("a name that cannot be looked up is a problem of the pool, and the reason of a failed start") {
  bed on;
  const web_server a;
  on.serve({"nobody.invalid:80"});
  on.start(1);
  REQUIRE(on.ended(1));
  CHECK(on.heard.of(1).exit.reason == "no-capacity");
  CHECK(on.heard.of(1).exit.detail.find("cannot look up nobody.invalid: ") == 0);
  REQUIRE(run_until(on.io, [&] { return !on.heard.state.problem.empty(); }));
  CHECK(on.heard.state.problem.find("cannot look up nobody.invalid: ") == 0);
  on.with->forget(1);
  CHECK(run_until(on.io, [&] { return on.heard.state.problem.empty(); }));
}

TEST_CASE("a check may take as long as the interval, within bounds") {
  watch_settings of;
  CHECK(check_timeout(of) == 2s);
  of.check_interval = 10ms;
  CHECK(check_timeout(of) == 1s);
  of.check_interval = 1min;
  CHECK(check_timeout(of) == 5s);
}

TEST_CASE("an endpoint is checked once in an interval") {
  bed on;
  web_server a;
  on.spec.ready_path = "/";
  on.serve({a.at()});
  REQUIRE(on.stands(1));
  const int before = a.asked;
  const auto began = std::chrono::steady_clock::now();
  REQUIRE(run_until(on.io, [&] { return a.asked >= before + 10; }));
  CHECK(std::chrono::steady_clock::now() - began > 8 * 36ms);
}
