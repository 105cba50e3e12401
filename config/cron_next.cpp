#include <algorithm>
#include <bit>

#include "config/cron.hpp"

namespace rouse::config {
namespace {

using std::chrono::days;
using std::chrono::floor;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::sys_seconds;

/// What clocks on the wall show, counted as if they were those of UTC. A type of its own, so that the two do not mix.
struct wall_time {
  seconds count{0};
  friend auto operator<=>(const wall_time&, const wall_time&) = default;
};

wall_time shown_at(sys_seconds when, seconds ahead) {
  return {when.time_since_epoch() + ahead};
}

/// Weekdays of the days 1 to 31 (bits 1 to 31) of a month that begins on `first`.
std::uint32_t weekdays_of_month(std::uint8_t weekdays, unsigned first) {
  std::uint64_t week = std::uint64_t{weekdays} | std::uint64_t{weekdays} << 7U;
  week = week >> first & 0x7FU;
  return static_cast<std::uint32_t>((week | week << 7U | week << 14U | week << 21U | week << 28U) << 1U);
}

/// The days of a month that match, bits 1 to 31.
std::uint32_t days_of_month(const cron& when, std::chrono::year_month month) {
  if ((when.months >> static_cast<unsigned>(month.month()) & 1U) == 0) return 0;
  std::chrono::weekday const first(sys_days(month / 1));
  auto const last = static_cast<unsigned>((month / std::chrono::last).day());
  std::uint32_t const named = weekdays_of_month(when.weekdays, first.c_encoding());
  std::uint32_t const all = when.either_day ? when.days | named : when.days & named;
  return all & static_cast<std::uint32_t>((std::uint64_t{2} << last) - 1);
}

/// The first minute of a day, from `from` on, that matches.
std::optional<unsigned> minute_of_day(const cron& when, unsigned from) {
  unsigned const hour = from / 60;
  if ((when.hours >> hour & 1U) != 0) {
    std::uint64_t const left = when.minutes >> from % 60;
    if (left != 0) return from + static_cast<unsigned>(std::countr_zero(left));
  }
  std::uint32_t const later = when.hours >> hour >> 1U;
  if (later == 0) return std::nullopt;
  unsigned const next_hour = hour + 1 + static_cast<unsigned>(std::countr_zero(later));
  return next_hour * 60 + static_cast<unsigned>(std::countr_zero(when.minutes));
}

/// The first time from `from` on and before `end` that matches, by the calendar alone.
std::optional<wall_time> first_match(const cron& when, wall_time from, wall_time end) {
  auto const minute = std::chrono::ceil<minutes>(from.count);
  auto const today = sys_days(floor<days>(minute));
  std::chrono::year_month_day const date(today);
  std::chrono::year_month month(date.year(), date.month());
  std::uint32_t left = days_of_month(when, month) >> static_cast<unsigned>(date.day());
  auto const at = [](sys_days day, unsigned minute_there) {
    return wall_time{day.time_since_epoch() + minutes(minute_there)};
  };
  if ((left & 1U) != 0) {
    auto const now = static_cast<unsigned>((minute - today.time_since_epoch()).count());
    if (auto const found = minute_of_day(when, now)) return at(today, *found);
  }
  left = left >> 1U << 1U << static_cast<unsigned>(date.day());
  unsigned const begin = *minute_of_day(when, 0);
  for (;;) {
    if (left != 0) return at(sys_days(month / static_cast<int>(std::countr_zero(left))), begin);
    month += std::chrono::months(1);
    if (at(sys_days(month / 1), 0) >= end) return std::nullopt;
    left = days_of_month(when, month);
  }
}

}  // namespace

std::optional<sys_seconds> next(const cron& when, const time_zone& zone, sys_seconds after) {
  using namespace std::chrono_literals;
  constexpr days longest_gap(41 * 366);  // 29 February on one weekday: 40 years, across a 2100
  constexpr sys_seconds world_end = sys_days(2262y / 1 / 1);
  // Clocks are turned back by a day at most: what was shown before `after` is known when the walk begins here.
  constexpr days slack(3);
  bool const fixed = !when.every_hour();
  if (after >= world_end) return std::nullopt;
  after = std::max<sys_seconds>(after, sys_days(1680y / 1 / 1));
  sys_seconds const end = std::min(after + longest_gap, world_end);

  sys_seconds begin = after - slack;
  auto span = zone.offset_at(begin);
  wall_time reached = shown_at(begin, span.ahead);  // earlier times were shown, and are not due again
  while (begin < end) {
    wall_time const stop = shown_at(span.until, span.ahead);
    sys_seconds following = span.until;
    std::optional<wall_time> match;
    if (following > after) {
      wall_time from = shown_at(std::max(begin, after + 1s), span.ahead);
      if (fixed) from = std::max(from, reached);
      match = first_match(when, from, shown_at(end, span.ahead));
      if (!match) return std::nullopt;
      sys_seconds const due(match->count - span.ahead);
      if (*match < stop) return due < end ? std::optional(due) : std::nullopt;
      following = std::max(following, due - slack);
    }
    reached = std::max(reached, stop);
    auto const then = zone.offset_at(following);
    // The clocks have passed over the match: it is due now.
    bool const skipped = match && *match < shown_at(following, then.ahead);
    if (fixed && skipped) return following;
    begin = following;
    span = then;
  }
  return std::nullopt;
}

bool matches(const cron& when, const local_time& shown) {
  std::chrono::year_month_day const date(sys_days(days(shown.day)));
  std::uint32_t const named = days_of_month(when, {date.year(), date.month()});
  return (named >> static_cast<unsigned>(date.day()) & 1U) != 0 && (when.hours >> shown.minute / 60 & 1U) != 0 &&
         (when.minutes >> shown.minute % 60 & 1U) != 0;
}

}  // namespace rouse::config
