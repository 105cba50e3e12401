#include "activator/schedule.hpp"

#include <algorithm>

namespace rouse::activator {
namespace {

using std::chrono::days;
using std::chrono::floor;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr seconds a_day = days(1);

/// Seconds since the epoch as the zone's clock shows it.
seconds reading(wall_time now, seconds ahead) {
  return floor<seconds>(now.time_since_epoch()) + ahead;
}

void earlier(std::optional<wall_time>& of, wall_time other) {
  of = std::min(of.value_or(other), other);
}

}  // namespace

day_window::day_window(const config::window& when)
    : zone_(config::time_zone::find(when.timezone).value_or(config::time_zone::machine())),
      days_(when.days),
      from_(when.from),
      to_(when.to) {}

bool day_window::begins_on(std::int64_t day) const noexcept {
  constexpr std::int64_t thursday = 3;  // 1 January 1970
  return days_ >> (((day + thursday) % 7 + 7) % 7) & 1;
}

bool day_window::holds(wall_time now) const {
  const auto shown = reading(now, zone_.offset_at(now).ahead);
  const auto today = floor<days>(shown).count();
  for (auto day = today - 1; day <= today; ++day) {  // `to` is at most 48:00
    const auto since_its_midnight = shown - days(day);
    if (begins_on(day) && since_its_midnight >= from_ && since_its_midnight < to_) return true;
  }
  return false;
}

wall_time day_window::next_change(wall_time now) const {
  const auto offset = zone_.offset_at(now);
  const auto shown = reading(now, offset.ahead);
  const auto today = floor<days>(shown).count();
  auto next = shown + 8 * a_day;  // where no day is set
  for (auto day = today - 1; day <= today + 7; ++day) {
    if (!begins_on(day)) continue;
    for (const seconds edge : {seconds(days(day) + from_), seconds(days(day) + to_)})
      if (edge > shown) next = std::min(next, edge);
  }
  // Where the clock is put back or forward before that, anything may be true then.
  return std::min<wall_time>(wall_time(next - offset.ahead), offset.until);
}

scale_schedule::scale_schedule(const config::scale& scale) : base_{scale.min, scale.max} {
  for (const auto& one : scale.schedule) entries_.push_back({day_window(one.when), one.min, one.max});
}

scale_schedule::answer scale_schedule::at(wall_time now) const {
  answer out;
  std::optional<unsigned> min;
  std::optional<unsigned> max;
  for (const auto& one : entries_) {
    earlier(out.until, one.when.next_change(now));
    if (!one.when.holds(now)) continue;
    if (!min) min = one.min;
    if (!max) max = one.max;
  }
  out.limits.min = min.value_or(base_.min);
  out.limits.max = std::max(max.value_or(base_.max), out.limits.min);
  return out;
}

pool_schedule::pool_schedule(const config::pool& pool) : base_(pool.max_instances) {
  for (const auto& one : pool.schedule) entries_.push_back({day_window(one.when), one.max_instances});
  if (!entries_.empty() && !base_) base_ = 0;
}

pool_schedule::answer pool_schedule::at(wall_time now) const {
  answer out;
  std::optional<unsigned> scheduled;
  for (const auto& one : entries_) {
    earlier(out.until, one.when.next_change(now));
    if (!scheduled && one.when.holds(now)) scheduled = one.max_instances;
  }
  out.max_instances = scheduled ? scheduled : base_;
  return out;
}

}  // namespace rouse::activator
