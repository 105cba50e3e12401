#pragma once
// The parts of a route, checked and brought to the form that requests are compared with. Pure functions, any thread.

#include <string>
#include <string_view>

#include "config/units.hpp"

namespace rouse::config {

/// `path` as requests are seen when they are matched: escapes of unreserved characters decoded, the others in upper
/// case,
/// `.` and `..` resolved (RFC 3986, section 6.2.2); `%2F` and `//` stay. The error says what is not a path.
[[nodiscard]] parsed<std::string> normal_path(std::string_view path);

/// A route's `path`: exact, or ending in `/*`. It must be in normal form already, because nothing else would ever
/// match.
[[nodiscard]] parsed<std::string> parse_route_path(std::string_view text);

/// A route's `rewrite`: a path in normal form, without `*`.
[[nodiscard]] parsed<std::string> parse_rewrite(std::string_view text);

/// A route's `host`: a name, or `*.` and a name for any name below it; in lower case afterwards.
[[nodiscard]] parsed<std::string> parse_route_host(std::string_view text);

}  // namespace rouse::config
