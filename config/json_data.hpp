#pragma once
// A YAML value as JSON text, by YAML 1.2's core schema: `5` is a number, `true` a boolean, `~` null; what stands in
// quotes or as a block is a string. One load, one thread.

#include <string>
#include <string_view>

#include "config/fields.hpp"

namespace rouse::config {

/// Longest JSON that is taken: it is held in memory for as long as the configuration.
inline constexpr std::size_t largest_json = std::size_t{256} << 10U;

/// The JSON of a scalar without quotes. Digits of a number are kept as they are written, however many.
[[nodiscard]] parsed<std::string> plain_to_json(std::string_view text);

/// Writes the value of `entry` to `out`, which is unchanged when there is a problem.
void read_json(const scope& in, const member& entry, std::string& out);

}  // namespace rouse::config
