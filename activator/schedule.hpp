#pragma once
// What a schedule says at a moment: the bounds of `scale` and of pools, and when they may change next. Pure: wall time
// comes in. Made once from the config (it resolves the time zones), then read-only; any thread.
//
// A window is a set of readings of the zone's clock, so over a change to or from summer time it needs no rule of its
// own: where 02:30 does not exist, a window from 02:30 begins as the clock jumps past it; a window within the hour that
// is skipped does not come; an hour that is shown twice counts twice.

#include <chrono>
#include <optional>
#include <vector>

#include "config/config.hpp"
#include "config/local_time.hpp"

namespace rouse::activator {

using wall_time = std::chrono::system_clock::time_point;

/// One `{days, from, to, timezone}`.
class day_window {
 public:
  /// A zone that the tz database does not have (the loader refuses it) is taken for the machine's own.
  explicit day_window(const config::window& when);
  [[nodiscard]] bool holds(wall_time now) const;
  /// The next moment after `now` at which holds() may change; at most a little more than a week away. It may turn out
  /// not to have changed then.
  [[nodiscard]] wall_time next_change(wall_time now) const;

 private:
  [[nodiscard]] bool begins_on(std::int64_t day) const noexcept;
  config::time_zone zone_;
  std::uint8_t days_;
  std::chrono::minutes from_;
  std::chrono::minutes to_;
};

/// How many instances a revision may have now. max >= min.
struct scale_limits {
  unsigned min = 0;
  unsigned max = 20;
  friend bool operator==(const scale_limits&, const scale_limits&) = default;
};

/// `scale.min`, `scale.max` and `scale.schedule`. Per key the first window that holds and has it counts; a `min` above
/// the `max` raises the `max`, because capacity that somebody asked for is worse to miss than to pay.
class scale_schedule {
 public:
  explicit scale_schedule(const config::scale& scale);
  struct answer {
    scale_limits limits;
    std::optional<wall_time> until;  ///< ask again then; nothing: it never changes
  };
  [[nodiscard]] answer at(wall_time now) const;

 private:
  struct entry {
    day_window when;
    std::optional<unsigned> min;
    std::optional<unsigned> max;
  };
  scale_limits base_;
  std::vector<entry> entries_;
};

/// A pool's `max_instances` and `schedule`: the first window that holds counts; outside of them `max_instances`, and
/// where there is none, 0.
class pool_schedule {
 public:
  explicit pool_schedule(const config::pool& pool);
  struct answer {
    std::optional<unsigned> max_instances;  ///< nothing: no bound
    std::optional<wall_time> until;         ///< as in scale_schedule
  };
  [[nodiscard]] answer at(wall_time now) const;

 private:
  struct entry {
    day_window when;
    unsigned max_instances;
  };
  std::optional<unsigned> base_;
  std::vector<entry> entries_;
};

}  // namespace rouse::activator
