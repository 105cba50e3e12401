#pragma once
// The simulator's random numbers: small, fast, and the same on every machine (the standard's distributions are not).
// One per function, so that what happens to one function does not change another's load.

#include <cmath>
#include <cstdint>

namespace rouse::simulator {

/// xoshiro256+ of Blackman and Vigna (2018), seeded by splitmix64 as they advise.
class random_source {
 public:
  random_source(std::uint64_t seed, std::uint64_t stream) noexcept {
    std::uint64_t at = seed * 0x9e3779b97f4a7c15ULL + stream;
    for (auto& word : state_) {
      std::uint64_t z = (at += 0x9e3779b97f4a7c15ULL);
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
      word = z ^ (z >> 31);
    }
  }

  /// In (0, 1].
  [[nodiscard]] double uniform() noexcept {
    const std::uint64_t out = state_[0] + state_[3];
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = state_[3] << 45 | state_[3] >> 19;
    return static_cast<double>((out >> 11) + 1) * 0x1.0p-53;
  }

  /// With mean 1.
  [[nodiscard]] double exponential() noexcept { return -std::log(uniform()); }

 private:
  std::uint64_t state_[4];
};

}  // namespace rouse::simulator
