#include <catch2/catch.hpp>

#include "activator/schedule.hpp"

using namespace rouse;
using namespace rouse::activator;
using std::chrono::day, std::chrono::days, std::chrono::hours, std::chrono::minutes, std::chrono::month,
    std::chrono::seconds;
using std::chrono::sys_days, std::chrono::year;
using namespace std::chrono_literals;

namespace {

constexpr std::uint8_t mon_fri = 0x1F;
constexpr std::uint8_t every_day = 0x7F;
constexpr unsigned hour = 60;

wall_time utc(int y, unsigned m, unsigned d, int h = 0, int minute = 0, int second = 0) {
  return sys_days(year(y) / month(m) / day(d)) + hours(h) + minutes(minute) + seconds(second);
}

config::window window(const char* zone, unsigned from, unsigned to, std::uint8_t on = every_day) {
  config::window out;
  out.days = on;
  out.from = from;
  out.to = to;
  out.timezone = zone;
  return out;
}

/// Moments of [from, to) at which holds() changes, found minute by minute.
std::vector<wall_time> changes(const day_window& of, wall_time from, wall_time to) {
  std::vector<wall_time> out;
  for (auto at = from; at < to; at += 1min)
    if (of.holds(at) != of.holds(at - 1min)) out.push_back(at);
  return out;
}

/// The same, found by asking for the next change as a timer does.
std::vector<wall_time> changes_by_timer(const day_window& of, wall_time from, wall_time to) {
  std::vector<wall_time> out;
  auto at = from - 1min;
  bool held = of.holds(at);
  for (;;) {
    const auto next = of.next_change(at);
    REQUIRE(next > at);
    if (next >= to) return out;
    at = next;
    if (of.holds(at) != held) out.push_back(at);
    held = of.holds(at);
  }
}

using moments = std::vector<wall_time>;

}  // namespace

TEST_CASE("a window follows the clock of its zone") {
  const day_window night(window("Asia/Shanghai", 2 * hour, 8 * hour));  // 18:00 to 00:00 UTC
  CHECK_FALSE(night.holds(utc(2026, 11, 20, 17, 59, 59)));
  CHECK(night.holds(utc(2026, 11, 20, 18)));
  CHECK(night.holds(utc(2026, 11, 20, 23, 59, 59)));
  CHECK_FALSE(night.holds(utc(2026, 11, 21)));
  CHECK(night.next_change(utc(2026, 11, 20, 12)) == utc(2026, 11, 20, 18));
  CHECK(night.next_change(utc(2026, 11, 20, 18)) == utc(2026, 11, 21));
}

TEST_CASE("days are those on which a window begins") {
  // Friday 22:00 to Saturday 06:00; not Saturday night.
  const day_window late(window("UTC", 22 * hour, 30 * hour, mon_fri));
  CHECK(late.holds(utc(2026, 11, 20, 23)));
  CHECK(late.holds(utc(2026, 11, 21, 5, 59)));
  CHECK_FALSE(late.holds(utc(2026, 11, 21, 6)));
  CHECK_FALSE(late.holds(utc(2026, 11, 21, 23)));
  CHECK_FALSE(late.holds(utc(2026, 11, 23, 3)));  // Monday morning: Sunday has no night
  CHECK(late.next_change(utc(2026, 11, 21, 7)) == utc(2026, 11, 23, 22));
  // Saturday in Shanghai is Friday evening in UTC.
  const day_window work(window("Asia/Shanghai", 0, 24 * hour, mon_fri));
  CHECK(work.holds(utc(2026, 11, 20, 15, 59)));
  CHECK_FALSE(work.holds(utc(2026, 11, 20, 16)));
}

TEST_CASE("a window that begins where the clock jumps forward begins as it jumps") {
  const auto from = utc(2026, 3, 28, 12);
  const auto to = utc(2026, 3, 29, 12);
  const auto jump = utc(2026, 3, 29, 1);  // 02:00 becomes 03:00 in Berlin
  const day_window into(window("Europe/Berlin", 2 * hour + 30, 5 * hour));
  CHECK(changes(into, from, to) == moments{jump, utc(2026, 3, 29, 3)});
  CHECK(changes_by_timer(into, from, to) == changes(into, from, to));
  const day_window out_of(window("Europe/Berlin", 1 * hour, 2 * hour + 30));
  CHECK(changes(out_of, from, to) == moments{utc(2026, 3, 29), jump});
  CHECK(changes_by_timer(out_of, from, to) == changes(out_of, from, to));
  const day_window within(window("Europe/Berlin", 2 * hour + 15, 2 * hour + 45));
  CHECK(changes(within, from, to).empty());
  CHECK(changes_by_timer(within, from, to).empty());
}

