#pragma once
// Counters that one thread writes and any thread may read: a relaxed load and store, so the writer pays for no lock
// prefix.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace rouse::activator {

/// A number with one writer.
class counter {
 public:
  void add(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void sub(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) - n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// A histogram of durations with one writer. Bounds are in nanoseconds and shared by all of rouse's duration metrics.
class duration_histogram {
 public:
  static constexpr std::array<std::uint64_t, 16> bounds_ns{
      500'000,       1'000'000,      2'500'000,      5'000'000,     10'000'000,    25'000'000,
      50'000'000,    100'000'000,    250'000'000,    500'000'000,   1'000'000'000, 2'500'000'000,
      5'000'000'000, 10'000'000'000, 30'000'000'000, 60'000'000'000};

  void observe(std::uint64_t ns) noexcept {
    const auto at = std::lower_bound(bounds_ns.begin(), bounds_ns.end(), ns) - bounds_ns.begin();
    buckets_[static_cast<std::size_t>(at)].add();
    sum_ns_.add(ns);
  }
  /// Not cumulative; the last one is beyond every bound.
  [[nodiscard]] std::uint64_t bucket(std::size_t i) const noexcept { return buckets_[i].get(); }
  [[nodiscard]] std::uint64_t sum_ns() const noexcept { return sum_ns_.get(); }

 private:
  std::array<counter, bounds_ns.size() + 1> buckets_{};
  counter sum_ns_;
};

}  // namespace rouse::activator
