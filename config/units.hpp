#pragma once
// Scalars with a meaning: durations, sizes, whole numbers, booleans. Pure functions over text; no YAML, any thread.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rouse::config {

/// A value, or what is wrong with the text and what would be right (the second half of a sentence that begins with the
/// key: "needs a unit: ..."). Exactly one of the two is there.
template <class Value>
struct parsed {
  std::optional<Value> value;
  std::string error;
};

/// Longest duration that is taken: ten years. Keeps every sum with a clock's time point far from overflow.
inline constexpr std::chrono::milliseconds longest_duration = std::chrono::hours(24) * 3650;

/// Largest size that is taken: 1 EiB.
inline constexpr std::uint64_t largest_size = std::uint64_t{1} << 60U;

/// `250ms`, `30s`, `5m`, `1h`, `7d` or `0`: a whole number and one unit.
[[nodiscard]] parsed<std::chrono::milliseconds> parse_duration(std::string_view text);

/// `64KiB`, `16MiB`, `1GiB`, `2TiB`, or a whole number of bytes.
[[nodiscard]] parsed<std::uint64_t> parse_size(std::string_view text);

/// A decimal whole number from `least` to `most`, digits only.
[[nodiscard]] parsed<std::uint64_t> parse_whole(std::string_view text, std::uint64_t least, std::uint64_t most);

/// Bounds of a decimal number; `above` when `least` itself is not possible.
struct decimal_range {
  double least = 0;
  double most = 0;
  bool above = false;
};

/// A decimal number within `range`, such as `7` or `0.7`: no sign, no exponent.
[[nodiscard]] parsed<double> parse_decimal(std::string_view text, const decimal_range& range);

/// A part of a whole, from 0 to 1: `20%`, `0.5%` or `0.2`.
[[nodiscard]] parsed<double> parse_part(std::string_view text);

/// `true` or `false` (also capitalised, as in YAML's core schema).
[[nodiscard]] parsed<bool> parse_boolean(std::string_view text);

/// A duration as a person would write it, in the largest unit that divides it: `90s`, `5m`, `0`.
[[nodiscard]] std::string format_duration(std::chrono::milliseconds value);

/// A number without exponent and without needless digits: `0.7`, `1000000`.
[[nodiscard]] std::string format_decimal(double value);

/// A size as a person would write it: `64KiB`, `1500`.
[[nodiscard]] std::string format_size(std::uint64_t value);

}  // namespace rouse::config
