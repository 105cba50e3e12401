#pragma once
// A load trace: how many requests came for which function in which interval, read from CSV, and what is known of each
// function (how long it takes to start, how long to answer). Read once, then read-only. docs/simulator.md has the
// format.

#include <chrono>
#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace rouse::simulator {

using std::chrono::nanoseconds;

/// So many requests within one interval. Times count from the begin of the trace.
struct trace_row {
  nanoseconds at{0};
  std::uint64_t requests = 0;
  nanoseconds service{-1};  ///< below 0: as the function's table says
};

/// One function of the configuration.
struct function_load {
  std::vector<trace_row> rows;  ///< by time
  nanoseconds start{0};         ///< from the decision to start an instance until it is ready
  nanoseconds service{0};       ///< from a slot taken until it is given back
};

struct trace {
  nanoseconds interval{0};               ///< that each row's requests are spread over
  nanoseconds end{0};                    ///< of the last interval
  std::uint64_t requests = 0;            ///< in all
  std::vector<function_load> functions;  ///< by their index in the snapshot
};

/// What holds where the files say nothing.
struct trace_defaults {
  nanoseconds start{std::chrono::seconds(1)};
  nanoseconds service{std::chrono::milliseconds(100)};
  std::optional<nanoseconds> interval;  ///< unset: the smallest difference between two times of the trace
};

/// Either a trace, or what is wrong with the files: at most twenty of `FILE:LINE: what, and what would be right`.
struct trace_result {
  std::optional<trace> value;
  std::vector<std::string> problems;
};

/// `time,function,requests[,service_ms]`, one row an interval and function, in any order. `name` stands for the file in
/// messages. `table` (may be null) is the CSV `function,start_ms,service_ms`.
[[nodiscard]] trace_result read_trace(std::istream& in, const std::string& name, std::istream* table,
                                      const std::string& table_name, const config::snapshot& snapshot,
                                      const trace_defaults& defaults);

}  // namespace rouse::simulator
