#pragma once
// One line on standard output for each request, if `server.access_log` asks for it. Made by the daemon after the keeper
// was forked (it may start a thread); called by every worker; outlives them.

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <spdlog/logger.h>

#include "config/config.hpp"
#include "gateway/line_writer.hpp"

namespace rouse::gateway {

/// What is known of a request when its exchange is closed. Views are read before write() returns; empty means "not
/// known".
struct access_entry {
  std::chrono::system_clock::time_point at;  ///< when the head was read
  std::string_view peer;
  std::string_view method;
  std::string_view target;  ///< as the caller sent it
  std::string_view host;
  std::string_view function;
  std::string_view request_id;
  std::string_view user_agent;
  std::string_view referer;
  unsigned status = 0;
  std::uint64_t bytes_out = 0;  ///< body to the caller
  std::uint64_t bytes_in = 0;   ///< body from the caller
  double duration_ms = 0;
  double park_ms = 0;
  bool cold = false;      ///< waited for a cold start
  unsigned version = 11;  ///< 10 or 11
};

/// The line of one request, with its line end. Every value is escaped: one request is one line, whatever it holds.
/// `combined` is Apache's format, its time in UTC. Pure.
[[nodiscard]] std::string format_access(config::access_log format, const access_entry& entry);

class access_logger {
 public:
  /// Without `off`, starts the writer's thread. `log` is told when lines were dropped, and must outlive this object.
  access_logger(config::access_log format, spdlog::logger& log, int descriptor = STDOUT_FILENO);
  ~access_logger();
  access_logger(const access_logger&) = delete;
  access_logger& operator=(const access_logger&) = delete;

  /// False: do not even fill an entry.
  [[nodiscard]] bool enabled() const noexcept { return writer_ != nullptr; }
  /// Any thread; never waits for the reader. Nothing when not enabled.
  void write(const access_entry& entry);

 private:
  const config::access_log format_;
  std::unique_ptr<line_writer> writer_;
};

}  // namespace rouse::gateway
