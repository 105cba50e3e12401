// Cron expressions: what they say, and when they are due.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "config/cron.hpp"

using namespace rouse::config;
using namespace std::chrono_literals;
using std::chrono::day, std::chrono::days, std::chrono::hours, std::chrono::minutes, std::chrono::month,
    std::chrono::seconds, std::chrono::sys_days, std::chrono::sys_seconds, std::chrono::year;

namespace {

sys_seconds utc(int y, unsigned m, unsigned d, int hour = 0, int minute = 0, int second = 0) {
  return sys_days(year(y) / month(m) / day(d)) + hours(hour) + minutes(minute) + seconds(second);
}

cron right(const std::string& text) {
  auto const made = parse_cron(text);
  INFO(text << " " << made.error);
  REQUIRE(made.value);
  return *made.value;
}

time_zone zone(const std::string& name) {
  return time_zone::find(name).value();
}

std::string text_of(sys_seconds when) {
  std::chrono::year_month_day const date(std::chrono::floor<days>(when));
  std::chrono::hh_mm_ss const time(when - std::chrono::floor<days>(when));
  char out[40];
  std::snprintf(out, sizeof out, "%04d-%02u-%02u %02d:%02d:%02d", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                static_cast<int>(time.seconds().count()));
  return out;
}

/// The first `count` times after `after`.
std::vector<std::string> due(const std::string& text, const std::string& where, sys_seconds after, std::size_t count) {
  cron const when = right(text);
  std::vector<std::string> out;
  while (out.size() < count) {
    auto const at = next(when, zone(where), after);
    if (!at) {
      out.emplace_back("never");
      break;
    }
    out.push_back(text_of(*at));
    after = *at;
  }
  return out;
}

using times = std::vector<std::string>;

/// For as long as it lives, TZ is this.
struct with_tz {
  explicit with_tz(const char* value) {
    ::setenv("TZ", value, 1);
    ::tzset();
  }
  ~with_tz() {
    ::unsetenv("TZ");
    ::tzset();
  }
};

std::uint64_t bits(std::initializer_list<unsigned> values) {
  std::uint64_t out = 0;
  for (unsigned const value : values) out |= std::uint64_t{1} << value;
  return out;
}

/// A random expression that happens.
std::string random_expression(std::mt19937& random) {
  auto const field = [&](unsigned least, unsigned most) -> std::string {
    auto const value = [&] { return least + static_cast<unsigned>(random()) % (most - least + 1); };
    switch (random() % 5) {
      case 0:
        return "*";
      case 1:
        return "*/" + std::to_string(1 + random() % 7);
      case 2: {
        unsigned const a = value();
        unsigned const b = value();
        return std::to_string(std::min(a, b)) + "-" + std::to_string(std::max(a, b)) + "/" +
               std::to_string(1 + random() % 3);
      }
      case 3:
        return std::to_string(value()) + "," + std::to_string(value());
      default:
        return std::to_string(value());
    }
  };
  return field(0, 59) + " " + field(0, 23) + " " + field(1, 28) + " " + field(1, 12) + " " + field(0, 7);
}

}  // namespace

TEST_CASE("fields are stars, numbers, ranges, lists, steps and names") {
  cron const every = right("* * * * *");
  CHECK(every.minutes == (std::uint64_t{1} << 60U) - 1);
  CHECK(every.hours == 0xFFFFFF);
  CHECK(every.days == 0xFFFFFFFE);
  CHECK(every.months == 0x1FFE);
  CHECK(every.weekdays == 0x7F);
  CHECK(every.every_hour());
  CHECK_FALSE(every.either_day);

  cron const one = right(" \t0  2 15 6\t3 ");
  CHECK(one.minutes == bits({0}));
  CHECK(one.hours == bits({2}));
  CHECK(one.days == bits({15}));
  CHECK(one.months == bits({6}));
  CHECK(one.weekdays == bits({3}));
  CHECK(one.either_day);

  cron const many = right("*/20,5-8/3,59 0-23/12 1,31 jan,MAR-May,12 Mon-fri,7");
  CHECK(many.minutes == bits({0, 20, 40, 5, 8, 59}));
  CHECK(many.hours == bits({0, 12}));
  CHECK(many.days == bits({1, 31}));
  CHECK(many.months == bits({1, 3, 4, 5, 12}));
  CHECK(many.weekdays == bits({0, 1, 2, 3, 4, 5}));

  CHECK(right("0 0 * * 7") == right("0 0 * * sun"));
  CHECK(right("0 0 * * fri-sun").weekdays == bits({5, 6, 0}));
  CHECK(right("0 0 * * sat-7").weekdays == bits({6, 0}));
  CHECK(right("0 0 * * sun-tue").weekdays == bits({0, 1, 2}));
  CHECK(right("00 02 * * *") == right("0 2 * * *"));
  CHECK(right("0 0-23 * * *").every_hour());
  CHECK(right("*/60 */24 */31 */12 */7") == right("0 0 */31 1 */7"));
}

