#pragma once
// Replays a trace against the daemon's own control code (lifecycles, autoscalers, pools, parking lots) in virtual time.
// One thread, no sockets, no clock of the machine's: the same trace, configuration and seed give the same result.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "activator/simulator/arrivals.hpp"
#include "activator/simulator/report.hpp"
#include "activator/simulator/trace.hpp"
#include "config/config.hpp"

namespace rouse::simulator {

/// How long a request takes: always as the trace says, or that on average.
enum class service_times : std::uint8_t { fixed, exponential };

struct options {
  spread arrivals = spread::poisson;
  service_times services = service_times::exponential;
  std::uint64_t seed = 1;
  /// What the clocks on the wall show when the trace begins; for schedules. A Monday.
  std::chrono::system_clock::time_point begin = std::chrono::sys_days(std::chrono::year(2026) / 1 / 5);
  std::chrono::nanoseconds step{std::chrono::minutes(1)};  ///< of the time series
  std::function<void(const sample&)> on_sample;            ///< unset: no time series
};

/// Costs and instance-hours are of the trace's span; requests that are there at its end are still served.
[[nodiscard]] report simulate(std::shared_ptr<const config::snapshot> snapshot, const trace& load, const options& how);

}  // namespace rouse::simulator
