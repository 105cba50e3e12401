#include "activator/counters.hpp"

namespace rouse::activator {

const char* to_string(shed_reason reason) noexcept {
  switch (reason) {
    case shed_reason::queue_full:
      return "queue-full";
    case shed_reason::park_timeout:
      return "park-timeout";
    case shed_reason::start_failed:
      return "start-failed";
    case shed_reason::no_capacity:
      return "no-capacity";
    case shed_reason::draining:
      return "draining";
    case shed_reason::caller_left:
      return "caller-left";
    case shed_reason::rate_limited:
      return "rate-limited";
    case shed_reason::retry_budget:
      return "retry-budget";
    case shed_reason::count_:
      break;
  }
  return "unknown";
}

}  // namespace rouse::activator