TEST_CASE("nicknames") {
  CHECK(right("@yearly") == right("0 0 1 1 *"));
  CHECK(right("@annually") == right("0 0 1 1 *"));
  CHECK(right("@monthly") == right("0 0 1 * *"));
  CHECK(right("@weekly") == right("0 0 * * 0"));
  CHECK(right("@daily") == right("0 0 * * *"));
  CHECK(right("@Midnight") == right("0 0 * * *"));
  CHECK(right(" @hourly ") == right("0 * * * *"));
}

TEST_CASE("what is no expression is told with its place and what would be right") {
  struct row {
    std::string text;
    std::size_t position;
    std::string part;
  };
  const std::vector<row> rows{
      {"", 0, "is empty: write five fields"},
      {"  ", 0, "is empty"},
      {"0 2 * *", 7,
       "has 4 fields, but there must be five (minute, hour, day of the month, month, day of the week): "
       "the day of the week is missing"},
      {"5", 1, "has 1 field, but"},
      {"0 0 2 * * *", 10, "leave out the seconds"},
      {"0 0 2 * * * *", 10, "has 7 fields"},
      {"60 2 * * *", 0, "minute `60` (character 1) is not possible: it must be from 0 to 59"},
      {"0 24 * * *", 2, "hour `24` (character 3) is not possible: it must be from 0 to 23"},
      {"0 2 0 * *", 4, "day of the month `0` (character 5) is not possible: it must be from 1 to 31"},
      {"0 2 32 * *", 4, "from 1 to 31"},
      {"0 2 * 0 *", 6, "month `0` (character 7) is not possible: it must be from 1 to 12"},
      {"0 2 * 13 *", 6, "from 1 to 12"},
      {"0 2 * * 8", 8, "day of the week `8` (character 9) is not possible: it must be from 0 to 7"},
      {"0 2 * * 1-8", 10, "`8`"},
      {"0 99999999999999999999 * * *", 2, "from 0 to 23"},
      {"-1 2 * * *", 0, "minute `-1` (character 1) lacks a value"},
      {"0 2 ? * *", 4, "`?` (character 5) is not known here: write `*`"},
      {"0 2 * * ?", 8, "write `*`"},
      {"0 2 L * *", 4, "is no value: write one from 1 to 31"},
      {"0 2 * * fri#2", 8, "is no name: did you mean `fri`?"},
      {"0 2 * * monday", 8, "is no name: did you mean `mon`?"},
      {"0 2 * jna *", 6, "is no name: did you mean `jan`?"},
      {"0 2 * * xyz", 8, "is no value: write one from 0 to 7, such as 1 or mon-fri"},
      {"jan 2 * * *", 0, "is no value: write one from 0 to 59"},
      {"1,,2 2 * * *", 0, "minute `1,,2` (character 1) lacks a value"},
      {"1, 2 * * *", 0, "lacks a value"},
      {",1 2 * * *", 0, "lacks a value"},
      {"1- 2 * * *", 0, "lacks a value"},
      {"1-2-3 2 * * *", 2, "is no value"},
      {"0 22-2 * * *", 2, "hour `22-2` (character 3) runs backwards: did you mean `22-23,0-2`?"},
      {"0 0 * * fri-mon", 8, "runs backwards: did you mean `5-6,0-1`?"},
      {"0 0 * * 7-2", 8, "runs backwards: did you mean `0-2`?"},
      {"0 0 * dec-jan *", 6, "runs backwards: did you mean `12,1`?"},
      {"*/0 2 * * *", 2, "minute `0` (character 3) has no step that is possible: it must be from 1 to 60"},
      {"*/90 * * * *", 2, "from 1 to 60, for the minutes begin again then"},
      {"0 */25 * * *", 4, "from 1 to 24"},
      {"*/ 2 * * *", 0, "has no step that is possible"},
      {"*/-5 2 * * *", 2, "has no step that is possible"},
      {"*/5/5 2 * * *", 2, "has no step that is possible"},
      {"5/10 2 * * *", 0, "has a step behind a single value: write a range, such as `5-59/10`"},
      {"** 2 * * *", 0, "is no value"},
      {"*5 2 * * *", 0, "is no value"},
      {"0 0 30 2 *", 4, "never comes: no month that it names has such a day"},
      {"0 0 31 4,6,9,11 *", 4, "never comes"},
      {"0 0 30,31 feb */2", 4, "never comes"},
      {"@dayly", 0, "is `@dayly`, which is not known: did you mean `@daily`?"},
      {"@reboot", 0, "has no such time"},
      {"@every", 0, "write `*/5 * * * *`"},
      {"@x", 0, "write five fields, or one of @yearly"},
      {"0\n2 * * *", 9, "has 4 fields"},
  };
  for (const row& one : rows) {
    auto const made = parse_cron(one.text);
    INFO(one.text << ": " << made.error);
    CHECK_FALSE(made.value);
    CHECK(made.position == one.position);
    CHECK(made.error.find(one.part) != std::string::npos);
  }
}

