// From one configuration of a function to the next: made ready, traffic moved, old ones drained, nobody lost.

#include <catch2/catch.hpp>

#include "control_rig.hpp"

using namespace rouse;
using namespace std::chrono_literals;
using test::run_by;
using test::serving;
using rig = test::control_rig;

TEST_CASE("as many as are needed are made ready, then traffic moves, then the old ones end") {
  rig r;
  r.apply(run_by("f-1", 3));
  r.run_all();
  auto& old = r.request("f");
  REQUIRE(old.served());
  const auto busy = old.held.on().id();

  r.apply(run_by("f-2", 3));
  CHECK(r.role("f", "f-2") == "coming");
  CHECK(r.status("f").rollout == "revision f-2 is being made ready (0 of 3), then traffic moves");
  REQUIRE(r.backend.starts.size() == 6);
  CHECK(r.backend.starts[3].revision == "f-2");
  r.ready(4);
  r.ready(5);
  CHECK(r.choose("f")->name == "f-1");
  CHECK(r.backend.stops.empty());
  CHECK(r.request("f").served());
  r.callers.pop_back();

  r.workers_are_slow = true;
  r.ready(6);
  CHECK(r.log.has("traffic has moved"));
  CHECK(r.choose("f")->name == "f-2");
  CHECK(r.backend.stops.empty());  // a worker may still choose by the old view
  CHECK(old.runtime()->lot.take(0));
  r.workers_are_slow = false;
  r.settle();
  CHECK(r.role("f", "f-1") == "leaving");
  CHECK(r.backend.stops.size() == 2);
  CHECK(r.state(busy) == "draining");
  CHECK(r.request("f").held.on().id() >= 4);
  r.run_all();
  r.give_back(old);
  r.advance(200ms);
  CHECK(r.state(busy) == "stopping");
  r.run_all();
  CHECK(r.role("f", "f-1") == "none");
  CHECK(r.count("f", "f-2", "ready") == 3);
  CHECK(r.status("f").rollout.empty());
}

TEST_CASE("at zero one is started to see whether it starts; so many at a time") {
  rig r;
  for (int i = 0; i < 10; ++i) {
    auto config = run_by("one");
    config.name = "f" + std::to_string(i);
    r.apply(config);
  }
  REQUIRE(r.backend.starts.empty());
  for (int i = 0; i < 10; ++i) {
    auto config = run_by("two");
    config.name = "f" + std::to_string(i);
    r.apply(config);
  }
  REQUIRE(r.backend.starts.size() == 8);
  CHECK(r.role("f9", "two") == "coming");
  r.ready(1);
  CHECK(r.backend.starts.size() == 9);
  CHECK(r.backend.stops.size() == 1);  // nothing needs it
  r.exits(2);                          // a failed one makes place as well
  CHECK(r.backend.starts.size() == 10);
  r.run_all();
  r.advance(2s);
  r.run_all();
  for (int i = 0; i < 10; ++i) CHECK(r.role("f" + std::to_string(i), "two") == "serving");
  CHECK(r.all.trials_left == 8);
  CHECK(r.around.by_id.empty());
}

TEST_CASE("who does not want a trial any more leaves the line, and the next one has it") {
  rig r;
  const auto roll = [&](int number, const std::string& revision) {
    auto config = run_by(revision);
    config.name = "f" + std::to_string(number);
    r.apply(config);
  };
  for (int i = 0; i < 10; ++i) roll(i, "one");
  for (int i = 0; i < 10; ++i) roll(i, "two");
  REQUIRE(r.backend.starts.size() == 8);
  REQUIRE(r.all.waiting_for_trial.size() == 2);
  auto expected = r.backend.starts.size() + 1;
  SECTION("its rollout is overtaken") {
    roll(8, "one");
  }
  SECTION("its function is removed") {
    r.leave("f8");
  }
  SECTION("its function is removed and nothing else has happened yet") {
    r.workers_are_slow = true;
    r.leave("f8");
  }
  SECTION("it is not at zero any more") {
    r.request("f8");
    expected += 2;  // for the call, and for the rollout
  }
  r.ready(1);
  CHECK(r.backend.starts.size() == expected);
  CHECK(r.backend.starts.back().function == "f9");
  CHECK(r.all.waiting_for_trial.empty());
  r.workers_are_slow = false;
  r.settle();
  r.run_all();
  CHECK(r.role("f9", "two") == "serving");
  CHECK(r.all.trials_left == 8);
}

