// Instances that are frozen when idle: how they go to sleep, what wakes them, and what may happen meanwhile.

#include <catch2/catch.hpp>

#include "lifecycle_rig.hpp"

using namespace rouse;
using namespace std::chrono_literals;
using stop_call = test::fake_backend::stop_call;
using rig = test::lifecycle_rig;
using ids = std::vector<std::uint64_t>;

namespace {

void freezes(config::revision& f) {
  f.concurrency = 2;
  f.scale.to_zero = config::to_zero::freeze;
  f.scale.frozen_for = 1h;
}

/// One instance, idle for long enough to be frozen; the workers have not said yet that they let go of it.
void put_to_sleep(rig& r) {
  auto& one = r.request();
  r.ready(1);
  REQUIRE(one.served());
  r.advance(5s);
  r.give_back(one);
  r.plane.let_all();
  r.advance(60s);
}

}  // namespace

TEST_CASE("an idle instance is frozen once the workers have let go of it, and not before") {
  rig r(freezes);
  put_to_sleep(r);
  CHECK(r.state(1) == "frozen");
  CHECK(r.plane.forgotten == ids{1});
  CHECK(r.backend.frozen.empty());
  CHECK_FALSE(r.runtime->lot.take(0));
  r.plane.let_all();
  CHECK(r.backend.frozen == ids{1});
  CHECK(r.backend.stops.empty());
  CHECK(r.life->status(r.now).desired == 0);
  CHECK(r.book.status(r.now)[0].instances == 1);
  CHECK(r.log.has("1 -> 0: idle for 60 s -> 0"));
}

TEST_CASE("the first request thaws it, before it can hold the request, and nothing is started") {
  rig r(freezes);
  put_to_sleep(r);
  r.plane.let_all();
  r.advance(10min);
  auto& one = r.request();
  CHECK(r.backend.thawed == ids{1});
  REQUIRE(one.served());
  CHECK(one.held.on().id() == 1);
  CHECK(r.backend.starts.size() == 1);
  CHECK(r.life->status(r.now).thaws == 1);
  CHECK(r.life->status(r.now).desired == 1);
  // And around once more.
  r.advance(1s);
  r.give_back(one);
  r.advance(60s - 1ms);
  CHECK(r.state(1) == "ready");
  r.advance(1ms);
  CHECK(r.state(1) == "frozen");
  r.plane.let_all();
  CHECK(r.backend.frozen == ids{1, 1});
}

TEST_CASE("a request before the workers have let go takes it back: it is never frozen") {
  rig r(freezes);
  put_to_sleep(r);
  auto& one = r.request();
  REQUIRE(one.served());
  r.plane.let_all();
  CHECK(r.backend.frozen.empty());
  CHECK(r.backend.thawed.empty());
  CHECK(r.life->status(r.now).thaws == 0);
  CHECK(r.state(1) == "ready");

  SECTION("nor by the answer to the first leaving, when it goes to sleep again") {
    r.give_back(one);
    r.advance(60s);
    auto first = std::exchange(r.plane.forgets, {});
    REQUIRE(r.request().served());
    r.callers.clear();
    r.advance(60s);
    REQUIRE(r.state(1) == "frozen");
    for (const auto& then : first) then();
    CHECK(r.backend.frozen.empty());
    r.plane.let_all();
    CHECK(r.backend.frozen == ids{1});
  }
}

TEST_CASE("what has been frozen for `frozen_for` is stopped") {
  rig r(freezes);
  put_to_sleep(r);
  r.plane.let_all();
  r.evaluations = 0;
  r.advance(1h - 2s);
  CHECK(r.backend.stops.empty());
  CHECK(r.evaluations < 5);  // sleep costs nothing
  r.advance(4s);
  CHECK(r.backend.stops == std::vector<stop_call>{{1, 30s}});
  r.exits(1);
  r.plane.let_all();
  CHECK(r.life->kept() == 0);
  r.advance(1s);
  CHECK_FALSE(r.life->next_due());
  r.request();
  CHECK(r.backend.starts.size() == 2);
}

