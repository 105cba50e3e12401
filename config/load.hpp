#pragma once
// Reads rouse.yaml into a snapshot. Start-up and `rouse check` only, on the calling thread.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"

namespace rouse::config {

/// One thing wrong with the configuration. line and column count from 1; 0 when the file itself could not be read.
struct problem {
  std::string file;
  int line = 0;
  int column = 0;
  std::string message;  ///< what is wrong, and what would be right

  /// `FILE:LINE:COLUMN: message`
  [[nodiscard]] std::string to_string() const;
};

/// Either a snapshot, or every problem that was found (never both).
struct load_result {
  std::optional<snapshot> value;
  std::vector<problem> problems;
  /// What the configuration was read from: the files, and the folders in which `include` looks for more. A change to
  /// any of them is a reason to load it again.
  std::vector<std::string> sources{};
};

/// Looks up an environment variable; injected, so that tests need no real environment.
using environment = std::function<std::optional<std::string>(const std::string& name)>;

/// The process's own environment.
[[nodiscard]] environment process_environment();

/// What is wrong with the `properties` of a cluster; empty: nothing. `writes`: events are also written there; `whole`:
/// these are all of them, and have to fit each other. Injected, because only Kafka's client library knows.
using kafka_check = std::function<std::string(const kafka_cluster& cluster, bool writes, bool whole)>;

/// Loads `path` and what it includes, substitutes `${NAME}` and `${NAME:-default}`, applies `defaults`, validates.
/// Never throws for what a user wrote: every problem is in the result. Without `check`, properties of Kafka are taken
/// as they are.
[[nodiscard]] load_result load(const std::string& path, const environment& env, const kafka_check& check = {});

/// The same for text that is not in a file; `include` is resolved against the working directory. `name` stands for the
/// file.
[[nodiscard]] load_result load_text(std::string_view text, const std::string& name, const environment& env,
                                    const kafka_check& check = {});

}  // namespace rouse::config
