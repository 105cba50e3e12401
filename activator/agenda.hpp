#pragma once
// Which lifecycle is to be looked at when: one ordered set of due times in place of a timer per function, so that
// functions at rest cost nothing. Control thread only.

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace rouse::activator {

class agenda {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  /// Replaces the due time of the lifecycle with this number; nothing takes it off.
  void set(std::uint32_t number, std::optional<time_point> due) {
    if (number >= due_.size()) due_.resize(number + 1, never);
    auto& at = due_[number];
    if (at == due.value_or(never)) return;
    if (at != never) order_.erase({at, number});
    at = due.value_or(never);
    if (at != never) order_.insert({at, number});
  }

  [[nodiscard]] std::optional<time_point> earliest() const {
    if (order_.empty()) return std::nullopt;
    return order_.begin()->first;
  }

  /// Takes off one that is due at `now`, the longest overdue first.
  [[nodiscard]] std::optional<std::uint32_t> pop(time_point now) {
    if (order_.empty() || order_.begin()->first > now) return std::nullopt;
    const auto number = order_.begin()->second;
    set(number, std::nullopt);
    return number;
  }

  [[nodiscard]] std::size_t size() const noexcept { return order_.size(); }

 private:
  static constexpr time_point never = time_point::max();
  std::vector<time_point> due_;
  std::set<std::pair<time_point, std::uint32_t>> order_;
};

}  // namespace rouse::activator
