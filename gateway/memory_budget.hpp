#pragma once
// What the bodies that the daemon keeps whole may take of its memory together: what is handed in until the store has
// it, queued requests that are about to be made, replies until they are kept. Three budgets (body_memory, of which the
// daemon has one), so that what waits for a function cannot shut out callers, nor these, however slow, hold up what is
// queued. Whoever holds the bytes holds a share, and gives it back by ending. Any thread.

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

namespace rouse::gateway {

class memory_budget {
 public:
  explicit memory_budget(std::uint64_t bytes) noexcept : limit_(bytes) {}
  memory_budget(const memory_budget&) = delete;
  memory_budget& operator=(const memory_budget&) = delete;

  [[nodiscard]] std::uint64_t limit() const noexcept { return limit_; }
  [[nodiscard]] std::uint64_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
  /// Whether somebody holds more than there is: nobody gets more until that one has ended.
  [[nodiscard]] bool overdrawn() const noexcept { return used() > limit_; }

 private:
  friend class memory_share;
  bool add(std::uint64_t bytes) noexcept;
  bool add_last(std::uint64_t bytes) noexcept;
  void give_back(std::uint64_t bytes) noexcept { used_.fetch_sub(bytes, std::memory_order_relaxed); }

  const std::uint64_t limit_;
  std::atomic<std::uint64_t> used_{0};
};

/// Those of the daemon.
struct body_memory {
  static constexpr std::uint64_t mib = std::uint64_t{1024} * 1024;
  /// Requests and replies up to this size are not counted, so that they never wait for large ones of others. Their
  /// number is bounded by what each function and trigger may have in flight.
  static constexpr std::uint64_t small = std::uint64_t{64} * 1024;
  memory_budget callers{128 * mib};  ///< what is handed in, and responses that are fetched
  memory_budget queued{64 * mib};    ///< requests of invocations, from the store until they are made
  memory_budget replies{64 * mib};   ///< to events and invocations, until they are kept
};

/// Bytes of a budget, given back when it ends. Owned by one at a time.
class memory_share {
 public:
  memory_share() = default;
  explicit memory_share(memory_budget& of) noexcept : budget_(&of) {}
  memory_share(memory_share&& other) noexcept : budget_(other.budget_), bytes_(std::exchange(other.bytes_, 0)) {}
  memory_share& operator=(memory_share&& other) noexcept {
    if (this == &other) return *this;
    release();
    budget_ = other.budget_;
    bytes_ = std::exchange(other.bytes_, 0);
    return *this;
  }
  ~memory_share() { release(); }

  /// Whether it is of a budget.
  explicit operator bool() const noexcept { return budget_ != nullptr; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  /// Holds so many in all, or is false and holds what it held. Less always works.
  [[nodiscard]] bool hold(std::uint64_t bytes) noexcept;
  /// For what has to come to its end, such as a reply. Holds `bytes` where the budget allows it, else `all` that it can
  /// ever come to where the budget is not above its limit yet. So one at a time goes beyond the limit and, having all
  /// it may need, ends: those who wait for room cannot wait for each other.
  [[nodiscard]] bool hold_or_overdraw(std::uint64_t bytes, std::uint64_t all) noexcept;
  /// Holds so many in all, whether or not there is room.
  void force(std::uint64_t bytes) noexcept;
  void release() noexcept;

 private:
  memory_budget* budget_ = nullptr;
  std::uint64_t bytes_ = 0;
};

/// Room in `text` for exactly so many bytes, as std::string::reserve() does not promise.
void make_room(std::string& text, std::size_t bytes);

}  // namespace rouse::gateway
