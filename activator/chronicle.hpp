#pragma once
// The last things that the activator did or heard, for people who watch it: what it scaled and why, what was started,
// what failed. Written by the control thread, read by the admin thread; bounded in entries and bytes.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rouse::activator {

/// One such thing. What does not apply is empty.
struct occurrence {
  /// scale, start, progress, ready, found, leaving, stopped, crashed, failed, no-capacity, ejected, restored, traffic,
  /// pool. A literal.
  std::string_view type;
  std::string function;
  std::string revision;
  std::string instance;
  std::string pool;
  std::string cause;  ///< a word: why it was scaled, why it failed or ended
  std::string text;   ///< a sentence
  struct step {
    unsigned from = 0, to = 0;
  };
  std::optional<step> count;  ///< scale: of instances that are wanted
};

class chronicle {
 public:
  struct entry {
    std::uint64_t number = 0;  ///< counts on, without gaps
    std::chrono::system_clock::time_point at;
    occurrence what;
  };
  static constexpr std::size_t max_entries = 1000;
  static constexpr std::size_t max_bytes = 512 * 1024;      ///< of text
  static constexpr std::size_t max_text_bytes = 16 * 1024;  ///< what is longer is cut

  /// Numbers begin behind `before`, so that those of a later daemon can be greater.
  explicit chronicle(std::uint64_t before = 0) : last_(before) {}

  void add(occurrence what, std::chrono::system_clock::time_point at);
  /// Entries with a number above `after`, oldest first. Shared, so that whoever writes waits for no copy of texts.
  [[nodiscard]] std::vector<std::shared_ptr<const entry>> since(std::uint64_t after) const;
  /// The number of the newest one.
  [[nodiscard]] std::uint64_t last() const;

 private:
  mutable std::mutex mutex_;
  std::deque<std::shared_ptr<const entry>> entries_;
  std::size_t bytes_ = 0;
  std::uint64_t last_;
};

}  // namespace rouse::activator
