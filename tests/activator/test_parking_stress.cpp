// A soup that tries to lose a wake-up, to leak a slot, to exceed a limit and to use a dead waiter: workers take, park,
// time out, leave, retry and give back while a control thread does everything that can be done to instances, and moves
// whoever waits from lot to lot: each of them must be woken exactly once for each wait. Every few turns all stop, and
// nobody may be found waiting beside a free slot. test_parking_duels.cpp has single steps meet each other.

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "activator/parking_lot.hpp"
#include "stress_support.hpp"

using namespace rouse::activator;
using namespace rouse::activator::stress;
using rouse::router::instance;
using rouse::router::instance_state;

namespace {

using clock_type = std::chrono::steady_clock;

constexpr int soup_steps = 25'000 * scale;           // of each worker, at least
constexpr int soup_turns = 4'000 * scale;            // of the control thread, at least
constexpr auto soup_time = std::chrono::seconds(4);  // where processors are short, that will do,
constexpr int soup_minimum = 500;                    // after this many turns
constexpr auto deadline = std::chrono::seconds(30);  // for whoever must be served

/// An instance with what the test knows of it.
struct unit final : instance {
  using instance::instance;
  std::atomic<int> held{0};         // slots that workers know they have
  std::atomic<bool> forced{false};  // told to stop although slots may be taken
  std::int64_t closed_count = -1;   // the control thread's: slots seen taken since it closed
};

struct field {
  explicit field(park_budget& budget, std::uint32_t limit) : slot_limit(limit), lot(budget, [this] { ++demands; }) {}
  const std::uint32_t slot_limit;
  std::atomic<int> demands{0};
  parking_lot lot;
  std::vector<std::unique_ptr<unit>> units;  // the control thread's
};

struct soup;

/// One worker: a thread, a mailbox, and the exchanges that wait or hold a slot.
class worker {
 public:
  worker(soup& in, std::uint64_t seed) : in_(in), roll_(seed) {}
  void run();
  std::atomic<std::uint64_t> epoch_seen{0};
  std::atomic<bool> paused{false};
  std::atomic<int> steps{0};
  std::uint64_t granted = 0, failed = 0, left = 0, refused = 0, moved = 0;

 private:
  struct session {
    field* at = nullptr;
    std::unique_ptr<waiter> waits;
    slot has;
    std::uint64_t ticket = 0;  // 0: a retry or moved, which have no place of their own in the order
    bool woken = false;
    bool forced = false;  // it was moved: it may exceed the budget while it waits
  };
  void step();
  void arrive(field& at);
  bool park(session& s, parking_lot::turn as, park_place kept = {});
  void wait_no_more(session& s);
  void on_wake(session& s);
  void hold(session& s, slot&& got);
  static void release(session& s);
  void erase(session& s);
  session* any();

  soup& in_;
  dice roll_;
  std::atomic<bool> posted_{false};
  mailbox box_{[this] { posted_ = true; }};
  std::vector<std::unique_ptr<session>> sessions_;
  std::uint64_t tickets_ = 0;
  std::array<std::uint64_t, 2> last_woken_{};
};

struct soup {
  soup(unsigned workers_wanted, std::array<std::uint32_t, 2> limits, std::uint64_t seed) : roll(seed) {
    budget.max_requests = 12;
    budget.max_bytes = 5000;
    for (const auto limit : limits) fields.push_back(std::make_unique<field>(budget, limit));
    for (unsigned i = 0; i < workers_wanted; ++i) workers.push_back(std::make_unique<worker>(*this, seed + 100 + i));
  }
  void run();

  verdict judge;
  park_budget budget;
  std::vector<std::unique_ptr<field>> fields;
  std::vector<std::unique_ptr<worker>> workers;
  std::atomic<bool> stop{false};  // make no more work
  std::atomic<unsigned> done{0};  // workers with nothing left
  std::atomic<bool> pause{false};
  std::atomic<std::uint64_t> epoch{1};
  std::atomic<std::uint64_t> moved_in{0};   // counted before one parks as moved
  std::atomic<std::uint64_t> moved_out{0};  // counted after it waits no more
  std::uint64_t pauses = 0, pauses_with_parked = 0, failures = 0, retired_count = 0;

 private:
  struct retired {
    std::unique_ptr<const parking_lot::instance_list> list;
    std::unique_ptr<unit> which;
    std::uint64_t after;
    bool seen_idle = false;
  };
  void disturb(field& at);
  void change(field& at, unit& which);
  void open(field& at, unit& which);
  void publish(field& at, std::unique_ptr<unit> leaves);
  void bury(bool all);
  void look_at_rest();