TEST_CASE("the next time is after the one given, at the minute") {
  CHECK(due("* * * * *", "UTC", utc(2026, 1, 1), 2) == times{"2026-01-01 00:01:00", "2026-01-01 00:02:00"});
  CHECK(due("* * * * *", "UTC", utc(2026, 1, 1, 0, 0, 1), 1) == times{"2026-01-01 00:01:00"});
  CHECK(due("* * * * *", "UTC", utc(2025, 12, 31, 23, 59, 59), 1) == times{"2026-01-01 00:00:00"});
  CHECK(due("30 9 * * mon-fri", "UTC", utc(2026, 1, 2, 9, 30), 2) ==
        times{"2026-01-05 09:30:00", "2026-01-06 09:30:00"});
  CHECK(due("0 2 * * *", "Asia/Shanghai", utc(2026, 7, 1), 2) == times{"2026-07-01 18:00:00", "2026-07-02 18:00:00"});
  CHECK(due("5,10 0,23 * * *", "UTC", utc(2026, 1, 1, 0, 5), 4) ==
        times{"2026-01-01 00:10:00", "2026-01-01 23:05:00", "2026-01-01 23:10:00", "2026-01-02 00:05:00"});
  CHECK(due("@yearly", "America/New_York", utc(2026, 1, 1, 5), 1) == times{"2027-01-01 05:00:00"});
  CHECK(due("0 0 31 * *", "UTC", utc(2026, 1, 31), 3) ==
        times{"2026-03-31 00:00:00", "2026-05-31 00:00:00", "2026-07-31 00:00:00"});
  CHECK(due("0 0 1 1 *", "UTC", utc(1969, 6, 1), 1) == times{"1970-01-01 00:00:00"});
}

TEST_CASE("days of the month and of the week: either where both are named, else both") {
  // Friday the 13th of February and March 2026.
  CHECK(due("0 0 13 * fri", "UTC", utc(2026, 2, 1), 4) ==
        times{"2026-02-06 00:00:00", "2026-02-13 00:00:00", "2026-02-20 00:00:00", "2026-02-27 00:00:00"});
  CHECK(due("0 0 13 1 fri", "UTC", utc(2026, 1, 10), 3) ==
        times{"2026-01-13 00:00:00", "2026-01-16 00:00:00", "2026-01-23 00:00:00"});
  CHECK(due("0 0 * * fri", "UTC", utc(2026, 2, 1), 1) == times{"2026-02-06 00:00:00"});
  CHECK(due("0 0 13 * *", "UTC", utc(2026, 2, 1), 2) == times{"2026-02-13 00:00:00", "2026-03-13 00:00:00"});
  // As in Vixie's cron, what begins with a star names no days.
  CHECK(due("0 0 */12 * fri", "UTC", utc(2026, 2, 1), 2) == times{"2026-02-13 00:00:00", "2026-03-13 00:00:00"});
  // The 30th never comes in February, but Mondays do.
  CHECK(due("0 0 30 2 mon", "UTC", utc(2026, 2, 20), 2) == times{"2026-02-23 00:00:00", "2027-02-01 00:00:00"});
}

