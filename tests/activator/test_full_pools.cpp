// Rollouts and restarts where there is no room for the new beside the old: who goes, when, and who must not.

#include <catch2/catch.hpp>

#include "control_rig.hpp"

using namespace rouse;
using namespace std::chrono_literals;
using test::a_pool;
using test::run_by;
using test::serving;
using rig = test::control_rig;

namespace {

config::function placed(const std::string& revision, unsigned min, std::vector<config::pool_use> pools) {
  auto out = run_by(revision, min);
  out.revisions[0].pools = std::move(pools);
  return out;
}

/// Function g, with so many instances that are busy for good.
void neighbour(rig& r, unsigned instances, std::vector<config::pool_use> pools) {
  auto config = placed("g-1", 0, std::move(pools));
  config.name = "g";
  r.apply(config);
  for (unsigned i = 0; i < instances; ++i) r.request("g");
  r.run_all();
  REQUIRE(r.count("g", "g-1", "ready") == instances);
}

/// How many instances of f were told to stop or drain and are not gone, and those that are starting.
std::size_t on_the_way(rig& r) {
  std::size_t n = 0;
  for (const auto& revision : r.status("f").revisions) {
    for (const auto& one : revision.instances) n += one.state != "ready" && one.state != "ejected" ? 1 : 0;
  }
  return n;
}

/// Lets things happen one by one until nothing does, and looks in between. At most one instance is on its way to or
/// from its place at any time.
void run_by_and_by(
    rig& r, const std::function<void()>& look = [] {}) {
  for (bool changed = true; changed;) {
    changed = false;
    r.advance(2s);
    CHECK(on_the_way(r) <= 1);
    look();
    const auto running = r.around.by_id;
    for (const auto& [id, life] : running) {
      const auto is = r.state(id);
      if (is == "starting") r.ready(id);
      if (is == "stopping") r.exits(id);
      if ((changed = is == "starting" || is == "stopping")) break;
    }
    r.plane.let_all();
    r.settle();
  }
}

}  // namespace

TEST_CASE("a rollout into a pool whose limit was lowered: as many go as are too many, then one for each new one") {
  const auto limit = GENERATE(1U, 2U);
  CAPTURE(limit);
  rig r({a_pool("local", 3)});
  r.apply(run_by("f-1", 3));
  r.run_all();
  REQUIRE(serving(r) == 3);
  r.use_pools({a_pool("local", limit)});
  r.apply(run_by("f-2", limit));
  run_by_and_by(r, [&] {
    CHECK(serving(r) + 1 >= limit);  // the one that is gone before its successor is there
  });
  CHECK(r.role("f", "f-1") == "none");
  CHECK(r.count("f", "f-2", "ready") == limit);
  CHECK(r.status("f").rollout.empty());
  CHECK(r.used("local") == limit);
}

TEST_CASE("a rollout whose own bounds in its pools were lowered") {
  rig r({a_pool("near", 2), a_pool("far", 2)});
  r.apply(placed("f-1", 4, {{0, 0}, {1, 0}}));
  r.run_all();
  REQUIRE(serving(r) == 4);
  r.apply(placed("f-2", 0, {{0, 1}, {1, 0}}));
  run_by_and_by(r, [&] { CHECK(serving(r) >= 2); });
  CHECK(r.role("f", "f-1") == "none");
  CHECK(r.count("f", "f-2", "ready") == 3);
  CHECK(r.used("near") == 1);
}

TEST_CASE("nobody goes for a place that would still be lacking then") {
  rig r({a_pool("local", 6)});
  neighbour(r, 3, {{0, 0}});
  r.apply(run_by("f-1", 2));
  r.run_all();
  REQUIRE(r.used("local") == 5);
  r.use_pools({a_pool("local", 2)});  // 3 are too many, and 2 of them are ours
  r.apply(run_by("f-2", 2));
  r.advance(10min);
  CHECK(r.count("f", "f-1", "ready") == 2);
  CHECK(r.status("f").rollout.starts_with("revision f-2 is being made ready (0 of 2)"));
  r.use_pools({a_pool("local", 4)});
  r.apply(run_by("f-2", 2));
  run_by_and_by(r);
  CHECK(r.role("f", "f-1") == "none");
  CHECK(r.count("f", "f-2", "ready") == 1);  // as many as there is room for
  CHECK(r.used("local") == 4);
}

TEST_CASE("a place that an old one left is not taken by somebody who waits for any") {
  rig r({a_pool("local", 5)});
  neighbour(r, 2, {{0, 0}});
  const auto wants_more = [&] {
    for (int i = 0; i < 4; ++i) r.request("g");
    r.advance(2s);
    REQUIRE(r.used("local") == 5);
  };
  const auto look = [&] { CHECK(r.count("g", "g-1", "ready") + r.count("g", "g-1", "starting") == 2); };
  SECTION("for another revision") {
    r.apply(run_by("f-1", 3));
    r.run_all();
    wants_more();
    r.apply(run_by("f-2", 3));
    run_by_and_by(r, look);
    CHECK(r.count("f", "f-2", "ready") == 3);
  }
  SECTION("for a restart") {
    auto& f = r.apply(run_by("f-1", 0));
    for (int i = 0; i < 3; ++i) r.request("f");
    r.run_all();
    wants_more();
    for (auto& one : r.callers) {
      if (one.served() && one.runtime()->function->name == "f") one.end();
    }
    f.restart(r.now);
    r.settle();
    r.advance(1s);
    REQUIRE(r.backend.stops.size() == 1);
    r.exits(r.backend.stops[0].id);
    look();
    CHECK(r.count("f", "f-1", "starting") == 1);
  }
}

