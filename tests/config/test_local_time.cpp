#include <catch2/catch.hpp>

#include <cstdlib>
#include <ctime>

#include "config/local_time.hpp"

using namespace rouse::config;
using std::chrono::day, std::chrono::days, std::chrono::hours, std::chrono::minutes, std::chrono::month,
    std::chrono::seconds;
using std::chrono::sys_days, std::chrono::year;
using namespace std::chrono_literals;

namespace {

time_zone::time_point utc(int y, unsigned m, unsigned d, int hour = 0, int minute = 0, int second = 0) {
  return sys_days(year(y) / month(m) / day(d)) + hours(hour) + minutes(minute) + seconds(second);
}

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

}  // namespace

TEST_CASE("a clock shows weekday, minute and day of its zone") {
  const auto shanghai = time_zone::find("Asia/Shanghai").value();
  // Friday, 20 November 2026, 20:30 UTC is Saturday 04:30 in Shanghai.
  const auto shown = shanghai.at(utc(2026, 11, 20, 20, 30));
  CHECK(shown == local_time{5, 4 * 60 + 30, sys_days(2026y / 11 / 21).time_since_epoch().count()});
  CHECK(time_zone::find("UTC").value().at(utc(1970, 1, 1)) == local_time{3, 0, 0});
  // Seconds do not round up, and neither do moments before the epoch.
  CHECK(time_zone::find("UTC").value().at(utc(1969, 12, 31, 23, 59, 59)) == local_time{2, 1439, -1});
  CHECK(time_zone::find("America/New_York").value().at(utc(2026, 1, 1)).minute == 19 * 60);
}

TEST_CASE("summer time") {
  const auto berlin = time_zone::find("Europe/Berlin").value();
  CHECK(berlin.at(utc(2026, 3, 29, 0, 59)).minute == 119);  // 01:59, then 03:00
  CHECK(berlin.at(utc(2026, 3, 29, 1, 0)).minute == 180);
  CHECK(berlin.at(utc(2026, 10, 25, 0, 30)).minute == 150);  // 02:30 twice
  CHECK(berlin.at(utc(2026, 10, 25, 1, 30)).minute == 150);
  const auto before = berlin.offset_at(utc(2026, 3, 1));
  CHECK(before.ahead == 1h);
  CHECK(before.until == utc(2026, 3, 29, 1));
  CHECK(berlin.offset_at(before.until).ahead == 2h);
}

TEST_CASE("a zone without changes is asked again within a year") {
  const auto when = utc(2026, 1, 1);
  const auto until = time_zone::find("UTC").value().offset_at(when).until;
  CHECK(until > when);
  CHECK(until <= when + days(366));
}

TEST_CASE("what is not in the database is nothing") {
  CHECK_FALSE(time_zone::find("Asia/Peking"));
  CHECK_FALSE(time_zone::find("Mars/Olympus"));
  CHECK_FALSE(time_zone::find("../../etc/passwd"));
}

TEST_CASE("the machine's own zone is what TZ says, in all its forms") {
  const auto own = time_zone::find("").value();
  {
    const with_tz tz("Asia/Shanghai");
    CHECK(own.at(utc(2026, 11, 20, 20, 30)).minute == 270);
  }
  {
    const with_tz tz("CST-8");
    CHECK(own.at(utc(2026, 11, 20, 20, 30)).minute == 270);
    CHECK(own.offset_at(utc(2026, 11, 20)).ahead == 8h);
  }
  {
    const with_tz tz("CET-1CEST,M3.5.0,M10.5.0/3");
    const auto offset = own.offset_at(utc(2026, 3, 28, 20));
    CHECK(offset.ahead == 1h);
    CHECK(offset.until == utc(2026, 3, 29, 1));  // to the second
    CHECK(own.offset_at(utc(2026, 6, 1)).ahead == 2h);
    CHECK(own.offset_at(utc(2026, 6, 1)).until <= utc(2026, 6, 2));
  }
  {
    const with_tz tz("Nowhere/Nothing");
    CHECK(own.at(utc(2026, 11, 20, 20, 30)).minute == 20 * 60 + 30);
  }
}
