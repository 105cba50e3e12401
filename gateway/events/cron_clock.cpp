#include "gateway/events/cron_clock.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "gateway/events/cloudevents/event.hpp"
#include "gateway/events/cloudevents/storage.hpp"

namespace rouse::gateway::events {

namespace {

using namespace std::chrono_literals;
using std::chrono::sys_seconds;

constexpr std::string_view cron_type = "dev.rouse.cron";
constexpr auto longest_wait = 10s;  // the wall clock may be set while we sleep
constexpr auto store_pause = 1s;

sys_seconds seconds_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

/// RFC 3339 in UTC.
std::string text_of(sys_seconds at) {
  const auto day = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(at - day);
  std::array<char, 40> out{};
  std::snprintf(out.data(), out.size(), "%04d-%02u-%02uT%02d:%02d:%02dZ", int(date.year()), unsigned(date.month()),
                unsigned(date.day()), int(time.hours().count()), int(time.minutes().count()),
                int(time.seconds().count()));
  return out.data();
}

/// The latest time in (since, now] that is due. Looks at growing spans before `now`, so that it costs little however
/// many there were.
std::optional<sys_seconds> latest_due(const config::cron& when, const config::time_zone& zone, sys_seconds since,
                                      sys_seconds now) {
  for (auto span = std::chrono::seconds(60);; span *= 2) {
    const auto from = std::max(since, now - span);
    auto found = config::next(when, zone, from);
    if (found && *found <= now) {
      for (;;) {
        const auto later = config::next(when, zone, *found);
        if (!later || *later > now) return found;
        found = later;
      }
    }
    if (from == since) return std::nullopt;
  }
}

}  // namespace

cron_step cron_due(const config::cron& when, const config::time_zone& zone, config::missed_runs missed,
                   sys_seconds since, sys_seconds now, std::chrono::seconds patience) {
  cron_step out;
  out.looked_at = std::max(since, now);  // a clock that was set back fires nothing twice
  if (const auto due = latest_due(when, zone, since, now)) {
    if (now - *due <= patience || missed == config::missed_runs::once) out.fire = due;
  }
  out.next = config::next(when, zone, out.looked_at);
  return out;
}

std::string cron_event(const std::string& trigger, sys_seconds due, const std::string& data) {
  cloud_event event;
  event.id = trigger + "/" + text_of(due);
  event.source = "/triggers/" + trigger;
  event.type = cron_type;
  event.time = text_of(due);
  if (!data.empty()) {
    event.datacontenttype = "application/json";
    event.kind = data_kind::json;
    event.data = data;
  }
  return encode(event);
}

std::optional<sys_seconds> due_time_of(std::string_view encoded) {
  const auto event = decode(encoded);
  if (!event || event->type != cron_type || !event->time) return std::nullopt;
  int year = 0;
  unsigned month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (std::sscanf(event->time->c_str(), "%d-%u-%uT%u:%u:%uZ", &year, &month, &day, &hour, &minute, &second) != 6)
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second);
}

void cron_clock::set(std::vector<job> jobs) {
  std::vector<entry> next;
  for (auto& one : jobs) {
    const auto zone = config::time_zone::find(one.source.timezone);
    const auto before = std::ranges::find_if(entries_, [&](const auto& old) { return old.what.name == one.name; });
    auto done = before != entries_.end() ? before->done : std::make_shared<progress>(progress{one.since, false});
    next.push_back(entry{std::move(one), zone ? *zone : config::time_zone::machine(), std::move(done)});
  }
  entries_ = std::move(next);
  look();
}

void cron_clock::stop() {
  stopped_ = true;
  entries_.clear();
  timer_.cancel();
}

void cron_clock::look() {
  if (stopped_) return;
  const auto now = seconds_now();
  std::optional<sys_seconds> next;
  for (const auto& one : entries_) {
    if (one.done->keeping) continue;
    const auto step = cron_due(one.what.source.when, one.zone, one.what.source.missed, one.done->since, now);
    if (step.next && (!next || *step.next < *next)) next = step.next;
    if (!step.fire) {
      one.done->since = step.looked_at;
      continue;
    }
    one.done->keeping = true;
    one.what.keep(cron_event(one.what.name, *step.fire, one.what.source.data),
                  [this, name = one.what.name, done = one.done, upto = step.looked_at](bool kept) {
                    done->keeping = false;
                    if (kept) {
                      done->since = std::max(done->since, upto);
                    } else if (!stopped_) {
                      log_.error("trigger {}: the event that is due could not be kept; it is tried again", name);
                      arm(seconds_now() + store_pause);
                    }
                  });
  }
  arm(next);
}

void cron_clock::arm(std::optional<sys_seconds> next) {
  if (entries_.empty() || stopped_) return;
  auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(longest_wait);
  if (next) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - std::chrono::system_clock::now());
    wait = std::clamp(left, std::chrono::milliseconds(1), wait);
  }
  timer_.expires_after(wait);
  timer_.async_wait([this](const error_code& ec) {
    if (!ec) look();
  });
}

}  // namespace rouse::gateway::events
