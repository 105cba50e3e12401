#pragma once
// The recent past of one number, in buckets of a second: enough to tell its average over the last so many seconds.
// Control thread (or the simulator's); owned by an autoscaler.

#include <chrono>
#include <cstdint>
#include <vector>

namespace rouse::activator {

class load_series {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  using duration = std::chrono::steady_clock::duration;

  /// Remembers at least the last `reach`.
  explicit load_series(duration reach);
  /// Changes how far back it remembers; what it has is kept as far as it fits.
  void set_reach(duration reach);
  [[nodiscard]] duration reach() const noexcept { return reach_; }

  /// As newly made.
  void clear() noexcept;

  /// The number was `average` over (from, to]. What lies before the end of the last call is ignored; what no call
  /// covers counts as 0.
  void add(double average, time_point from, time_point to);

  /// The average over the last `window` before `end()`, or since the first add() where that is later, so that a young
  /// series is not diluted; 0 where nothing was added. Exact but for the oldest second, of which the part that lies in
  /// the window counts in proportion.
  [[nodiscard]] double average(duration window) const;
  /// How long ago the first add() began, by end().
  [[nodiscard]] duration covers() const noexcept { return end_ - begin_; }
  /// To where it was told.
  [[nodiscard]] time_point end() const noexcept { return end_; }
  [[nodiscard]] bool empty() const noexcept { return end_ == time_point::min(); }

 private:
  [[nodiscard]] double& bucket(std::int64_t second) noexcept;
  [[nodiscard]] const double& bucket(std::int64_t second) const noexcept;
  void advance(std::int64_t second) noexcept;

  duration reach_;
  std::vector<double> buckets_;  ///< number x seconds, by second of the clock modulo size
  std::int64_t newest_ = 0;      ///< the second of the newest bucket
  time_point begin_ = time_point::min();
  time_point end_ = time_point::min();
};

}  // namespace rouse::activator