TEST_CASE("leap days are found across eight years, and on one weekday across forty") {
  CHECK(due("0 0 29 2 *", "UTC", utc(2026, 1, 1), 2) == times{"2028-02-29 00:00:00", "2032-02-29 00:00:00"});
  CHECK(due("0 0 29 2 *", "Europe/Berlin", utc(2096, 3, 1), 1) == times{"2104-02-28 23:00:00"});
  CHECK(due("0 0 29 2 */7", "UTC", utc(2026, 1, 1), 2) == times{"2032-02-29 00:00:00", "2060-02-29 00:00:00"});
  CHECK(due("0 0 29 2 */7", "UTC", utc(2088, 3, 1), 1) == times{"2128-02-29 00:00:00"});
}

TEST_CASE("what is never due is nothing, and so is what the system's clock cannot count") {
  cron never = right("0 0 29 2 *");
  never.days = 1U << 30U;
  CHECK_FALSE(next(never, zone("Europe/Berlin"), utc(2026, 1, 1)));
  CHECK_FALSE(next(right("* * * * *"), zone("UTC"), utc(2262, 1, 1)));
  CHECK_FALSE(next(right("0 0 29 2 *"), zone("UTC"), utc(2261, 1, 1)));
  CHECK_FALSE(next(right("* * * * *"), zone("UTC"), sys_seconds::max()));
  CHECK(next(right("* * * * *"), zone("UTC"), sys_seconds::min()));
}

TEST_CASE("a fixed time that clocks skip is due at the first instant after the gap") {
  // Berlin, 29 March 2026: 02:00 is 03:00, at 01:00 UTC.
  CHECK(due("30 2 * * *", "Europe/Berlin", utc(2026, 3, 27, 12), 3) ==
        times{"2026-03-28 01:30:00", "2026-03-29 01:00:00", "2026-03-30 00:30:00"});
  CHECK(due("30 2 29 3 *", "Europe/Berlin", utc(2026, 1, 1), 2) == times{"2026-03-29 01:00:00", "2027-03-29 00:30:00"});
  // Several in one gap are one.
  CHECK(due("*/10 2 * * *", "Europe/Berlin", utc(2026, 3, 28, 23), 2) ==
        times{"2026-03-29 01:00:00", "2026-03-30 00:00:00"});
  CHECK(due("0 2,3 * * *", "Europe/Berlin", utc(2026, 3, 28, 23), 2) ==
        times{"2026-03-29 01:00:00", "2026-03-30 00:00:00"});
  CHECK(due("30 1-3 * * *", "Europe/Berlin", utc(2026, 3, 28, 23), 4) ==
        times{"2026-03-29 00:30:00", "2026-03-29 01:00:00", "2026-03-29 01:30:00", "2026-03-29 23:30:00"});
  // Around it nothing changes.
  CHECK(due("59 1 * * *", "Europe/Berlin", utc(2026, 3, 28, 23), 1) == times{"2026-03-29 00:59:00"});
  CHECK(due("0 3 * * *", "Europe/Berlin", utc(2026, 3, 28, 23), 1) == times{"2026-03-29 01:00:00"});
  // New York, 8 March 2026, at 07:00 UTC; asked from the instant before and at the end of the gap.
  CHECK(due("15 2 * * *", "America/New_York", utc(2026, 3, 8, 6, 59, 59), 1) == times{"2026-03-08 07:00:00"});
  CHECK(due("15 2 * * *", "America/New_York", utc(2026, 3, 8, 7), 1) == times{"2026-03-09 06:15:00"});
  // Lord Howe, 4 October 2026: 02:00 is 02:30, at 15:30 UTC of the day before.
  CHECK(due("15 2 * * *", "Australia/Lord_Howe", utc(2026, 10, 3), 2) ==
        times{"2026-10-03 15:30:00", "2026-10-04 15:15:00"});
  CHECK(due("45 2 * * *", "Australia/Lord_Howe", utc(2026, 10, 3), 1) == times{"2026-10-03 15:45:00"});
  // Samoa had no 30 December 2011.
  CHECK(due("0 12 30 12 *", "Pacific/Apia", utc(2011, 12, 1), 1) == times{"2011-12-30 10:00:00"});
}

