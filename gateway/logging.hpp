#pragma once
// The daemon's log: one spdlog logger, made explicitly, never registered as a default. Lines are formatted where they
// are logged and written by a thread of their own (line_writer.hpp), so that no worker waits for stderr. Made by the
// daemon after the keeper was forked (it starts a thread), destroyed last.

#include <unistd.h>

#include <memory>
#include <string>
#include <string_view>

#include <spdlog/logger.h>

#include "gateway/line_writer.hpp"

namespace rouse::gateway {

struct log_options {
  bool json = false;           ///< one JSON object per line with ts, level and msg; else text for people
  bool colour = false;         ///< only for text
  std::string level = "info";  ///< debug, info, warn or error
  int descriptor = STDERR_FILENO;
};

/// Whether colour may be used on this descriptor: it is a terminal, and NO_COLOR is unset or empty.
[[nodiscard]] bool wants_colour(int descriptor);

/// True for the words that log_options::level may be.
[[nodiscard]] bool is_log_level(std::string_view word) noexcept;

class log_output {
 public:
  explicit log_output(const log_options& options);
  /// Writes what is still held (line_writer.hpp says for how long).
  ~log_output();
  log_output(const log_output&) = delete;
  log_output& operator=(const log_output&) = delete;

  /// Any thread may log; lives as long as this object. A message is one line, whatever is in it (escape.hpp).
  [[nodiscard]] spdlog::logger& logger() noexcept { return *logger_; }
  /// Lines lost because nobody read them fast enough. Any thread.
  [[nodiscard]] std::uint64_t dropped() const { return writer_.dropped(); }
  /// Waits until what was logged before is written, at most a second.
  void flush() { writer_.flush(); }

 private:
  line_writer writer_;
  std::unique_ptr<spdlog::logger> logger_;
};

}  // namespace rouse::gateway
