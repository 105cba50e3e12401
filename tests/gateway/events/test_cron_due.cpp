// What a cron trigger does at a moment, and the events that it makes.

#include <catch2/catch.hpp>

#include "config/cron.hpp"
#include "gateway/events/cloudevents/event.hpp"
#include "gateway/events/cloudevents/storage.hpp"
#include "gateway/events/cron_clock.hpp"

namespace {

using namespace rouse;
using namespace rouse::gateway::events;
using namespace std::chrono_literals;
using config::missed_runs;
using std::chrono::sys_seconds;

config::cron every(const char* text) {
  const auto parsed = config::parse_cron(text);
  REQUIRE(parsed.value);
  return *parsed.value;
}

config::time_zone utc() {
  const auto zone = config::time_zone::find("Etc/UTC");
  REQUIRE(zone);
  return *zone;
}

/// Of 10 March 2026, a Tuesday.
sys_seconds at(std::chrono::seconds since_midnight) {
  using namespace std::chrono;
  return sys_days(year(2026) / March / 10) + since_midnight;
}

}  // namespace

TEST_CASE("a time that is due fires, and the next one is known") {
  const auto hourly = every("0 * * * *");
  for (const auto missed : {missed_runs::skip, missed_runs::once}) {
    auto step = cron_due(hourly, utc(), missed, at(10h + 1s), at(10h + 59min + 59s));
    CHECK_FALSE(step.fire);
    CHECK(step.looked_at == at(10h + 59min + 59s));
    CHECK(step.next == at(11h));

    step = cron_due(hourly, utc(), missed, step.looked_at, at(11h));
    CHECK(step.fire == at(11h));
    CHECK(step.looked_at == at(11h));
    CHECK(step.next == at(12h));

    step = cron_due(hourly, utc(), missed, step.looked_at, at(11h + 1s));
    CHECK_FALSE(step.fire);
    CHECK(step.next == at(12h));
  }
}

TEST_CASE("a little late is not missed") {
  const auto step = cron_due(every("0 * * * *"), utc(), missed_runs::skip, at(10h + 59min), at(11h + 30s));
  CHECK(step.fire == at(11h));
  CHECK_FALSE(cron_due(every("0 * * * *"), utc(), missed_runs::skip, at(10h + 59min), at(11h + 31s)).fire);
  CHECK(cron_due(every("0 * * * *"), utc(), missed_runs::skip, at(10h + 59min), at(11h + 31s), 60s).fire == at(11h));
}

TEST_CASE("a missed time is skipped, or made up for once") {
  const auto hourly = every("0 * * * *");
  auto step = cron_due(hourly, utc(), missed_runs::skip, at(10h + 59min), at(11h + 10min));
  CHECK_FALSE(step.fire);
  CHECK(step.looked_at == at(11h + 10min));
  CHECK(step.next == at(12h));

  step = cron_due(hourly, utc(), missed_runs::once, at(10h + 59min), at(11h + 10min));
  CHECK(step.fire == at(11h));
  CHECK(step.looked_at == at(11h + 10min));
  CHECK(step.next == at(12h));
}

