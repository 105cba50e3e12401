#pragma once
// The names that local_time.hpp knows: files below /usr/share/zoneinfo. Reads files on the calling thread; keeps
// nothing.

#include <string>
#include <string_view>
#include <vector>

namespace rouse::config {

/// Whether time_zone::find() (local_time.hpp) has a zone `name`, such as `Asia/Shanghai` or `UTC`. Names that would
/// lead out of its folder, and its `posix/` and `right/` copies, are none.
[[nodiscard]] bool known_timezone(std::string_view name);

/// Every name that known_timezone() knows, in no order; empty where no database is installed. Looks at some thousand
/// files.
[[nodiscard]] std::vector<std::string> timezone_names();

/// The folder in which names are looked for.
[[nodiscard]] std::string timezone_folder();

}  // namespace rouse::config
