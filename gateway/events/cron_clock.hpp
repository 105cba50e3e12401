#pragma once
// Makes the events of cron triggers: an event in the trigger's own stream for each time that is due, which then is
// delivered, tried again and given up as any other. Admin thread only.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <spdlog/logger.h>

#include "config/config.hpp"
#include "config/cron.hpp"
#include "gateway/net.hpp"

namespace rouse::gateway::events {

/// What a cron trigger is to do at a moment. Pure.
struct cron_step {
  std::optional<std::chrono::sys_seconds> fire;  ///< the time to fire for; at most one, the latest that is due
  std::chrono::sys_seconds looked_at;            ///< all times up to here are dealt with, once `fire` has been kept
  std::optional<std::chrono::sys_seconds> next;  ///< when the next one is due; nothing: never
};

/// `since`: all times up to then were dealt with. A time that is over by more than `patience` was missed (the daemon
/// was down, the machine slept, the clock was set): it counts only with missed_runs::once. Several at once are one.
[[nodiscard]] cron_step cron_due(const config::cron& when, const config::time_zone& zone, config::missed_runs missed,
                                 std::chrono::sys_seconds since, std::chrono::sys_seconds now,
                                 std::chrono::seconds patience = std::chrono::seconds(30));

/// The event of a cron trigger.
[[nodiscard]] std::string cron_event(const std::string& trigger, std::chrono::sys_seconds due, const std::string& data);
/// The time that an event of cron_event() stands for; nothing for another.
[[nodiscard]] std::optional<std::chrono::sys_seconds> due_time_of(std::string_view encoded);

class cron_clock {
 public:
  struct job {
    std::string name;
    config::cron_source source;
    std::chrono::sys_seconds since;  ///< all times up to then were dealt with
    /// Keeps the event; `then` on the admin thread: whether it is durable.
    std::function<void(std::string encoded, std::function<void(bool)> then)> keep;
  };
  cron_clock(asio::io_context& admin, spdlog::logger& log) : timer_(admin), log_(log) {}

  /// In place of those there are. One that was there under the same name goes on from where it was.
  void set(std::vector<job> jobs);
  void stop();

 private:
  /// Outlives a reload that keeps the trigger.
  struct progress {
    std::chrono::sys_seconds since;
    bool keeping = false;  ///< an event is on its way to the disk
  };
  struct entry {
    job what;
    config::time_zone zone;
    std::shared_ptr<progress> done;
  };
  void look();
  void arm(std::optional<std::chrono::sys_seconds> next);

  timer timer_;
  spdlog::logger& log_;
  std::vector<entry> entries_;
  bool stopped_ = false;
};

}  // namespace rouse::gateway::events
