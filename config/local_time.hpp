#pragma once
// What the clocks of a time zone show. Over the system's tz database; local_time.cpp is the only file that knows the
// library that reads it. A zone is resolved once and then is a pointer to copy; any thread may use it at any time.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace date {
class time_zone;
}

namespace rouse::config {

/// What a clock on the wall shows.
struct local_time {
  unsigned weekday = 0;  ///< 0 is Monday
  unsigned minute = 0;   ///< of the day, 0 to 1439
  std::int64_t day = 0;  ///< days since 1 January 1970, by the same clock
  friend bool operator==(const local_time&, const local_time&) = default;
};

class time_zone {
 public:
  using time_point = std::chrono::system_clock::time_point;

  /// By a name of the tz database, such as `Asia/Shanghai`; nothing where there is no such name (or no database). The
  /// empty name is the machine's own zone: TZ in all its forms, else /etc/localtime, else UTC, as the C library reads
  /// it.
  [[nodiscard]] static std::optional<time_zone> find(const std::string& name);
  /// The machine's own zone.
  [[nodiscard]] static time_zone machine() noexcept { return time_zone(nullptr); }

  [[nodiscard]] local_time at(time_point when) const;

  /// How far the clock is ahead of UTC, and until when at least that holds: the next change of offset, or a moment
  /// before it (within a year; for the machine's own zone within a day) where one should look again.
  struct offset {
    std::chrono::seconds ahead{0};
    std::chrono::sys_seconds until;
  };
  [[nodiscard]] offset offset_at(time_point when) const;

 private:
  explicit time_zone(const date::time_zone* zone) noexcept : zone_(zone) {}
  const date::time_zone* zone_;  ///< null: the machine's own; else of the database, which lives as long as the process
};

}  // namespace rouse::config
