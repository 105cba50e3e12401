#pragma once
// What one message may cost. A value; any thread.

#include <cstddef>

namespace rouse::gateway::events {

/// Bounds of a message that is read, whatever its mode.
struct event_limits {
  /// Bytes of the body and of the attributes' headers together. Intermediaries must take 64 KiB of each event.
  std::size_t most_bytes = std::size_t{1} << 20U;
  /// Levels of JSON arrays and objects, the event (and the batch) among them.
  std::size_t most_depth = 128;
};

}  // namespace rouse::gateway::events
