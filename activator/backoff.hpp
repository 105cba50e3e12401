#pragma once
// When a function whose instances do not come up, or do not stay up, may be tried again: exponential, 1 s doubling to
// 60 s,
// +-10 % so that many functions that fail together do not retry together. Pure: time and randomness come in. One per
// function, on the control thread.

#include <chrono>
#include <optional>

namespace rouse::activator {

class backoff {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds first{1};
  static constexpr std::chrono::seconds cap{60};
  /// An instance that has been ready for this long works: what failed before it is forgotten. One that dies sooner
  /// crashed.
  static constexpr std::chrono::seconds settled{10};

  /// A start that began at `began` failed. Starts that were under way together fail as one: only the first of them, for
  /// which this returns true, lengthens the delay. `random` is uniform in [0, 1).
  bool failed(time_point began, time_point now, double random);

  /// An instance that had been ready since `ready_at` ended by itself. One early end is forgiven; the next ones, until
  /// an instance settles, count as failed starts. True when this one delays the next start.
  bool crashed(time_point began, time_point ready_at, time_point now, double random);

  /// An instance has been ready from `ready_at` until `now`; resets when that is long enough and since the last
  /// failure.
  void ran(time_point ready_at, time_point now);

  [[nodiscard]] bool waiting(time_point now) const { return retry_at_ && now < *retry_at_; }
  /// No start before this; only meaningful after a failure.
  [[nodiscard]] time_point retry_at() const { return retry_at_.value_or(time_point{}); }

 private:
  unsigned step_ = 0;               ///< failures in a row; the delay doubles with each
  std::optional<time_point> wave_;  ///< when the present wave of failures began
  std::optional<time_point> retry_at_;
};

}  // namespace rouse::activator
