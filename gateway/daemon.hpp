#pragma once
// The daemon: everything that `rouse serve` does once its configuration is known to be valid.

#include <string>
#include <vector>

#include "config/config.hpp"

namespace rouse::gateway {

struct serve_options {
  std::vector<std::string> sources;  ///< what the configuration was read from (config::load_result)
  std::string config_path;
  bool log_json = false;
  bool print_quickstart = false;   ///< print a curl line for each function once it can be called
  bool watch = false;              ///< reload when the configuration's files change
  std::string log_level = "info";  ///< debug, info, warn or error
};

/// Runs the daemon until it has drained. Returns the exit code. Logs and prints its own errors. Called from main before
/// any thread exists.
int serve(config::snapshot snapshot, const serve_options& options);

}  // namespace rouse::gateway
