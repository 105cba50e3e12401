#pragma once
// The seam behind which the events of a bus are kept: a stream of the embedded store, or a topic. Any thread.

#include <string>
#include <vector>

#include "gateway/events/append_result.hpp"
#include "gateway/events/cloudevents/event.hpp"

namespace rouse::gateway::events {

class event_log {
 public:
  virtual ~event_log() = default;
  /// All of them, in this order; not empty.
  virtual void append(std::vector<cloud_event> events, append_done then) = 0;
  /// The same for what encode() made of them.
  virtual void append_encoded(std::vector<std::string> events, append_done then) = 0;
};

}  // namespace rouse::gateway::events
