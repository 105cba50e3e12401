#pragma once
// Cron expressions, and when they are due. Pure: the time and the zone are handed in; any thread.
//
// Five fields, separated by white space: minute (0-59), hour (0-23), day of the month (1-31), month (1-12 or jan-dec),
// day of the week (0-7 or sun-sat; 0 and 7 are Sunday). A field is `*`, or a list of numbers and ranges; behind `*` or
// a range may stand a step. Or one of @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly.
//
// Days, as in Vixie's cron: when day of the month and day of the week both say which, a day that either names is right;
// a field that begins with `*` does not say which, and then both must hold.
//
// When clocks change:
// - Fixed times, which is every expression whose hours are not all 24: a time that the clocks skip is due once, at the
//   first instant after the gap (several that fall into one gap are due once together); a time that they show twice is
//   due the first time only. So what runs daily runs once on every day.
// - With every hour (`*`) it is due whenever the clocks show a time that matches: through an hour that is shown twice
// as
//   through any other, and not for times that are skipped. So `*/10 * * * *` is due every ten minutes of time that
//   passes.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/local_time.hpp"

namespace rouse::config {

/// Which times match: a bit for each value of a field.
struct cron {
  std::uint64_t minutes = 0;  ///< bits 0 to 59
  std::uint32_t hours = 0;    ///< bits 0 to 23
  std::uint32_t days = 0;     ///< of the month, bits 1 to 31
  std::uint16_t months = 0;   ///< bits 1 to 12
  std::uint8_t weekdays = 0;  ///< bits 0 (Sunday) to 6
  bool either_day = false;    ///< a day in `days` or in `weekdays` is right; else it must be in both
  [[nodiscard]] bool every_hour() const { return hours == 0xFFFFFF; }
  friend bool operator==(const cron&, const cron&) = default;
};

/// An expression, or what is wrong with it.
struct cron_result {
  std::optional<cron> value;
  std::string error;         ///< as in `parsed` (units.hpp): the second half of a sentence that begins with the key
  std::size_t position = 0;  ///< of the error: bytes from the beginning of the text
};

/// Refuses what is never due, such as 30 February.
[[nodiscard]] cron_result parse_cron(std::string_view text);

/// The first time after `after` (never `after` itself) at which `when` is due by the clocks of `zone`; nullopt when
/// there is none within 41 years, in which every expression that is ever due is due at least once, or where the
/// system's clock ends (2262).
[[nodiscard]] std::optional<std::chrono::sys_seconds> next(const cron& when, const time_zone& zone,
                                                           std::chrono::sys_seconds after);

/// Whether `when` matches what a clock shows.
[[nodiscard]] bool matches(const cron& when, const local_time& shown);

}  // namespace rouse::config
