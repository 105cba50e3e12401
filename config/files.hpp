#pragma once
// Reading config files and finding those that `include` names. Blocking calls on the calling thread.

#include <string>
#include <string_view>
#include <vector>

#include "config/units.hpp"

namespace rouse::config {

/// Largest file that is read; 10,000 functions need about 2 MiB.
inline constexpr std::size_t largest_file = 16UL * 1024 * 1024;

/// The content of a file. The error says why it cannot be read.
[[nodiscard]] parsed<std::string> read_file(const std::string& path);

/// What an `include` names: the files that match, as absolute paths and in the order of their bytes. A pattern without
/// `*`,
/// `?` or `[` is a file that must exist; a pattern that matches nothing is fine.
[[nodiscard]] parsed<std::vector<std::string>> find_included(const std::string& folder, const std::string& pattern);

}  // namespace rouse::config
