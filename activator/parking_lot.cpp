// Slots and parking: the protocol, and why no wake-up can be lost.
//
// Capacity lives in each instance's word (state and count), the queue under the lot's mutex, and `waiters_` is the
// queue's length, changed under the mutex only and read by everybody.
//
//   take       read waiters_; not 0: park (no barging). Else CAS a slot on the least-loaded open instance; none free:
//   park. park       lock; (P1) waiters_++; enqueue; (P2) read the words of all instances; grant to the head while a
//   slot is free. give back  (G1) RMW on the word; (G2) read waiters_; not 0: lock, and grant to the head while a slot
//   is free. offer      as give back, where G1 is whatever made capacity: the CAS that opened an instance, the new
//   list.
//
// A wake-up is lost when a waiter stays queued beside a free slot that nobody will offer. Say a parker P enqueues while
// G frees a slot. P1, P2, G1 and G2 are all seq_cst (RMWs, or loads), so they stand in one total order S, with P1
// before P2 and G1 before G2. Either G1 precedes P2 in S: then P2 reads the word as G1 left it, or as a later take did,
// which made the slot somebody else's, and P grants what is free. Or P2 precedes G1: then P1 < P2 < G1 < G2, and G2
// reads a count that includes P, unless P has left the queue since; G goes on to the mutex, where it finds P if P is
// still queued. This is Dekker's argument: each side writes its own flag, then reads the other's, and in S they cannot
// both read the old value. Weakening any of the four to acquire/release would allow just that. There is no standalone
// fence: every step is an operation on the very variable that the argument names, which is also what ThreadSanitizer
// understands.
//
// So at every unlock holds: the queue is empty, or no listed open instance had a free slot at the last look, and
// whoever frees one after that look reads waiters_ != 0. Three cases complete it:
// - A granter who locks last grants for all: between G1 and the lock others may have granted the slot; then it finds
// nothing.
// - A slot may be granted to a waiter who is just leaving. The node is then on its mailbox's list, and its destructor
// gives
//   the slot back by the same G1, G2: it reaches the next in line, and cannot be lost between the two.
// - The list is replaced under the mutex, so a parker sees the old or the new one whole; publish() offers after it.
//
// Demand has the same shape. Parker: waiters_++, then exchange(demand_signalled_, true), and it calls when that was
// false. Control: store(demand_signalled_, false), then read waiters_. If the parker found true, the acknowledgement
// that resets it comes later in S, and so does the read of waiters_, which sees the parker. It cannot be that all three
// look away.
//
// Without a slot limit nothing would hold the queue back, so a queue is released as TCP opens its window (slow start,
// Jacobson 1988): one grant per instance that has none unanswered, then two for each answer, so that the number doubles
// per round. `unanswered_grants` is changed under the mutex. Nobody is stuck: an open instance either has no unanswered
// grant, and every look at the queue grants one, or it has, and the end of each of those looks at the queue. Who finds
// the queue empty needs no such care and is granted at once, as take() would.
//
// Wakes: a grant moves the node, under the mutex, to its mailbox's list and posts a message that carries no pointer, so
// a message can outlive the waiter. Nodes leave a mailbox's list on its worker only, where they also die; what
// deliver() has taken off is therefore touched by one thread.

#include "activator/parking_lot.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <span>
#include <utility>

#include "router/least_request.hpp"

namespace rouse::activator {

namespace {

/// How many grants an answer, and a waiter who leaves its grant unused, are worth on an instance without a limit.
constexpr unsigned growth_per_answer = 2;
constexpr unsigned growth_per_leaver = 1;

}  // namespace

// --- slot and waiter -----------------------------------------------------------------------------------------------

slot& slot::operator=(slot&& other) noexcept {
  if (this != &other) {
    reset();
    lot_ = std::exchange(other.lot_, nullptr);
    on_ = std::exchange(other.on_, nullptr);
    phase_ = other.phase_;
  }
  return *this;
}

void slot::reset() noexcept {
  if (on_ == nullptr) return;
  router::instance& on = *std::exchange(on_, nullptr);
  std::exchange(lot_, nullptr)->give_back(on, phase_, phase_ == phase::answered ? 0 : growth_per_answer);
}

void slot::answered() noexcept {
  if (on_ == nullptr || std::exchange(phase_, phase::answered) != phase::released) return;
  lot_->answered(*on_);
}

park_place& park_place::operator=(park_place&& other) noexcept {
  if (this == &other) return *this;
  release();
  budget_ = std::exchange(other.budget_, nullptr);
  requests_ = other.requests_;
  bytes_ = other.bytes_;
  return *this;
}

void park_place::release() noexcept {
  if (budget_ != nullptr) std::exchange(budget_, nullptr)->release(requests_, bytes_);
}

waiter::waiter(mailbox& where, std::function<void()> wake) : mailbox_(where), wake_(std::move(wake)) {}

waiter::~waiter() {
  if (lot_ == nullptr) return;
  if (!woken_) lot_->leave(*this);
  if (granted_on_ != nullptr) lot_->give_back(*granted_on_, phase_, growth_per_leaver);
}

slot waiter::take_slot() noexcept {
  assert(woken_ && granted_on_ != nullptr);
  return slot(*lot_, *std::exchange(granted_on_, nullptr), phase_);
}

std::shared_ptr<const start_failure> waiter::failure() const noexcept {
  return failure_;
}

// --- the lot -------------------------------------------------------------------------------------------------------

/// The mailboxes to post to once the mutex is free again.
class parking_lot::wakes {
 public:
  wakes() = default;
  wakes(const wakes&) = delete;
  wakes& operator=(const wakes&) = delete;
  ~wakes() {
    for (std::size_t i = 0; i < size_; ++i) post_[i]->post_();
  }