TEST_CASE("one goes where its place is of use, though others are the first to go when there are too many") {
  rig r({a_pool("near", 1), a_pool("far", 1)});
  r.apply(placed("f-1", 2, {{0, 0}, {1, 0}}));
  r.run_all();
  REQUIRE(r.used("far") == 1);
  r.apply(placed("f-2", 0, {{0, 0}}));
  r.advance(2s);
  REQUIRE(r.backend.stops.size() == 1);
  CHECK(r.backend.stops[0].id == 1);
  CHECK(serving(r) == 1);
  run_by_and_by(r, [&] { CHECK(serving(r) >= 1); });
  CHECK(r.count("f", "f-2", "ready") == 1);
  CHECK(r.used("far") == 0);
}

TEST_CASE("in a full pool one drains at a time, however long its streams go on") {
  rig r({a_pool("local", 3)});
  auto& f = r.apply(run_by("f-1", 3));
  r.run_all();
  std::vector<test::caller*> streams;
  for (int i = 0; i < 3; ++i) {
    streams.push_back(&r.request("f"));
    REQUIRE(streams.back()->served());
  }
  SECTION("in a rollout") {
    r.apply(run_by("f-2", 3));
  }
  SECTION("in a restart") {
    f.restart(r.now);
    r.settle();
  }
  for (std::size_t left = 3; left-- > 0;) {
    CAPTURE(left);
    r.advance(10min);
    CHECK(r.count("f", "f-1", "draining") == 1);
    CHECK(serving(r) == 2);
    for (auto* one : streams) {
      if (!one->held || r.state(one->held.on().id()) != "draining") continue;
      r.give_back(*one);
      break;
    }
    r.advance(1s);
    REQUIRE(r.backend.stops.size() == 3 - left);
    r.exits(r.backend.stops.back().id);
    REQUIRE(r.backend.starts.size() == 6 - left);
    r.ready(r.backend.starts.back().id);
  }
  r.run_all();
  CHECK(serving(r) == 3);
}

TEST_CASE("an ejected instance goes before one that works") {
  rig r({a_pool("local", 2)});
  auto config = run_by("f-1", 2);
  config.revisions[0].outlier.eject = 5min;
  r.apply(config);
  r.run_all();
  auto& sick = r.request("f");
  REQUIRE(sick.served());
  const auto id = sick.held.on().id();
  for (int i = 0; i < 5; ++i) static_cast<void>(sick.held.on().failed(5));
  r.give_back(sick);
  r.advance(1s);
  REQUIRE(r.state(id) == "ejected");
  r.apply(run_by("f-2", 1));
  r.advance(1s);
  REQUIRE(r.backend.stops.size() == 1);
  CHECK(r.backend.stops[0].id == id);
  run_by_and_by(r);
  CHECK(r.role("f", "f-2") == "serving");
}

TEST_CASE("neither a rollout nor a restart makes room where nothing may start") {
  rig r({a_pool("local", 2)});
  auto& f = r.apply(run_by("f-1", 2));
  r.run_all();
  const bool rollout = GENERATE(true, false);
  CAPTURE(rollout);
  const auto replace = [&] {
    if (rollout) {
      r.apply(run_by("f-2", 2));
    } else {
      f.restart(r.now);
      r.settle();
    }
  };
  SECTION("because the pool is cordoned") {
    r.book.cordon(0, true);
    replace();
    r.advance(10min);
    CHECK(serving(r) == 2);
    CHECK(r.backend.stops.empty());
    r.book.cordon(0, false);
  }
  SECTION("because the backend had no capacity") {
    r.book.refuse_until(0, r.now + 10min);
    replace();
    r.advance(10min - 1s);
    CHECK(serving(r) == 2);
    CHECK(r.backend.stops.empty());
    r.advance(1s);
  }
  SECTION("because the backend had no capacity for one of so many as it may have") {
    auto bounded = placed(rollout ? "f-2" : "f-1", 2, {{0, 2}});
    r.book.refuse_until(0, r.now + 10min);
    r.use_pools({a_pool("local", 4)});
    if (!rollout) r.apply(bounded);
    replace();
    r.advance(10min - 1s);
    CHECK(serving(r) == 2);
    CHECK(r.backend.stops.empty());
    r.advance(1s);
  }
  r.settle();
  for (int i = 0; i < 6; ++i) {
    r.advance(2s);
    r.run_all();
  }
  CHECK(serving(r) == 2);
  CHECK(r.state(1) == "none");
  CHECK(r.state(2) == "none");
}

TEST_CASE("a restart does not end what stands where nothing may start, for a place elsewhere") {
  rig r({a_pool("near", 2), a_pool("far", 1)});
  auto& f = r.apply(placed("f-1", 3, {{0, 0}, {1, 0}}));
  r.run_all();
  REQUIRE(r.used("far") == 1);
  r.book.cordon(1, true);
  f.restart(r.now);
  r.settle();
  for (int i = 0; i < 20; ++i) {
    r.advance(2s);
    CHECK(serving(r) >= 2);
    r.run_all();
  }
  CHECK(serving(r) == 3);
  CHECK(r.state(3) == "ready");
  CHECK(r.backend.starts.size() == 5);  // and no fresh one for a fresh one
}
