// Two threads meet on one step of the parking protocol a hundred thousand times: whatever the order, nobody may be left
// waiting beside a free slot, no slot may leak, and the control thread must look.

#include <catch2/catch.hpp>

#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "activator/parking_lot.hpp"
#include "stress_support.hpp"

using namespace rouse::activator;
using namespace rouse::activator::stress;
using rouse::router::instance;

namespace {

constexpr int duel_rounds = 15'000 * scale;
constexpr int duel_minimum = 64;
constexpr auto duel_time = std::chrono::seconds(2);

/// On the n-th of the processors that this process may use, if it may use several: threads that share one do not meet.
void settle(int n) {
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) return;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || n-- > 0) continue;
    cpu_set_t mine;
    CPU_ZERO(&mine);
    CPU_SET(cpu, &mine);
    (void)::sched_setaffinity(0, sizeof mine, &mine);  // better luck only: the verdict does not depend on it
    return;
  }
}

/// Two threads that start each round together, as nearly as a machine can: both say that they have arrived and spin
/// until the other has. `after` runs when both are through, on the thread of `left`.
/// On a machine with no processor to spare a round may cost milliseconds: it ends after duel_time then, but not before
/// duel_minimum rounds.
void duel(int rounds, verdict& judge, const std::function<void(int)>& left, const std::function<void(int)>& right,
          const std::function<void(int)>& after) {
  std::atomic<int> arrived{0};
  std::atomic<int> through{0};
  std::atomic<bool> over{false};
  const auto meet = [&](std::atomic<int>& at, int everybody) {
    ++at;
    for (int spins = 0; at < everybody && !judge.failed() && !over; ++spins) {
      if (spins > 500) std::this_thread::yield();  // the other may want this very processor
    }
  };
  const auto until = std::chrono::steady_clock::now() + duel_time;
  std::thread one([&] {
    settle(0);
    for (int i = 0; i < rounds && !judge.failed(); ++i) {
      meet(arrived, 2 * i + 2);
      left(i);
      meet(through, 2 * i + 2);
      if (!judge.failed()) after(i);
      if (i >= duel_minimum && i % 16 == 0 && std::chrono::steady_clock::now() > until) break;
    }
    over = true;
  });
  std::thread other([&] {
    settle(1);
    for (int i = 0; i < rounds && !judge.failed(); ++i) {
      meet(arrived, 2 * i + 2);
      if (over) return;
      right(i);
      meet(through, 2 * i + 2);
    }
  });
  one.join();
  other.join();
}

/// A lot with one instance of one slot, and what two duellists need.
struct ring {
  verdict judge;
  park_budget budget;
  std::atomic<int> demands{0};
  mailbox first{[] {}};
  mailbox second{[] {}};
  instance only{1, "f", 1, 1};
  parking_lot lot{budget, [this] { ++demands; }};
  std::atomic<int> woken{0};
  slot held;

  ring() {
    only.open();
    (void)lot.publish(listed());
  }
  std::unique_ptr<const parking_lot::instance_list> listed() {
    return std::make_unique<const parking_lot::instance_list>(1, &only);
  }
  std::unique_ptr<waiter> park(mailbox& box) {
    auto made = std::make_unique<waiter>(box, [this] { ++woken; });
    judge.expect(lot.park(*made, 1) == parking_lot::park_result::parked, "refused");
    return made;
  }
  void take() {
    auto got = lot.take(0);
    judge.expect(got.has_value(), "a free slot could not be taken");
    if (got) held = std::move(*got);
  }
  void at_rest() {
    judge.expect(only.slots_taken() == 0, "a slot leaked");
    judge.expect(lot.parked() == 0 && budget.requests == 0 && budget.bytes == 0, "the budget leaked");
  }
  /// The one who parked must have been granted.
  void expect_granted(std::unique_ptr<waiter>& w) {
    woken = 0;
    second.deliver();
    judge.expect(woken == 1, "a wake-up was lost");
    w.reset();
    at_rest();
  }
};

/// Some nanoseconds more or less, now and then many, so that the duellists meet at every step, in either order; and
/// where they do share a processor, so that the order is not always the same.
void jitter(dice& roll) {
  if (roll(32) == 0) std::this_thread::yield();
  for (std::uint32_t i = roll(roll(8) == 0 ? 4000 : 300); i > 0; --i) {
    std::atomic_signal_fence(std::memory_order_seq_cst);  // keeps the loop
  }
}

}  // namespace

TEST_CASE("duel: a slot is given back while somebody parks") {
  ring in;
  dice left(1), right(2);
  std::unique_ptr<waiter> w;
  in.take();
  duel(
      duel_rounds, in.judge,
      [&](int) {
        jitter(left);
        in.held.reset();
      },
      [&](int) {
        jitter(right);
        w = in.park(in.second);
      },
      [&](int) {
        in.expect_granted(w);
        in.take();
      });
  in.held.reset();
  CHECK(in.judge.text() == "");
}

