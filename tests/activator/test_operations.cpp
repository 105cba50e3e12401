// What people set by hand: traffic, bounds and restarts, and how long it stands.

#include <catch2/catch.hpp>

#include "control_rig.hpp"

using namespace rouse;
using namespace std::chrono_literals;
using test::run_by;
using test::serving;
using rig = test::control_rig;

TEST_CASE("set_traffic moves who is parked, in order, counted, and refuses nobody") {
  rig r;
  auto config = run_by("a");
  config.revisions.push_back(config.revisions[0]);
  config.revisions[1].name = "b";
  config.weights = {100, 0};
  config.queue.max_requests = 3;
  for (auto& one : config.revisions) one.scale.max = 1;
  auto& f = r.apply(config);
  auto& held = r.request("f");
  r.ready(1);
  REQUIRE(held.served());
  std::vector<test::caller*> waits;
  for (int i = 0; i < 3; ++i) waits.push_back(&r.request("f"));
  r.request("f");
  CHECK(r.last == activator::parking_lot::park_result::queue_full);
  r.callers.pop_back();

  CHECK(f.set_traffic({{"c", 1}}, r.now) == "there is no revision c; there is a, b");
  CHECK(f.set_traffic({{"a", 0}, {"b", 0}}, r.now) == "at least one revision must have a weight above 0");
  CHECK(f.current()->weights == std::vector<std::uint32_t>{100, 0});
  CHECK(f.set_traffic({{"b", 5}}, r.now).empty());
  r.settle();
  CHECK(f.current()->weights == std::vector<std::uint32_t>{0, 5});
  CHECK(r.status("f").set_traffic);
  CHECK(r.moved_order == std::vector<const test::caller*>(waits.begin(), waits.end()));
  CHECK(f.runtime()->budget.requests == 3);
  CHECK(r.choose("f", "a")->lot.parked() == 0);
  CHECK(r.choose("f", "b")->lot.parked() == 3);
  REQUIRE(r.backend.starts.size() == 2);
  CHECK(r.backend.starts[1].revision == "b");
  r.ready(2);
  for (auto* one : waits) {
    REQUIRE(one->served());
    CHECK(one->held.on().id() == 2);
    r.give_back(*one);
  }
  CHECK(f.runtime()->budget.requests == 0);
  CHECK(held.held.on().state() == router::instance_state::open);  // what runs goes on
}

TEST_CASE("waiters that are moved while the limit is full are counted on top") {
  rig r;
  auto config = run_by("a");
  config.revisions.push_back(config.revisions[0]);
  config.revisions[1].name = "b";
  config.weights = {50, 50};
  config.queue.max_requests = 2;
  auto& f = r.apply(config);
  auto& a = r.request("f", "a");
  auto& b = r.request("f", "b");
  config.queue.max_requests = 1;  // a reload: who is parked stays, and is told to choose anew
  r.apply(config);
  CHECK(f.runtime()->budget.requests == 2);
  CHECK_FALSE(a.failed());
  CHECK_FALSE(b.failed());
  r.run_all();
  CHECK(a.served());
}

TEST_CASE("what was set by hand stands until a reload changes that very key") {
  rig r;
  auto config = run_by("a", 1);
  config.revisions.push_back(config.revisions[0]);
  config.revisions[1].name = "b";
  config.weights = {100, 0};
  auto& f = r.apply(config);
  CHECK(f.set_scale(7, 5, r.now) == "min (7) is more than max (5)");
  CHECK(f.set_scale(std::nullopt, 0, r.now) == "max must be at least 1");
  CHECK(f.kept().empty());
  REQUIRE(f.set_scale(2, 5, r.now).empty());
  REQUIRE(f.set_traffic({{"b", 1}}, r.now).empty());
  r.run_all();
  CHECK(r.count("f", "b", "ready") == 2);
  CHECK(r.status("f").set_min == 2u);

  config.revisions[0].stop_grace = 5s;
  r.apply(config);
  CHECK(f.kept().min);
  CHECK(f.kept().max);
  CHECK(f.kept().traffic);
  CHECK(f.current()->weights == std::vector<std::uint32_t>{0, 1});
  for (auto& one : config.revisions) one.scale.min = 3;
  r.apply(config);
  CHECK_FALSE(f.kept().min);
  CHECK(f.kept().max->value == 5);
  CHECK(f.kept().traffic);
  r.run_all();
  CHECK(r.count("f", "b", "ready") == 3);
  config.weights = {60, 40};
  r.apply(config);
  CHECK_FALSE(f.kept().traffic);
  CHECK(f.kept().max);
  CHECK(f.current()->weights == std::vector<std::uint32_t>{60, 40});
  for (auto& one : config.revisions) one.scale.max = 9;
  r.apply(config);
  CHECK(f.kept().empty());
}

TEST_CASE("restart replaces one by one, and there are never fewer") {
  const bool old_enough = GENERATE(false, true);
  CAPTURE(old_enough);
  rig r;
  auto& f = r.apply(run_by("f-1", 3));
  r.run_all();
  if (old_enough) r.advance(5min);
  auto& busy = r.request("f");
  REQUIRE(busy.served());
  f.restart(r.now);
  r.settle();
  for (std::uint64_t id = 4; id <= 6; ++id) {
    CAPTURE(id);
    r.advance(30s);
    REQUIRE(r.backend.starts.size() == id);
    CHECK(serving(r) == 3);
    r.ready(id);
    CHECK(serving(r) == 3);
    for (std::uint64_t old = 1; old <= 3; ++old) {
      if (r.state(old) == "stopping") r.exits(old);
    }
  }
  r.advance(5min);
  CHECK(r.backend.starts.size() == 6);
  CHECK(r.count("f", "f-1", "ready") == 3);
  CHECK(r.state(busy.held.on().id()) == "draining");  // its request is not cut off
  for (std::uint64_t id = 4; id <= 6; ++id) CHECK(r.state(id) == "ready");
}

TEST_CASE("restart in a full pool: one goes for each that comes; one that cannot start costs no more than one") {
  rig r({test::a_pool("local", 3)});
  auto& f = r.apply(run_by("f-1", 3));
  r.run_all();
  f.restart(r.now);
  r.settle();
  r.advance(10s);
  REQUIRE(r.backend.stops.size() == 1);
  r.exits(r.backend.stops[0].id);
  REQUIRE(r.backend.starts.size() == 4);
  r.exits(4);
  for (int i = 0; i < 5; ++i) {
    r.advance(1min);
    CHECK(serving(r) == 2);
    const auto last = r.backend.starts.back().id;
    if (r.state(last) == "starting") r.exits(last);
  }
  for (int i = 0; i < 6; ++i) {
    r.advance(2min);
    r.run_all();
  }
  CHECK(serving(r) == 3);
  for (std::uint64_t id = 1; id <= 3; ++id) CHECK(r.state(id) == "none");
}
