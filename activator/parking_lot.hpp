#pragma once
// The instances of one revision and the FIFO of those who wait for a slot on one of them. Owned by the activator; used
// by every worker (take, park, leave, give back) and by the control thread (publish, offer, fail). The protocol, and
// why no wake-up can be lost, stand at the top of parking_lot.cpp. Locks, in this order, of one lot at a time: lot,
// then budget or mailbox. No callback is ever called with one of them held, but for a post when one call has more than
// 64 mailboxes to post.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "router/instance.hpp"

namespace rouse::activator {

class parking_lot;
class mailbox;
class waiter;
struct park_budget;

/// Why a start failed; shared by all who waited for it.
struct start_failure {
  std::string reason;                   ///< a word for the metric: exited, timeout, spawn, ...
  std::string detail;                   ///< a sentence for people, without what the instance wrote
  std::vector<std::string> last_lines;  ///< what the instance wrote last; shown to callers only under expose_errors
  std::chrono::steady_clock::time_point retry_at{};  ///< no start is tried before this
};

/// The right to have one exchange open on one instance. Gives itself back, and on, when destroyed. Move-only; any
/// thread that the control thread's quiescence covers (the instance must outlive the giving back), but one at a time.
class slot {
 public:
  slot() = default;
  slot(parking_lot& lot, router::instance& on) noexcept : lot_(&lot), on_(&on) {}
  slot(slot&& other) noexcept
      : lot_(std::exchange(other.lot_, nullptr)), on_(std::exchange(other.on_, nullptr)), phase_(other.phase_) {}
  slot& operator=(slot&& other) noexcept;
  ~slot() { reset(); }
  explicit operator bool() const noexcept { return on_ != nullptr; }
  [[nodiscard]] router::instance& on() const noexcept { return *on_; }
  void reset() noexcept;
  /// The head of a final response (or 101) has come. Only matters without a slot limit, where answers and not free
  /// slots release parked work: else an exchange that stays open after its answer (a stream) would hold up the rest of
  /// the queue. Harmless to call more than once, or not at all: giving back counts as the answer then.
  void answered() noexcept;

 private:
  friend class parking_lot;
  friend class waiter;
  /// `released`: it came from the queue of an instance without a limit, and its answer is awaited. `answered`: it is
  /// in.
  enum class phase : std::uint8_t { plain, released, answered };
  slot(parking_lot& lot, router::instance& on, phase at) noexcept : lot_(&lot), on_(&on), phase_(at) {}

  parking_lot* lot_ = nullptr;
  router::instance* on_ = nullptr;
  phase phase_ = phase::plain;
};

/// The place in the budget of one who was moved out of a lot and has not parked again: it stays counted, or newcomers
/// would be admitted above the limit meanwhile. Given back by ending. Move-only; one thread at a time.
class park_place {
 public:
  park_place() = default;
  park_place(park_budget& in, std::uint32_t requests, std::uint64_t bytes) noexcept
      : budget_(&in), requests_(requests), bytes_(bytes) {}
  park_place(park_place&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)), requests_(other.requests_), bytes_(other.bytes_) {}
  park_place& operator=(park_place&& other) noexcept;
  ~park_place() { release(); }
  void release() noexcept;

 private:
  friend class parking_lot;
  park_budget* budget_ = nullptr;
  std::uint32_t requests_ = 0;
  std::uint64_t bytes_ = 0;
};

/// A doubly linked list through the waiters themselves. Whoever owns the list guards it.
class waiter_list {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] waiter* head() const noexcept { return head_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// After `before`, or at the head when that is null.
  void insert_after(waiter* before, waiter& w) noexcept;
  void push_back(waiter& w) noexcept { insert_after(tail_, w); }
  void erase(waiter& w) noexcept;

 private:
  waiter* head_ = nullptr;
  waiter* tail_ = nullptr;
  std::size_t size_ = 0;
};

/// One who waits. Lives in the frame of the waiting coroutine, on one worker; never moves; good for one successful
/// park(). Its destructor leaves the lot: it unlinks from whatever list it is on, and a slot that was granted but not
/// yet taken up is offered to the next. So giving up (a time-out, a caller who left) is to destroy it, on its worker,
/// at any moment, also from inside another waiter's wake or its own.
class waiter {
 public:
  /// `moved`: it waited in a lot that its request is no longer bound for; choose a revision anew and park there.
  enum class outcome : std::uint8_t { waiting, granted, failed, moved };

  /// `wake` is called once, on the mailbox's worker, when the outcome is known. It may resume the coroutine that owns
  /// this waiter and so destroy it. It must not throw. Two captured pointers or less cost no allocation.
  waiter(mailbox& where, std::function<void()> wake);
  waiter(const waiter&) = delete;
  waiter& operator=(const waiter&) = delete;
  ~waiter();

