#pragma once
// One running copy of a function as the data plane sees it: where it listens, whether it may take work, and how many
// slots of it are taken. Made and destroyed by the control thread; taken from and given back to by every worker. State
// and count share one atomic word, so "drain" and "the last slot was given back" can never miss each other.

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "router/address.hpp"

namespace rouse::router {

/// The contract's life of an instance; `open` is what users see as "ready".
enum class instance_state : std::uint8_t { starting, open, draining, stopping, ejected, frozen, gone };

[[nodiscard]] const char* to_string(instance_state state) noexcept;

class instance {
 public:
  /// `slot_limit` is the most slots taken at once; 0 means no limit. `workers` sizes the per-worker ledgers.
  instance(std::uint64_t id, std::string name, std::uint32_t slot_limit, unsigned workers);
  instance(const instance&) = delete;
  instance& operator=(const instance&) = delete;
  ~instance();

  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::uint32_t slot_limit() const noexcept { return slot_limit_.load(std::memory_order_relaxed); }
  /// Control thread. What is taken above a lowered limit runs to its end; after a raised one the lot must offer().
  void set_slot_limit(std::uint32_t limit) noexcept { slot_limit_.store(limit, std::memory_order_seq_cst); }

  /// Where it listens. Set once by the control thread before the first open(); read by workers only while they hold a
  /// slot.
  void set_address(address where) noexcept { address_ = where; }
  [[nodiscard]] const address& where() const noexcept { return address_; }

  /// When its start was decided and when it was ready (steady_clock, nanoseconds since its epoch). Set with the
  /// address.
  void set_birth(std::int64_t decided_ns, std::int64_t ready_ns) noexcept {
    decided_ns_ = decided_ns;
    ready_ns_ = ready_ns;
  }
  [[nodiscard]] std::int64_t decided_ns() const noexcept { return decided_ns_; }
  [[nodiscard]] std::int64_t ready_ns() const noexcept { return ready_ns_; }

  [[nodiscard]] instance_state state() const noexcept { return state_of(word_.load(std::memory_order_seq_cst)); }
  [[nodiscard]] std::uint32_t slots_taken() const noexcept { return taken_of(word_.load(std::memory_order_seq_cst)); }

  /// What free_load() says of an instance that must not be given work now.
  static constexpr std::uint32_t no_free_slot = std::numeric_limits<std::uint32_t>::max();
  /// Slots taken when the instance is open and below its limit, otherwise no_free_slot; one seq_cst load, which the
  /// parking lot's protocol relies on.
  [[nodiscard]] std::uint32_t free_load() const noexcept {
    const std::uint64_t word = word_.load(std::memory_order_seq_cst);
    return has_free_slot(word) ? taken_of(word) : no_free_slot;
  }

  // --- any worker --------------------------------------------------------------------------------------------------
  /// Takes one slot: true when the instance was open and below its limit. seq_cst.
  [[nodiscard]] bool try_take() noexcept;
  /// Nanoseconds since the steady clock's epoch.
  [[nodiscard]] static std::int64_t steady_now() noexcept;
  /// Gives one slot back and returns how many are still taken. seq_cst. The lot, not the caller, offers it on. Reads
  /// the clock only when the count falls to 0, and notes the time before the count can be seen at 0: who finds the
  /// instance idle also finds since when.
  std::uint32_t give_back(std::int64_t (*now)() noexcept = steady_now) noexcept;

  // --- control thread: each returns false when the state it starts from does not hold ------------------------------
  bool open() noexcept;           ///< starting, ejected, frozen or draining -> open
  bool drain() noexcept;          ///< open or ejected -> draining
  bool eject() noexcept;          ///< open -> ejected
  bool freeze() noexcept;         ///< open with no slot taken -> frozen
  bool stop_if_idle() noexcept;   ///< open, draining, ejected or frozen with no slot taken -> stopping
  void mark_stopping() noexcept;  ///< any but gone -> stopping, whatever is taken (a drain that timed out)
  void mark_gone() noexcept;      ///< any -> gone; slots still taken are given back as usual

  /// When the last slot was given back (steady_clock, nanoseconds since its epoch); 0 before the first one.
  [[nodiscard]] std::int64_t last_active() const noexcept { return last_active_.load(std::memory_order_relaxed); }
  void touch(std::int64_t steady_ns) noexcept { last_active_.store(steady_ns, std::memory_order_relaxed); }

  /// What keeps the connections to this instance, idle and busy, over all workers, within its slot limit.
  /// Counts only; the sockets belong to the workers' pools (gateway/upstream_pool.hpp).
  struct ledger {
    std::atomic<std::uint32_t> connections{0};  ///< open or being dialled, over all workers
    std::atomic<std::uint32_t> dialling{0};     ///< connects in progress, over all workers
    /// The readiness probe's connected descriptor, taken by the first user; owned here.
    std::atomic<int> probe_socket{-1};
    std::unique_ptr<std::atomic<std::uint32_t>[]> idle;  ///< idle connections, per worker
  };
  ledger connections;

  /// Outcomes of exchanges, by any worker: true when this failure is the `threshold`th in a row, or one beyond it, so
  /// that the control thread should be told. Fast failures would otherwise make it the least busy one and draw all
  /// work.
  [[nodiscard]] bool failed(std::uint32_t threshold) noexcept {
    return failures_.fetch_add(1, std::memory_order_relaxed) + 1 >= threshold;
  }
  void succeeded() noexcept {
    if (failures_.load(std::memory_order_relaxed) != 0) failures_.store(0, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint32_t failures_in_a_row() const noexcept { return failures_.load(std::memory_order_relaxed); }

  /// Only without a slot limit: grants to parked work whose exchange was not answered yet. Guarded by the parking lot's
  /// mutex.
  std::uint32_t unanswered_grants = 0;

 private:
  static constexpr std::uint64_t pack(instance_state state, std::uint32_t taken) noexcept {
    return static_cast<std::uint64_t>(state) << 32 | taken;
  }
  static constexpr instance_state state_of(std::uint64_t word) noexcept {
    return static_cast<instance_state>(word >> 32);
  }
  static constexpr std::uint32_t taken_of(std::uint64_t word) noexcept { return static_cast<std::uint32_t>(word); }
  [[nodiscard]] bool has_free_slot(std::uint64_t word) const noexcept {
    const std::uint32_t limit = slot_limit();
    return state_of(word) == instance_state::open && taken_of(word) < (limit == 0 ? no_free_slot - 1 : limit);
  }
  bool move(unsigned from, instance_state to, bool only_idle) noexcept;

  alignas(64) std::atomic<std::uint64_t> word_;  ///< state in the upper half, slots taken in the lower
  std::atomic<std::int64_t> last_active_{0};
  std::atomic<std::uint32_t> failures_{0};
  // What never changes does not share the line that every take and give back writes.
  alignas(64) const std::uint64_t id_;
  const std::string name_;
  std::atomic<std::uint32_t> slot_limit_;
  address address_;
  std::int64_t decided_ns_ = 0;
  std::int64_t ready_ns_ = 0;
};

}  // namespace rouse::router
