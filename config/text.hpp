#pragma once
// Small helpers for text that people wrote and will read again in an error message. Pure functions, any thread.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace rouse::config {

/// `text` between backticks, fit for one line of a terminal: control characters and bytes that are not UTF-8 are
/// escaped, anything over 60 bytes is cut short.
[[nodiscard]] std::string shown(std::string_view text);

/// ASCII lower case; other bytes are kept.
[[nodiscard]] std::string lower(std::string_view text);

/// ASCII upper case; other bytes are kept.
[[nodiscard]] std::string upper(std::string_view text);

/// Whether `text` is a token of RFC 9110, section 5.6.2 (methods, header names): not empty, no separators.
[[nodiscard]] bool is_token(std::string_view text);

/// Whether `text` is a DNS label: 1 to 63 of [a-z0-9-], not beginning or ending with `-`.
[[nodiscard]] bool is_dns_label(std::string_view text);

/// Number of insertions, deletions, replacements and swaps of neighbours from `a` to `b` (Damerau-Levenshtein, optimal
/// string alignment), or `limit + 1` when it is more than `limit`.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit);

/// The candidate closest to `word`, when one is close enough to be a slip of the keyboard; otherwise empty.
[[nodiscard]] std::string_view closest(std::string_view word, std::span<const std::string_view> candidates);

/// Offset of the first byte of `text` that is not valid UTF-8 (RFC 3629), or npos.
[[nodiscard]] std::size_t first_invalid_utf8(std::string_view text);

}  // namespace rouse::config
