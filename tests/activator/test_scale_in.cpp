// Who goes when there are too many, and how: nobody loses a slot, and nobody gets one on an instance that is going.

#include <catch2/catch.hpp>

#include <map>

#include "lifecycle_rig.hpp"
#include "stress_support.hpp"

using namespace rouse;
using namespace std::chrono_literals;
using stop_call = test::fake_backend::stop_call;
using rig = test::lifecycle_rig;
using ids = std::vector<std::uint64_t>;

namespace {

auto slots(std::uint32_t concurrency) {
  return [concurrency](config::revision& f) { f.concurrency = concurrency; };
}
/// Two instances fit into the first pool, the others into the second.
auto in_two_pools(config::revision& f) {
  f.concurrency = 10;
  f.pools = {config::pool_use{0, 2}, config::pool_use{1, 0}};
}
std::vector<config::pool> two_pools() {
  return {test::a_pool("near"), test::a_pool("far")};
}

ids stopped(const rig& r) {
  ids out;
  for (const auto& one : r.backend.stops) out.push_back(one.id);
  return out;
}

}  // namespace

TEST_CASE("victims: the last pool first, there the least busy; then who has been idle longest") {
  rig r(in_two_pools, two_pools());
  r.fill(4, 2);
  CHECK(r.book.status(r.now)[0].instances == 2);
  CHECK(r.book.status(r.now)[1].instances == 2);
  r.leave_on(4, 1);
  r.now += 1s;
  r.leave_on(2, 0);
  r.now += 1s;
  r.leave_on(1, 0);
  r.now += 1s;

  r.bound(0, 3);  // 1 and 2 are idle, but near
  CHECK(r.state(4) == "draining");
  CHECK(r.state(3) == "ready");
  r.bound(0, 2);
  CHECK(r.state(3) == "draining");
  CHECK(r.backend.stops.empty());
  r.bound(0, 1);
  CHECK(stopped(r) == ids{2});
  CHECK(r.state(1) == "ready");
}

TEST_CASE("victims: an idle one before any that is busy, then the least busy") {
  rig r(slots(10));
  r.fill(3, 2);
  r.leave_on(2, 0);
  r.leave_on(3, 1);
  r.bound(0, 2);
  CHECK(stopped(r) == ids{2});
  r.bound(0, 1);
  CHECK(r.state(3) == "draining");
  CHECK(r.state(1) == "ready");
}

TEST_CASE("victims: what is to be replaced goes before anything else") {
  rig r(in_two_pools, two_pools());
  r.fill(2, 0);
  r.life->replace_all();
  r.evaluate();
  REQUIRE(r.backend.starts.size() == 3);
  r.ready(3);  // idle, and in the last pool
  CHECK(stopped(r).size() == 1);
  CHECK(stopped(r)[0] <= 2);
  CHECK(r.state(3) == "ready");
}

TEST_CASE("what is starting does not make a ready one superfluous") {
  rig r(slots(1));
  r.fill(1, 0);
  r.bound(2, 2);
  REQUIRE(r.backend.starts.size() == 2);
  r.bound(1, 1);
  CHECK(r.state(1) == "ready");
  CHECK(r.runtime->lot.take(0));
}

TEST_CASE("a busy victim keeps its slot, gets no other, and is stopped when that is given back") {
  rig r(slots(2));
  r.fill(2, 1);
  r.bound(0, 1);
  const auto victim = r.state(1) == "draining" ? 1U : 2U;
  CHECK(r.state(victim) == "draining");
  CHECK(r.backend.stops.empty());
  CHECK(r.plane.forgotten == ids{victim});  // idle connections to it are closed
  CHECK(r.request().held.on().id() == 3 - victim);
  auto& waits = r.request();  // the one that is left is full
  CHECK_FALSE(waits.served());
  r.advance(10min);
  CHECK(r.backend.stops.empty());
  CHECK_FALSE(waits.served());
  r.leave_on(victim, 0);
  CHECK_FALSE(waits.served());
  r.advance(100ms);
  CHECK(r.backend.stops == std::vector<stop_call>{{victim, 30s}});
  r.exits(victim);
  CHECK(r.log.has("stopped"));
  CHECK(r.life->status(r.now).start_failures.empty());
  r.plane.let_all();
  CHECK(r.life->kept() == 1);
}

