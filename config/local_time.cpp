#include "config/local_time.hpp"

#include <date/tz.h>

#include <algorithm>
#include <ctime>
#include <exception>

namespace rouse::config {
namespace {

using std::chrono::days;
using std::chrono::floor;
using std::chrono::seconds;
using std::chrono::sys_seconds;

/// Of the machine's own zone. The C library reads what the tz library does not: rules in TZ, a copied /etc/localtime.
seconds machine_offset(sys_seconds when) noexcept {
  const std::time_t at = when.time_since_epoch().count();
  std::tm shown{};
  return ::localtime_r(&at, &shown) ? seconds(shown.tm_gmtoff) : seconds(0);
}

/// The C library does not tell when it will change; two changes within a day do not happen.
time_zone::offset machine_offset_and_end(sys_seconds when) noexcept {
  const auto ahead = machine_offset(when);
  sys_seconds same = when;
  sys_seconds end = when + days(1);
  if (machine_offset(end) == ahead) return {ahead, end};
  while (end - same > seconds(1)) {
    const auto middle = same + (end - same) / 2;
    (machine_offset(middle) == ahead ? same : end) = middle;
  }
  return {ahead, end};
}

}  // namespace

std::optional<time_zone> time_zone::find(const std::string& name) {
  if (name.empty()) return machine();
  try {
    return time_zone(date::locate_zone(name));
  } catch (const std::exception&) {  // how the library says that there is no such name, or no database
    return std::nullopt;
  }
}

time_zone::offset time_zone::offset_at(time_point when) const {
  const auto second = floor<seconds>(when);
  if (!zone_) return machine_offset_and_end(second);
  const auto info = zone_->get_info(second);
  // The library's "for ever" is beyond what the system's clock can count.
  return {info.offset, std::min<sys_seconds>(info.end, second + days(366))};
}

local_time time_zone::at(time_point when) const {
  const auto second = floor<seconds>(when);
  const auto ahead = zone_ ? zone_->get_info(second).offset : machine_offset(second);
  const auto shown = (second + ahead).time_since_epoch();
  const auto day = floor<days>(shown);
  local_time out;
  out.day = day.count();
  out.minute = static_cast<unsigned>(floor<std::chrono::minutes>(shown - day).count());
  constexpr std::int64_t thursday = 3;  // 1 January 1970
  out.weekday = static_cast<unsigned>(((out.day + thursday) % 7 + 7) % 7);
  return out;
}

}  // namespace rouse::config
