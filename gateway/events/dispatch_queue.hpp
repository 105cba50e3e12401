#pragma once
// Which of the waiting events of one trigger (or invocations of one function) may go next, and what becomes of one that
// was tried: the order that the trigger asks for, its concurrency, its retries. Knows numbers and keys, not contents.
// Pure; time comes in. One thread.

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

namespace rouse::gateway::events {

/// Since 1970, by the clock of the wall: what waits for its next try outlives the daemon.
using wall_time = std::chrono::sys_time<std::chrono::milliseconds>;

/// What is remembered of an event that was tried and failed.
struct attempts_made {
  unsigned count = 0;  ///< tries that ended with the function's doing
  wall_time first_failed{};
  wall_time next_try{};
};

/// When the next try may come after `made` failed ones: Knative's delivery rules, exponential (delay x 2^(made-1)) or
/// linear (delay x made), at most `max_delay`, then spread evenly over the upper half, so that what failed together
/// does not come back together. `random`: uniform in [0, 1). A Retry-After that is later counts, up to a day.
struct retry_rule {
  unsigned attempts = 10;
  bool exponential = true;
  std::chrono::milliseconds delay{1000};
  std::chrono::milliseconds max_delay{300'000};

  [[nodiscard]] std::chrono::milliseconds pause_after(unsigned made, double random,
                                                      std::chrono::milliseconds retry_after) const;
};

/// Sequence numbers go in once, in any order of retries and in rising order of new ones, and stay until settle().
class dispatch_queue {
 public:
  /// Those of one key go one after another, in the order of their numbers, also past retries. `nullopt`: any time.
  using key = std::optional<std::string>;

  void set_concurrency(unsigned most) noexcept { concurrency_ = most; }

  /// An event that was not tried yet.
  void add(std::uint64_t number, key order_key);
  /// One that was: not before its time. Before any add() of a higher number.
  void add_tried(std::uint64_t number, key order_key, attempts_made made);

  /// The next one that may go, which then is in flight; nothing when there is none or too many are.
  [[nodiscard]] std::optional<std::uint64_t> next(wall_time now);
  /// When next() may have one for no other reason than time; nothing: only after something happens.
  [[nodiscard]] std::optional<wall_time> wakes_at() const;

  /// In flight no more, and gone: whoever waited behind it may go.
  void settle(std::uint64_t number);
  /// In flight no more; again at `made.next_try`.
  void retry(std::uint64_t number, attempts_made made);
  /// In flight no more, though it was not tried: first in turn.
  void put_back(std::uint64_t number);

  /// All that are not in flight are gone. Those that are keep their keys: what comes anew of these waits behind them.
  void forget_waiting();

  [[nodiscard]] attempts_made made(std::uint64_t number) const;
  [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_; }
  /// All that are here, in flight or waiting.
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] std::size_t waiting_for_retry() const noexcept { return due_.size(); }
  /// May go now but for the concurrency.
  [[nodiscard]] std::size_t ready() const noexcept { return ready_.size(); }

 private:
  struct entry {
    key order_key;
    attempts_made made;
  };
  void let_next_of(const std::string& order_key);

  unsigned concurrency_ = 100;
  std::size_t in_flight_ = 0;
  std::unordered_map<std::uint64_t, entry> entries_;
  std::deque<std::uint64_t> ready_;
  std::set<std::pair<wall_time, std::uint64_t>> due_;  ///< tried, and waiting for their time
  /// Keys of which one is ready, in flight or waiting for its retry, and those behind it.
  std::unordered_map<std::string, std::deque<std::uint64_t>> behind_;
};

}  // namespace rouse::gateway::events