TEST_CASE("a fixed time that clocks show twice is due the first time") {
  // Berlin, 25 October 2026: 03:00 is 02:00, at 01:00 UTC.
  CHECK(due("30 2 * * *", "Europe/Berlin", utc(2026, 10, 24), 3) ==
        times{"2026-10-24 00:30:00", "2026-10-25 00:30:00", "2026-10-26 01:30:00"});
  CHECK(due("*/20 2 * * *", "Europe/Berlin", utc(2026, 10, 24, 23, 59), 4) ==
        times{"2026-10-25 00:00:00", "2026-10-25 00:20:00", "2026-10-25 00:40:00", "2026-10-26 01:00:00"});
  CHECK(due("0 3 * * *", "Europe/Berlin", utc(2026, 10, 25, 0, 30), 1) == times{"2026-10-25 02:00:00"});
  // Asked in the midst of the second time.
  CHECK(due("30 2 * * *", "Europe/Berlin", utc(2026, 10, 25, 1), 1) == times{"2026-10-26 01:30:00"});
  CHECK(due("30 2 * * *", "Europe/Berlin", utc(2026, 10, 25, 1, 29, 59), 1) == times{"2026-10-26 01:30:00"});
  CHECK(due("0 1-4 * * *", "Europe/Berlin", utc(2026, 10, 24, 22), 4) ==
        times{"2026-10-24 23:00:00", "2026-10-25 00:00:00", "2026-10-25 02:00:00", "2026-10-25 03:00:00"});
  // New York, 1 November 2026, at 06:00 UTC.
  CHECK(due("30 1 * * *", "America/New_York", utc(2026, 10, 31, 12), 2) ==
        times{"2026-11-01 05:30:00", "2026-11-02 06:30:00"});
  // Lord Howe, 5 April 2026: 02:00 is 01:30, at 15:00 UTC of the day before.
  CHECK(due("45 1 * * *", "Australia/Lord_Howe", utc(2026, 4, 4), 2) ==
        times{"2026-04-04 14:45:00", "2026-04-05 15:15:00"});
  CHECK(due("15 1 * * *", "Australia/Lord_Howe", utc(2026, 4, 4), 2) ==
        times{"2026-04-04 14:15:00", "2026-04-05 14:45:00"});
}

TEST_CASE("what is due in every hour goes by time that passes") {
  auto const steps = [](const std::string& text, const std::string& where, sys_seconds from, sys_seconds to) {
    std::vector<long> out;
    sys_seconds at = from;
    while (at < to) {
      sys_seconds const then = next(right(text), zone(where), at).value();
      out.push_back((then - at).count() / 60);
      at = then;
    }
    return out;
  };
  using gaps = std::vector<long>;
  CHECK(steps("*/10 * * * *", "Europe/Berlin", utc(2026, 10, 25), utc(2026, 10, 25, 3)) == gaps(18, 10));
  CHECK(steps("*/10 * * * *", "Europe/Berlin", utc(2026, 3, 29), utc(2026, 3, 29, 3)) == gaps(18, 10));
  CHECK(steps("30 * * * *", "Europe/Berlin", utc(2026, 10, 24, 23, 30), utc(2026, 10, 25, 3, 30)) == gaps(4, 60));
  CHECK(steps("30 * * * *", "America/New_York", utc(2026, 3, 8, 4, 30), utc(2026, 3, 8, 8, 30)) == gaps(4, 60));
  CHECK(steps("@hourly", "America/New_York", utc(2026, 11, 1, 4), utc(2026, 11, 1, 9)) == gaps(5, 60));
  CHECK(steps("*/10 * * * *", "Australia/Lord_Howe", utc(2026, 4, 4, 13), utc(2026, 4, 4, 17)) == gaps(24, 10));
  // Half an hour that is not there: an hour's quarter past is missing with it; one that is there twice: due twice.
  CHECK(steps("15 * * * *", "Australia/Lord_Howe", utc(2026, 10, 3, 14, 45), utc(2026, 10, 3, 17, 15)) == gaps{90, 60});
  CHECK(steps("45 * * * *", "Australia/Lord_Howe", utc(2026, 4, 4, 13, 45), utc(2026, 4, 4, 16, 15)) ==
        gaps{60, 30, 60});
}