TEST_CASE("duel: an instance opens, or is published, while somebody parks") {
  ring in;
  dice left(3), right(4);
  std::unique_ptr<waiter> w;
  std::unique_ptr<const parking_lot::instance_list> old;
  const auto close = [&](int round) {
    if (round % 2 == 0) {
      in.only.eject();
    } else {
      old = in.lot.publish(std::make_unique<const parking_lot::instance_list>());
    }
  };
  close(0);
  duel(
      duel_rounds, in.judge,
      [&](int round) {
        jitter(left);
        if (round % 2 == 0) {
          in.only.open();
          in.lot.offer();
        } else {
          old = in.lot.publish(in.listed());
        }
      },
      [&](int) {
        jitter(right);
        w = in.park(in.second);
      },
      [&](int round) {
        in.expect_granted(w);
        close(round + 1);
      });
  CHECK(in.judge.text() == "");
}

TEST_CASE("duel: a granted waiter dies while somebody parks") {
  ring in;
  dice left(5), right(6);
  auto dying = in.park(in.first);
  std::unique_ptr<waiter> w;
  duel(
      duel_rounds, in.judge,
      [&](int) {
        jitter(left);
        dying.reset();
      },
      [&](int) {
        jitter(right);
        w = in.park(in.second);
      },
      [&](int) {
        in.expect_granted(w);
        dying = in.park(in.first);
      });
  dying.reset();
  CHECK(in.judge.text() == "");
}

TEST_CASE("duel: a waiter dies while it is being granted") {
  ring in;
  dice left(7), right(8);
  in.take();
  auto w = in.park(in.second);
  duel(
      duel_rounds, in.judge,
      [&](int) {
        jitter(left);
        in.held.reset();
      },
      [&](int round) {
        jitter(right);
        if (round % 2 == 0) in.second.deliver();
        w.reset();
      },
      [&](int) {
        in.at_rest();
        in.take();
        w = in.park(in.second);
      });
  w.reset();
  in.held.reset();
  CHECK(in.judge.text() == "");
}

TEST_CASE("duel: demand is acknowledged while somebody parks") {
  ring in;
  dice left(9), right(10);
  in.only.eject();
  std::uint64_t looked = 0;
  std::unique_ptr<waiter> w;
  const auto signalled = [&] {
    in.park(in.second).reset();
    in.demands = 0;
  };
  signalled();
  duel(
      duel_rounds, in.judge,
      [&](int) {
        jitter(left);
        in.lot.acknowledge_demand();
        looked = in.lot.parked();
      },
      [&](int) {
        jitter(right);
        w = in.park(in.second);
      },
      [&](int) {
        in.judge.expect(looked > 0 || in.demands > 0, "somebody waits and the control thread never looks");
        w.reset();
        signalled();
      });
  CHECK(in.judge.text() == "");
}

TEST_CASE("duel: a slot is given back while everybody is moved out") {
  ring in;
  dice left(11), right(12);
  in.take();
  auto w = in.park(in.second);
  std::uint64_t granted = 0, moved = 0;
  duel(
      duel_rounds, in.judge,
      [&](int) {
        jitter(left);
        in.held.reset();
      },
      [&](int) {
        jitter(right);
        in.lot.move_out();
      },
      [&](int) {
        in.woken = 0;
        in.second.deliver();
        in.judge.expect(in.woken == 1, "woken not once");
        const bool has_slot = w->result() == waiter::outcome::granted;
        in.judge.expect(has_slot || w->result() == waiter::outcome::moved, "woken for no reason");
        in.judge.expect(in.only.slots_taken() == (has_slot ? 1U : 0U),
                        "who was moved has a slot, or who was not has none");
        ++(has_slot ? granted : moved);
        w.reset();
        in.at_rest();
        in.take();
        w = in.park(in.second);
      });
  w.reset();
  in.held.reset();
  CHECK(in.judge.text() == "");
  CHECK(granted + moved >= duel_minimum);
}

TEST_CASE("duel: the lot closes while somebody parks") {
  ring in;
  dice left(13), right(14);
  auto lot = std::make_unique<parking_lot>(in.budget, [] {});
  std::unique_ptr<waiter> w;
  parking_lot::park_result result{};
  duel(
      duel_rounds, in.judge,
      [&](int) {
        jitter(left);
        lot->close();
      },
      [&](int) {
        w = std::make_unique<waiter>(in.second, [&] { ++in.woken; });
        jitter(right);
        result = lot->park(*w, 1);
      },
      [&](int) {
        in.woken = 0;
        in.second.deliver();
        const bool queued = result == parking_lot::park_result::parked;
        in.judge.expect(queued || result == parking_lot::park_result::moved, "refused");
        in.judge.expect(in.woken == (queued ? 1 : 0), "who was queued must be woken, and nobody else");
        in.judge.expect(!queued || w->result() == waiter::outcome::moved, "woken for no reason");
        in.judge.expect(in.budget.requests == (queued ? 1U : 0U), "who is moved keeps the place");
        w.reset();
        in.judge.expect(lot->parked() == 0 && in.budget.requests == 0 && in.budget.bytes == 0, "the budget leaked");
        lot = std::make_unique<parking_lot>(in.budget, [] {});
      });
  CHECK(in.judge.text() == "");
}