TEST_CASE("a revision that cannot start leaves the old one serving, says so, and is tried again") {
  rig r;
  r.apply(run_by("f-1", 1));
  r.run_all();
  r.apply(run_by("f-2", 1));
  REQUIRE(r.backend.starts.size() == 2);
  r.exits(2);
  CHECK(r.log.count("error function f: revision f-2 cannot be started (exited with status 3); traffic stays") == 1);
  CHECK(r.status("f").rollout.ends_with("it cannot be started: exited with status 3"));
  auto& one = r.request("f");
  REQUIRE(one.served());
  CHECK(one.held.on().id() == 1);
  r.advance(1s);
  REQUIRE(r.backend.starts.size() == 3);
  r.exits(3);
  CHECK(r.log.count("cannot be started") == 1);  // said once
  r.advance(10s);
  CHECK(r.state(1) == "ready");
  r.run_all();
  CHECK(r.role("f", "f-2") == "serving");
  CHECK(r.choose("f")->name == "f-2");
}

TEST_CASE("in a full pool the old ones make room one by one") {
  rig r({test::a_pool("local", 3)});
  r.apply(run_by("f-1", 3));
  r.run_all();
  r.apply(run_by("f-2", 3));
  for (unsigned round = 1; round <= 3; ++round) {
    CAPTURE(round);
    r.advance(20s);  // however long it takes
    REQUIRE(r.backend.stops.size() == round);
    CHECK(r.used("local") == 3);
    CHECK(serving(r) == 2);
    r.exits(r.backend.stops.back().id);
    REQUIRE(r.backend.starts.size() == 3 + round);
    CHECK(r.choose("f")->name == "f-1");
    r.ready(r.backend.starts.back().id);
  }
  CHECK(r.choose("f")->name == "f-2");
  CHECK(r.count("f", "f-2", "ready") == 3);
}

TEST_CASE("in a pool of one a busy instance is waited for, and who waits meanwhile is served by the new one") {
  rig r({test::a_pool("local", 1)});
  r.apply(run_by("f-1", 1));
  r.run_all();
  auto& busy = r.request("f");
  REQUIRE(busy.served());
  r.apply(run_by("f-2", 1));
  CHECK(r.state(1) == "draining");
  auto& waits = r.request("f");
  r.advance(10s);
  CHECK(r.backend.stops.empty());
  r.give_back(busy);
  r.advance(1s);
  REQUIRE(r.backend.stops.size() == 1);
  CHECK_FALSE(waits.served());
  r.exits(1);
  REQUIRE(r.backend.starts.size() == 2);
  CHECK(r.backend.starts[1].revision == "f-2");
  r.ready(2);
  REQUIRE(waits.served());
  CHECK(waits.held.on().id() == 2);
}

TEST_CASE("a new revision that cannot make room by the old ones' going costs none of them") {
  rig r({test::a_pool("local", 3), test::a_pool("other", 1)});
  auto blocker = run_by("g-1", 1);
  blocker.name = "g";
  blocker.revisions[0].pools = {config::pool_use{1, 0}};
  r.apply(blocker);
  r.apply(run_by("f-1", 2));
  r.run_all();
  auto next = run_by("f-2", 2);
  next.revisions[0].pools = {config::pool_use{1, 0}};  // full of somebody else's
  r.apply(next);
  r.advance(5min);
  CHECK(r.count("f", "f-1", "ready") == 2);
  CHECK(r.request("f").served());
}

