#pragma once
// What one worker counts about itself. Written by that worker only, read by the admin thread at a scrape. What it
// counts about revisions is with them (activator/counters.hpp).

#include "activator/counters.hpp"

namespace rouse::gateway {

struct worker_stats {
  activator::counter connections;  ///< open callers' connections; goes up and down
  activator::counter unmatched;    ///< requests refused before a function was known (404, 400, ...)
};

}  // namespace rouse::gateway
