#pragma once
// What the bodies that the daemon keeps whole may take of its memory together: what is handed in until the store has
// it, queued requests that are about to be made, replies until they are kept. One budget for all (site); whoever holds
// the bytes holds a share of it, and gives it back by ending. Any thread.
//
// Three ceilings, so that what waits for a function cannot shut out callers, nor these keep a reply from being taken:
// queued requests may fill a half, with what is handed in three quarters, and only replies the rest.

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

namespace rouse::gateway {

class memory_budget {
 public:
  static constexpr std::uint64_t usual = std::uint64_t{256} * 1024 * 1024;
  explicit memory_budget(std::uint64_t bytes = usual) noexcept : limit_(bytes) {}
  memory_budget(const memory_budget&) = delete;
  memory_budget& operator=(const memory_budget&) = delete;

  [[nodiscard]] std::uint64_t limit() const noexcept { return limit_; }
  [[nodiscard]] std::uint64_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
  /// The most that may be used when a queued request is taken from the store ...
  [[nodiscard]] std::uint64_t for_queued() const noexcept { return limit_ / 2; }
  /// ... and when the body of a caller grows, which is thereby the most that one body can have.
  [[nodiscard]] std::uint64_t for_callers() const noexcept { return limit_ / 4 * 3; }

 private:
  friend class memory_share;
  bool add(std::uint64_t bytes, std::uint64_t most) noexcept;
  bool add_last(std::uint64_t bytes) noexcept;
  void give_back(std::uint64_t bytes) noexcept { used_.fetch_sub(bytes, std::memory_order_relaxed); }

  const std::uint64_t limit_;
  std::atomic<std::uint64_t> used_{0};
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
  /// Holds so many in all. More than before only when no more than `most` of the budget is then in use: else false, and
  /// it holds what it held.
  [[nodiscard]] bool hold(std::uint64_t bytes, std::uint64_t most) noexcept;
  /// For what has to come to its end, such as a reply. Holds `bytes` where the budget allows it, else `all` that it can
  /// ever come to where the budget is not above its limit yet. So one at a time goes beyond the limit and, having all
  /// it may need, ends: those who wait for room cannot wait for each other.
  [[nodiscard]] bool hold_or_overdraw(std::uint64_t bytes, std::uint64_t all) noexcept;
  /// A share of its own out of this one. What this one does not have is added, room or not.
  [[nodiscard]] memory_share split(std::uint64_t bytes) noexcept;
  void release() noexcept;

 private:
  memory_budget* budget_ = nullptr;
  std::uint64_t bytes_ = 0;
};

/// Room in `text` for exactly so many bytes, as std::string::reserve() does not promise.
void make_room(std::string& text, std::size_t bytes);

}  // namespace rouse::gateway
