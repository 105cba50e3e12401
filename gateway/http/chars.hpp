#pragma once
// Character classes of RFC 9110 and 9112, and comparisons that ignore ASCII case; no locale. For this folder's sources
// only. Constants and pure functions; any thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rouse::gateway::http::detail {

enum char_class : std::uint8_t {
  token_char = 1,   ///< RFC 9110, 5.6.2
  target_char = 2,  ///< visible ASCII without '#'
  host_char = 4,    ///< of a host name: unreserved of RFC 3986
  value_char = 8,   ///< of a field's value: HTAB, SP, visible ASCII, obs-text
  hex_char = 16,
  upper_char = 32,  ///< token characters without lower-case letters: of a method
};

constexpr std::array<std::uint8_t, 256> make_classes() {
  std::array<std::uint8_t, 256> table{};
  constexpr std::string_view token_marks = "!#$%&'*+-.^_`|~";
  constexpr std::string_view host_marks = "-._~";
  for (unsigned c = 0; c < 256; ++c) {
    const bool digit = c >= '0' && c <= '9';
    const bool upper = c >= 'A' && c <= 'Z';
    const bool lower = c >= 'a' && c <= 'z';
    const bool alnum = digit || upper || lower;
    const char letter = static_cast<char>(c);
    unsigned bits = 0;
    if (alnum || (c < 128 && token_marks.find(letter) != std::string_view::npos)) bits |= token_char;
    if ((bits & token_char) != 0 && !lower) bits |= upper_char;
    if (c > 0x20 && c < 0x7f && c != '#') bits |= target_char;
    if (alnum || (c < 128 && host_marks.find(letter) != std::string_view::npos)) bits |= host_char;
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) bits |= value_char;
    if (digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) bits |= hex_char;
    table[c] = static_cast<std::uint8_t>(bits);
  }
  return table;
}

constexpr std::array<char, 256> make_folds() {
  std::array<char, 256> table{};
  for (unsigned c = 0; c < 256; ++c) table[c] = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return table;
}

inline constexpr std::array<std::uint8_t, 256> classes = make_classes();
inline constexpr std::array<char, 256> folds = make_folds();

constexpr bool is(char c, char_class what) noexcept {
  return (classes[static_cast<unsigned char>(c)] & what) != 0;
}
constexpr bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}
constexpr char lower(char c) noexcept {
  return folds[static_cast<unsigned char>(c)];
}

constexpr bool all(std::string_view text, char_class what) noexcept {
  for (const char c : text) {
    if (!is(c, what)) return false;
  }
  return true;
}

constexpr bool is_token(std::string_view text) noexcept {
  return !text.empty() && all(text, token_char);
}

/// Equal but for the case of ASCII letters.
constexpr bool iequals(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

constexpr bool starts_with_nocase(std::string_view text, std::string_view prefix) noexcept {
  return text.size() >= prefix.size() && iequals(text.substr(0, prefix.size()), prefix);
}

/// Without surrounding spaces and tabs.
constexpr std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Takes the next element off a comma-separated list, trimmed; an empty one where the sender wrote none. Call until
/// `list` is empty. (Not for lists whose elements may be quoted strings.)
constexpr std::string_view next_element(std::string_view& list) noexcept {
  const std::size_t comma = list.find(',');
  const std::string_view element = trim(list.substr(0, comma));
  list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
  return element;
}

}  // namespace rouse::gateway::http::detail
