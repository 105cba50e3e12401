// What a revision does with backends that know more than processes: instances that were there before, that others end,
// or that stand in any case; several backends at once; and those that go on without rouse.

#include <catch2/catch.hpp>

#include "lifecycle_rig.hpp"

using namespace rouse;
using namespace rouse::activator;
using namespace std::chrono_literals;
using test::a_pool;
using rig = test::lifecycle_rig;

namespace {

/// A pool with the rig's other backend.
config::pool elsewhere(std::string name) {
  auto out = a_pool(std::move(name));
  out.connection.network = "other";
  return out;
}

void in_pools(config::revision& of, std::vector<config::pool_use> uses) {
  of.pools = std::move(uses);
}

}  // namespace

TEST_CASE("an instance that ran before is taken over, and goes by the usual rules") {
  rig r;
  r.life->on_found(0, "left-behind", r.now);
  REQUIRE(r.backend.starts.size() == 1);
  CHECK(r.backend.starts[0].found == "left-behind");
  CHECK(r.backend.starts[0].key == r.life->number());
  CHECK(r.state(1) == "starting");
  r.ready(1);
  CHECK(r.state(1) == "ready");
  CHECK(r.log.has("is taken over"));
  CHECK(r.life->status(r.now).cold_starts == 0);
  auto& one = r.request();
  CHECK(one.held);
  CHECK(r.backend.starts.size() == 1);
  r.give_back(one);
  r.advance(120s);
  CHECK(r.asked_to_stop(1));
}

TEST_CASE("what is found serves those who wait; a start that was made for them goes again") {
  rig r;
  auto& parked = r.request();
  REQUIRE(r.backend.starts.size() == 1);
  r.life->on_found(0, "left-behind", r.now);
  REQUIRE(r.backend.starts.size() == 2);
  r.ready(2);
  CHECK(parked.served());
}

TEST_CASE("what was found and cannot be taken over any more is no failure of the function") {
  rig r;
  auto& parked = r.request();
  r.life->on_found(0, "left-behind", r.now);
  REQUIRE(r.backend.starts.size() == 2);
  r.exits(2, "gone");  // the backend gave it to the first
  CHECK(r.backend.starts.size() == 2);
  CHECK_FALSE(parked.failure());
  r.ready(1);
  CHECK(parked.served());
  CHECK(r.life->status(r.now).start_failures.empty());
}

TEST_CASE("an idle instance that somebody else ends is stopped at once") {
  rig r;
  r.fill(2, 0);
  r.life->on_leaving(1, "its node is drained", r.now);
  CHECK(r.asked_to_stop(1));
  CHECK(r.log.has("its node is drained"));
  CHECK(r.backend.starts.size() == 3);  // min is 2
}

TEST_CASE("a busy instance that somebody else ends drains and never comes back") {
  rig r;
  r.fill(2, 1);
  r.life->set_bounds(0, 2);
  r.life->on_leaving(1, "its node is drained", r.now);
  CHECK(r.state(1) == "draining");
  CHECK_FALSE(r.asked_to_stop(1));
  r.request();
  r.request();
  r.advance(5s);
  CHECK(r.state(1) == "draining");
  r.leave_on(1, 0);
  r.advance(1s);
  CHECK(r.asked_to_stop(1));
}

TEST_CASE("leaving is nothing to one that ends already") {
  rig r;
  r.fill(1, 0);
  r.bound(0, 0);
  REQUIRE(r.asked_to_stop(1));
  const auto before = r.backend.stops.size();
  r.life->on_leaving(1, "told twice", r.now);
  CHECK(r.backend.stops.size() == before);
  r.exits(1);
}