TEST_CASE("several that were missed are one: the latest") {
  const auto minutely = every("* * * * *");
  const auto now = at(11h + 10min + 40s);
  for (const auto away : {90s, 3600s, 100'000s, 35 * 24 * 3600s}) {
    CAPTURE(away.count());
    const auto step = cron_due(minutely, utc(), missed_runs::once, now - away, now);
    CHECK(step.fire == at(11h + 10min));
    CHECK(step.looked_at == now);
    CHECK(step.next == at(11h + 11min));
    CHECK_FALSE(cron_due(minutely, utc(), missed_runs::skip, now - away, now).fire);
  }
  // Also where they lie close together and long ago.
  CHECK(cron_due(every("0,10,15 * * * *"), utc(), missed_runs::once, at(0h), at(11h + 50min)).fire == at(11h + 15min));
  // Missed ones and one that is due now: also one.
  const auto step = cron_due(minutely, utc(), missed_runs::skip, at(9h), at(11h + 10min));
  CHECK(step.fire == at(11h + 10min));
  CHECK_FALSE(cron_due(minutely, utc(), missed_runs::skip, step.looked_at, at(11h + 10min + 59s)).fire);
}

TEST_CASE("a rare time is found however long ago it was") {
  const auto daily = every("30 2 * * *");
  const auto step = cron_due(daily, utc(), missed_runs::once, at(0h) - 240h, at(2h));
  CHECK(step.fire == at(2h + 30min) - 24h);
  CHECK(step.next == at(2h + 30min));
  CHECK_FALSE(cron_due(every("0 0 1 1 *"), utc(), missed_runs::once, at(0h) - 240h, at(2h)).fire);
}

TEST_CASE("a clock that is set back fires nothing twice") {
  const auto minutely = every("* * * * *");
  const auto since = at(11h);
  const auto step = cron_due(minutely, utc(), missed_runs::once, since, at(10h + 30min));
  CHECK_FALSE(step.fire);
  CHECK(step.looked_at == since);
  CHECK(step.next == at(11h + 1min));
  CHECK(cron_due(minutely, utc(), missed_runs::once, step.looked_at, at(11h + 1min)).fire == at(11h + 1min));
}

TEST_CASE("an expression that is hardly ever due") {
  const auto leap = every("0 0 29 2 *");
  const auto step = cron_due(leap, utc(), missed_runs::skip, at(0h), at(1h));
  CHECK_FALSE(step.fire);
  REQUIRE(step.next);
  using namespace std::chrono;
  CHECK(*step.next == sys_days(year(2028) / February / 29));
}

TEST_CASE("one that is never due has no next time") {
  config::cron never;  // no text is accepted for it
  never.minutes = 1;
  never.hours = 1;
  never.days = 1U << 30U;
  never.months = 1U << 2U;
  never.weekdays = 0x7F;
  const auto step = cron_due(never, utc(), missed_runs::once, at(0h), at(1h));
  CHECK_FALSE(step.fire);
  CHECK_FALSE(step.next);
  CHECK(step.looked_at == at(1h));
}

TEST_CASE("the event of a cron trigger") {
  const auto event = decode(cron_event("nightly", at(2h + 3min + 4s), R"({"full":true})"));
  REQUIRE(event);
  CHECK(event->id == "nightly/2026-03-10T02:03:04Z");
  CHECK(event->source == "/triggers/nightly");
  CHECK(event->type == "dev.rouse.cron");
  CHECK(event->time == "2026-03-10T02:03:04Z");
  CHECK(event->datacontenttype == "application/json");
  CHECK(event->data == R"({"full":true})");
  CHECK(resolved_kind(*event) == data_kind::json);
  const auto problem = validate(*event);
  INFO((problem ? problem->message : ""));
  CHECK_FALSE(problem);
}

TEST_CASE("without data it has no content type") {
  const auto event = decode(cron_event("a-b.c_9", at(0h), ""));
  REQUIRE(event);
  CHECK(event->kind == data_kind::none);
  CHECK_FALSE(event->datacontenttype);
  CHECK(event->data.empty());
  CHECK_FALSE(validate(*event));
}

TEST_CASE("the time that an event stands for is read back") {
  for (const auto due :
       {at(0h), at(23h + 59min + 59s), sys_seconds(0s), sys_seconds(951782400s), at(0h) + 24h * 365 * 50})
    CHECK(due_time_of(cron_event("x", due, "1")) == due);
  CHECK_FALSE(due_time_of(""));
  CHECK_FALSE(due_time_of("no event"));
  cloud_event other;
  other.id = "1";
  other.source = "/s";
  other.type = "paid";
  other.time = "2026-03-10T02:03:04Z";
  CHECK_FALSE(due_time_of(encode(other)));
  other.type = "dev.rouse.cron";
  CHECK(due_time_of(encode(other)) == at(2h + 3min + 4s));
  other.time = std::nullopt;
  CHECK_FALSE(due_time_of(encode(other)));
}
