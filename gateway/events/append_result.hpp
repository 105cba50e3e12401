#pragma once
// What became of events that were to be kept. A value; any thread.

#include <functional>
#include <string>

namespace rouse::gateway::events {

struct append_result {
  enum class kind {
    kept,       ///< durable, all of them
    busy,       ///< too much waits to be kept; nothing of this was
    full,       ///< no room on the disk
    closed,     ///< rouse is shutting down
    too_large,  ///< it will never be taken
    broken,     ///< the disk or the file failed
    failed,     ///< the cluster did not take it
  } how = kind::kept;
  bool perhaps_kept = false;  ///< some of it may be there all the same
  std::string problem;        ///< in words for a person; empty: kept

  [[nodiscard]] bool kept() const noexcept { return how == kind::kept; }
};

/// Called once, on any thread, perhaps before the call returns that it was given to. Must not block.
using append_done = std::function<void(append_result)>;

}  // namespace rouse::gateway::events
