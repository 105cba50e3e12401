#pragma once
// How many instances a revision should have. Pure: plain values and the time in, a number and its reason out, so that
// the same code runs in the daemon, in tests and in the simulator.

#include <chrono>
#include <cstdint>
#include <string>

namespace rouse::activator {

/// What a decision is made from. All counts are of one revision at one moment.
struct scale_state {
  unsigned min = 0;
  unsigned max = 20;
  std::chrono::milliseconds idle{60'000};
  std::uint32_t concurrency = 100;  ///< 0: no limit; then 100 per instance is reckoned with
  unsigned ready = 0;               ///< may take work
  unsigned starting = 0;            ///< capacity to come
  std::uint64_t in_flight = 0;      ///< slots taken
  std::uint64_t parked = 0;
  unsigned idle_expired = 0;  ///< ready instances whose last slot was given back at least `idle` ago
};

struct scale_decision {
  unsigned desired = 0;  ///< ready and starting together
  std::string reason;    ///< in words: "3 parked + 20 in flight / 10 per instance -> 3"
};

[[nodiscard]] scale_decision decide(const scale_state& state);

}  // namespace rouse::activator