TEST_CASE("instances that stand in any case are all used, and stay") {
  rig r;
  r.life->on_standing(0, 3, r.now);
  REQUIRE(r.backend.starts.size() == 3);
  for (std::uint64_t id = 1; id <= 3; ++id) r.ready(id);
  r.advance(600s);
  CHECK(r.backend.stops.empty());

  SECTION("more requests than they can take wait, and the backend is not bothered") {
    for (int i = 0; i < 10; ++i) r.request();
    r.advance(60s);
    CHECK(r.backend.starts.size() == 3);
    CHECK(r.life->lacks_room());
  }
  SECTION("one that fails comes back when it stands again") {
    r.life->on_standing(0, 2, r.now);
    r.exits(1, "unhealthy");
    r.advance(60s);
    CHECK(r.backend.starts.size() == 3);
    r.life->on_standing(0, 3, r.now);
    CHECK(r.backend.starts.size() == 4);
  }
  SECTION("where none stands the backend is asked, and says why not") {
    r.life->on_standing(0, 0, r.now);
    for (std::uint64_t id = 1; id <= 3; ++id) r.exits(id, "unhealthy");
    r.advance(3600s);
    const auto before = r.backend.starts.size();
    auto& parked = r.request();
    REQUIRE(r.backend.starts.size() == before + 1);
    r.exits(r.backend.starts.back().id, "no-capacity");
    r.box.deliver();
    CHECK(parked.failed());
    CHECK(parked.failure()->reason == "no-capacity");
  }
}

TEST_CASE("what stands is used up to `max`, and before other pools") {
  rig r(
      [](auto& f) {
        f.scale.max = 2;
        in_pools(f, {{0, 0}, {1, 0}});
      },
      {a_pool("a"), elsewhere("b")});
  r.life->on_standing(1, 3, r.now);
  CHECK(r.backend.starts.empty());
  CHECK(r.other.starts.size() == 2);
}

TEST_CASE("without a share of the traffic nothing is held ready, standing or not") {
  rig r;
  r.life->set_share(0);
  r.life->on_standing(0, 3, r.now);
  CHECK(r.backend.starts.empty());
}

TEST_CASE("each pool has its own backend, told what it may be asked for") {
  rig r(
      [](auto& f) {
        f.scale.max = 5;
        in_pools(f, {{0, 1}, {1, 0}});
        f.image = "thumb:1";
      },
      {a_pool("a"), elsewhere("b")});
  REQUIRE(r.backend.served.size() == 1);
  REQUIRE(r.other.served.size() == 1);
  CHECK(r.other.served[0].image == "thumb:1");
  CHECK(r.other.served[0].key == r.life->number());
  r.request();
  r.request();
  REQUIRE(r.backend.starts.size() == 1);
  REQUIRE(r.other.starts.size() == 1);

  SECTION("a stop goes where the start went") {
    r.ready(1);
    r.ready(2);
    for (auto& one : r.callers) r.give_back(one);
    r.advance(120s);
    CHECK(r.backend.stops.size() == 1);
    CHECK(r.other.stops.size() == 1);
    CHECK(r.other.stops[0].id == r.other.starts[0].id);
  }
  SECTION("a backend that is not used any more is told so when its last instance has ended") {
    r.ready(1);
    r.ready(2);
    in_pools(r.config, {{0, 0}});
    r.reconfigure();
    CHECK(r.other.forgot.empty());
    for (auto& one : r.callers) r.give_back(one);
    r.advance(120s);
    REQUIRE(r.other.stops.size() == 1);
    CHECK(r.other.forgot.empty());
    r.life->on_exit(r.other.starts[0].id, {true, true, "exited", "ended", {}}, r.now);
    CHECK(r.other.forgot == std::vector<std::uint32_t>{r.life->number()});
    CHECK(r.backend.forgot.empty());
  }
  SECTION("a pool that reaches something else now: old instances stay with the old backend") {
    r.ready(1);
    r.pools[0].connection.network = "other";
    r.book.configure(r.pools, r.now, r.around.wall());
    r.backends.configure(r.pools, r.book);
    r.reconfigure();
    r.request();
    CHECK(r.backend.starts.size() == 1);
    for (auto& one : r.callers) r.give_back(one);
    r.advance(120s);
    CHECK(r.backend.stops.size() == 1);
    CHECK(r.backend.forgot.empty());
    r.exits(1);
    CHECK(r.backend.forgot.size() == 1);
  }
}

