#pragma once
// Waits of requests, most of which do not wait: 32 linear steps in each power of two of nanoseconds, so what is read
// back is within 3 % of the true value (the layout of HdrHistogram). Memory only once somebody waited.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace rouse::simulator {

class wait_histogram {
 public:
  void add(std::uint64_t ns) {
    ++total_;
    if (ns == 0) return;
    if (counts_.empty()) counts_.resize(index(~0ULL) + 1);
    ++counts_[index(ns)];
    ++waited_;
    sum_ += static_cast<double>(ns);
    max_ = std::max(max_, ns);
  }
  void add(const wait_histogram& more) {
    total_ += more.total_;
    waited_ += more.waited_;
    sum_ += more.sum_;
    max_ = std::max(max_, more.max_);
    if (more.counts_.empty()) return;
    if (counts_.empty()) counts_.resize(more.counts_.size());
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += more.counts_[i];
  }

  [[nodiscard]] std::uint64_t total() const noexcept { return total_; }
  [[nodiscard]] std::uint64_t waited() const noexcept { return waited_; }
  [[nodiscard]] std::uint64_t max() const noexcept { return max_; }
  [[nodiscard]] double mean() const noexcept { return total_ == 0 ? 0 : sum_ / static_cast<double>(total_); }

  /// What `share` of all, those that did not wait included, did not exceed, rounded up to its step.
  [[nodiscard]] std::uint64_t quantile(double share) const noexcept {
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(total_) + 0.5);
    std::uint64_t seen = total_ - waited_;
    if (seen >= wanted) return 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= wanted) return std::min(upper(i), max_);
    }
    return max_;
  }

 private:
  static constexpr unsigned bits = 5;
  static std::size_t index(std::uint64_t value) noexcept {
    if (value < (1U << bits)) return static_cast<std::size_t>(value);
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - bits - 1;
    return (static_cast<std::size_t>(shift + 1) << bits) + static_cast<std::size_t>((value >> shift) - (1U << bits));
  }
  static std::uint64_t upper(std::size_t i) noexcept {
    if (i < (1U << bits)) return i;
    const auto shift = static_cast<unsigned>(i >> bits) - 1;
    return ((static_cast<std::uint64_t>(i & ((1U << bits) - 1)) + (1U << bits) + 1) << shift) - 1;
  }

  std::vector<std::uint32_t> counts_;
  std::uint64_t total_ = 0;
  std::uint64_t waited_ = 0;
  std::uint64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace rouse::simulator