TEST_CASE("no more are waited for than the new revision may have") {
  rig r;
  r.apply(run_by("f-1", 4));
  r.run_all();
  REQUIRE(r.count("f", "f-1", "ready") == 4);
  auto next = run_by("f-2");
  SECTION("by its own bound in the pool") {
    next.revisions[0].pools = {config::pool_use{0, 2}};
  }
  SECTION("by max") {
    next.revisions[0].scale.max = 2;
  }
  SECTION("by its schedule") {
    config::scale_window always;
    always.max = 2;
    next.revisions[0].scale.schedule = {always};
  }
  r.apply(next);
  CHECK(r.count("f", "f-2", "starting") == 2);
  CHECK(r.count("f", "f-1", "ready") == 4);
  r.run_all();
  CHECK(r.choose("f")->name == "f-2");
}

TEST_CASE("a reload overtakes a rollout") {
  rig r;
  r.apply(run_by("f-1", 1));
  r.run_all();
  r.apply(run_by("f-2", 1));
  REQUIRE(r.backend.starts.size() == 2);
  SECTION("with a third revision") {
    r.apply(run_by("f-3", 1));
    REQUIRE(r.backend.starts.size() == 3);
    CHECK(r.backend.stops.size() == 1);
    CHECK(r.state(2) == "stopping");  // called off
    r.ready(3);
    CHECK(r.choose("f")->name == "f-3");
  }
  SECTION("back to the first") {
    r.apply(run_by("f-1", 1));
    CHECK(r.state(2) == "stopping");
    CHECK(r.state(1) == "ready");
    CHECK(r.choose("f")->name == "f-1");
    CHECK(r.backend.starts.size() == 2);
    CHECK(r.status("f").rollout.empty());
  }
  r.run_all();
  CHECK(r.role("f", "f-2") == "none");
  CHECK(r.around.by_id.size() == 1);
  CHECK(r.request("f").served());
  CHECK(r.all.trials_left == 8);
}

TEST_CASE("a function that was removed serves what is parked, then goes") {
  rig r;
  auto& f = r.apply(run_by("f-1"));
  auto& first = r.request("f");
  r.leave("f");
  r.advance(5s);
  CHECK(r.backend.stops.empty());
  CHECK_FALSE(f.ended());
  r.ready(1);
  REQUIRE(first.served());
  r.advance(5s);
  CHECK(r.backend.stops.empty());
  r.give_back(first);
  r.advance(2s);
  REQUIRE(r.backend.stops.size() == 1);
  r.run_all();
  r.advance(2s);
  CHECK(f.ended());
}

TEST_CASE("each revision makes ready its part of what runs") {
  rig r;
  r.apply(run_by("f-1", 5));
  r.run_all();
  auto next = run_by("a");
  next.revisions.push_back(next.revisions[0]);
  next.revisions[1].name = "b";
  next.weights = {70, 30};
  r.apply(next);
  CHECK(r.count("f", "a", "starting") == 4);  // 3.5
  CHECK(r.count("f", "b", "starting") == 2);  // 1.5
  r.run_all();
  CHECK(r.role("f", "f-1") == "none");
  CHECK(r.functions.at("f")->current()->weights == std::vector<std::uint32_t>{70, 30});
}
TEST_CASE("a revision that goes while it is being restarted wants nothing more") {
  rig r;
  auto& f = r.apply(run_by("f-1", 3));
  r.run_all();
  f.restart(r.now);
  r.settle();
  REQUIRE(r.backend.starts.size() == 4);  // one on top, not ready yet
  r.apply(run_by("f-2", 3));
  r.settle();
  REQUIRE(r.backend.starts.size() == 7);  // those that are to be replaced count as what runs
  for (const auto id : {5, 6, 7}) r.ready(id);
  r.settle();
  CHECK(r.backend.starts.size() == 7);
  CHECK(r.state(4) == "stopping");
}