TEST_CASE("at the end what the next rouse needs is let go, the rest is stopped") {
  rig r;
  r.backend.keeps = true;
  r.fill(2, 0);
  SECTION("those in use") {
    r.life->shut_down(r.now + 30s, r.now);
    CHECK(r.backend.let_go_of == std::vector<std::uint64_t>{1, 2});
    CHECK(r.backend.stops.empty());
  }
  SECTION("by force, too") {
    r.life->shut_down(r.now, r.now);
    CHECK(r.backend.let_go_of == std::vector<std::uint64_t>{1, 2});
    CHECK(r.backend.stops.empty());
  }
  SECTION("those that are to be replaced, or of a revision that goes") {
    const bool all = GENERATE(true, false);
    if (all) {
      r.life->retire_all();
    } else {
      r.life->replace_all();
    }
    r.life->shut_down(r.now + 30s, r.now);
    CHECK(r.backend.let_go_of.empty());
    CHECK(r.backend.stops.size() >= 2);
  }
}

TEST_CASE("what is let go is not forgotten, for a backend ends what is") {
  rig r;
  r.backend.keeps = true;
  r.fill(1, 0);
  SECTION("at the end of rouse") {
    r.life->shut_down(r.now + 30s, r.now);
    r.life->on_exit(1, {true, true, "kept", "runs on", {}}, r.now);
    r.plane.let_all();
    r.life.reset();
    CHECK(r.backend.forgot.empty());
  }
  SECTION("but when the revision goes") {
    r.life->retire_all();
    r.evaluate();
    r.exits(1);
    r.plane.let_all();
    r.life.reset();
    CHECK(r.backend.forgot.size() == 1);
  }
}

TEST_CASE("after an outage those who ask are not kept waiting by the back-off that it left") {
  rig r;
  const auto* const reason = GENERATE("unavailable", "exited");
  r.request();
  for (int i = 0; i < 6; ++i) {
    r.exits(r.backend.starts.back().id, reason);
    r.advance(120s);  // longer than any back-off
    r.request();
  }
  r.exits(r.backend.starts.back().id, reason);
  const auto before = r.backend.starts.size();
  REQUIRE(r.life->failure());
  r.request();
  CHECK(r.last == parking_lot::park_result::start_failed);
  r.book.refuse_no_more(0);
  r.life->on_well_again(0, r.now);
  r.request();
  const bool tries = r.backend.starts.size() > before;
  CHECK(tries == (std::string(reason) == "unavailable"));
}

TEST_CASE("how far a start is can be seen while it lasts") {
  rig r;
  r.request();
  r.life->on_progress(1, "pulling thumb:1: 3 of 12 MiB");
  CHECK(r.log.has("pulling thumb:1: 3 of 12 MiB"));
  CHECK(r.life->status(r.now).instances.at(0).progress == "pulling thumb:1: 3 of 12 MiB");
  r.ready(1);
  CHECK(r.life->status(r.now).instances.at(0).progress.empty());
}

TEST_CASE("a refusal holds for the pool, or where functions are apart for the one that it was for") {
  rig r;
  r.backend.apart = GENERATE(false, true);
  r.request();
  r.exits(1, "no-capacity");
  CHECK(r.book.refusal_ends(0, r.now).has_value() != r.backend.apart);
  r.advance(2s);  // behind the back-off
  auto& parked = r.request();
  CHECK(r.last == parking_lot::park_result::parked);
  CHECK(r.backend.starts.size() == 1);
  SECTION("for five seconds") {
    r.advance(2900ms);
    CHECK(r.backend.starts.size() == 1);
    r.advance(200ms);
    CHECK(r.backend.starts.size() == 2);
  }
  SECTION("or until it is known to have room") {
    r.book.refuse_no_more(0);
    r.life->on_well_again(0, r.now);
    CHECK(r.backend.starts.size() == 2);
  }
  r.ready(2);
  CHECK(parked.served());
}

TEST_CASE("starts that are refused together are one warning and one event") {
  rig r([](config::revision& of) { of.scale.max = 20; });
  for (int i = 0; i < 6; ++i) r.request();
  REQUIRE(r.backend.starts.size() == 6);
  for (std::uint64_t id = 1; id <= 6; ++id) r.exits(id, "unavailable");
  CHECK(r.log.count("has no capacity") == 1);
  const auto all = r.around.story->since(0);
  CHECK(std::ranges::count(all, "no-capacity", [](const auto& one) { return one->what.type; }) == 1);
}