TEST_CASE("the machine's own zone has the same rules") {
  with_tz const tz("CET-1CEST,M3.5.0,M10.5.0/3");
  CHECK(due("30 2 * * *", "", utc(2026, 3, 27, 12), 3) ==
        times{"2026-03-28 01:30:00", "2026-03-29 01:00:00", "2026-03-30 00:30:00"});
  CHECK(due("30 2 * * *", "", utc(2026, 10, 24), 3) ==
        times{"2026-10-24 00:30:00", "2026-10-25 00:30:00", "2026-10-26 01:30:00"});
  CHECK(due("*/30 * * * *", "", utc(2026, 10, 25, 0, 30), 3) ==
        times{"2026-10-25 01:00:00", "2026-10-25 01:30:00", "2026-10-25 02:00:00"});
  CHECK(due("0 0 29 2 *", "", utc(2026, 1, 1), 1) == times{"2028-02-28 23:00:00"});
}

TEST_CASE("random expressions: times grow, match, and none is left out") {
  std::mt19937 random(11);
  const std::vector<std::string> names{"UTC",           "Europe/Berlin",       "America/New_York",
                                       "Asia/Shanghai", "Australia/Lord_Howe", "Asia/Kolkata"};
  for (int round = 0; round < 600; ++round) {
    std::string const text = random_expression(random);
    cron const when = right(text);
    time_zone const where = zone(names[random() % names.size()]);
    // Near a change of clocks, often.
    sys_seconds const start = utc(2026, random() % 2 == 0 ? 3 : 10, 1) + minutes(random() % (60UL * 24 * 45));
    INFO(text << " after " << text_of(start));
    sys_seconds at = start;
    for (int i = 0; i < 20; ++i) {
      auto const then = next(when, where, at);
      REQUIRE(then);
      REQUIRE(*then > at);
      bool const fits = matches(when, where.at(*then));
      bool const after_gap = where.offset_at(*then - 1s).ahead < where.offset_at(*then).ahead;
      REQUIRE((fits || (after_gap && !when.every_hour())));
      // Between the two no minute matches, but for those that were shown before.
      sys_seconds const stop = std::min(*then, at + days(2));
      for (sys_seconds between = at + 1min; between < stop; between += 1min) {
        bool const again = where.offset_at(between - 2h).ahead > where.offset_at(between).ahead;
        if (matches(when, where.at(between)) && !(again && !when.every_hour())) {
          FAIL("left out " << text_of(between) << " before " << text_of(*then));
        }
      }
      at = *then;
    }
  }
}

TEST_CASE("what runs daily runs once on every day of every zone") {
  for (const char* name : {"Europe/Berlin", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe", "UTC",
                           "America/Santiago", "Asia/Beirut", "Africa/Casablanca"}) {
    time_zone const where = zone(name);
    for (const char* text :
         {"0 0 * * *", "30 0 * * *", "0 1 * * *", "45 1 * * *", "15 2 * * *", "30 2 * * *", "0 3 * * *"}) {
      INFO(name << " " << text);
      cron const when = right(text);
      sys_seconds at = next(when, where, utc(2020, 1, 1)).value();
      std::int64_t today = where.at(at).day;
      for (int i = 0; i < 365 * 8; ++i) {
        at = next(when, where, at).value();
        REQUIRE(where.at(at).day == ++today);
      }
    }
  }
}

TEST_CASE("the next time is found quickly", "[.bench]") {
  for (const char* name : {"UTC", "Europe/Berlin", "Asia/Shanghai", "Australia/Lord_Howe", ""}) {
    for (const char* text : {"*/10 * * * *", "30 2 * * *", "0 0 1 1 *", "0 0 29 2 *", "0 0 29 2 */7"}) {
      cron const when = right(text);
      time_zone const where = zone(name);
      sys_seconds at = utc(2026, 1, 1);
      auto const begin = std::chrono::steady_clock::now();
      constexpr int rounds = 2000;
      for (int i = 0; i < rounds; ++i) {
        auto const then = next(when, where, at);
        at = then && *then < utc(2100, 1, 1) ? *then : utc(2026, 1, 1);
      }
      std::chrono::duration<double, std::micro> const took = std::chrono::steady_clock::now() - begin;
      WARN(name << " `" << text << "`: " << took.count() / rounds << " us");
    }
  }
}
