#pragma once
// What people see of events: triggers, queued invocations and dead letters, in numbers. Plain values; any thread.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rouse::gateway {

struct event_numbers {
  /// Where events of a trigger wait: a stream of the store, or a partition.
  struct lane {
    std::string name;       ///< "bus/orders", "TOPIC/PARTITION"
    std::uint64_t lag = 0;  ///< events that are not settled
    std::string held_by;    ///< why nothing more of it is read for now; empty: nothing hinders
  };
  struct trigger {
    std::string name;
    std::string source;  ///< "bus orders", "cron", "kafka clicks"
    std::string function;
    std::uint64_t delivered = 0;  ///< since the daemon began, as the next three
    std::uint64_t retried = 0;    ///< tries that failed and are made again
    std::uint64_t dead = 0;
    std::uint64_t filtered = 0;
    std::uint64_t in_flight = 0;
    std::uint64_t waiting = 0;                        ///< that may go as soon as there is a slot; unread ones included
    std::uint64_t waiting_retry = 0;                  ///< that wait for the time of their next try
    std::optional<std::chrono::milliseconds> oldest;  ///< age of the first event that is not settled
    std::string paused;   ///< why nothing is delivered at the moment; empty: nothing hinders
    std::string problem;  ///< why its topics cannot be read at the moment; empty: they can
    std::vector<lane> lanes;
  };
  /// Queued invocations of one function.
  struct queue {
    std::string function;
    std::uint64_t requests = 0;
    std::uint64_t bytes = 0;
    std::uint64_t in_flight = 0;
    std::string paused;
  };
  struct dead_letters {
    std::string owner;  ///< the trigger, or the function of invocations
    std::uint64_t count = 0;
  };
  std::vector<trigger> triggers;
  std::vector<queue> queues;
  std::vector<dead_letters> dead;
};

}  // namespace rouse::gateway
