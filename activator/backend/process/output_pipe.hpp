#pragma once
// Reads the pipe that an instance's standard output and error go to, in bounded turns on the control thread, and hands
// on its lines. Belongs to one instance.

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "activator/backend/process/descriptor.hpp"
#include "activator/output_lines.hpp"

namespace rouse::process {

/// A turn hands on at most 32 lines and reads at most 64 KiB, then lets others run. While an instance is over its rate,
/// a turn discards up to 256 KiB and the next one comes a millisecond later: a child that writes over 256 MB/s then
/// waits for at most that long at a time, and the control thread never spends more than a few per cent on it.
class output_pipe {
 public:
  static constexpr int pipe_size = 256 * 1024;

  /// `read_end` is non-blocking. `line` is called for each line. Nothing is called after destruction.
  output_pipe(boost::asio::io_context& control, descriptor read_end, std::function<void(std::string)> line);
  ~output_pipe();
  output_pipe(const output_pipe&) = delete;
  output_pipe& operator=(const output_pipe&) = delete;

  /// All writers that matter are dead: reads until it would block (somebody may still hold the other end), hands on the
  /// rest, then calls `done` (never from inside).
  void finish(std::function<void()> done);
  [[nodiscard]] std::vector<std::string> last_lines() const;

 private:
  struct state;
  std::shared_ptr<state> state_;  ///< shared with handlers that are still in the queue
};

}  // namespace rouse::process
