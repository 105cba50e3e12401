#include <catch2/catch.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "router/instance.hpp"

using rouse::router::instance;
using rouse::router::instance_state;

namespace {

/// Instances in every state, each without a slot taken.
std::unique_ptr<instance> in_state(instance_state wanted) {
  auto made = std::make_unique<instance>(1, "f-1", 2, 1);
  if (wanted != instance_state::starting && wanted != instance_state::gone) REQUIRE(made->open());
  switch (wanted) {
    case instance_state::starting:
    case instance_state::open:
      break;
    case instance_state::draining:
      REQUIRE(made->drain());
      break;
    case instance_state::stopping:
      REQUIRE(made->stop_if_idle());
      break;
    case instance_state::ejected:
      REQUIRE(made->eject());
      break;
    case instance_state::frozen:
      REQUIRE(made->freeze());
      break;
    case instance_state::gone:
      made->mark_gone();
      break;
  }
  REQUIRE(made->state() == wanted);
  return made;
}

constexpr instance_state every_state[] = {instance_state::starting, instance_state::open,    instance_state::draining,
                                          instance_state::stopping, instance_state::ejected, instance_state::frozen,
                                          instance_state::gone};

using transition = bool (instance::*)() noexcept;

void allows_only_from(transition step, std::vector<instance_state> from, instance_state to) {
  for (const auto start : every_state) {
    const auto made = in_state(start);
    const bool allowed = std::find(from.begin(), from.end(), start) != from.end();
    CAPTURE(to_string(start), to_string(to));
    CHECK(((*made).*step)() == allowed);
    CHECK(made->state() == (allowed ? to : start));
  }
}

std::int64_t clock_reads = 0;
std::int64_t fake_now() noexcept {
  return 1000 + ++clock_reads;
}

}  // namespace

TEST_CASE("an instance gives slots only while open and below its limit") {
  for (const auto state : every_state) {
    const auto made = in_state(state);
    CAPTURE(to_string(state));
    CHECK(made->free_load() == (state == instance_state::open ? 0 : instance::no_free_slot));
    CHECK(made->try_take() == (state == instance_state::open));
    if (state == instance_state::open) made->give_back();
  }

  const auto two = in_state(instance_state::open);
  CHECK(two->try_take());
  CHECK(two->free_load() == 1);
  CHECK(two->try_take());
  CHECK(two->free_load() == instance::no_free_slot);
  CHECK_FALSE(two->try_take());
  CHECK(two->slots_taken() == 2);
  CHECK(two->give_back() == 1);
  CHECK(two->try_take());
  CHECK(two->give_back() == 1);
  CHECK(two->give_back() == 0);
}

TEST_CASE("a limit of 0 is none") {
  instance made(1, "f-1", 0, 1);
  made.open();
  for (int i = 0; i < 10'000; ++i) REQUIRE(made.try_take());
  CHECK(made.free_load() == 10'000);
  for (int i = 0; i < 10'000; ++i) made.give_back();
}

TEST_CASE("states change only along the life of an instance") {
  using enum instance_state;
  allows_only_from(&instance::open, {starting, ejected, frozen, draining}, instance_state::open);
  allows_only_from(&instance::drain, {instance_state::open, ejected}, draining);
  allows_only_from(&instance::eject, {instance_state::open}, ejected);
  allows_only_from(&instance::freeze, {instance_state::open}, frozen);
  allows_only_from(&instance::stop_if_idle, {instance_state::open, draining, ejected, frozen}, stopping);
  for (const auto start : every_state) {
    const auto made = in_state(start);
    made->mark_stopping();
    CHECK(made->state() == (start == gone ? gone : stopping));
    made->mark_gone();
    CHECK(made->state() == gone);
  }
}

TEST_CASE("what has a slot taken is neither frozen nor stopped, but may drain and die") {
  const auto made = in_state(instance_state::open);
  REQUIRE(made->try_take());
  CHECK_FALSE(made->freeze());
  CHECK_FALSE(made->stop_if_idle());
  CHECK(made->drain());
  CHECK(made->slots_taken() == 1);
  CHECK_FALSE(made->stop_if_idle());
  CHECK(made->open());  // a drain may be taken back
  CHECK(made->slots_taken() == 1);
  made->mark_gone();
  CHECK(made->slots_taken() == 1);
  CHECK(made->give_back() == 0);
  CHECK(made->state() == instance_state::gone);
}

TEST_CASE("the time of the last slot is noted when the count falls to 0, and only then") {
  const auto made = in_state(instance_state::open);
  CHECK(made->last_active() == 0);
  REQUIRE(made->try_take());
  REQUIRE(made->try_take());
  clock_reads = 0;
  made->give_back(fake_now);
  CHECK(clock_reads == 0);
  CHECK(made->last_active() == 0);
  made->give_back(fake_now);
  CHECK(clock_reads == 1);
  CHECK(made->last_active() == 1001);
  made->touch(5);
  CHECK(made->last_active() == 5);

  const std::int64_t before = instance::steady_now();
  REQUIRE(made->try_take());
  made->give_back();
  CHECK(made->last_active() >= before);
  CHECK(made->last_active() <= instance::steady_now());
}

TEST_CASE("the readiness probe's connection is closed with the instance unless somebody took it") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  {
    instance made(1, "f-1", 1, 1);
    made.connections.probe_socket = ends[0];
  }
  CHECK(::fcntl(ends[0], F_GETFD) == -1);
  {
    instance made(2, "f-2", 1, 1);
    made.connections.probe_socket = ends[1];
    CHECK(made.connections.probe_socket.exchange(-1) == ends[1]);
  }
  CHECK(::fcntl(ends[1], F_GETFD) != -1);
  ::close(ends[1]);
}

TEST_CASE("threads never take more than the limit, and idle means idle") {
  instance made(1, "f-1", 3, 1);
  made.open();
  std::atomic<int> held{0};
  std::atomic<int> wrong{0};
  std::atomic<int> ended{0};
  const auto work = [&] {
    for (int i = 0; i < 20'000; ++i) {
      int mine = 0;
      for (; mine < 2 && made.try_take(); ++mine) {
        if (held.fetch_add(1) + 1 > 3) ++wrong;
      }
      for (; mine > 0; --mine) {
        --held;
        made.give_back();
      }
    }
    ++ended;
  };
  std::vector<std::thread> workers;
  for (int i = 0; i < 3; ++i) workers.emplace_back(work);
  int frozen = 0;
  while (ended < 3) {
    if (made.freeze()) {
      ++frozen;
      if (held != 0 || made.slots_taken() != 0) ++wrong;
      made.open();
    }
    std::this_thread::yield();
  }
  for (auto& worker : workers) worker.join();
  CHECK(wrong == 0);
  CHECK(made.slots_taken() == 0);
}
