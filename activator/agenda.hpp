#pragma once
// Which function is to be looked at when: one ordered set of due times in place of a timer per function, so that
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

  explicit agenda(std::size_t functions) : due_(functions, never) {}

  /// Replaces the due time of `function`; nothing takes it off.
  void set(std::uint32_t function, std::optional<time_point> due) {
    auto& at = due_[function];
    if (at == due.value_or(never)) return;
    if (at != never) order_.erase({at, function});
    at = due.value_or(never);
    if (at != never) order_.insert({at, function});
  }

  [[nodiscard]] std::optional<time_point> earliest() const {
    if (order_.empty()) return std::nullopt;
    return order_.begin()->first;
  }

  /// Takes off one function that is due at `now`, the longest overdue first.
  [[nodiscard]] std::optional<std::uint32_t> pop(time_point now) {
    if (order_.empty() || order_.begin()->first > now) return std::nullopt;
    const auto function = order_.begin()->second;
    set(function, std::nullopt);
    return function;
  }

  [[nodiscard]] std::size_t size() const noexcept { return order_.size(); }

 private:
  static constexpr time_point never = time_point::max();
  std::vector<time_point> due_;
  std::set<std::pair<time_point, std::uint32_t>> order_;
};

}  // namespace rouse::activator
