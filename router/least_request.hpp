#pragma once
// Which of several instances gets the next exchange: the one with the fewest slots taken, among those that are open and
// below their limit. Pure: reads the instances' words, takes nothing, draws no random numbers of its own. Any thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "router/instance.hpp"

namespace rouse::router {

/// Up to this many instances the choice is exact.
inline constexpr std::size_t exact_scan_limit = 64;
/// How many are looked at when there are more.
inline constexpr std::size_t sample_size = 16;

namespace detail {

/// A whole 32-bit number spread evenly over [0, n), whatever the quality of its low bits (Lemire's multiply-shift after
/// Knuth's multiplicative hash). Successive seeds walk through the range in large, even steps.
[[nodiscard]] constexpr std::size_t spread(std::uint32_t seed, std::size_t n) noexcept {
  return static_cast<std::size_t>((static_cast<std::uint64_t>(seed * 0x9E3779B9U) * n) >> 32);
}

/// Least of the `n` instances at(0) ... at(n - 1), n <= exact_scan_limit; `load` answers instance::no_free_slot for one
/// that must not be chosen. Each of the tied has the same chance.
template <class At, class Load>
[[nodiscard]] instance* least_of(std::size_t n, std::uint32_t seed, At&& at, Load&& load) noexcept {
  std::array<instance*, exact_scan_limit> tied;  // NOLINT: only what was written is read
  std::size_t ties = 0;
  std::uint32_t best = instance::no_free_slot;
  for (std::size_t i = 0; i < n; ++i) {
    instance* const candidate = at(i);
    const std::uint32_t found = load(*candidate);
    if (found > best || found == instance::no_free_slot) continue;
    if (found < best) ties = 0;
    best = found;
    tied[ties++] = candidate;
  }
  return ties == 0 ? nullptr : tied[ties == 1 ? 0 : spread(seed, ties)];
}

/// Least of all, in blocks of what least_of() can hold, from a place that the seed chooses.
template <class Load>
[[nodiscard]] instance* least_of_all(std::span<instance* const> list, std::uint32_t seed, Load&& load) noexcept {
  instance* best = nullptr;
  std::uint32_t best_load = instance::no_free_slot;
  const std::size_t start = spread(seed, list.size());
  for (std::size_t done = 0; done < list.size(); done += exact_scan_limit) {
    const std::size_t n = list.size() - done < exact_scan_limit ? list.size() - done : exact_scan_limit;
    instance* const found = least_of(
        n, seed, [&](std::size_t i) { return list[(start + done + i) % list.size()]; }, load);
    if (found == nullptr) continue;
    const std::uint32_t found_load = load(*found);  // may have changed meanwhile: then it is a near miss at worst
    if (best != nullptr && found_load >= best_load) continue;
    best = found;
    best_load = found_load;
  }
  return best;
}

}  // namespace detail

/// The choice by a measure of the caller's own; see least_request(). `load` must answer in [0, instance::no_free_slot].
template <class Load>
[[nodiscard]] instance* least_request_by(std::span<instance* const> list, std::uint32_t seed, Load&& load) noexcept {
  if (list.size() <= exact_scan_limit) {
    return detail::least_of(
        list.size(), seed, [&](std::size_t i) { return list[i]; }, load);
  }
  instance* const found = detail::least_of(
      sample_size, seed,
      [&, draw = seed](std::size_t) mutable {
        draw = draw * 1664525U +
               1013904223U;  // Numerical Recipes' generator: the draws of one choice differ, no more is asked
        return list[detail::spread(draw, list.size())];
      },
      load);
  return found != nullptr ? found : detail::least_of_all(list, seed, load);
}

/// The open instance below its limit with the fewest slots taken; nullptr when there is none. Up to exact_scan_limit
/// instances a scan, exact at the moment of the scan, each of the tied equally likely over all seeds. Above that the
/// least of sample_size drawn at random (the "power of d choices": M. Mitzenmacher, 2001; with 16 of them the busiest
/// is within one or two exchanges of the exact choice), and a scan of all when none of those is free, so that a free
/// slot is never missed. It takes nothing: who loses the race for the slot asks again. `seed`: any number that differs
/// from call to call.
[[nodiscard]] instance* least_request(std::span<instance* const> list, std::uint32_t seed) noexcept;

/// Takes a slot on the instance that least_request() chooses; nullptr when no open instance has one free. Lock-free: it
/// tries again only after somebody else took the slot or the instance closed.
[[nodiscard]] instance* take_least_request(std::span<instance* const> list, std::uint32_t seed) noexcept;

}  // namespace rouse::router
