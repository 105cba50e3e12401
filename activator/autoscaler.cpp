#include "activator/autoscaler.hpp"

#include <algorithm>
#include <cmath>

#include "activator/autoscaler_steps.hpp"

namespace rouse::activator {
namespace {

using namespace std::chrono_literals;

/// An average over less says little.
constexpr auto least_cover = 1s;
/// Knative decides every two seconds, and its rates are meant per decision.
constexpr auto rate_period = 2s;

/// ceil() and floor() of what sums of many small parts make of a whole number.
constexpr double rounding = 1e-6;

unsigned whole(double value) {
  constexpr double most = 1e9;
  return static_cast<unsigned>(std::clamp(value, 0.0, most));
}

unsigned up_to_whole(double value) {
  return whole(std::ceil(value - rounding));
}

unsigned down_to_whole(double value) {
  return whole(std::floor(value + rounding));
}

/// One request at a time fills one instance, whatever the utilization that one aims at.
unsigned instances_for(double load, double target, config::scale_metric metric) {
  if (metric == config::scale_metric::concurrency && load <= 1 + rounding) target = std::max(target, 1.0);
  return up_to_whole(load / target);
}

}  // namespace

const char* to_string(scale_cause cause) noexcept {
  switch (cause) {
    case scale_cause::demand:
      return "demand";
    case scale_cause::stable:
      return "stable";
    case scale_cause::panic:
      return "panic";
    case scale_cause::min:
      return "min";
    case scale_cause::max:
      return "max";
    case scale_cause::spare:
      return "spare";
    case scale_cause::idle:
      return "idle";
    case scale_cause::rollout:
      return "rollout";
    case scale_cause::failed:
      return "failed";
    case scale_cause::replaced:
      return "replaced";
    case scale_cause::shutdown:
      return "shutdown";
  }
  return "unknown";
}

void autoscaler::observe(double average, time_point from, time_point to) {
  if (!memory_) memory_ = std::make_unique<memory>();
  memory_->series.add(average, from, to);
}

/// After idle the past holds nothing up, and at zero it is of no use.
void autoscaler::calm(const question& ask) noexcept {
  if (ask.current() == 0) return forget();
  if (!memory_) return;
  memory_->panic.reset();
  memory_->delayed.clear();
  memory_->rate_at = time_point::min();
}

double autoscaler::rate_base(const question& ask) {
  if (ask.now - rate_period >= memory_->rate_at) {
    memory_->rate_at = ask.now;
    memory_->rate_base = std::max(1u, ask.in.ready);
  }
  return memory_->rate_base;
}

void autoscaler::by_averages(const question& ask, reckoning& out) {
  const auto& config = ask.config;
  const auto stable_load = memory_->series.average(config.window);
  const auto panic_load = memory_->series.average(config.panic_window);
  const auto stable_wanted = instances_for(stable_load, ask.target, config.metric);
  const auto panic_wanted = instances_for(panic_load, ask.target, config.metric);

  const double base = rate_base(ask);
  const auto up = up_to_whole(config.max_up_rate * base);
  // Meant to slow the way down, so never a cause to start any; and what is spare is not part of what is needed.
  const double needed_before = std::max(1.0, base - ask.spare());
  const auto down = std::min({down_to_whole(needed_before / config.max_down_rate), ask.current(), up});
  const auto stable = std::clamp(stable_wanted, down, up);
  const auto panic = std::clamp(panic_wanted, down, up);

  auto& state = memory_->panic;
  if (panic_wanted >= config.panic_threshold * std::max(1u, ask.current())) {
    if (!state) state.emplace();
    state->over_at = ask.now;
  } else if (state && ask.now - state->over_at >= config.window) {
    state.reset();
  }

  const bool by_panic = state && panic >= stable;
  out.cause = state ? scale_cause::panic : scale_cause::stable;
  out.load = by_panic ? panic_load : stable_load;
  out.wanted = by_panic ? panic_wanted : stable_wanted;
  out.needed = by_panic ? panic : stable;
  if (!state) return;
  out.peak = state->peak > out.needed;
  state->peak = out.needed = std::max(state->peak, out.needed);
}

/// Without an average to go by.
void autoscaler::what_waits_now(const question& ask, reckoning& out) const {
  const auto& in = ask.in;
  std::uint64_t work = 0;
  if (ask.config.metric == config::scale_metric::concurrency) work = in.parked + in.in_flight;
  if (ask.config.metric == config::scale_metric::backlog) work = in.waiting_events;
  const auto load = static_cast<double>(work);
  auto wanted = up_to_whole(load / std::max(1.0, ask.target));
  if (ask.busy()) wanted = std::max(wanted, 1u);  // of a rate nothing is known yet
  if (wanted <= out.needed) return;
  out.cause = scale_cause::demand;
  out.load = load;
  out.wanted = wanted;
  out.needed = std::min(wanted, up_to_whole(ask.config.max_up_rate * std::max(1u, ask.in.ready)));
  out.peak = false;
}

/// Slots for all that is there, where some of it is parked. The last second's average, not the moment: who waits for a
/// few milliseconds needs no instance that takes longer to start.
void autoscaler::slots_for_all(const question& ask, reckoning& out) const {
  if (ask.config.metric != config::scale_metric::concurrency || ask.in.slots == 0 || ask.in.parked == 0) return;
  const auto load = memory_->series.average(least_cover);
  const auto wanted = up_to_whole(load / ask.in.slots);
  if (wanted <= out.needed) return;
  out.cause = scale_cause::demand;
  out.full = true;
  out.load = load;
  out.wanted = wanted;
  out.needed = std::min(wanted, up_to_whole(ask.config.max_up_rate * std::max(1u, ask.in.ready)));
  out.peak = false;
}

/// `down_delay`: the highest number of that long, kept as a list of those that no later one has reached.
unsigned autoscaler::hold_up(const question& ask, unsigned needed) {
  if (!memory_) return needed;
  auto& past = memory_->delayed;
  if (ask.config.down_delay <= 0ms) {
    past.clear();
    return needed;
  }
  while (!past.empty() && past.back().second <= needed) past.pop_back();
  past.emplace_back(ask.now, needed);
  const auto too_old = [&](const auto& one) { return one.first < ask.now - ask.config.down_delay; };
  past.erase(past.begin(), std::ranges::find_if_not(past, too_old));
  return past.front().second;
}

void autoscaler::reckon_active(const question& ask, reckoning& out) {
  const auto covers = memory_ ? memory_->series.covers() : 0s;
  if (covers >= least_cover) {
    by_averages(ask, out);
    slots_for_all(ask, out);
  }
  if (covers < least_cover || ask.in.ready == 0) what_waits_now(ask, out);
  out.delayed = hold_up(ask, out.needed);
  out.awake = std::max(out.delayed, 1u);
  out.with_spare = out.awake + (out.delayed > 0 ? ask.spare() : 0);
  const bool young = covers < ask.config.window;
  out.after_youth = young ? std::max(out.with_spare, ask.current()) : out.with_spare;
}

scale_cause autoscaler::what_bound(const question& ask, const reckoning& how) noexcept {
  const auto current = ask.current();
  if (how.desired < current) return how.after_youth > how.desired ? scale_cause::max : how.cause;
  if (how.desired == current) return how.cause;
  if (how.after_youth < how.desired) return scale_cause::min;
  if (how.awake <= current) return scale_cause::spare;
  return how.delayed == 0 ? scale_cause::demand : how.cause;
}

scale_decision autoscaler::decide(const config::scale& config, double target, const scale_limits& limits,
                                  const scale_input& in, time_point now) {
  const auto min = in.share > 0 ? limits.min : 0;
  const question ask{config, in, now, std::max(target, 0.01), min, std::max(limits.max, min)};
  const auto current = ask.current();
  if (memory_) {
    memory_->series.set_reach(std::max(config.window, config.panic_window));
    // What comes after a rest is the beginning of a series, however far back the first observation reaches.
    if (std::exchange(memory_->fresh, memory_->fresh && current == 0) && current == 0) memory_->series.clear();
  }

  reckoning how;
  if (ask.idle_over()) {
    calm(ask);
    how.cause = scale_cause::idle;
  } else {
    reckon_active(ask, how);
  }
  how.desired = std::clamp(how.after_youth, ask.min, ask.max);

  how.cause = what_bound(ask, how);

  scale_decision out;
  out.desired = how.desired;
  out.cause = how.cause;
  if (out.desired != current) out.reason = in_words(ask, how);
  if (current > 0 || out.desired > 0 || ask.busy()) out.next = now + tick;
  if (!ask.busy() && !ask.idle_over()) out.next = std::min(now + tick, in.last_active + config.idle);
  return out;
}

}  // namespace rouse::activator
