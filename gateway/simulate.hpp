#pragma once
// `rouse simulate`: reads a configuration and a trace, runs the simulator (activator/simulator) and writes what it
// found. Main thread; no daemon is needed.

#include <cstdint>
#include <string>

#include "gateway/cli.hpp"

namespace rouse::gateway {

/// As given; what is empty has a default.
struct simulate_options {
  std::string config_path = "rouse.yaml";
  std::string trace_path;
  std::string functions_path;  ///< CSV function,start_ms,service_ms
  std::string start = "1s";
  std::string service = "100ms";
  std::string interval;
  std::string begin;  ///< RFC 3339, or a date
  std::string arrivals = "poisson";
  std::string services = "exponential";
  std::uint64_t seed = 1;
  bool json = false;
  std::string csv_path;  ///< of the time series
  std::string step = "1m";
};

int simulate_command(const simulate_options& options, cli_io& io);

}  // namespace rouse::gateway