TEST_CASE("one that dies in its sleep is missed by nobody, and the next request starts another") {
  rig r(freezes);
  put_to_sleep(r);
  SECTION("frozen") {
    r.plane.let_all();
  }
  SECTION("about to be") {}
  const auto frozen = r.backend.frozen;
  r.exits(1, "signalled");
  CHECK(r.log.has("ended by itself"));
  CHECK(r.backend.starts.size() == 1);
  CHECK(r.book.status(r.now)[0].instances == 0);
  r.plane.let_all();
  CHECK(r.backend.frozen == frozen);  // nothing is frozen that is gone
  r.advance(1s);
  r.plane.let_all();
  CHECK(r.life->kept() == 0);
  auto& one = r.request();
  REQUIRE(r.backend.starts.size() == 2);
  CHECK(r.backend.thawed.empty());
  r.ready(2);
  CHECK(one.served());
}

TEST_CASE("a backend that cannot freeze stops") {
  rig r(freezes);
  r.backend.freezes = false;
  put_to_sleep(r);
  CHECK(r.backend.stops == std::vector<stop_call>{{1, 30s}});
}

TEST_CASE("frozen ones end at a restart, at shutdown, and for somebody who needs the place") {
  rig r(freezes);
  put_to_sleep(r);
  r.plane.let_all();
  SECTION("restart") {
    r.life->replace_all();
    r.evaluate();
  }
  SECTION("shutdown") {
    r.life->shut_down(r.now + 60s, r.now);
  }
  SECTION("place") {
    CHECK_FALSE(r.life->end_one_frozen(7, r.now));  // not in this pool
    CHECK(r.life->end_one_frozen(0, r.now));
    CHECK_FALSE(r.life->end_one_frozen(0, r.now));
  }
  CHECK(r.backend.stops == std::vector<stop_call>{{1, 30s}});
  CHECK(r.backend.starts.size() == 1);
  CHECK_FALSE(r.runtime->lot.take(0));
}

TEST_CASE("what is there wakes, or comes back, while the back-off after a failed start lasts") {
  const bool freeze = GENERATE(true, false);
  CAPTURE(freeze);
  rig r([&](auto& f) {
    f.scale.idle = 100ms;
    if (freeze) f.scale.to_zero = config::to_zero::freeze;
  });
  auto& first = r.request();
  r.ready(1);
  REQUIRE(first.served());
  r.request();
  REQUIRE(r.backend.starts.size() == 2);
  r.callers.pop_back();  // who leaves before it starts
  r.now += 10ms;
  r.exits(2);
  const auto until = r.now + 900ms;  // not before then is anything started
  if (freeze) {
    r.give_back(first);
    r.advance(200ms);
    REQUIRE(r.state(1) == "frozen");
    SECTION("thawed") {
      r.plane.let_all();
      REQUIRE(r.backend.frozen == ids{1});
    }
    SECTION("taken back") {}
  } else {
    r.bound(0, 0);
    REQUIRE(r.state(1) == "draining");
    r.bound(0, 5);
  }
  auto& one = r.request();
  if (!freeze) r.give_back(first);
  CHECK_FALSE(one.failed());
  CHECK(one.served());
  CHECK(r.backend.thawed == r.backend.frozen);
  CHECK(r.now < until);
  CHECK(r.backend.starts.size() == 2);
}

TEST_CASE("a busy instance is not frozen, and min keeps one awake") {
  rig r([](auto& f) {
    freezes(f);
    f.scale.min = 1;
  });
  r.evaluate();
  r.ready(1);
  r.advance(1h);
  CHECK(r.state(1) == "ready");
  r.bound(0, 5);
  REQUIRE(r.state(1) == "frozen");  // idle for an hour
  auto& one = r.request();
  REQUIRE(one.served());
  r.advance(1h);
  CHECK(r.state(1) == "ready");
  CHECK(one.held.on().state() == router::instance_state::open);
}
