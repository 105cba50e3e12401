// Starts that fail, instances that crash, and how rarely either is tried again.

#include <catch2/catch.hpp>
#include "lifecycle_rig.hpp"

using namespace rouse;
using namespace rouse::activator;
using namespace std::chrono_literals;
using rig = test::lifecycle_rig;
using park_result = parking_lot::park_result;

namespace {

auto with_min(unsigned min) {
  return [min](config::revision& f) { f.scale.min = min; };
}
auto with_max(unsigned max) {
  return [max](config::revision& f) { f.scale.max = max; };
}

}  // namespace

TEST_CASE("a failed start answers all waiters, with the reason, and refuses until its back-off ends") {
  rig r;
  auto& first = r.request();
  r.now += 5ms;
  r.exits(1, "exited", {"no module named x", "bye\x1b[0m"});
  REQUIRE(first.failed());
  CHECK(first.failure()->reason == "exited");
  CHECK(first.failure()->detail == "exited with status 3");
  CHECK(first.failure()->last_lines.size() == 2);
  CHECK(first.failure()->retry_at == r.now + 1s);
  CHECK(r.log.count("error function f: instance f-ab12cd34-1 could not be started (exited): exited with status 3; "
                    "next try in 1 s at the earliest; its last lines:\n    no module named x\n    bye\\x1b[0m") == 1);
  CHECK(r.log.has("function f: f-ab12cd34: 1 -> 0: a start failed and nothing waits any more"));
  CHECK(r.life->status(r.now).failure == "exited with status 3");
  CHECK(r.life->status(r.now).start_failures.at("exited") == 1);
  CHECK(r.life->kept() == 0);

  r.request();
  CHECK(r.last == park_result::start_failed);
  r.advance(999ms);
  r.request();
  CHECK(r.last == park_result::start_failed);
  CHECK(r.backend.starts.size() == 1);

  r.advance(1ms);  // nobody waits: it is not tried by itself
  CHECK(r.backend.starts.size() == 1);
  CHECK(r.life->status(r.now).failure.empty());
  CHECK_FALSE(r.life->next_due());
  auto& second = r.request();
  CHECK(r.last == park_result::parked);
  REQUIRE(r.backend.starts.size() == 2);
  r.ready(2);
  CHECK(second.served());
}

TEST_CASE("a failed start answers nobody while another instance is starting") {
  rig r;
  auto& a = r.request();
  auto& b = r.request();
  REQUIRE(r.backend.starts.size() == 2);
  r.now += 5ms;
  r.exits(1);
  CHECK_FALSE(a.woken);
  CHECK_FALSE(b.woken);
  CHECK(r.log.has("1 ready or starting remain, next try in 1 s"));

  SECTION("that becomes ready: it serves both, and the other is tried again after the back-off") {
    r.ready(2);
    CHECK(a.served());
    CHECK_FALSE(b.woken);
    r.request();
    CHECK(r.last == park_result::parked);
    r.advance(999ms);
    CHECK(r.backend.starts.size() == 2);
    r.advance(1ms);
    CHECK(r.backend.starts.size() == 4);
    r.ready(3);
    CHECK(b.served());
  }
  SECTION("that fails as well: all are answered, as one failure") {
    r.now += 10ms;
    r.exits(2);
    CHECK(a.failed());
    CHECK(b.failed());
    CHECK(a.failure()->retry_at >= r.now + 990ms);
    CHECK(r.log.count("error ") == 1);
    r.advance(1s);
    r.request();
    CHECK(r.backend.starts.size() == 3);
    r.exits(3);
    CHECK(r.callers.back().failure()->retry_at == r.now + 2s);
  }
}

TEST_CASE("a failed start answers nobody while another instance is ready") {
  rig r;
  auto& a = r.request();
  r.ready(1);
  REQUIRE(a.served());
  r.advance(30s);
  auto& b = r.request();
  r.advance(1s);  // an average over 6 s sees it by then
  REQUIRE(r.backend.starts.size() == 2);
  r.now += 5ms;
  r.exits(2, "timeout");
  CHECK_FALSE(b.woken);
  CHECK(r.life->status(r.now).failure == "exited with status 3");
  r.advance(500ms);
  CHECK(r.backend.starts.size() == 2);
  r.give_back(a);
  CHECK(b.served());
  CHECK(r.life->status(r.now).start_failures.at("timeout") == 1);

  // The one that was left crashes before the back-off is over: now nothing comes, and that is said at once.
  auto& c = r.request();
  r.exits(1, "signalled");
  CHECK(c.failed());
  r.request();
  CHECK(r.last == park_result::start_failed);
  r.advance(500ms);
  r.request();
  CHECK(r.last == park_result::parked);
  b.end();
}

