// How a function's instances end at shutdown, and how they are freed.

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "lifecycle_rig.hpp"

using namespace rouse;
using namespace rouse::activator;
using namespace std::chrono_literals;
using stop_call = test::fake_backend::stop_call;
using rig = test::lifecycle_rig;

namespace {

/// Instances 1..n, ready, each with one request.
std::vector<test::caller*> busy(rig& r, std::uint64_t n) {
  std::vector<test::caller*> out;
  for (std::uint64_t i = 0; i < n; ++i) out.push_back(&r.request());
  for (std::uint64_t i = 1; i <= n; ++i) r.ready(i);
  for (auto* one : out) REQUIRE(one->served());
  return out;
}

}  // namespace

TEST_CASE("shutdown at rest is over at once") {
  rig r;
  r.life->shut_down(r.now + 30s, r.now);
  CHECK_FALSE(r.life->next_due());
  CHECK(r.backend.stops.empty());
}

TEST_CASE("shutdown stops idle instances now and busy ones after their last slot") {
  rig r([](auto& f) { f.scale.min = 1; });
  auto callers = busy(r, 2);
  r.give_back(*callers[0]);
  r.advance(1s);
  r.life->shut_down(r.now + 20s, r.now);
  CHECK(r.backend.stops == std::vector<stop_call>{{1, 21s}});  // stop_grace of 30 s, but no longer than the deadline
  CHECK(r.plane.forgotten == std::vector<std::uint64_t>{1});
  CHECK(r.state(1) == "stopping");
  CHECK(r.state(2) == "ready");
  CHECK(r.log.has("2 -> 1: shutting down"));
  r.exits(1);
  CHECK(r.backend.starts.size() == 2);  // min is over

  r.advance(5s);
  CHECK(r.backend.stops.size() == 1);
  r.give_back(*callers[1]);
  r.advance(10ms);
  REQUIRE(r.backend.stops.size() == 2);
  CHECK(r.backend.stops[1].id == 2);
  CHECK(r.backend.stops[1].grace <= 16s);
  CHECK(r.backend.stops[1].grace >= 15s);
  r.exits(2);
  CHECK(r.running() == 0);
  r.plane.let_all();
  CHECK(r.life->kept() == 0);
}

TEST_CASE("stop_grace is kept where it is shorter than the deadline") {
  rig r([](auto& f) { f.stop_grace = 3s; });
  auto callers = busy(r, 1);
  r.give_back(*callers[0]);
  r.life->shut_down(r.now + 20s, r.now);
  CHECK(r.backend.stops == std::vector<stop_call>{{1, 3s}});
}

TEST_CASE("work that is parked still gets its instance during shutdown") {
  rig r;
  auto& parked = r.request();
  r.life->shut_down(r.now + 20s, r.now);
  CHECK(r.backend.stops.empty());  // what it waits for is not stopped
  auto& late = r.request();        // and one that comes yet makes a start
  REQUIRE(r.backend.starts.size() == 2);
  r.advance(1s);
  r.ready(1);
  r.ready(2);
  REQUIRE(parked.served());
  REQUIRE(late.served());
  r.give_back(parked);
  r.give_back(late);
  r.advance(10ms);
  CHECK(r.backend.stops.size() == 2);
  r.exits(1);
  r.exits(2);
  CHECK(r.running() == 0);
}

