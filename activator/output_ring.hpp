#pragma once
// The last lines that a function's instances wrote, for `rouse logs`. Written by the control thread, read by the admin
// thread; bounded in lines and bytes. Costs nothing until the first line.

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace rouse::activator {

class output_ring {
 public:
  struct line {
    std::uint64_t number = 0;  ///< counts from 1, without gaps
    std::chrono::system_clock::time_point at;
    std::string instance;
    std::string text;
  };
  static constexpr std::size_t max_lines = 1000;
  static constexpr std::size_t max_bytes = 256 * 1024;      ///< of text and instance names
  static constexpr std::size_t max_line_bytes = 16 * 1024;  ///< what is longer is cut

  void add(std::string instance, std::string text, std::chrono::system_clock::time_point at);
  /// Lines with a number above `after`, oldest first, at most `limit` (the newest of them when there are more).
  [[nodiscard]] std::vector<line> since(std::uint64_t after, std::size_t limit = max_lines) const;

 private:
  mutable std::mutex mutex_;
  std::unique_ptr<std::deque<line>> lines_;  ///< made with the first line: an empty deque is half a kilobyte
  std::size_t bytes_ = 0;
  std::uint64_t last_ = 0;
};

}  // namespace rouse::activator
