#include "config/text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace rouse::config {
namespace {

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// Length of the UTF-8 sequence at `at`, 0 when it is not one (overlong forms, surrogates and > U+10FFFF included).
std::size_t utf8_length(std::string_view text, std::size_t at) {
  auto byte = [&](std::size_t i) -> unsigned { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  auto follows = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  unsigned const first = byte(at);
  if (first < 0x80) return 1;
  if (first < 0xC2) return 0;
  if (first < 0xE0) return follows(at + 1) ? 2 : 0;
  if (first < 0xF0) {
    if (!follows(at + 1) || !follows(at + 2)) return 0;
    bool const overlong = first == 0xE0 && byte(at + 1) < 0xA0;
    bool const surrogate = first == 0xED && byte(at + 1) >= 0xA0;
    return overlong || surrogate ? 0 : 3;
  }
  if (first > 0xF4 || !follows(at + 1) || !follows(at + 2) || !follows(at + 3)) return 0;
  bool const overlong = first == 0xF0 && byte(at + 1) < 0x90;
  bool const beyond = first == 0xF4 && byte(at + 1) >= 0x90;
  return overlong || beyond ? 0 : 4;
}

}  // namespace

std::string shown(std::string_view text) {
  constexpr std::size_t most = 60;
  constexpr std::string_view hex = "0123456789abcdef";
  std::string out = "`";
  std::size_t at = 0;
  while (at < text.size() && at < most) {
    auto const c = static_cast<unsigned char>(text[at]);
    std::size_t const length = utf8_length(text, at);
    // C1 controls (U+0080 to U+009F) are two bytes and can move a terminal's cursor as well.
    bool const c1 = length == 2 && c == 0xC2 && static_cast<unsigned char>(text[at + 1]) < 0xA0;
    if (length == 0 || c < 0x20 || c == 0x7F || c1) {
      out += c == '\n' ? "\\n" : c == '\t' ? "\\t" : std::string("\\x") + hex[c >> 4U] + hex[c & 15U];
      ++at;
    } else {
      out.append(text, at, length);
      at += length;
    }
  }
  return out += at < text.size() ? "...`" : "`";
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

bool is_token(std::string_view text) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [&](char c) { return is_alnum(c) || marks.find(c) != marks.npos; });
}

bool is_dns_label(std::string_view text) {
  if (text.empty() || text.size() > 63 || text.front() == '-' || text.back() == '-') return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  std::size_t const gap = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (gap > limit) return limit + 1;
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> above(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      bool const same = a[i - 1] == b[j - 1];
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1)});
      bool const swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    if (*std::min_element(row.begin(), row.end()) > limit) return limit + 1;
    std::swap(before, above);
    std::swap(above, row);
  }
  return std::min(above[b.size()], limit + 1);
}

std::string_view closest(std::string_view word, std::span<const std::string_view> candidates) {
  if (word.size() > 100) return {};
  std::size_t limit = word.size() < 3 ? 1 : std::min<std::size_t>(3, (word.size() + 2) / 3);
  std::string const folded = lower(word);
  std::string_view best;
  for (std::string_view candidate : candidates) {
    std::size_t const distance = edit_distance(folded, candidate, limit);
    // As many changes as the candidate has letters is another word, not a slip.
    if (distance > limit || distance >= candidate.size()) continue;
    best = candidate;
    if (distance == 0) break;
    limit = distance - 1;
  }
  return best;
}

std::size_t first_invalid_utf8(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t const length = utf8_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

}  // namespace rouse::config
