#pragma once
// The texts of a schedule: days of the week and times of the day. Pure functions, any thread.

#include <cstdint>
#include <string_view>

#include "config/units.hpp"

namespace rouse::config {

enum class day_edge { begin, end };

/// Minutes since midnight of `HH:MM`, 00:00 to 23:59; `24:00` only where something ends.
[[nodiscard]] parsed<unsigned> parse_time_of_day(std::string_view text, day_edge edge);

/// Days of the week, bit 0 is Monday: `sat`, `mon-fri`, `fri-mon` (over Sunday), or several with commas: `mon,wed-fri`.
[[nodiscard]] parsed<std::uint8_t> parse_days(std::string_view text);

}  // namespace rouse::config
