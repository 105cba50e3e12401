#pragma once
// Which events a trigger wants. Pure; any thread.

#include "config/event_filter.hpp"
#include "gateway/events/cloudevents/event.hpp"

namespace rouse::gateway::events {

/// Whether `event` passes `filter`. An attribute that the event does not have matches nothing, so `not` of it holds.
[[nodiscard]] bool matches(const config::event_filter& filter, const cloud_event& event);

}  // namespace rouse::gateway::events
