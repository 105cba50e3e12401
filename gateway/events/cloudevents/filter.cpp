#include "gateway/events/cloudevents/filter.hpp"

#include <algorithm>

namespace rouse::gateway::events {

// Recursion: the nesting of a filter is bounded by that of the config file.
bool matches(const config::event_filter& filter, const cloud_event& event) {
  using dialect = config::event_filter::dialect;
  auto const part_matches = [&](const config::event_filter& part) { return matches(part, event); };
  switch (filter.what) {
    case dialect::all:
      return std::all_of(filter.parts.begin(), filter.parts.end(), part_matches);
    case dialect::any:
      return std::any_of(filter.parts.begin(), filter.parts.end(), part_matches);
    case dialect::none:
      return std::none_of(filter.parts.begin(), filter.parts.end(), part_matches);
    case dialect::exact:
    case dialect::prefix:
    case dialect::suffix:
      break;
  }
  auto const value = attribute(event, filter.attribute);
  if (!value) return false;
  if (filter.what == dialect::exact) return *value == filter.value;
  return filter.what == dialect::prefix ? value->starts_with(filter.value) : value->ends_with(filter.value);
}

}  // namespace rouse::gateway::events
