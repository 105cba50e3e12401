#pragma once
// What one worker counts about one revision. Written by that worker only, read by the control thread (which scales by
// it) and by the admin thread at a scrape; made when the worker first serves the revision, so that one that is never
// called costs nothing. Owned by the revision's runtime.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "activator/stats.hpp"

namespace rouse::activator {

/// Why rouse itself refused or gave up on a request (label `reason` of rouse_shed_total).
enum class shed_reason : std::uint8_t {
  queue_full,
  park_timeout,
  start_failed,
  no_capacity,
  draining,
  caller_left,
  rate_limited,
  retry_budget,
  count_
};

[[nodiscard]] const char* to_string(shed_reason reason) noexcept;

/// How many requests are there and how many have come, as an exact integral over time. One writer; a sequence lock
/// (Lamport 1977) lets others read the three numbers of one moment. All arithmetic is modulo 2^64, where differences
/// are right.
class load_meter {
 public:
  /// `arrived` nanoseconds of the clock that readings are made with.
  void enter(std::int64_t arrived) noexcept {
    begin();
    set(area_, area_.load(std::memory_order_relaxed) - static_cast<std::uint64_t>(arrived));
    set(present_, present_.load(std::memory_order_relaxed) + 1);
    set(arrivals_, arrivals_.load(std::memory_order_relaxed) + 1);
    end();
  }
  void leave(std::int64_t left) noexcept {
    begin();
    set(area_, area_.load(std::memory_order_relaxed) + static_cast<std::uint64_t>(left));
    set(present_, present_.load(std::memory_order_relaxed) - 1);
    end();
  }

  struct reading {
    std::uint64_t area = 0;      ///< sum over all that left of when they left, minus over all of when they arrived
    std::uint64_t present = 0;   ///< requests that are there now
    std::uint64_t arrivals = 0;  ///< since the beginning

    void add(const reading& more) noexcept {
      area += more.area;
      present += more.present;
      arrivals += more.arrivals;
    }
    /// Request-nanoseconds spent until `now`; only the difference of two readings means something.
    [[nodiscard]] std::uint64_t integral(std::int64_t now) const noexcept {
      return area + present * static_cast<std::uint64_t>(now);
    }
  };
  [[nodiscard]] reading read() const noexcept {
    for (;;) {
      const auto before = version_.load(std::memory_order_acquire);
      const reading out{area_.load(std::memory_order_acquire), present_.load(std::memory_order_acquire),
                        arrivals_.load(std::memory_order_acquire)};
      // Each load above is an acquire, so this one cannot be seen before them.
      if (version_.load(std::memory_order_relaxed) == before && before % 2 == 0) return out;
    }
  }

 private:
  // Every store is a release: none can be seen before the odd version that announces it, nor after the even one.
  static void set(std::atomic<std::uint64_t>& what, std::uint64_t value) noexcept {
    what.store(value, std::memory_order_release);
  }
  void begin() noexcept { set(version_, version_.load(std::memory_order_relaxed) + 1); }
  void end() noexcept { begin(); }

  std::atomic<std::uint64_t> version_{0};
  std::atomic<std::uint64_t> area_{0};
  std::atomic<std::uint64_t> present_{0};
  std::atomic<std::uint64_t> arrivals_{0};
};

struct revision_counters {
  load_meter load;                      ///< requests parked, in flight or between the two
  std::array<counter, 500> by_code;     ///< index: status - 100
  duration_histogram request_duration;  ///< from the head read until the exchange was closed
  duration_histogram park_duration;     ///< only of requests that parked
  counter retries;
  counter requests_in_flight;  ///< goes up and down: exchanges with a slot
  counter retries_in_flight;   ///< goes up and down: of those, the ones in a second or later try
  std::array<counter, static_cast<std::size_t>(shed_reason::count_)> shed;

  void shed_one(shed_reason why) noexcept { shed[static_cast<std::size_t>(why)].add(); }
};

}  // namespace rouse::activator
