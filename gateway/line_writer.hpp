#pragma once
// Writes whole lines to a descriptor from a thread of its own, so that nobody who logs ever waits for a slow reader of
// stderr or stdout. Bounded: what does not fit is dropped and counted, newest first, and said once there is room again.
// Lines that gather while a write is in progress leave together, so that a busy access log costs few system calls.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace rouse::gateway {

class line_writer {
 public:
  static constexpr std::size_t default_bound = 1024 * 1024;
  /// How long the destructor waits for a reader that does not read.
  static constexpr std::chrono::milliseconds patience{1000};

  /// Called on the writer's thread after `dropped` lines (since the last call) did not fit; returns the line to write
  /// in their place, with its line end, or nothing.
  using notice = std::function<std::string(std::uint64_t dropped)>;

  /// Starts the thread, with all signals blocked in it. Borrows `descriptor`, which may be a file, pipe, socket or
  /// terminal, blocking or not.
  explicit line_writer(int descriptor, notice on_dropped = {}, std::size_t bound = default_bound);
  /// Writes what is held, for at most `patience`, and joins.
  ~line_writer();
  line_writer(const line_writer&) = delete;
  line_writer& operator=(const line_writer&) = delete;

  /// Hands over one line, its line end included. Any thread; holds a lock only for the copy.
  void write(std::string_view line);
  /// Waits until everything handed over before was written or given up, at most `patience`. Any thread.
  void flush();
  /// Lines dropped so far. Any thread.
  [[nodiscard]] std::uint64_t dropped() const;

 private:
  void run();
  void write_out(std::string_view text);

  const int descriptor_;
  const bool is_file_;  ///< writes to files never wait
  const notice on_dropped_;
  const std::size_t bound_;
  bool broken_ = false;  ///< the reader is gone; the thread's
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable idle_;
  std::string held_;
  std::uint64_t dropped_ = 0;
  std::uint64_t dropped_unsaid_ = 0;
  bool writing_ = false;
  bool ending_ = false;
  std::chrono::steady_clock::time_point give_up_at_ = std::chrono::steady_clock::time_point::max();
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace rouse::gateway
