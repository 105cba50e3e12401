#pragma once
// What a simulation found, and how it is written: for people, as JSON, and as a time series. Plain values.

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "activator/simulator/wait_histogram.hpp"

namespace rouse::simulator {

struct function_report {
  std::string name;
  std::uint64_t requests = 0;
  std::uint64_t timed_out = 0;     ///< gave up after `queue.max_wait`
  std::uint64_t queue_full = 0;    ///< refused: `queue.max_requests`
  std::uint64_t start_failed = 0;  ///< refused or woken because starts fail
  wait_histogram waits;            ///< from the arrival until a slot was got; only of those that got one
  std::uint64_t cold_starts = 0;   ///< instances that got ready
  std::uint64_t failed_starts = 0;
  double instance_hours = 0;  ///< of instances starting, ready, draining, frozen or stopping
  double busy_hours = 0;      ///< of slots taken
  unsigned peak_instances = 0;
  std::uint64_t peak_parked = 0;
  std::uint64_t decisions_up = 0;
  std::uint64_t decisions_down = 0;

  [[nodiscard]] std::uint64_t lost() const noexcept { return timed_out + queue_full + start_failed; }
};

struct pool_report {
  std::string name;
  double instance_hours = 0;
  unsigned reserved = 0;
  double price = 0;  ///< of an instance-hour
  double cost = 0;   ///< instance-hours, at least the reserved ones, x price
};

struct report {
  std::chrono::nanoseconds span{0};  ///< of the trace
  std::vector<function_report> functions;
  function_report all;  ///< the sum; peaks are of the sum, too
  std::vector<pool_report> pools;
};

/// One function (or all of them) over one step of the time series.
struct sample {
  std::chrono::nanoseconds at{0};  ///< end of the step, since the begin of the trace
  std::string function;            ///< `*`: all together
  std::uint64_t requests = 0;      ///< that arrived in the step
  double load = 0;                 ///< average of requests parked or in flight in the step
  unsigned desired = 0;            ///< this and the rest: at the end of the step
  unsigned ready = 0;
  unsigned starting = 0;
  std::uint64_t parked = 0;
};

/// Tables for a terminal: the twenty functions with the most instance-hours, and what all of them come to.
void write_text(std::ostream& out, const report& what);
/// One object; times in seconds, waits in milliseconds.
void write_json(std::ostream& out, const report& what);
void write_csv_head(std::ostream& out);
void write_csv(std::ostream& out, const sample& row);

}  // namespace rouse::simulator
