#pragma once
// How the activator's values are written for people, in logs, reasons and status. Pure.

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "router/address.hpp"

namespace rouse::activator {

/// "60 s", "1.5 s", "12 ms", "0.4 ms": at most one decimal.
[[nodiscard]] std::string in_words(std::chrono::nanoseconds duration);

/// "127.0.0.1:20001", "[::1]:20001".
[[nodiscard]] std::string in_words(const router::address& where);

/// `text` with control characters as \xNN (tabs stay), so that what a function writes cannot forge a line of the log.
[[nodiscard]] std::string printable(std::string_view text);

/// The last lines of an instance as a tail of a log message, each on its own indented line; empty when it wrote
/// nothing.
[[nodiscard]] std::string as_tail(const std::vector<std::string>& last_lines);

/// Whether a start failed for want of room, or because what would have started it is away: not for what is wrong with
/// the function itself.
[[nodiscard]] inline bool is_for_room(std::string_view reason) {
  return reason == "no-capacity" || reason == "unavailable";
}

}  // namespace rouse::activator
