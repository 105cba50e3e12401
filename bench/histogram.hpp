#pragma once
// A histogram of latencies that costs an increment per value: 64 linear steps in each power of two, so a value read
// back is within 1.6 % of the true one (the layout of HdrHistogram). One thread; values in nanoseconds.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace rouse::bench {

class histogram {
 public:
  void add(std::uint64_t value) noexcept {
    ++counts_[index(value)];
    ++total_;
    if (value > max_) max_ = value;
  }
  [[nodiscard]] std::uint64_t total() const noexcept { return total_; }
  [[nodiscard]] std::uint64_t max() const noexcept { return max_; }

  /// The smallest value (rounded up to its step) that `share` of all values do not exceed; 0 when there are none.
  [[nodiscard]] std::uint64_t quantile(double share) const noexcept {
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(total_) + 0.5);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= wanted && seen > 0) return upper(i) < max_ ? upper(i) : max_;
    }
    return max_;
  }

 private:
  static constexpr unsigned bits = 6;
  static std::size_t index(std::uint64_t value) noexcept {
    if (value < (1u << bits)) return static_cast<std::size_t>(value);
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - bits - 1;
    return (static_cast<std::size_t>(shift + 1) << bits) + static_cast<std::size_t>((value >> shift) - (1u << bits));
  }
  static std::uint64_t upper(std::size_t i) noexcept {
    if (i < (1u << bits)) return i;
    const auto shift = (i >> bits) - 1;
    return (((i & ((1u << bits) - 1)) + (1u << bits) + 1) << shift) - 1;
  }
  std::array<std::uint64_t, (64 - bits + 1) << bits> counts_{};
  std::uint64_t total_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace rouse::bench