  /// Valid after wake, on the owner's worker.
  [[nodiscard]] outcome result() const noexcept { return outcome_; }
  [[nodiscard]] slot take_slot() noexcept;                                      ///< when granted; once
  [[nodiscard]] park_place take_place() noexcept { return std::move(kept_); }   ///< when moved; for the next park()
  [[nodiscard]] std::shared_ptr<const start_failure> failure() const noexcept;  ///< when failed, or park() said so

 private:
  friend class parking_lot;
  friend class mailbox;
  friend class waiter_list;
  mailbox& mailbox_;
  std::function<void()> wake_;
  parking_lot* lot_ = nullptr;  ///< set once parked; the worker's
  bool woken_ = false;          ///< the worker's: nobody else looks at this waiter any more
  // Below: guarded by the lot's mutex until woken; the links also by the mailbox's while `delivered_list`.
  waiter* prev_ = nullptr;
  waiter* next_ = nullptr;
  enum class where : std::uint8_t { nowhere, queued, delivered_list } place_ = where::nowhere;
  outcome outcome_ = outcome::waiting;
  slot::phase phase_ = slot::phase::plain;
  bool pinned_ = false;
  std::uint32_t requests_ = 0;  ///< its share of the budget while queued
  std::uint64_t bytes_ = 0;
  router::instance* granted_on_ = nullptr;
  std::shared_ptr<const start_failure> failure_;
  park_place kept_;  ///< when moved
};

/// Where grants for one worker land. `post` must make deliver() run soon on that worker; it is called from any thread,
/// carries no pointer, must neither throw nor deliver before it returns, and is not called again before deliver() has
/// begun. Outlives every waiter that names it, and every call on a lot by another thread that may be about to post to
/// it.
class mailbox {
 public:
  explicit mailbox(std::function<void()> post);
  ~mailbox();
  mailbox(const mailbox&) = delete;
  mailbox& operator=(const mailbox&) = delete;
  /// Wakes everything granted or failed before the call, oldest first; what arrives meanwhile has been posted anew, so
  /// that a busy lot cannot keep the worker here. Waiters may be destroyed from inside the wakes. The worker's thread
  /// only; not from inside a wake.
  void deliver() noexcept;

 private:
  friend class parking_lot;
  friend class waiter;
  [[nodiscard]] bool put(waiter& w) noexcept;  ///< true when the caller must call post_
  [[nodiscard]] waiter* pop() noexcept;
  void remove(waiter& w) noexcept;

  std::mutex mutex_;
  waiter_list woken_;
  bool posted_ = false;
  std::function<void()> post_;
};

/// What may be parked, shared by all revisions of one function. The sums may be read by any thread at any time and
/// never exceed the limits; both change together, so that a refusal leaves no trace that could refuse somebody else.
/// Only lowered limits, and waiters who moved from one lot to another (they were admitted once), may exceed them.
struct park_budget {
  std::uint64_t max_requests = 1000;
  std::uint64_t max_bytes = 64ull << 20;
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> bytes{0};

  /// Counts the request in, or changes nothing and returns false when one of the limits would be exceeded.
  [[nodiscard]] bool admit(std::uint32_t more_requests, std::uint64_t more_bytes) noexcept;
  /// Counts it in whatever the limits say.
  void force(std::uint32_t more_requests, std::uint64_t more_bytes) noexcept;
  void release(std::uint32_t fewer_requests, std::uint64_t fewer_bytes) noexcept;
  /// Both at once: nobody sees the time between.
  void replace(std::uint32_t fewer_requests, std::uint64_t fewer_bytes, std::uint32_t more_requests,
               std::uint64_t more_bytes) noexcept;
  /// Any thread; holds for what comes.
  void set_limits(std::uint64_t requests_limit, std::uint64_t bytes_limit) noexcept;

 private:
  std::mutex mutex_;
};

class parking_lot {
 public:
  using instance_list = std::vector<router::instance*>;

  /// `demand` is called from any thread when work parked (once per `acknowledge_demand()`), so that the control thread
  /// looks at this revision now and not at its next tick. It must not block.
  /// `clock` dates the giving back of slots: nanoseconds of the steady clock, or of a virtual one.
  parking_lot(park_budget& budget, std::function<void()> demand,
              std::int64_t (*clock)() noexcept = router::instance::steady_now);
  /// Nobody waits and no slot is taken any more.
  ~parking_lot();
  parking_lot(const parking_lot&) = delete;
  parking_lot& operator=(const parking_lot&) = delete;

  // --- any worker --------------------------------------------------------------------------------------------------
  /// A slot on the open instance with the fewest taken, ties spread; nothing when others wait (no barging) or all are
  /// full. Exact for up to 64 instances (router/least_request.hpp). `seed`: any number that differs from call to call.
  [[nodiscard]] std::optional<slot> take(std::uint32_t seed) noexcept;

