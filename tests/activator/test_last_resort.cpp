// Requests whose function or revision goes while they are under way: nothing of them is lost.

#include <catch2/catch.hpp>

#include "control_rig.hpp"

using namespace rouse;
using namespace std::chrono_literals;
using test::run_by;
using rig = test::control_rig;
using park_result = activator::parking_lot::park_result;

namespace {

/// Revisions a and b, all traffic to a.
config::function two_revisions() {
  auto out = run_by("a");
  out.revisions.push_back(run_by("b").revisions[0]);
  out.weights = {100, 0};
  return out;
}

/// The instance that the caller was on breaks, after it had been well for a while, and the caller tries again.
void breaks(rig& r, test::caller& one) {
  REQUIRE(one.served());
  r.advance(11s);
  r.exits(one.held.on().id(), "signalled");
  r.try_again(one);
}

}  // namespace

TEST_CASE("a retry of a request whose function was removed is served by the function") {
  rig r;
  auto& f = r.apply(run_by("f-1"));
  auto& one = r.request("f");
  r.ready(1);
  REQUIRE(one.served());
  r.leave("f");
  CHECK(r.state(1) == "draining");
  breaks(r, one);
  CHECK(r.last == park_result::moved);  // the lot is closed
  REQUIRE(r.backend.starts.size() == 2);
  CHECK_FALSE(f.ended());
  SECTION("it starts") {
    r.ready(2);
    REQUIRE(one.served());
    CHECK(r.state(2) == "draining");
    breaks(r, one);  // and once more
    r.ready(3);
    REQUIRE(one.served());
    r.give_back(one);
  }
  SECTION("it cannot be started") {
    r.now += 5ms;
    r.exits(2);
    CHECK(one.failed());
    one.end();
  }
  SECTION("the caller leaves") {
    r.callers.clear();
    r.advance(1s);
    CHECK(r.state(2) == "stopping");  // nobody needs it
  }
  for (int i = 0; i < 3; ++i) {
    r.advance(2s);
    r.run_all();
  }
  CHECK(f.ended());
  CHECK(r.around.by_id.empty());
}

TEST_CASE("a retry that comes when nothing of its function runs any more is served all the same") {
  rig r;
  auto& f = r.apply(run_by("f-1"));
  auto& one = r.request("f");
  r.ready(1);
  REQUIRE(one.served());
  r.leave("f");
  r.exits(1, "signalled");
  one.held.reset();  // between two tries it holds no slot
  for (int i = 0; i < 3; ++i) {
    r.advance(2s);
    r.run_all();
  }
  REQUIRE(r.around.by_id.empty());
  CHECK_FALSE(f.ended());
  r.try_again(one);
  REQUIRE(r.backend.starts.size() == 2);
  r.ready(2);
  REQUIRE(one.served());
  r.give_back(one);
  for (int i = 0; i < 3; ++i) {
    r.advance(2s);
    r.run_all();
  }
  CHECK(f.ended());
}

TEST_CASE("several last resorts; one who leaves does not end what starts for the other") {
  rig r;
  r.apply(run_by("f-1"));
  auto& one = r.request("f");
  auto& two = r.request("f");
  r.run_all();
  REQUIRE((one.served() && two.served()));
  r.leave("f");
  breaks(r, one);
  breaks(r, two);
  REQUIRE(r.count("f", "f-1", "starting") == 2);
  one.end();
  r.advance(2s);
  REQUIRE(r.count("f", "f-1", "starting") >= 1);
  r.run_all();
  CHECK(two.served());
}

TEST_CASE("who named a revision that a reload removes is served by it") {
  rig r;
  r.apply(two_revisions());
  auto& one = r.request_named("f", "b");
  auto& other = r.request("f");
  r.workers_are_slow = true;
  r.apply(run_by("a"));
  r.workers_are_slow = false;
  r.settle();
  CHECK(r.role("f", "b") == "leaving");
  SECTION("parked") {
    REQUIRE(r.backend.starts.size() == 2);
    r.run_all();
    REQUIRE(one.served());
    REQUIRE(other.served());
    CHECK(one.runtime()->name == "b");
  }
  SECTION("in its second try") {
    r.run_all();
    r.advance(1s);
    breaks(r, one);
    r.run_all();
    REQUIRE(one.served());
    CHECK(one.runtime()->name == "b");
  }
  r.give_back(one);
  r.advance(2s);
  r.run_all();
  r.advance(2s);
  CHECK(r.role("f", "b") == "none");
}

