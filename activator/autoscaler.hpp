#pragma once
// How many instances a revision should have, and why. Pure: plain values and the time come in, a number and its reason
// go out, so that the same code runs in the daemon, in tests and in the simulator. One per revision; it remembers the
// load of the last window from the first observe() on, and costs one pointer before and after forget().

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "activator/load_series.hpp"
#include "activator/schedule.hpp"
#include "config/config.hpp"

namespace rouse::activator {

/// What a change of the number of instances comes from; the label `reason` of the metric.
enum class scale_cause : std::uint8_t {
  demand,    ///< what waits now, none being ready
  stable,    ///< the average over `window`
  panic,     ///< the average over `panic_window`
  min,       ///< the lower bound
  max,       ///< the upper bound
  spare,     ///< `spare` on top of what is needed
  idle,      ///< nothing to do for `idle`
  rollout,   ///< another revision takes over
  failed,    ///< starts fail
  replaced,  ///< one that ended, or is to be restarted
  shutdown,
};
[[nodiscard]] const char* to_string(scale_cause cause) noexcept;

/// One revision at one moment.
struct scale_input {
  using time_point = std::chrono::steady_clock::time_point;
  unsigned ready = 0;                ///< may take work
  unsigned starting = 0;             ///< capacity to come
  std::uint64_t parked = 0;          ///< requests that wait for a slot
  std::uint32_t slots = 0;           ///< of one instance (`concurrency`); 0: no limit
  std::uint64_t in_flight = 0;       ///< slots taken
  std::uint64_t waiting_events = 0;  ///< events that wait at their source
  /// When the last slot was given back or the youngest instance got ready, whichever is later; min(): never.
  time_point last_active = time_point::min();
  double share = 1;  ///< part of the function's traffic, 0 to 1; `min` and `spare` apply only above 0
};

struct scale_decision {
  unsigned desired = 0;  ///< ready and starting together
  scale_cause cause = scale_cause::stable;
  std::string reason;  ///< in words, where `desired` differs from what there is: "panic: 84 in flight / target 7 -> 12"
  /// Decide again then, if nothing is heard before; nothing: only demand or another config can change the number.
  std::optional<scale_input::time_point> next;
};

/// The rules are those of the Knative pod autoscaler (stable and panic averages, rates, delay), with N = max(1, ready):
///   up = ceil(max_up_rate x N), down = floor(N / max_down_rate), N taken anew every two seconds;
///   stable = clamp(ceil(average over `window` / target), down, up), panic likewise over `panic_window`;
///   panic begins, or goes on, when ceil(panic average / target) / max(1, ready + starting) >= panic_threshold, ends
///   once that was not so for a whole `window`, and in it the number never falls;
///   `down_delay` holds the highest number of that long.
/// And our own:
///   - At zero, what waits is acted upon at once: as many instances as hold it, one for each `target`, or for each
///     request where the target is below one. So is everything in the first second of a series, of which an average
///     would say little.
///   - While requests are parked, there are as many as have slots for the load of the last second (metric concurrency):
///   a
///     load that doubles in one step would otherwise be parked, or refused, until the averages have followed.
///   - One request at a time needs one instance, also where the target is below one.
///   - `idle` alone decides zero, and the averages never do: until it is over there is at least one instance, and after
///     it there are `min`.
///   - A series shorter than `window` lowers nothing, so that a restart, which forgets the past, does not.
class autoscaler {
 public:
  using time_point = scale_input::time_point;

  /// How often a revision that has instances or work wants to be decided.
  static constexpr std::chrono::milliseconds tick{1000};

  /// `average` is the time-weighted average of the metric over (from, to]: concurrency: slots taken + parked; rps:
  /// requests per second; backlog: events waiting.
  void observe(double average, time_point from, time_point to);

  /// `target`: as config::target_of() says.
  [[nodiscard]] scale_decision decide(const config::scale& config, double target, const scale_limits& limits,
                                      const scale_input& in, time_point now);

  /// Drops what is remembered. At zero, when idle is over, decide() does so by itself.
  void forget() noexcept { memory_.reset(); }

  [[nodiscard]] bool in_panic() const noexcept { return memory_ && memory_->panic; }

 private:
  struct panic_state {
    time_point over_at;  ///< when the threshold was last reached
    unsigned peak = 0;   ///< the highest number of this panic
  };
  struct memory {
    load_series series{std::chrono::seconds(60)};
    bool fresh = true;  ///< no instance was seen since the series began
    std::optional<panic_state> panic;
    std::vector<std::pair<time_point, unsigned>> delayed;  ///< falling numbers, oldest first: a sliding maximum
    time_point rate_at = time_point::min();                ///< when rate_base was taken
    double rate_base = 1;                                  ///< N of the rates
  };
  struct question;   // what decide() was asked
  struct reckoning;  // how it came to its number, step by step

  void by_averages(const question& ask, reckoning& out);
  void what_waits_now(const question& ask, reckoning& out) const;
  void slots_for_all(const question& ask, reckoning& out) const;
  [[nodiscard]] unsigned hold_up(const question& ask, unsigned needed);
  void calm(const question& ask) noexcept;
  [[nodiscard]] static scale_cause what_bound(const question& ask, const reckoning& how) noexcept;
  void reckon_active(const question& ask, reckoning& out);
  [[nodiscard]] double rate_base(const question& ask);
  [[nodiscard]] static std::string in_words(const question& ask, const reckoning& how);
  [[nodiscard]] static std::string load_in_words(const question& ask, const reckoning& how);

  std::unique_ptr<memory> memory_;
};

}  // namespace rouse::activator
