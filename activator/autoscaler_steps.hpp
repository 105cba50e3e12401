#pragma once
// Private to autoscaler*.cpp: the question that decide() answers, and how it came to the answer. Plain values.

#include "activator/autoscaler.hpp"

namespace rouse::activator {

struct autoscaler::question {
  const config::scale& config;
  const scale_input& in;
  time_point now;
  double target;
  unsigned min;
  unsigned max;

  [[nodiscard]] unsigned current() const noexcept { return in.ready + in.starting; }
  [[nodiscard]] unsigned spare() const noexcept { return in.share > 0 ? config.spare : 0; }
  [[nodiscard]] bool busy() const noexcept { return in.parked + in.in_flight + in.waiting_events > 0; }
  [[nodiscard]] bool idle_over() const noexcept { return !busy() && in.last_active <= now - config.idle; }
};

/// In the order in which the numbers are made; the words are built from it, and only when somebody will read them.
struct autoscaler::reckoning {
  scale_cause cause = scale_cause::stable;
  double load = 0;           ///< of the metric, that `wanted` comes from
  unsigned wanted = 0;       ///< ceil(load / target)
  unsigned needed = 0;       ///< after the rates, or the highest of this panic
  bool full = false;         ///< needed is what has slots for the load of the last second
  bool peak = false;         ///< needed is the highest of this panic
  unsigned delayed = 0;      ///< after down_delay
  unsigned awake = 0;        ///< at least one until idle
  unsigned with_spare = 0;   ///< with `spare` on top
  unsigned after_youth = 0;  ///< not lowered by a young series
  unsigned desired = 0;      ///< within min and max
};

}  // namespace rouse::activator
