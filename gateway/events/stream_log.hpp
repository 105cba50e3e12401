#pragma once
// A bus in the embedded store. Any thread; the store outlives it.

#include <string>
#include <vector>

#include "gateway/events/event_log.hpp"
#include "gateway/events/store/store.hpp"

namespace rouse::gateway::events {

/// What the store's error means for events that were to be kept. Nothing of them was.
[[nodiscard]] append_result result_of(const store_error& error);

class stream_log final : public event_log {
 public:
  stream_log(store& to, stream_id stream) : store_(to), stream_(stream) {}
  void append(std::vector<cloud_event> events, append_done then) override;
  void append_encoded(std::vector<std::string> events, append_done then) override;

 private:
  store& store_;
  const stream_id stream_;
};

}  // namespace rouse::gateway::events