  enum class park_result : std::uint8_t { parked, queue_full, start_failed, moved };
  /// Who parks: `retry` keeps its turn, so it goes before all but earlier ones, and having been admitted once is
  /// outside `max_requests`; its bytes are checked all the same. `moved`, out of another lot of the same function,
  /// stands with the retries, is counted, and is never refused for a limit. `ticket`, of events that wait at their
  /// source: takes its turn as a newcomer does, and is neither counted nor refused for a limit.
  enum class turn : std::uint8_t { newcomer, retry, moved, ticket };
  /// Queues `w`, which then is woken exactly once (perhaps before this returns, through its mailbox), unless the result
  /// is not `parked`. `bytes` of memory are held while it waits. `queue_full`: a limit of the budget would be exceeded.
  /// `start_failed`: a start failed, no instance is open, and the back-off is not over; `w.failure()` says why.
  /// `moved`: the lot was closed; choose a revision anew. `pinned`: the caller named the revision, so that move_out()
  /// passes over this one. `last_resort`: there is no other to choose, so a closed lot takes it as well. `kept`: the
  /// place in the budget of one who was moved here; taken over when the result is `parked`.
  [[nodiscard]] park_result park(waiter& w, std::uint64_t bytes, turn as = turn::newcomer, bool pinned = false,
                                 bool last_resort = false, park_place* kept = nullptr);

  // --- control thread ----------------------------------------------------------------------------------------------
  /// Replaces the list of instances that take() looks at and offers what became free. An instance that leaves the list
  /// must not be open any more. The caller frees the returned list (and the instances that left it) once every worker
  /// has passed a quiescent point after this call, and an instance not before a quiescent point after its count was
  /// seen at 0.
  [[nodiscard]] std::unique_ptr<const instance_list> publish(std::unique_ptr<const instance_list> list);
  /// Grants to the head of the queue while slots are free. After: an instance opened, un-ejected, thawed, a limit
  /// raised.
  void offer();
  /// For the control thread's tick while work is parked; does nothing on instances with a slot limit. Without one,
  /// parked work is released two for each answer; this releases as many as were released and are unanswered (at least
  /// one) on each open instance, so that a slow first answer does not hold up everybody behind it.
  void offer_overdue();
  /// Wakes every waiter with this failure, and refuses new work with it until clear_failure(), unless an instance is
  /// open. Called only while none is.
  void fail(std::shared_ptr<const start_failure> why);
  void clear_failure();
  /// Wakes every waiter that is not pinned with `moved`: the function's traffic is split anew. Order is kept, as each
  /// parks again as `turn::moved` and wakes come in the order of the queue. All stay counted in the budget until they
  /// park again (park_place).
  void move_out();
  /// The revision takes no more work: wakes all with `moved`, pinned or not, and whoever still comes is told `moved`,
  /// but those who come as a last resort. Not undone.
  void close();
  /// Arms the demand callback again; call before reading the counts that a decision is made from.
  void acknowledge_demand() noexcept;

  /// Any thread; exact only at rest.
  [[nodiscard]] std::uint64_t parked() const noexcept { return waiters_.load(std::memory_order_seq_cst); }

 private:
  friend class slot;
  friend class waiter;
  class wakes;
  void give_back(router::instance& on, slot::phase at, unsigned growth) noexcept;
  void answered(router::instance& on) noexcept;
  void leave(waiter& w) noexcept;
  // With the mutex held.
  void enqueue(waiter& w, bool at_head) noexcept;
  void wake_all(waiter::outcome how, wakes& out) noexcept;
  void wake_one(waiter& w, waiter::outcome how, wakes& out) noexcept;
  void dequeue(waiter& w, bool keeps_place = false) noexcept;
  void grant(router::instance& on, wakes& out) noexcept;
  void grant_free(bool paced, wakes& out) noexcept;
  void grant_on(router::instance& on, unsigned most, wakes& out) noexcept;
  [[nodiscard]] router::instance* take_for_head(bool paced) noexcept;
  [[nodiscard]] bool any_open() const noexcept;

  park_budget& budget_;
  const std::function<void()> demand_;
  std::int64_t (*const clock_)() noexcept;
  // Read by every take and give back; written only when somebody parks, wakes or publishes.
  alignas(64) std::atomic<std::uint64_t> waiters_{0};  ///< length of the queue; changes under the mutex only
  std::atomic<const instance_list*> list_;
  alignas(64) std::atomic<bool> demand_signalled_{false};
  mutable std::mutex mutex_;
  waiter_list queue_;
  waiter* last_retry_ = nullptr;  ///< the retries are a prefix of the queue; null when there are none
  std::uint32_t seed_ = 0;
  bool closed_ = false;
  std::shared_ptr<const start_failure> failure_;
};

}  // namespace rouse::activator
