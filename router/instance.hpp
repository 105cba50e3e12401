#pragma once
// One running copy of a function as the data plane sees it: where it listens, whether it may take work, and how many slots
// of it are taken. Made and destroyed by the control thread; taken from and given back to by every worker. State and count
// share one atomic word, so "drain" and "the last slot was given back" can never miss each other.

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
  [[nodiscard]] std::uint32_t slot_limit() const noexcept { return slot_limit_; }

  /// Where it listens. Set once by the control thread before the first open(); read by workers only while they hold a slot.
  void set_address(address where) noexcept { address_ = where; }
  [[nodiscard]] const address& where() const noexcept { return address_; }

  [[nodiscard]] instance_state state() const noexcept;
  [[nodiscard]] std::uint32_t slots_taken() const noexcept;

  // --- any worker -----------------------------------------------------------------------------------------------------
  /// Takes one slot: true when the instance was open and below its limit. seq_cst.
  [[nodiscard]] bool try_take() noexcept;
  /// Gives one slot back and returns how many are still taken. seq_cst. The lot, not the caller, offers it on.
  std::uint32_t give_back() noexcept;

  // --- control thread: each returns false when the state it starts from does not hold --------------------------------
  bool open() noexcept;              ///< starting, ejected, frozen or draining -> open
  bool drain() noexcept;             ///< open or ejected -> draining
  bool eject() noexcept;             ///< open -> ejected
  bool freeze() noexcept;            ///< open with no slot taken -> frozen
  bool stop_if_idle() noexcept;      ///< open, draining, ejected or frozen with no slot taken -> stopping
  void mark_stopping() noexcept;     ///< any -> stopping, whatever is taken (a second signal, a drain that timed out)
  void mark_gone() noexcept;         ///< any -> gone; slots still taken are given back as usual

  /// When the last slot was given back (steady_clock, nanoseconds since its epoch); 0 before the first one.
  [[nodiscard]] std::int64_t last_active() const noexcept { return last_active_.load(std::memory_order_relaxed); }
  void touch(std::int64_t steady_ns) noexcept { last_active_.store(steady_ns, std::memory_order_relaxed); }

  /// What keeps the connections to this instance, idle and busy, over all workers, within its slot limit.
  /// Counts only; the sockets belong to the workers' pools (gateway/upstream_pool.hpp).
  struct ledger {
    std::atomic<std::uint32_t> connections{0};  ///< open or being dialled, over all workers
    std::atomic<std::uint32_t> dialling{0};     ///< connects in progress, over all workers
    std::atomic<int> probe_socket{-1};          ///< the readiness probe's connected descriptor, taken by the first user; owned here
    std::unique_ptr<std::atomic<std::uint32_t>[]> idle;  ///< idle connections, per worker
  };
  ledger connections;

 private:
  std::atomic<std::uint64_t> word_;  ///< state in the upper half, slots taken in the lower
  std::atomic<std::int64_t> last_active_{0};
  const std::uint64_t id_;
  const std::string name_;
  const std::uint32_t slot_limit_;
  address address_;
};

}  // namespace rouse::router
