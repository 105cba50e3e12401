#pragma once
// What one worker counts about one function. Written by that worker only, read by the admin thread at a scrape; made
// when the worker first sees the function, so that a function that is never called costs nothing.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "activator/stats.hpp"

namespace rouse::gateway {

/// Why rouse itself refused or gave up on a request (label `reason` of rouse_shed_total).
enum class shed_reason : std::uint8_t { queue_full, park_timeout, start_failed, draining, caller_left, count_ };

[[nodiscard]] const char* to_string(shed_reason reason) noexcept;

struct function_counters {
  std::array<activator::counter, 500> by_code;     ///< index: status - 100
  activator::duration_histogram request_duration;  ///< from the head read until the exchange was closed
  activator::duration_histogram park_duration;     ///< only of requests that parked
  activator::counter retries;
  activator::counter requests_in_flight;  ///< goes up and down: exchanges with a slot
  std::array<activator::counter, static_cast<std::size_t>(shed_reason::count_)> shed;
};

/// One per worker: counters by function index (snapshot.functions).
class worker_stats {
 public:
  explicit worker_stats(std::size_t functions) : table_(functions) {}
  ~worker_stats() {
    for (auto& entry : table_) delete entry.load(std::memory_order_relaxed);
  }
  worker_stats(const worker_stats&) = delete;
  worker_stats& operator=(const worker_stats&) = delete;

  /// The worker's thread only.
  [[nodiscard]] function_counters& of(std::uint32_t function) {
    auto* found = table_[function].load(std::memory_order_relaxed);
    if (!found) {
      found = new function_counters;
      table_[function].store(found, std::memory_order_release);
    }
    return *found;
  }
  /// Any thread; nullptr when this worker has not seen the function.
  [[nodiscard]] const function_counters* peek(std::uint32_t function) const noexcept {
    return table_[function].load(std::memory_order_acquire);
  }

  activator::counter connections;  ///< open callers' connections; goes up and down
  activator::counter unmatched;    ///< requests refused before a function was known (404, 400, ...)

 private:
  std::vector<std::atomic<function_counters*>> table_;
};

}  // namespace rouse::gateway