  dice roll;
  std::uint64_t next_id = 1;
  std::vector<retired> graves;
};

// --- worker --------------------------------------------------------------------------------------------------------

void worker::run() {
  for (; !in_.stop && !in_.judge.failed(); ++steps) {
    if (posted_.exchange(false)) box_.deliver();
    step();
    epoch_seen = in_.epoch.load();
    while (in_.pause) {
      paused = true;
      std::this_thread::yield();
    }
    paused = false;
    if (roll_(16) == 0) std::this_thread::yield();  // there may be fewer processors than threads
  }
  // Nobody leaves any more: whoever still waits must be served, as the control thread keeps capacity open.
  const auto until = clock_type::now() + deadline;
  while (!sessions_.empty() && !in_.judge.failed()) {
    if (posted_.exchange(false)) box_.deliver();
    for (std::size_t i = sessions_.size(); i-- > 0;) {
      if (sessions_[i]->has) {
        release(*sessions_[i]);
        erase(*sessions_[i]);
      }
    }
    epoch_seen = in_.epoch.load();
    in_.judge.expect(clock_type::now() < until, "a waiter was never woken though capacity was open");
    std::this_thread::yield();
  }
  while (!sessions_.empty()) {
    release(*sessions_.back());
    sessions_.pop_back();
  }
  ++in_.done;
  while (in_.done < in_.workers.size() + 1) {  // the control thread ends last and needs quiescent points until then
    epoch_seen = in_.epoch.load();
    std::this_thread::yield();
  }
}

void worker::step() {
  // Who was moved may be on top of the limits. Read in this order the bound is never too low.
  const auto out = in_.moved_out.load();
  const auto requests = in_.budget.requests.load();
  const auto bytes = in_.budget.bytes.load();
  const auto on_top = in_.moved_in.load() - out;
  in_.judge.expect(requests <= in_.budget.max_requests + on_top, "max_requests was exceeded");
  in_.judge.expect(bytes <= in_.budget.max_bytes + 1000 * on_top, "max_bytes was exceeded");
  const auto what = roll_(100);
  if (what < 40 || sessions_.empty()) {
    if (sessions_.size() < 14) arrive(*in_.fields[roll_(2)]);
    return;
  }
  session& s = *any();
  if (s.waits) {
    if (what < 55) {
      ++left;
      erase(s);  // queued, or granted and not yet delivered
    }
  } else if (what < 50) {
    s.has.answered();
  } else if (what < 62) {
    release(s);
    if (!park(s, parking_lot::turn::retry)) erase(s);
  } else {
    release(s);
    erase(s);
  }
}

void worker::arrive(field& at) {
  sessions_.push_back(std::make_unique<session>());
  session& s = *sessions_.back();
  s.at = &at;
  if (auto got = at.lot.take(roll_(1U << 30))) {
    hold(s, std::move(*got));
  } else if (!park(s, parking_lot::turn::newcomer)) {
    erase(s);
  }
}

bool worker::park(session& s, parking_lot::turn as, park_place kept) {
  s.ticket = as == parking_lot::turn::newcomer ? ++tickets_ : 0;
  s.woken = false;
  s.forced = as == parking_lot::turn::moved;
  if (s.forced) ++in_.moved_in;
  s.waits = std::make_unique<waiter>(box_, [this, &s] { on_wake(s); });
  const auto result = s.at->lot.park(*s.waits, roll_(1000), as, false, false, &kept);
  if (result == parking_lot::park_result::parked) return true;
  in_.judge.expect(!s.forced || result == parking_lot::park_result::start_failed, "one who was moved was refused");
  ++refused;
  wait_no_more(s);
  return false;
}

void worker::wait_no_more(session& s) {
  s.waits.reset();
  if (std::exchange(s.forced, false)) ++in_.moved_out;
}

void worker::on_wake(session& s) {
  in_.judge.expect(s.waits != nullptr && !std::exchange(s.woken, true), "somebody was woken who does not wait");
  const std::size_t which = s.at == in_.fields[0].get() ? 0 : 1;
  const auto result = s.waits->result();
  if (in_.workers.size() == 1 && s.ticket != 0 && result != waiter::outcome::moved) {
    in_.judge.expect(s.ticket > last_woken_[which], "not first in, first out");
    last_woken_[which] = s.ticket;
  }
  const auto what = in_.stop ? 7 : roll_(8);
  if (what == 0) {  // others of this worker leave while its mailbox is being emptied
    session* const other = any();
    if (other != &s && other->waits) erase(*other);
  }
  if (result == waiter::outcome::moved) {
    ++moved;
    auto kept = roll_(4) != 0 ? s.waits->take_place() : park_place();  // or it is given back, and forced in again
    wait_no_more(s);
    s.at = in_.fields[roll_(2)].get();  // chooses anew
    if (!park(s, parking_lot::turn::moved, std::move(kept))) erase(s);
    return;
  }
  if (result == waiter::outcome::failed) {
    ++failed;
    in_.judge.expect(s.waits->failure() != nullptr, "a failure without its reason");
    return erase(s);
  }
  in_.judge.expect(result == waiter::outcome::granted, "woken without an outcome");
  if (what == 1) return erase(s);  // too late: leaves without taking up the slot
  ++granted;
  hold(s, s.waits->take_slot());
  wait_no_more(s);
}

void worker::hold(session& s, slot&& got) {
  unit& on = static_cast<unit&>(got.on());
  const int now = on.held.fetch_add(1) + 1;
  const auto limit = s.at->slot_limit;
  in_.judge.expect(limit == 0 || now <= static_cast<int>(limit), "more slots than the limit");
  in_.judge.expect(limit == 0 || on.slots_taken() <= limit, "more slots counted than the limit");
  const auto state = on.state();
  in_.judge.expect(state != instance_state::starting && state != instance_state::frozen, "a slot on a closed instance");
  in_.judge.expect(state != instance_state::stopping || on.forced, "a slot on an instance that was stopped as idle");
  s.has = std::move(got);
}

void worker::release(session& s) {
  if (!s.has) return;
  --static_cast<unit&>(s.has.on()).held;
  s.has.reset();
}

void worker::erase(session& s) {
  release(s);
  wait_no_more(s);
  for (auto& each : sessions_) {
    if (each.get() != &s) continue;
    std::swap(each, sessions_.back());
    const auto doomed = std::move(sessions_.back());
    sessions_.pop_back();
    return;
  }
}

worker::session* worker::any() {
  return sessions_[roll_(static_cast<std::uint32_t>(sessions_.size()))].get();
}

// --- control -------------------------------------------------------------------------------------------------------

void soup::open(field& at, unit& which) {
  which.closed_count = -1;
  judge.expect(which.open(), "an instance could not be opened");
  at.lot.offer();
}

void soup::publish(field& at, std::unique_ptr<unit> leaves) {
  auto list = std::make_unique<parking_lot::instance_list>();
  for (const auto& each : at.units) list->push_back(each.get());
  auto old = at.lot.publish(std::move(list));
  graves.push_back({std::move(old), std::move(leaves), ++epoch});
}

/// Frees what every worker has turned its back on. An instance first has to be idle, and then waits once more: whoever
/// gave back the last slot may still be about to read the queue.
void soup::bury(bool all) {
  const auto reached = [this](std::uint64_t mark) {
    for (const auto& each : workers) {
      if (each->epoch_seen < mark) return false;
    }
    return true;
  };
  const auto until = clock_type::now() + deadline;
  do {
    for (std::size_t i = graves.size(); i-- > 0;) {
      retired& grave = graves[i];
      if (!reached(grave.after)) continue;
      grave.list.reset();
      if (grave.which && !grave.seen_idle) {
        if (grave.which->slots_taken() > 0) continue;
        grave.seen_idle = true;
        grave.after = ++epoch;
        continue;
      }
      if (grave.which) ++retired_count;
      std::swap(grave, graves.back());
      graves.pop_back();
    }
    judge.expect(clock_type::now() < until, "a retired instance kept a slot");
    if (all) std::this_thread::yield();
  } while (all && !graves.empty() && !judge.failed());
}

void soup::change(field& at, unit& which) {
  const auto what = roll(100);
  switch (which.state()) {
    case instance_state::open:
      if (what < 12) which.drain();
      if (what >= 12 && what < 24) which.eject();
      if (what >= 24 && what < 40) which.freeze();
      if (what >= 40 && what < 46) which.stop_if_idle();
      if (what >= 46 && what < 48) which.mark_gone();
      if (what == 48) {
        which.forced = true;
        which.mark_stopping();
      }
      break;
    case instance_state::draining:
      if (what < 20) which.stop_if_idle();
      if (what >= 50) open(at, which);
      break;
    case instance_state::starting:
    case instance_state::ejected:
    case instance_state::frozen:
      open(at, which);
      break;
    case instance_state::stopping:
      which.mark_gone();
      break;
    case instance_state::gone:
      break;
  }
  const auto state = which.state();
  if (state == instance_state::open) return;
  const std::int64_t taken = which.slots_taken();
  judge.expect(which.closed_count < 0 || taken <= which.closed_count, "a slot was taken on a closed instance");
  which.closed_count = taken;
}

void soup::disturb(field& at) {
  if (at.units.size() < 4 && roll(4) == 0) {
    at.units.push_back(std::make_unique<unit>(next_id++, "f", at.slot_limit, 1));
    publish(at, nullptr);
  }
  bool any_open = false;
  for (std::size_t i = at.units.size(); i-- > 0;) {
    unit& which = *at.units[i];
    if (roll(3) == 0) change(at, which);
    any_open = any_open || which.state() == instance_state::open;
    if (which.state() != instance_state::gone) continue;
    auto leaves = std::move(at.units[i]);
    at.units.erase(at.units.begin() + static_cast<std::ptrdiff_t>(i));
    publish(at, std::move(leaves));
  }
  if (!any_open && roll(8) == 0) {
    ++failures;
    at.lot.fail(std::make_shared<const start_failure>(start_failure{"exited", "exited", {}, {}}));
  } else if (roll(8) == 0) {
    at.lot.clear_failure();
  }
  if (roll(12) == 0) at.lot.move_out();
  if (at.slot_limit == 0 && roll(16) == 0) at.lot.offer_overdue();
  at.lot.acknowledge_demand();
}

/// With everybody outside the lots, nobody may wait beside a slot that is free.
void soup::look_at_rest() {
  pause = true;
  for (const auto& each : workers) {
    while (!each->paused && !judge.failed()) std::this_thread::yield();
  }
  if (judge.failed()) return void(pause = false);
  ++pauses;
  for (const auto& at : fields) {
    if (at->lot.parked() == 0) continue;
    ++pauses_with_parked;
    for (const auto& each : at->units) {
      const bool offers = each->free_load() != instance::no_free_slot && each->unanswered_grants == 0;
      judge.expect(!offers, "somebody waits beside a free slot: a wake-up was lost");
    }
  }
  pause = false;
  for (const auto& each : workers) {
    while (each->paused && !judge.failed()) std::this_thread::yield();
  }
}

void soup::run() {
  std::vector<std::thread> threads;
  for (const auto& each : workers) threads.emplace_back([&each] { each->run(); });
  const auto until = clock_type::now() + soup_time;
  const auto enough = [this, until](int turns) {
    if (turns >= soup_minimum && clock_type::now() > until) return true;
    return turns >= soup_turns &&
           std::all_of(workers.begin(), workers.end(), [](const auto& each) { return each->steps >= soup_steps; });
  };
  for (int turn = 0; !enough(turn) && !judge.failed(); ++turn) {
    disturb(*fields[roll(2)]);
    bury(false);
    if (turn % 4 == 0) look_at_rest();
    std::this_thread::yield();
  }
  stop = true;
  for (const auto& at : fields) {
    at->lot.clear_failure();
    at->units.push_back(std::make_unique<unit>(next_id++, "f", at->slot_limit, 1));
    publish(*at, nullptr);
    open(*at, *at->units.back());
  }
  while (done < workers.size()) std::this_thread::yield();
  for (const auto& at : fields) {
    for (const auto& each : at->units) {
      judge.expect(each->slots_taken() == 0 && each->held == 0, "a slot leaked");
      judge.expect(each->unanswered_grants == 0, "an unanswered grant leaked");
    }
    judge.expect(at->lot.parked() == 0, "somebody still waits");
  }
  judge.expect(budget.requests == 0 && budget.bytes == 0, "the budget leaked");
  bury(true);
  ++done;
  for (auto& each : threads) each.join();
}

void stir(unsigned workers, std::array<std::uint32_t, 2> limits, std::uint64_t seed) {
  soup pot(workers, limits, seed);
  pot.run();
  INFO("seed " << seed);
  CHECK(pot.judge.text() == "");
  std::uint64_t granted = 0, failed = 0, left = 0, refused = 0, moved = 0;
  for (const auto& each : pot.workers) {
    granted += each->granted;
    failed += each->failed;
    left += each->left;
    refused += each->refused;
    moved += each->moved;
  }
  // A soup in which little happens proves little.
  INFO("granted " << granted << " failed " << failed << " left " << left << " refused " << refused << " moved " << moved
                  << " retired " << pot.retired_count << " pauses " << pot.pauses << ", with parked "
                  << pot.pauses_with_parked);
  CHECK(granted > 200);
  CHECK(left > 200);
  CHECK(refused > 0);
  CHECK(moved > 0);
  CHECK(pot.retired_count > 0);
  CHECK(pot.pauses_with_parked > 0);
}

}  // namespace

TEST_CASE("soup: two workers, few slots") {
  stir(2, {1, 3}, 1);
}
TEST_CASE("soup: two workers, with and without a limit") {
  stir(2, {2, 0}, 2);
}
TEST_CASE("soup: one worker, first in, first out") {
  stir(1, {1, 2}, 3);
}
TEST_CASE("soup: one worker, first in, first out, without a limit") {
  stir(1, {0, 1}, 4);
}
