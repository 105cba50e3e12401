#pragma once
// What was set by hand (rouse scale, traffic, pool cordon), kept in data_dir over a restart. The file is replaced
// whole, so that it is the old one or the new one whatever happens. One thread at a time.

#include <optional>
#include <string>

#include "activator/activator.hpp"

namespace rouse::gateway {

class settings_store {
 public:
  /// `data_dir` is made when something has to be kept.
  explicit settings_store(std::string data_dir);

  struct loaded {
    activator::kept_settings value;
    std::string problem;  ///< why the file could not be used, in words; empty: it was used, or there is none
  };
  [[nodiscard]] loaded load();
  /// Durable when it returns; nothing is written where nothing has changed. Why not, in words, or nothing.
  [[nodiscard]] std::string save(const activator::kept_settings& settings);
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string folder_;
  std::string path_;
  std::string saved_;  ///< what the file holds
};

}  // namespace rouse::gateway