TEST_CASE("who named a revision that is coming when another rollout overtakes it has an answer") {
  rig r;
  r.apply(run_by("f-1", 1));
  r.run_all();
  r.apply(run_by("f-2", 1));
  auto& one = r.request_named("f", "f-2");
  REQUIRE(r.count("f", "f-2", "starting") == 1);
  SECTION("a third revision: it is served by what it named") {
    r.apply(run_by("f-3", 1));
    r.ready(2);
    REQUIRE(one.served());
    CHECK(one.runtime()->name == "f-2");
  }
  SECTION("back to the first") {
    r.apply(run_by("f-1", 1));
    r.ready(2);
    REQUIRE(one.served());
    CHECK(one.runtime()->name == "f-2");
  }
  SECTION("another one of the same name: it is served by one of that name") {
    auto third = run_by("f-2", 1);
    ++third.revisions[0].hash;
    third.revisions[0].command = {"./third"};
    r.apply(third);
    r.run_all();
    REQUIRE(one.served());
    CHECK(one.runtime()->name == "f-2");
  }
  SECTION("one that cannot be started: it is told so") {
    r.apply(run_by("f-3", 1));
    r.now += 5ms;
    r.exits(2);
    CHECK(one.failed());
  }
  SECTION("while the workers are slow") {
    r.workers_are_slow = true;
    r.apply(run_by("f-3", 1));
    r.ready(2);
    CHECK(one.served());
    r.workers_are_slow = false;
    r.settle();
  }
  one.end();
  for (int i = 0; i < 4; ++i) {
    r.advance(2s);
    r.run_all();
  }
  CHECK(r.status("f").revisions.size() == 1);
  CHECK(r.status("f").rollout.empty());
  CHECK(r.around.by_id.size() == 1);
  CHECK(r.request("f").served());
}

TEST_CASE("back to a revision whose instances still drain") {
  rig r;
  auto& f = r.apply(run_by("f-1", 1));
  r.run_all();
  auto& stream = r.request("f");
  REQUIRE(stream.served());
  r.apply(run_by("f-2", 1));
  r.run_all();
  REQUIRE(r.state(1) == "draining");
  const int evaluations = r.evaluations;
  r.apply(run_by("f-1", 1));
  CHECK(r.role("f", "f-2") == "serving");  // until it is ready anew
  CHECK(r.request("f").served());
  r.callers.pop_back();
  r.run_all();
  CHECK(r.role("f", "f-1") == "serving");
  CHECK(r.status("f").revisions.size() == 1);  // the old one is counted with the new one of its name
  CHECK(r.status("f").revisions[0].instances.size() == 2);
  CHECK(r.status("f").in_flight == 1);
  auto& next = r.request("f");
  REQUIRE(next.served());
  CHECK(next.held.on().id() == 3);
  auto& named = r.request_named("f", "f-1");
  r.give_back(next);
  REQUIRE(named.served());
  CHECK(named.held.on().id() == 3);
  r.advance(1min);
  CHECK(r.evaluations - evaluations < 2000);
  CHECK(r.state(1) == "draining");
  // And around once more, with two streams.
  r.apply(run_by("f-2", 1));
  r.run_all();
  r.apply(run_by("f-1", 1));
  r.run_all();
  CHECK(r.count("f", "f-1", "draining") == 2);
  r.give_back(stream);
  r.give_back(named);
  for (int i = 0; i < 3; ++i) {
    r.advance(2s);
    r.run_all();
  }
  CHECK(r.around.by_id.size() == 1);
  int members = 0;
  f.each_lifecycle([&](const auto&) { ++members; });
  CHECK(members == 1);
}