TEST_CASE("an hour that is shown twice counts twice") {
  const auto from = utc(2026, 10, 24, 12);
  const auto to = utc(2026, 10, 25, 12);
  const day_window within(window("Europe/Berlin", 2 * hour + 15, 2 * hour + 45));
  CHECK(changes(within, from, to) == moments{utc(2026, 10, 25, 0, 15), utc(2026, 10, 25, 0, 45),
                                             utc(2026, 10, 25, 1, 15), utc(2026, 10, 25, 1, 45)});
  CHECK(changes_by_timer(within, from, to) == changes(within, from, to));
  const day_window across(window("Europe/Berlin", 2 * hour + 30, 5 * hour));
  CHECK(changes(across, from, to) ==
        moments{utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1), utc(2026, 10, 25, 1, 30), utc(2026, 10, 25, 4)});
  CHECK(changes_by_timer(across, from, to) == changes(across, from, to));
}

TEST_CASE("a timer sees every change, in zones of all kinds") {
  for (const char* zone : {"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC", ""})
    for (const auto& [begin, end] : {std::pair{0u, 24 * hour}, {90u, 150u}, {22 * hour, 31 * hour}, {0u, 48 * hour}})
      for (const std::uint8_t which : {every_day, mon_fri, std::uint8_t{0x40}}) {
        CAPTURE(zone, begin, end, int{which});
        const day_window one(window(zone, begin, end, which));
        for (const auto start : {utc(2026, 3, 27), utc(2026, 10, 23), utc(2026, 10, 30), utc(2026, 4, 3)})
          CHECK(changes_by_timer(one, start, start + hours(24 * 4)) == changes(one, start, start + hours(24 * 4)));
      }
}

TEST_CASE("per key the first window that holds and has it counts") {
  config::scale scale;
  scale.min = 1;
  scale.max = 20;
  scale.schedule.push_back({window("UTC", 8 * hour, 10 * hour), {}, 50});
  scale.schedule.push_back({window("UTC", 9 * hour, 12 * hour), 10, 200});
  scale.schedule.push_back({window("UTC", 9 * hour, 9 * hour + 30), 5, {}});
  const scale_schedule schedule(scale);
  const auto at = [&](int h, int minute = 0) { return schedule.at(utc(2026, 11, 20, h, minute)); };
  CHECK(at(7).limits == scale_limits{1, 20});
  CHECK(at(8).limits == scale_limits{1, 50});
  CHECK(at(9).limits == scale_limits{10, 50});
  CHECK(at(10).limits == scale_limits{10, 200});
  CHECK(at(12).limits == scale_limits{1, 20});
  CHECK(at(7).until == utc(2026, 11, 20, 8));
  CHECK(at(9).until == utc(2026, 11, 20, 9, 30));
  CHECK(at(10).until == utc(2026, 11, 20, 12));
  CHECK(at(12).until == utc(2026, 11, 21, 8));
}

TEST_CASE("max is never below min, and without a schedule nothing changes") {
  config::scale scale;
  scale.min = 4;
  scale.max = 20;
  const auto plain = scale_schedule(scale).at(utc(2026, 11, 20));
  CHECK(plain.limits == scale_limits{4, 20});
  CHECK_FALSE(plain.until);
  scale.schedule.push_back({window("UTC", 0, 24 * hour), 30, {}});
  CHECK(scale_schedule(scale).at(utc(2026, 11, 20)).limits == scale_limits{30, 30});
}

TEST_CASE("pools: outside of the schedule max_instances, or nothing runs there") {
  config::pool pool;
  const auto noon = utc(2026, 11, 20, 12);
  const auto night = utc(2026, 11, 20, 23);
  CHECK_FALSE(pool_schedule(pool).at(noon).max_instances);
  CHECK_FALSE(pool_schedule(pool).at(noon).until);
  pool.schedule.push_back({window("UTC", 8 * hour, 20 * hour), 20});
  pool.schedule.push_back({window("UTC", 0, 24 * hour, 0x40), 7});
  CHECK(pool_schedule(pool).at(noon).max_instances == 20u);
  CHECK(pool_schedule(pool).at(noon).until == utc(2026, 11, 20, 20));
  CHECK(pool_schedule(pool).at(night).max_instances == 0u);
  CHECK(pool_schedule(pool).at(utc(2026, 11, 22, 7)).max_instances == 7u);
  pool.max_instances = 70;
  CHECK(pool_schedule(pool).at(night).max_instances == 70u);
}