TEST_CASE("with min it tries again by itself, ever more rarely") {
  rig r(with_min(1));
  r.evaluate();
  REQUIRE(r.backend.starts.size() == 1);
  for (const auto delay : {1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s}) {
    const auto tries = r.backend.starts.size();
    r.exits(tries);
    r.advance(delay - 1ms);
    CHECK(r.backend.starts.size() == tries);
    r.request();
    CHECK(r.last == park_result::start_failed);
    r.advance(1ms);
    CHECK(r.backend.starts.size() == tries + 1);
  }
  CHECK(r.log.count("error ") == 8);
  CHECK(r.evaluations < 200);  // no tight loop either: a tick a second
  CHECK(r.log.count("0 -> 1") == 1);

  // Ready for a while: the slate is clean.
  r.ready(9);
  r.advance(10s);
  r.exits(9);
  REQUIRE(r.backend.starts.size() == 10);
  r.exits(10);
  r.advance(1s);
  CHECK(r.backend.starts.size() == 11);
}

TEST_CASE("a crash takes the instance out at once and min replaces it") {
  rig r(with_min(1));
  r.evaluate();
  r.ready(1);
  r.advance(1h);
  CHECK(r.backend.stops.empty());
  r.exits(1, "signalled", {"segfault"});
  CHECK(r.plane.forgotten == std::vector<std::uint64_t>{1});
  CHECK(
      r.log.has("warning function f: instance f-ab12cd34-1 ended by itself 3600 s after it was ready, with 0 in flight "
                "(signalled): exited with status 3; its last lines:\n    segfault"));
  CHECK(r.backend.starts.size() == 2);
  CHECK(r.log.count(" -> ") == 1);  // desired stayed
  CHECK_FALSE(r.runtime->lot.take(0));
  r.ready(2);
  CHECK(r.request().held.on().id() == 2);
}

TEST_CASE("a crash with work: slots come back, parked work gets a new instance") {
  rig r(with_max(1));
  auto& a = r.request();
  r.ready(1);
  REQUIRE(a.served());
  auto& b = r.request();
  r.advance(30s);
  r.exits(1);
  CHECK_FALSE(b.woken);
  REQUIRE(r.backend.starts.size() == 2);  // the old one does not count, though its slot is still taken
  CHECK(r.state(1) == "gone");
  r.ready(2);
  CHECK(b.served());

  // It is freed when the slot came back and the workers have let go, not before.
  r.plane.let_all();
  r.advance(5s);
  CHECK(r.life->kept() == 2);
  r.give_back(a);
  r.advance(1s);
  CHECK(r.state(1) == "none");
  CHECK(r.life->kept() == 2);
  r.plane.let_all();
  CHECK(r.life->kept() == 1);
}

TEST_CASE("crash loops back off, one early end is forgiven") {
  rig r(with_min(1));
  r.evaluate();
  r.ready(1);
  r.advance(2s);
  r.exits(1);
  REQUIRE(r.backend.starts.size() == 2);  // forgiven
  r.ready(2);
  auto& waits = r.request();
  auto& parked = r.request();
  REQUIRE(r.backend.starts.size() == 3);
  r.exits(3);  // a second instance does not even start
  r.advance(500ms);
  r.exits(2);
  CHECK(parked.failed());
  CHECK(parked.failure()->detail == "it keeps ending soon after it was ready: exited with status 3");
  CHECK(r.log.has("it keeps ending, next try in"));
  CHECK(r.life->status(r.now).start_failures.size() == 1);
  waits.end();
  r.request();
  CHECK(r.last == park_result::start_failed);
  const auto tries = r.backend.starts.size();
  r.advance(500ms);
  CHECK(r.backend.starts.size() == tries);
  r.advance(2s);
  REQUIRE(r.backend.starts.size() == tries + 1);
  r.ready(r.backend.starts.back().id);
  r.advance(1s);
  const auto before = r.now;
  r.exits(r.backend.starts.back().id);
  r.advance(1900ms);
  CHECK(r.backend.starts.size() == tries + 1);
  r.advance(10s);
  CHECK(r.backend.starts.size() == tries + 2);
  CHECK(r.now - before > 2s);
}

TEST_CASE("what cannot be started does not make `desired` follow each request") {
  rig r;
  auto& a = r.request();
  r.ready(1);
  REQUIRE(a.served());
  r.advance(70s);
  for (int i = 0; i < 8; ++i) {
    auto& b = r.request();  // parks, and asks for a second instance
    r.advance(1s);
    if (r.running() == 2) r.exits(r.backend.starts.back().id);
    CHECK_FALSE(b.woken);
    r.callers.pop_back();  // leaves
    r.evaluate();
  }
  CHECK(r.log.count("f-ab12cd34: 1 -> 2") == 1);
  CHECK(r.log.count("f-ab12cd34: 2 -> 1") == 0);
  r.advance(30s);
  if (r.running() == 2) r.ready(r.backend.starts.back().id);
  r.advance(2min);
  CHECK(r.backend.stops.size() == 1);
  CHECK(r.log.count("f-ab12cd34: 1 -> 2") == 1);
  CHECK(r.log.count("f-ab12cd34: 2 -> 1") == 1);
  a.end();
}
