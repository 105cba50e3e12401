#pragma once
// Turns what an instance writes into lines that are safe to log: split, bounded, escaped, and rate-limited. Plain
// values and the time in, lines out; each backend reads in its own way. Belongs to one instance.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rouse::activator {

/// Appends `raw` to `to` so that no terminal and no log reader takes it for anything but text: valid UTF-8 stays; other
/// bytes become \xNN, control characters except tab \n, \r, \e or \xNN, and the invisible ones that reorder or break
/// lines \u{NNNN}. Stops before `to` would exceed `most` bytes and returns how many bytes of `raw` were used.
std::size_t append_escaped(std::string& to, std::string_view raw, std::size_t most);

class output_lines {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::size_t max_line = 16 * 1024;  ///< bytes after escaping; longer ones are cut into several
  static constexpr std::size_t max_kept = 20;         ///< lines for last_lines()
  static constexpr std::size_t max_kept_line = 2048;  ///< bytes of each of them
  /// What an instance may write per second, and at once, before lines are dropped. A line counts `line_cost` bytes more
  /// than it has, so that a flood of empty lines is one as well.
  static constexpr double rate = 1024 * 1024;
  static constexpr std::size_t line_cost = 256;
  static constexpr std::chrono::seconds pause{1};  ///< how long dropping lasts once begun

  explicit output_lines(clock::time_point now) : refilled_(now) {}

  /// Takes bytes as they were read.
  void push(std::string_view bytes, clock::time_point now);
  /// No more will be pushed: the rest without a line end is a line as well.
  void close() noexcept { closed_ = true; }
  /// The next line to hand on, escaped, without its line end; nothing when more input (or time, while dropping) is
  /// needed.
  [[nodiscard]] std::optional<std::string> next(clock::time_point now);

  /// Set while lines are dropped and only counted: when next() will have the count to say.
  [[nodiscard]] std::optional<clock::time_point> dropping_until() const noexcept { return until_; }
  /// The last lines written, oldest first, dropped ones included.
  [[nodiscard]] std::vector<std::string> last_lines() const { return {kept_.begin(), kept_.end()}; }

 private:
  bool pay(std::size_t bytes, clock::time_point now);
  std::optional<std::string> cut();
  void skim(std::string_view bytes);
  void drop_buffered();
  void keep(std::string_view raw);

  std::string buffer_;
  std::size_t begin_ = 0;  ///< what of buffer_ has been used
  bool closed_ = false;
  double tokens_ = rate;
  clock::time_point refilled_;
  std::optional<clock::time_point> until_;
  std::uint64_t dropped_ = 0;
  std::deque<std::string> kept_;
};

}  // namespace rouse::activator
