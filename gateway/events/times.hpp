#pragma once
// Times of the wall for people and messages. Pure; any thread.

#include <string>

#include "gateway/events/store/types.hpp"

namespace rouse::gateway::events {

/// RFC 3339 in UTC, with milliseconds.
[[nodiscard]] std::string text_of(wall_time at);

}  // namespace rouse::gateway::events