TEST_CASE("a start that nobody waits for is called off, and what it reports late does no harm") {
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  rig r([](auto& f) { f.scale.min = 1; });
  r.evaluate();
  r.life->shut_down(r.now + 20s, r.now);
  CHECK(r.backend.stops == std::vector<stop_call>{{1, 21s}});
  r.life->on_ready(1, test::ready_on(20'000, pair[0]), r.now);
  CHECK(::fcntl(pair[0], F_GETFD) == -1);  // closed
  CHECK_FALSE(r.runtime->lot.take(0));
  CHECK(r.state(1) == "stopping");
  r.exits(1, "signalled");
  CHECK(r.life->status(r.now).start_failures.empty());
  CHECK(r.running() == 0);
  CHECK(r.life->kept() == 0);
  ::close(pair[1]);
}

TEST_CASE("at the deadline everything ends by force, slots taken or not") {
  rig r([](auto& f) { f.scale.max = 2; });
  auto callers = busy(r, 2);
  auto& parked = r.request();
  r.life->shut_down(r.now + 2s, r.now);
  r.advance(1999ms);
  CHECK(r.backend.stops.empty());
  r.advance(1ms);
  CHECK(r.backend.stops == std::vector<stop_call>{{1, 1s}, {2, 1s}});
  CHECK(r.plane.forgotten == std::vector<std::uint64_t>{1, 2});
  CHECK(r.state(1) == "stopping");
  r.exits(1);
  r.exits(2);
  CHECK(r.running() == 0);
  CHECK_FALSE(parked.woken);
  r.callers.back().end();
  auto& too_late = r.request();
  CHECK_FALSE(too_late.woken);
  CHECK(r.backend.starts.size() == 2);

  // Their slots are still taken: nothing is freed before they come back.
  r.plane.let_all();
  CHECK(r.life->kept() == 2);
  for (auto* one : callers) r.give_back(*one);
  r.advance(10ms);
  r.plane.let_all();
  CHECK(r.life->kept() == 0);
}

TEST_CASE("a second call hurries: what was asked politely is asked again with less patience") {
  rig r;
  auto callers = busy(r, 2);
  r.give_back(*callers[0]);
  r.life->shut_down(r.now + 20s, r.now);
  REQUIRE(r.backend.stops == std::vector<stop_call>{{1, 21s}});
  r.advance(1s);

  SECTION("a later deadline changes nothing") {
    r.life->shut_down(r.now + 60s, r.now);
    CHECK(r.backend.stops.size() == 1);
  }
  SECTION("an earlier one shortens") {
    r.life->shut_down(r.now + 2s, r.now);
    CHECK(r.backend.stops == std::vector<stop_call>{{1, 21s}, {1, 3s}});
    r.advance(2s);
    CHECK(r.backend.stops.back() == stop_call{2, 1s});
  }
  SECTION("one that has passed kills") {
    r.life->shut_down(r.now, r.now);
    CHECK(r.backend.stops == std::vector<stop_call>{{1, 21s}, {1, 0s}, {2, 0s}});
    r.exits(1);
    r.exits(2);
    CHECK(r.running() == 0);
  }
  r.give_back(*callers[1]);
}

TEST_CASE("an instance that was stopping for its own reasons is hurried by the shutdown") {
  rig r([](auto& f) { f.stop_grace = 10min; });
  auto callers = busy(r, 1);
  r.give_back(*callers[0]);
  r.advance(60s);
  REQUIRE(r.backend.stops == std::vector<stop_call>{{1, 10min}});
  r.life->shut_down(r.now + 5s, r.now);
  CHECK(r.backend.stops.back() == stop_call{1, 6s});
}

TEST_CASE("a start that fails during shutdown answers its waiters") {
  rig r;
  auto& parked = r.request();
  r.life->shut_down(r.now + 20s, r.now);
  r.advance(1s);
  r.exits(1);
  CHECK(parked.failed());
  CHECK(r.running() == 0);
}

TEST_CASE("lists and instances are freed only after the workers passed by") {
  rig r;
  auto callers = busy(r, 1);
  CHECK(r.plane.quiesces.size() == 1);  // for the empty list before
  test::fake_plane::let(r.plane.quiesces);
  r.give_back(*callers[0]);
  r.advance(60s);
  CHECK(r.plane.quiesces.size() == 1);  // the list with it
  r.exits(1);
  CHECK(r.life->kept() == 1);
  test::fake_plane::let(r.plane.quiesces);
  CHECK(r.life->kept() == 1);  // workers may still have connections to it
  r.advance(5s);
  CHECK(r.plane.quiesces.empty());
  test::fake_plane::let(r.plane.forgets);
  CHECK(r.plane.quiesces.size() == 1);
  r.advance(5s);
  CHECK(r.plane.quiesces.size() == 1);  // asked once
  CHECK(r.life->kept() == 1);
  test::fake_plane::let(r.plane.quiesces);
  CHECK(r.life->kept() == 0);
}

TEST_CASE("what the data plane calls back after the activator is gone finds nothing to do") {
  auto r = std::make_unique<rig>();
  auto callers = busy(*r, 1);
  r->give_back(*callers[0]);
  r->advance(60s);
  r->exits(1);
  auto forgets = std::exchange(r->plane.forgets, {});
  auto quiesces = std::exchange(r->plane.quiesces, {});
  r.reset();
  for (const auto& then : forgets) then();
  for (const auto& then : quiesces) then();
}

TEST_CASE("no request gets an instance that was told to stop, however they race") {
  // Workers take and give back while the control thread asks for more and for fewer by turns: idle ones are stopped,
  // busy ones drain, and some of those are taken back.
  rig r([](auto& f) { f.scale.idle = 0ms; }, {test::a_pool("local")}, router::instance::steady_now);
  std::atomic<bool> stop{false};
  std::atomic<int> served{0};
  std::atomic<int> wrong{0};
  const auto work = [&](std::uint32_t seed) {
    while (!stop) {
      auto slot = r.runtime->lot.take(++seed);
      if (!slot) continue;
      for (int i = 0; i < 5; ++i) {
        const auto state = slot->on().state();
        if (state != router::instance_state::open && state != router::instance_state::draining) ++wrong;
        std::this_thread::yield();  // hold it across what the control thread does
      }
      ++served;
    }
  };
  std::thread one(work, 1);
  std::thread other(work, 1000);
  const auto end = std::chrono::steady_clock::now() + 100s;
  const auto step = [&] {
    r.now = std::chrono::steady_clock::now();
    r.evaluate();
    for (const auto& start : std::exchange(r.backend.starts, {})) r.ready(start.id);
    for (const auto& call : std::exchange(r.backend.stops, {})) r.exits(call.id);
  };
  std::size_t drains = 0;
  for (int turn = 1; (served < 2'000 || turn < 500) && std::chrono::steady_clock::now() < end; ++turn) {
    r.life->set_bounds(turn % 2 == 0 ? 0 : 3, turn % 2 == 0 ? 1 : 4);
    step();
    for (const auto& shown : r.life->status(r.now).instances) drains += shown.state == "draining" ? 1 : 0;
    r.request();
    r.callers.clear();
    step();
    // The retired are kept until the workers stand still.
  }
  stop = true;
  one.join();
  other.join();
  CHECK(wrong == 0);
  CHECK(served >= 2'000);
  CHECK(drains > 0);
  CHECK(r.decisions(false) > 10);
}
