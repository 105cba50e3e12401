// One function's instances through all that can happen to them, on a clock that the test moves.

#include <catch2/catch.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include "lifecycle_rig.hpp"

using namespace rouse;
using namespace rouse::activator;
using namespace std::chrono_literals;
using test::fake_backend;
using rig = test::lifecycle_rig;

namespace {

auto with_min(unsigned min) {
  return [min](config::revision& f) { f.scale.min = min; };
}
auto with_max(unsigned max) {
  return [max](config::revision& f) { f.scale.max = max; };
}

}  // namespace

TEST_CASE("at rest there is nothing to do and nothing due") {
  rig r;
  CHECK_FALSE(r.life->next_due());
  r.evaluate();
  CHECK_FALSE(r.life->next_due());
  CHECK(r.backend.starts.empty());
  CHECK(r.log.text.str().empty());
}

TEST_CASE("the first request starts an instance and gets it") {
  rig r([](auto& f) {
    f.env = {{"LEVEL", "3"}};
    f.ready_path = "/healthz";
    f.start_timeout = 7s;
  });
  auto& first = r.request();
  REQUIRE(r.backend.starts.size() == 1);
  const auto& spec = r.backend.starts[0];
  CHECK(spec.id == 1);
  CHECK(spec.function == "f");
  CHECK(spec.revision == "f-ab12cd34");
  CHECK(spec.instance == "f-ab12cd34-1");
  CHECK(spec.command == std::vector<std::string>{"./run"});
  CHECK(spec.env.at("LEVEL") == "3");
  CHECK(spec.directory == "/srv");
  CHECK(spec.ready_path == "/healthz");
  CHECK(spec.start_timeout == 7s);
  CHECK(r.log.has("info function f: f-ab12cd34: 0 -> 1: 1 parked, none ready -> 1"));
  CHECK(r.state(1) == "starting");
  CHECK_FALSE(first.served());

  const auto decided = r.now;
  r.now += 12ms;
  r.ready(1);
  REQUIRE(first.served());
  CHECK(first.held.on().id() == 1);
  CHECK(first.held.on().where().port == 20'000);
  CHECK(first.held.on().decided_ns() == decided.time_since_epoch().count());
  CHECK(first.held.on().ready_ns() == r.now.time_since_epoch().count());
  CHECK(first.held.on().connections.connections == 0);  // the backend gave no probe away
  CHECK(r.log.has("info function f: instance f-ab12cd34-1 ready after 12 ms on 127.0.0.1:20000"));

  const auto status = r.life->status(r.now + 5ms);
  CHECK(status.function == "f");
  CHECK(status.revision == "f-ab12cd34");
  CHECK(status.in_flight == 1);
  CHECK(status.parked == 0);
  CHECK(status.desired == 1);
  REQUIRE(status.instances.size() == 1);
  CHECK(status.instances[0].state == "ready");
  CHECK(status.instances[0].address == "127.0.0.1:20000");
  CHECK(status.instances[0].in_flight == 1);
  CHECK(status.instances[0].age == 17ms);
  CHECK(status.cold_starts == 1);
  CHECK(status.cold_start_sum_ns == 12'000'000);
  CHECK(status.cold_start_buckets.at(5) == 1);
  REQUIRE(status.decisions.size() == 1);
  CHECK(status.decisions[0].to == 1);
  CHECK(r.decisions(true) == 1);
}

TEST_CASE("the readiness probe becomes the first connection") {
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  {
    rig r;
    auto& first = r.request();
    r.life->on_ready(1, test::ready_on(20'000, pair[0]), r.now);
    r.box.deliver();
    REQUIRE(first.served());
    CHECK(first.held.on().connections.probe_socket == pair[0]);
    CHECK(first.held.on().connections.connections == 1);
  }
  ::close(pair[1]);
}

TEST_CASE("as many instances as the work needs, never above max, those that start counted") {
  rig r(with_max(3));
  r.request();
  r.request();
  CHECK(r.backend.starts.size() == 2);
  for (int i = 0; i < 10; ++i) r.request();
  CHECK(r.backend.starts.size() == 3);
  r.advance(10s);
  CHECK(r.backend.starts.size() == 3);
  r.ready(1);
  r.ready(2);
  r.ready(3);
  r.advance(10s);
  CHECK(r.backend.starts.size() == 3);
  CHECK(r.life->status(r.now).in_flight == 3);
  CHECK(r.life->status(r.now).parked == 9);
}

TEST_CASE("extra instances go by the average over `window`, the longest idle first, and none that is busy") {
  rig r;
  auto& a = r.request();
  auto& b = r.request();
  auto& c = r.request();
  for (const auto id : {1, 2, 3}) r.ready(static_cast<std::uint64_t>(id));
  REQUIRE((a.served() && b.served() && c.served()));
  const auto a_id = a.held.on().id();
  const auto b_id = b.held.on().id();
  r.advance(90s);
  r.give_back(b);
  r.advance(10s);
  r.give_back(a);
  // 3 for 90 s, 2 for 10 s, then 1: the average over a minute is 2 at 125 s, and 1 at 160 s.
  r.advance(24s);
  CHECK(r.backend.stops.empty());
  std::vector<std::string> order;
  r.backend.on_stop = [&] {
    order.push_back("stop after " + std::to_string(r.plane.forgotten.size()) + " forgotten");
    CHECK(r.state(b_id) == "stopping");
  };
  r.advance(2s);
  CHECK(r.backend.stops == std::vector<fake_backend::stop_call>{{b_id, 30s}});
  CHECK(order == std::vector<std::string>{"stop after 1 forgotten"});
  CHECK(r.log.has("function f: f-ab12cd34: 3 -> 2: stable: 2 in flight / target 1 -> 2"));
  r.advance(33s);
  CHECK(r.backend.stops.size() == 1);
  r.advance(2s);
  CHECK(r.backend.stops == std::vector<fake_backend::stop_call>{{b_id, 30s}, {a_id, 30s}});
  r.advance(1h);  // the third is busy all the time
  CHECK(r.backend.stops.size() == 2);
  CHECK(c.held.on().state() == router::instance_state::open);

  r.exits(a_id);
  r.exits(b_id);
  CHECK(r.log.has("info function f: instance f-ab12cd34-1 stopped"));
  CHECK(r.life->status(r.now).start_failures.empty());
  r.plane.let_all();
  CHECK(r.life->kept() == 1);
  CHECK(r.decisions(false) == 2);
}

TEST_CASE("nothing is lowered within the first `window`, but `idle` is kept to") {
  rig r([](auto& f) { f.scale.idle = 30s; });
  auto& a = r.request();
  auto& b = r.request();
  r.ready(1);
  r.ready(2);
  REQUIRE((a.served() && b.served()));
  r.advance(1s);
  r.give_back(a);
  r.advance(58s);
  CHECK(r.backend.stops.empty());
  r.give_back(b);
  r.advance(30s - 1ms);
  CHECK(r.backend.stops.size() <= 1);  // by the average: the window is over by now
  r.advance(1ms);
  CHECK(r.backend.stops.size() == 2);
  CHECK(r.log.has("idle for 30 s -> 0"));
}

TEST_CASE("an instance that was never used is idle since it was ready; zero is at rest again") {
  rig r;
  {
    auto& first = r.request();
    (void)first;
    r.callers.clear();  // the caller leaves
  }
  r.evaluate();
  CHECK(r.backend.stops.empty());  // a start is not called off: it is idle only since it is ready
  r.advance(20s);
  r.ready(1);
  r.advance(60s - 1ns);
  CHECK(r.backend.stops.empty());
  r.advance(1ns);
  REQUIRE(r.backend.stops.size() == 1);
  CHECK(r.log.has("1 -> 0: idle for 60 s -> 0"));
  r.exits(1);
  r.plane.let_all();
  CHECK(r.life->kept() == 0);
  r.advance(2s);
  CHECK_FALSE(r.life->next_due());
}

TEST_CASE("a short `idle` is kept to") {
  rig r([](auto& f) { f.scale.idle = 200ms; });
  auto& a = r.request();
  r.ready(1);
  REQUIRE(a.served());
  r.advance(3s + 70ms);
  r.give_back(a);
  r.advance(199ms);
  CHECK(r.backend.stops.empty());
  r.advance(1ms);
  CHECK(r.backend.stops.size() == 1);
}

TEST_CASE("idle of nothing stops an instance as soon as its work is done") {
  rig r([](auto& f) { f.scale.idle = 0ms; });
  auto& a = r.request();
  r.ready(1);
  REQUIRE(a.served());
  r.advance(5s);
  CHECK(r.backend.stops.empty());
  r.give_back(a);
  r.advance(10ms);
  CHECK(r.backend.stops.size() == 1);
}

TEST_CASE("min instances stay however idle") {
  rig r(with_min(2));
  r.evaluate();
  r.ready(1);
  r.ready(2);
  auto& a = r.request();
  auto& b = r.request();
  auto& c = r.request();
  CHECK(r.backend.starts.size() == 3);
  r.ready(3);
  r.advance(1s);
  for (auto* one : {&a, &b, &c}) {
    REQUIRE(one->served());
    r.give_back(*one);
  }
  r.advance(1h);
  CHECK(r.backend.stops.size() == 1);
  CHECK(r.running() == 3);
  CHECK(r.life->status(r.now).desired == 2);
  CHECK(r.log.has("3 -> 2: "));
}

TEST_CASE("a request that comes while the last instance stops is a normal start") {
  rig r;
  auto& a = r.request();
  r.ready(1);
  REQUIRE(a.served());
  r.give_back(a);
  r.advance(60s);
  REQUIRE(r.backend.stops.size() == 1);
  auto& b = r.request();
  CHECK_FALSE(b.woken);
  REQUIRE(r.backend.starts.size() == 2);
  CHECK(r.life->status(r.now).desired == 1);
  r.exits(1);
  CHECK_FALSE(b.woken);
  r.ready(2);
  REQUIRE(b.served());
  CHECK(b.held.on().id() == 2);
}

TEST_CASE("a request that takes the idle instance first keeps it") {
  rig r;
  auto& a = r.request();
  r.ready(1);
  REQUIRE(a.served());
  r.give_back(a);
  r.advance(60s - 1ns);
  CHECK(r.request().held);  // straight away, without a word to the control thread
  r.advance(1h);
  CHECK(r.backend.stops.empty());
}

TEST_CASE("decisions: the last ten, newest first") {
  rig r([](auto& f) { f.scale.idle = 1s; });
  for (int i = 0; i < 8; ++i) {
    auto& a = r.request();
    const auto id = r.backend.starts.back().id;
    r.ready(id);
    REQUIRE(a.served());
    r.give_back(a);
    r.advance(1s);
    r.exits(id);
    r.plane.let_all();
  }
  const auto status = r.life->status(r.now);
  CHECK(r.decisions(true) == 8);
  CHECK(r.decisions(false) == 8);
  REQUIRE(status.decisions.size() == 10);
  CHECK(status.decisions[0].from == 1);
  CHECK(status.decisions[0].to == 0);
  CHECK(status.decisions[1].to == 1);
  CHECK(status.decisions[0].reason == "idle for 1 s -> 0");
  CHECK(status.decisions[0].at == std::chrono::system_clock::time_point(1000s));
}

TEST_CASE("output goes to the ring and, made printable, to the log") {
  rig r;
  r.request();
  r.life->on_output(1, "hello");
  r.life->on_output(1, "\x1b[31mred");
  CHECK(r.log.has("info [f f-ab12cd34-1] hello\n"));
  CHECK(r.log.has("info [f f-ab12cd34-1] \\x1b[31mred\n"));
  const auto lines = r.function->output.since(0);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].instance == "f-ab12cd34-1");
  CHECK(lines[1].text == "\x1b[31mred");
}

TEST_CASE("without a slot limit a slow first answer holds up nobody for long") {
  rig r([](auto& f) { f.concurrency = 0; });
  for (int i = 0; i < 7; ++i) r.request();
  CHECK(r.backend.starts.size() == 1);
  r.ready(1);
  const auto served = [&] { return std::ranges::count_if(r.callers, [](auto& one) { return one.served(); }); };
  const auto at_first = served();
  CHECK(at_first < 7);
  r.advance(10s);
  CHECK(served() == 7);
}