TEST_CASE("a request while the last instance drains takes it back") {
  rig r(slots(2));
  r.fill(1, 1);
  r.life->set_bounds(std::nullopt, std::nullopt);
  r.life->set_ceiling(0);
  r.evaluate();
  REQUIRE(r.state(1) == "draining");
  auto& waits = r.request();
  CHECK_FALSE(waits.served());
  r.life->set_ceiling(std::nullopt);
  r.evaluate();
  CHECK(waits.served());
  CHECK(r.state(1) == "ready");
  CHECK(r.backend.starts.size() == 1);
  // What the workers say about its leaving, late, changes nothing.
  r.plane.let_all();
  CHECK(r.state(1) == "ready");
  r.advance(10s);
  CHECK(r.backend.stops.empty());
  CHECK(r.life->kept() == 1);
}

TEST_CASE("a draining one comes back before a new one is started") {
  rig r(slots(2));
  r.fill(2, 2);
  r.bound(0, 1);
  r.bound(3, 3);
  CHECK(r.backend.starts.size() == 3);
  CHECK(r.state(1) == "ready");
  CHECK(r.state(2) == "ready");
  r.leave_on(1, 0);
  r.advance(1s);
  CHECK(r.backend.stops.empty());
}

TEST_CASE("a victim that is not done after `drain_max` is ended, politely first") {
  rig r([](auto& f) {
    f.concurrency = 1;
    f.drain_max = 10s;
    f.stop_grace = 3s;
  });
  r.fill(2, 1);
  r.bound(0, 1);
  r.advance(10s - 1ms);
  CHECK(r.backend.stops.empty());
  r.advance(101ms);
  REQUIRE(r.backend.stops.size() == 1);
  CHECK(r.backend.stops[0].grace == 3s);
  const auto victim = r.backend.stops[0].id;
  CHECK(r.state(victim) == "stopping");
  CHECK(r.log.has("still has 1 in flight after `drain_max` (10 s): it is ended"));
  r.exits(victim);
  r.plane.let_all();
  CHECK(r.life->kept() == 2);  // until the slot comes back
  r.leave_on(victim, 0);
  r.advance(1s);
  r.plane.let_all();
  CHECK(r.life->kept() == 1);
}

namespace {

/// Looks after every single thing that happens.
struct watch {
  rig& r;
  std::map<std::uint64_t, activator::instance_status> closed{};  ///< when last seen, of those that are not open
  std::size_t seen_closed = 0;

  void look() {
    r.box.deliver();
    for (auto& one : r.callers) one.served();
    auto before = std::exchange(closed, {});
    for (const auto& one : r.life->status(r.now).instances) {
      if (one.state == "ready") continue;
      ++seen_closed;
      closed[one.id] = one;
      // In one step an instance may get ready, get work and be one too many.
      if (before.contains(one.id) && before[one.id].state == one.state)
        REQUIRE(one.in_flight <= before[one.id].in_flight);
      if (one.state == "starting" || one.state == "frozen") REQUIRE(one.in_flight == 0);
    }
    REQUIRE(r.running() < 40);
  }
  void advance(std::chrono::milliseconds by) {
    for (const auto until = r.now + by; r.now < until; look()) {
      const auto due = r.life->next_due().value_or(until);
      r.advance(std::min(due, until) - r.now);
    }
  }
};

void do_something(rig& r, activator::stress::dice& roll, watch& watches) {
  switch (roll(10)) {
    case 0:
    case 1:
    case 2:
      r.request();
      break;
    case 3:
    case 4:
      if (!r.callers.empty()) r.callers.pop_front();
      break;
    case 5:
      for (auto& one : r.callers) {
        if (one.served() && roll(2) == 0) static_cast<void>(one.held.on().failed(2));
      }
      r.evaluate();
      break;
    case 6: {
      const auto min = roll(3);
      r.bound(min, min + roll(4) + (min == 0 ? 1 : 0));
      break;
    }
    case 7:
      r.plane.let_all();
      break;
    case 8:
      for (const auto& one : r.life->status(r.now).instances) {
        if (one.state == "starting" && r.state(one.id) == one.state) r.ready(one.id);
        if (one.state == "stopping" && r.state(one.id) == one.state) r.exits(one.id);
        watches.look();
      }
      break;
    default:
      watches.advance(std::chrono::milliseconds(roll(4000)));
  }
}

}  // namespace

TEST_CASE("whatever happens, no slot is granted on an instance that is not open") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    activator::stress::dice roll(seed);
    rig r([&](config::revision& f) {
      f.concurrency = 1 + static_cast<std::uint32_t>(seed % 3);
      f.scale.idle = 5s;
      f.scale.to_zero = seed % 2 == 0 ? config::to_zero::freeze : config::to_zero::stop;
      f.outlier.failures = 2;
    });
    watch watches{r};
    for (int step = 0; step < 400; ++step) {
      do_something(r, roll, watches);
      watches.look();
    }
    CHECK(watches.seen_closed > 20);
  }
}
