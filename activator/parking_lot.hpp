#pragma once
// The instances of one revision and the FIFO of those who wait for a slot on one of them. Owned by the activator; used by
// every worker (take, park, leave, give back) and by the control thread (publish, offer, fail). See ARCHITECTURE.md, "Slots
// and parking", for the protocol and why no wake-up can be lost.

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

/// Why a start failed; shared by all who waited for it.
struct start_failure {
  std::string reason;                  ///< a word for the metric: exited, timeout, spawn, ...
  std::string detail;                  ///< a sentence for people, without what the instance wrote
  std::vector<std::string> last_lines; ///< the last lines the instance wrote; shown to callers only under expose_errors
  std::chrono::steady_clock::time_point retry_at{};  ///< no start is tried before this
};

/// The right to have one exchange open on one instance. Gives itself back, and on, when destroyed. Move-only; any thread,
/// but one at a time.
class slot {
 public:
  slot() = default;
  slot(parking_lot& lot, router::instance& on) noexcept : lot_(&lot), on_(&on) {}
  slot(slot&& other) noexcept : lot_(std::exchange(other.lot_, nullptr)), on_(std::exchange(other.on_, nullptr)) {}
  slot& operator=(slot&& other) noexcept;
  ~slot() { reset(); }
  explicit operator bool() const noexcept { return on_ != nullptr; }
  [[nodiscard]] router::instance& on() const noexcept { return *on_; }
  void reset() noexcept;

 private:
  parking_lot* lot_ = nullptr;
  router::instance* on_ = nullptr;
};

/// One who waits. Lives in the frame of the waiting coroutine, on one worker; never moves. Its destructor leaves the lot:
/// it unlinks from whatever list it is on, and a slot that was granted but not yet taken up is offered to the next.
class waiter {
 public:
  enum class outcome : std::uint8_t { waiting, granted, failed };

  /// `wake` is called once, on the mailbox's worker, when the outcome is known. It may resume the coroutine that owns this
  /// waiter and so destroy it.
  waiter(mailbox& where, std::function<void()> wake);
  waiter(const waiter&) = delete;
  waiter& operator=(const waiter&) = delete;
  ~waiter();

  /// Valid after wake, on the owner's worker.
  [[nodiscard]] outcome result() const noexcept { return outcome_; }
  [[nodiscard]] slot take_slot() noexcept;                                     ///< when granted; once
  [[nodiscard]] std::shared_ptr<const start_failure> failure() const noexcept; ///< when failed

 private:
  friend class parking_lot;
  friend class mailbox;
  mailbox& mailbox_;
  std::function<void()> wake_;
  parking_lot* lot_ = nullptr;         ///< set while linked or granted
  waiter* prev_ = nullptr;
  waiter* next_ = nullptr;
  enum class where : std::uint8_t { nowhere, queued, delivered_list } place_ = where::nowhere;
  outcome outcome_ = outcome::waiting;
  std::uint64_t bytes_ = 0;
  router::instance* granted_on_ = nullptr;
  std::shared_ptr<const start_failure> failure_;
};

/// Where grants for one worker land. `post` must make deliver() run soon on that worker; it is called from any thread,
/// carries no pointer, and is not called again before deliver() has begun.
class mailbox {
 public:
  explicit mailbox(std::function<void()> post);
  ~mailbox();
  /// Wakes everything granted or failed so far. The worker's thread only.
  void deliver();

 private:
  friend class parking_lot;
  friend class waiter;
  std::mutex mutex_;
  waiter* head_ = nullptr;
  waiter* tail_ = nullptr;
  bool posted_ = false;
  std::function<void()> post_;
};

/// What may be parked, shared by all revisions of one function. Plain limits and atomic sums.
struct park_budget {
  std::uint64_t max_requests = 1000;
  std::uint64_t max_bytes = 64ull << 20;
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> bytes{0};
};

class parking_lot {
 public:
  using instance_list = std::vector<router::instance*>;

  /// `demand` is called from any thread when work parked (once per `acknowledge_demand()`), so that the control thread
  /// looks at this revision now and not at its next tick. It must not block.
  parking_lot(park_budget& budget, std::function<void()> demand);
  ~parking_lot();

  // --- any worker -----------------------------------------------------------------------------------------------------
  /// A slot on the open instance with the fewest taken, ties spread; nothing when others wait (no barging) or all are full.
  /// Exact for up to 64 instances. `seed` is any per-worker pseudo-random number.
  [[nodiscard]] std::optional<slot> take(std::uint32_t seed) noexcept;

  enum class park_result : std::uint8_t { parked, queue_full, start_failed };
  /// Queues `w`, which then is woken exactly once (perhaps before this returns, through its mailbox), unless the result is
  /// not `parked`. `at_head` is for a retry, which keeps its turn and is not counted against the budget's requests twice.
  /// `start_failed`: a start failed, no instance is ready or starting, and the back-off is not over; `failure()` says why.
  [[nodiscard]] park_result park(waiter& w, std::uint64_t bytes, bool at_head = false);

  /// The failure that refuses new work at the moment, if any. Any thread.
  [[nodiscard]] std::shared_ptr<const start_failure> failure() const;

  // --- control thread -------------------------------------------------------------------------------------------------
  /// Replaces the list of instances that take() looks at and offers what became free. The caller frees the returned list
  /// (and the instances that left it) once every worker has passed a quiescent point.
  [[nodiscard]] std::unique_ptr<const instance_list> publish(std::unique_ptr<const instance_list> list);
  /// Grants to the head of the queue while slots are free. After: an instance opened, un-ejected, a limit raised.
  void offer();
  /// Wakes every waiter with this failure, and refuses new work with it until clear_failure().
  void fail(std::shared_ptr<const start_failure> why);
  void clear_failure();
  /// Arms the demand callback again; call before reading the counts that a decision is made from.
  void acknowledge_demand() noexcept;

  /// Any thread; exact only at rest.
  [[nodiscard]] std::uint64_t parked() const noexcept { return waiters_.load(std::memory_order_seq_cst); }

 private:
  friend class slot;
  friend class waiter;
  void give_back(router::instance& on) noexcept;

  park_budget& budget_;
  std::function<void()> demand_;
  std::atomic<bool> demand_signalled_{false};
  std::atomic<std::uint64_t> waiters_{0};
  std::atomic<const instance_list*> list_{nullptr};
  mutable std::mutex mutex_;
  waiter* head_ = nullptr;
  waiter* tail_ = nullptr;
  std::shared_ptr<const start_failure> failure_;
};

}  // namespace rouse::activator