  /// Hands the waiter to its mailbox. It may be woken and gone before this returns.
  void put(waiter& w) noexcept {
    mailbox& where = w.mailbox_;
    if (!where.put(w)) return;
    if (size_ == post_.size()) return where.post_();  // more workers than anybody has: correct still, only less kind
    post_[size_++] = &where;
  }

 private:
  std::array<mailbox*, 64> post_;  // NOLINT: only what was written is read
  std::size_t size_ = 0;
};

parking_lot::parking_lot(park_budget& budget, std::function<void()> demand, std::int64_t (*clock)() noexcept)
    : budget_(budget), demand_(std::move(demand)), clock_(clock), list_(new instance_list) {}

parking_lot::~parking_lot() {
  assert(queue_.empty() && "a lot was destroyed while somebody waits");
  delete list_.load(std::memory_order_relaxed);
}

std::optional<slot> parking_lot::take(std::uint32_t seed) noexcept {
  if (waiters_.load(std::memory_order_seq_cst) != 0) return std::nullopt;
  router::instance* const on = router::take_least_request(*list_.load(std::memory_order_seq_cst), seed);
  if (on == nullptr) return std::nullopt;
  return slot(*this, *on);
}

parking_lot::park_result parking_lot::park(waiter& w, std::uint64_t bytes, turn as, bool pinned, bool last_resort,
                                           park_place* kept) {
  assert(w.lot_ == nullptr && "a waiter parks once");
  bool queued = false;
  {
    wakes out;  // outlives the lock
    const std::lock_guard lock(mutex_);
    if (closed_ && !last_resort) return park_result::moved;
    if (failure_ != nullptr && !any_open()) {
      w.failure_ = failure_;  // now: a moment later it may be cleared
      return park_result::start_failed;
    }
    const std::uint32_t requests = as == turn::retry || as == turn::ticket ? 0 : 1;
    if (as == turn::ticket) bytes = 0;
    if (as == turn::moved && kept != nullptr && kept->budget_ == &budget_) {
      kept->budget_ = nullptr;
      budget_.replace(kept->requests_, kept->bytes_, requests, bytes);
    } else if (as == turn::moved) {
      budget_.force(requests, bytes);
    } else if (as != turn::ticket && !budget_.admit(requests, bytes)) {
      return park_result::queue_full;
    }
    w.lot_ = this;
    w.requests_ = requests;
    w.bytes_ = bytes;
    w.pinned_ = pinned;
    const bool alone = queue_.empty();
    enqueue(w, as == turn::retry || as == turn::moved);
    grant_free(!alone, out);
    queued = w.place_ == waiter::where::queued;
  }
  if (queued && !demand_signalled_.exchange(true, std::memory_order_seq_cst)) demand_();
  return park_result::parked;
}

void parking_lot::give_back(router::instance& on, slot::phase at, unsigned growth) noexcept {
  on.give_back(clock_);
  if (at != slot::phase::released && waiters_.load(std::memory_order_seq_cst) == 0) return;
  wakes out;
  const std::lock_guard lock(mutex_);
  if (at == slot::phase::released) --on.unanswered_grants;
  if (on.slot_limit() == 0) grant_on(on, growth, out);
  grant_free(true, out);
}

void parking_lot::answered(router::instance& on) noexcept {
  wakes out;
  const std::lock_guard lock(mutex_);
  --on.unanswered_grants;
  grant_on(on, growth_per_answer, out);
  grant_free(true, out);
}

std::unique_ptr<const parking_lot::instance_list> parking_lot::publish(std::unique_ptr<const instance_list> list) {
  wakes out;
  const std::lock_guard lock(mutex_);
  std::unique_ptr<const instance_list> old(list_.exchange(list.release(), std::memory_order_seq_cst));
  grant_free(true, out);
  return old;
}

void parking_lot::offer() {
  if (waiters_.load(std::memory_order_seq_cst) == 0) return;
  wakes out;
  const std::lock_guard lock(mutex_);
  grant_free(true, out);
}

void parking_lot::offer_overdue() {
  if (waiters_.load(std::memory_order_seq_cst) == 0) return;
  wakes out;
  const std::lock_guard lock(mutex_);
  for (router::instance* const on : *list_.load(std::memory_order_seq_cst)) {
    if (on->slot_limit() == 0) grant_on(*on, std::max(on->unanswered_grants, 1U), out);
  }
}

void parking_lot::fail(std::shared_ptr<const start_failure> why) {
  wakes out;
  const std::lock_guard lock(mutex_);
  failure_ = std::move(why);
  wake_all(waiter::outcome::failed, out);
}

void parking_lot::move_out() {
  if (waiters_.load(std::memory_order_seq_cst) == 0) return;
  wakes out;
  const std::lock_guard lock(mutex_);
  for (waiter* w = queue_.head(); w != nullptr;) {
    waiter* const next = w->next_;
    if (!w->pinned_) wake_one(*w, waiter::outcome::moved, out);
    w = next;
  }
}

void parking_lot::close() {
  wakes out;
  const std::lock_guard lock(mutex_);
  closed_ = true;
  wake_all(waiter::outcome::moved, out);
}

void parking_lot::clear_failure() {
  const std::lock_guard lock(mutex_);
  failure_ = nullptr;
}

void parking_lot::acknowledge_demand() noexcept {
  demand_signalled_.store(false, std::memory_order_seq_cst);
}

// --- with the mutex held -------------------------------------------------------------------------------------------

void parking_lot::enqueue(waiter& w, bool at_head) noexcept {
  waiters_.fetch_add(1, std::memory_order_seq_cst);
  if (at_head) {
    queue_.insert_after(last_retry_, w);
    last_retry_ = &w;
  } else {
    queue_.push_back(w);
  }
  w.place_ = waiter::where::queued;
}

void parking_lot::dequeue(waiter& w, bool keeps_place) noexcept {
  if (&w == last_retry_) last_retry_ = w.prev_;  // the retries are a prefix: what stands before one is one, or nothing
  queue_.erase(w);
  w.place_ = waiter::where::nowhere;
  waiters_.fetch_sub(1, std::memory_order_seq_cst);
  if (keeps_place) {
    w.kept_ = park_place(budget_, w.requests_, w.bytes_);
  } else {
    budget_.release(w.requests_, w.bytes_);
  }
}

/// Ends every wait, oldest first.
void parking_lot::wake_all(waiter::outcome how, wakes& out) noexcept {
  while (waiter* const w = queue_.head()) wake_one(*w, how, out);
}

void parking_lot::wake_one(waiter& w, waiter::outcome how, wakes& out) noexcept {
  dequeue(w, how == waiter::outcome::moved);
  w.outcome_ = how;
  if (how == waiter::outcome::failed) w.failure_ = failure_;
  out.put(w);
}

/// Gives the head the slot that was taken for it. Its worker may take it up before the mutex is free again.
void parking_lot::grant(router::instance& on, wakes& out) noexcept {
  waiter& w = *queue_.head();
  dequeue(w);
  w.outcome_ = waiter::outcome::granted;
  w.granted_on_ = &on;
  if (on.slot_limit() == 0) {
    ++on.unanswered_grants;
    w.phase_ = slot::phase::released;
  }
  out.put(w);
}

void parking_lot::grant_free(bool paced, wakes& out) noexcept {
  while (!queue_.empty()) {
    router::instance* const on = take_for_head(paced);
    if (on == nullptr) return;
    grant(*on, out);
  }
}

/// At most `most` grants on this instance, if it is still listed and open.
void parking_lot::grant_on(router::instance& on, unsigned most, wakes& out) noexcept {
  if (queue_.empty()) return;
  const instance_list& list = *list_.load(std::memory_order_seq_cst);
  if (std::find(list.begin(), list.end(), &on) == list.end()) return;
  for (; most > 0 && !queue_.empty() && on.try_take(); --most) grant(on, out);
}

/// A slot for the head of the queue. `paced`: without a limit, only where no grant is unanswered.
router::instance* parking_lot::take_for_head(bool paced) noexcept {
  const std::span<router::instance* const> list = *list_.load(std::memory_order_seq_cst);
  const auto load = [paced](const router::instance& which) {
    const bool held_back = paced && which.slot_limit() == 0 && which.unanswered_grants != 0;
    return held_back ? router::instance::no_free_slot : which.free_load();
  };
  for (;;) {
    router::instance* const chosen = router::least_request_by(list, ++seed_, load);
    if (chosen == nullptr || chosen->try_take()) return chosen;
  }
}

bool parking_lot::any_open() const noexcept {
  const instance_list& list = *list_.load(std::memory_order_seq_cst);
  return std::any_of(list.begin(), list.end(),
                     [](const router::instance* which) { return which->state() == router::instance_state::open; });
}

/// The destructor's part for a waiter that was not woken: off the queue, or off its mailbox's list. The caller gives
/// back what was granted.
void parking_lot::leave(waiter& w) noexcept {
  const std::lock_guard lock(mutex_);
  if (w.place_ == waiter::where::queued) {
    dequeue(w);
  } else {
    w.mailbox_.remove(w);
  }
}

}  // namespace rouse::activator
