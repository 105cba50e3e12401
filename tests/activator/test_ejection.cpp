// Instances that keep failing get no work for a while.

#include <catch2/catch.hpp>

#include "lifecycle_rig.hpp"

using namespace rouse;
using namespace std::chrono_literals;
using rig = test::lifecycle_rig;

namespace {

void three_strikes(config::revision& f) {
  f.concurrency = 4;
  f.outlier.failures = 3;
  f.outlier.eject = 30s;
}

/// As a worker counts exchanges that failed on this instance; at the third it asks the control thread to look.
void fail(rig& r, std::uint64_t id, int times = 3) {
  for (auto& one : r.callers) {
    if (!one.held || one.held.on().id() != id) continue;
    bool look = false;
    for (int i = 0; i < times; ++i) look = one.held.on().failed(3);
    CHECK(look == (times >= 3));
    r.evaluate();
    return;
  }
  FAIL("no request is on instance " << id);
}

std::size_t ejected(rig& r) {
  const auto instances = r.life->status(r.now).instances;
  return static_cast<std::size_t>(std::ranges::count(instances, "ejected", &activator::instance_status::state));
}

}  // namespace

TEST_CASE("failures in a row take an instance out, and another takes its place") {
  rig r(three_strikes);
  r.fill(4, 1);
  fail(r, 2, 2);
  CHECK(ejected(r) == 0);
  fail(r, 2, 1 + 2);
  CHECK(r.state(2) == "ejected");
  CHECK(r.log.has("warning function f: instance f-ab12cd34-2 failed 5 times in a row: it gets no work for 30 s"));
  CHECK(r.life->status(r.now).ejections == 1);
  REQUIRE(r.backend.starts.size() == 5);
  for (int i = 0; i < 9; ++i) {
    auto& one = r.request();
    REQUIRE(one.held);
    CHECK(one.held.on().id() != 2);
  }
  CHECK_FALSE(r.request().held);  // the three others are full
  CHECK(r.backend.stops.empty());
}

TEST_CASE("a success in between is forgiven") {
  rig r(three_strikes);
  r.fill(2, 1);
  fail(r, 1, 2);
  for (auto& one : r.callers) one.held.on().succeeded();
  fail(r, 1, 2);
  CHECK(ejected(r) == 0);
}

TEST_CASE("at most half of them") {
  rig r(three_strikes);
  r.fill(5, 1);
  for (std::uint64_t id = 1; id <= 5; ++id) fail(r, id);
  CHECK(ejected(r) == 2);
  // When the first come back, the others have not been forgotten.
  r.advance(30s);
  CHECK(ejected(r) >= 2);
  CHECK(r.state(1) == "ready");
}

TEST_CASE("but at least one, and who comes then waits for another") {
  rig r([](auto& f) {
    three_strikes(f);
    f.scale.max = 1;
  });
  auto& first = r.request();
  r.ready(1);
  REQUIRE(first.served());
  fail(r, 1);
  CHECK(r.state(1) == "ejected");
  auto& waits = r.request();
  CHECK_FALSE(waits.served());
  REQUIRE(r.backend.starts.size() == 2);
  r.ready(2);
  REQUIRE(waits.served());
  CHECK(waits.held.on().id() == 2);
}

TEST_CASE("it comes back after its pause, with a clean slate, and is out longer each time") {
  rig r([](auto& f) {
    three_strikes(f);
    f.outlier.eject = 100s;
  });
  r.fill(2, 1);
  for (const auto pause : {100s, 200s, 300s, 300s}) {  // five minutes at most
    CAPTURE(pause.count());
    fail(r, 1);
    REQUIRE(r.state(1) == "ejected");
    r.advance(pause - 1ms);
    CHECK(r.state(1) == "ejected");
    r.advance(1ms);
    CHECK(r.state(1) == "ready");
    CHECK(r.log.has("info function f: instance f-ab12cd34-1 may have work again"));
    fail(r, 1, 2);
    CHECK(r.state(1) == "ready");
  }
}

TEST_CASE("one that comes back is offered to those who wait") {
  rig r([](auto& f) {
    three_strikes(f);
    f.concurrency = 1;
    f.scale.max = 1;
  });
  auto& first = r.request();
  r.ready(1);
  REQUIRE(first.served());
  fail(r, 1);
  auto& waits = r.request();
  r.give_back(first);
  CHECK_FALSE(waits.served());
  r.advance(30s);
  REQUIRE(waits.served());
  CHECK(waits.held.on().id() == 1);
}

TEST_CASE("ejected and idle: all end together, and nothing is started for it") {
  rig r([](auto& f) {
    three_strikes(f);
    f.outlier.eject = 1h;
  });
  auto& first = r.request();
  r.ready(1);
  REQUIRE(first.served());
  fail(r, 1);
  auto& second = r.request();
  REQUIRE(r.backend.starts.size() == 2);
  r.ready(2);
  REQUIRE(second.served());
  r.give_back(first);
  r.give_back(second);
  r.advance(61s);
  CHECK(r.backend.stops.size() == 2);
  CHECK(r.backend.starts.size() == 2);
  CHECK(r.life->status(r.now).desired == 0);
}

TEST_CASE("0 failures: never") {
  rig r([](auto& f) {
    f.concurrency = 4;
    f.outlier.failures = 0;
  });
  r.fill(2, 1);
  for (int i = 0; i < 100; ++i) static_cast<void>(r.callers.front().held.on().failed(5));
  r.evaluate();
  CHECK(ejected(r) == 0);
}

TEST_CASE("an ejected instance that crashes is cleared away") {
  rig r(three_strikes);
  r.fill(2, 1);
  fail(r, 1);
  r.exits(1, "signalled");
  CHECK(r.state(1) == "gone");  // its slot is still taken
  r.callers.clear();
  r.advance(1s);
  r.plane.let_all();
  r.advance(1s);
  r.plane.let_all();
  CHECK(r.state(1) == "none");
}
