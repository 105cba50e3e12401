#pragma once
// `filter` of a trigger: which events it wants. A plain value, part of the snapshot; the events are matched in
// gateway/events/cloudevents/filter.hpp.

#include <cstdint>
#include <string>
#include <vector>

namespace rouse::config {

/// The default takes every event.
struct event_filter {
  enum class dialect : std::uint8_t {
    all,     ///< every one of `parts` holds
    any,     ///< at least one of `parts` holds
    none,    ///< `not`: none of `parts` holds
    exact,   ///< the attribute or extension is there and is `value`
    prefix,  ///< it is there and begins with `value`
    suffix,  ///< it is there and ends with `value`
  };
  dialect what = dialect::all;
  std::string attribute;  ///< of exact, prefix and suffix
  std::string value;
  std::vector<event_filter> parts;  ///< of all, any and none
  friend bool operator==(const event_filter&, const event_filter&) = default;
};

}  // namespace rouse::config
