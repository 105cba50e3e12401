// X-Request-Id and traceparent: taken over from the caller when they are usable, else made.

#include "gateway/http/chars.hpp"
#include "gateway/http/compose.hpp"

namespace rouse::gateway::http {
namespace {

using detail::is_digit;

constexpr std::size_t max_request_id = 128;

bool usable_id(std::string_view id) noexcept {
  constexpr std::string_view marks = "._:@/+=-";
  if (id.empty() || id.size() > max_request_id) return false;
  for (const char c : id) {
    const char low = detail::lower(c);
    if (!is_digit(c) && (low < 'a' || low > 'z') && marks.find(c) == std::string_view::npos) return false;
  }
  return true;
}

char* put_hex(char* to, std::uint64_t value) noexcept {
  constexpr char digits[] = "0123456789abcdef";
  for (int shift = 60; shift >= 0; shift -= 4) *to++ = digits[value >> shift & 15];
  return to;
}

/// Only lower-case hexadecimal digits, and not all zero where `nonzero`.
bool hex(std::string_view text, bool nonzero) noexcept {
  bool zero = true;
  for (const char c : text) {
    if (!is_digit(c) && (c < 'a' || c > 'f')) return false;
    zero = zero && c == '0';
  }
  return !(nonzero && zero);
}

/// W3C Trace Context, 3.2: version "-" trace-id "-" parent-id "-" flags; a later version may go on behind another "-".
bool valid_traceparent(std::string_view value) noexcept {
  constexpr std::size_t size = 55;
  if (value.size() < size || value[2] != '-' || value[35] != '-' || value[52] != '-') return false;
  const std::string_view version = value.substr(0, 2);
  if (!hex(version, false) || version == "ff") return false;
  if (value.size() > size && (version == "00" || value[size] != '-')) return false;
  return hex(value.substr(3, 32), true) && hex(value.substr(36, 16), true) && hex(value.substr(53, 2), false);
}

/// The only field of its kind; null when there is none or more than one.
const field* only(const request_head& head, known id) noexcept {
  const field* found = nullptr;
  for (const field& one : head.fields) {
    if (one.id != id) continue;
    if (found != nullptr) return nullptr;
    found = &one;
  }
  return found;
}

}  // namespace

std::string_view choose_request_id(const request_head& head, std::uint64_t random_a, std::uint64_t random_b,
                                   std::string& scratch) {
  const field* given = only(head, known::x_request_id);
  if (given != nullptr && usable_id(given->value)) return given->value;
  scratch.resize(32);
  put_hex(put_hex(scratch.data(), random_a), random_b);
  return scratch;
}

std::string_view choose_traceparent(const request_head& head, std::uint64_t random_a, std::uint64_t random_b,
                                    std::uint64_t random_c, std::string& scratch) {
  const field* given = only(head, known::traceparent);
  if (given != nullptr && valid_traceparent(given->value)) return given->value;
  if (random_a == 0 && random_b == 0) random_b = 1;  // all zero means: not valid
  if (random_c == 0) random_c = 1;
  scratch.resize(55);
  char* p = scratch.data();
  p[0] = p[1] = '0';
  p[2] = '-';
  p = put_hex(put_hex(p + 3, random_a), random_b);
  *p++ = '-';
  p = put_hex(p, random_c);
  p[0] = '-';
  p[1] = p[2] = '0';
  return scratch;
}

}  // namespace rouse::gateway::http
