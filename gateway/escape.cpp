#include "gateway/escape.hpp"

#include <cstddef>
#include <cstdint>
#include <ctime>

#include <fmt/format.h>

namespace rouse::gateway {
namespace {

/// One UTF-8 character at the start of a text. length 0: not valid (overlong, surrogate, beyond U+10FFFF, cut).
struct utf8_char {
  std::size_t length = 0;
  char32_t code = 0;
};

/// Table 3-7 of the Unicode standard ("Well-Formed UTF-8 Byte Sequences").
utf8_char decode_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<std::uint8_t>(text[i]) : 0u; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned b0 = byte(0), b1 = byte(1);
  if (b0 < 0x80) return {1, b0};
  if (b0 >= 0xC2 && b0 <= 0xDF && tail(1)) return {2, ((b0 & 0x1Fu) << 6) | (b1 & 0x3Fu)};
  if (b0 >= 0xE0 && b0 <= 0xEF && tail(1) && tail(2)) {
    if ((b0 == 0xE0 && b1 < 0xA0) || (b0 == 0xED && b1 > 0x9F)) return {};
    return {3, ((b0 & 0x0Fu) << 12) | ((b1 & 0x3Fu) << 6) | (byte(2) & 0x3Fu)};
  }
  if (b0 >= 0xF0 && b0 <= 0xF4 && tail(1) && tail(2) && tail(3)) {
    if ((b0 == 0xF0 && b1 < 0x90) || (b0 == 0xF4 && b1 > 0x8F)) return {};
    return {4, ((b0 & 0x07u) << 18) | ((b1 & 0x3Fu) << 12) | ((byte(2) & 0x3Fu) << 6) | (byte(3) & 0x3Fu)};
  }
  return {};
}

/// What ends a line or deceives the reader of a terminal.
bool deceives(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F) || code == 0x2028 || code == 0x2029 ||
         (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

bool is_plain(char c) {
  return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7F;
}

void append_hex(std::string& out, char c) {
  static constexpr char digits[] = "0123456789ABCDEF";
  const auto byte = static_cast<std::uint8_t>(c);
  out += "\\x";
  out += digits[byte >> 4];
  out += digits[byte & 15];
}

void append_json_control(std::string& out, char32_t code) {
  switch (code) {
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(code));
  }
}

}  // namespace

void append_line_text(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const char c = text.front();
    const utf8_char one = decode_utf8(text);
    const std::size_t length = one.length ? one.length : 1;
    if (one.length && !deceives(one.code)) {
      out.append(text.substr(0, length));
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else {
      for (const char each : text.substr(0, length)) append_hex(out, each);
    }
    text.remove_prefix(length);
  }
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const char c = text.front();
    if (is_plain(c)) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
      text.remove_prefix(1);
      continue;
    }
    const utf8_char one = decode_utf8(text);
    if (!one.length) {
      out += "\xEF\xBF\xBD";
      text.remove_prefix(1);
      continue;
    }
    if (deceives(one.code)) {
      append_json_control(out, one.code);
    } else {
      out.append(text.substr(0, one.length));
    }
    text.remove_prefix(one.length);
  }
  out += '"';
}

void append_access_text(std::string& out, std::string_view text) {
  if (text.empty()) {
    out += '-';
    return;
  }
  for (const char c : text) {
    if (is_plain(c) && c != '"' && c != '\\') {
      out += c;
    } else {
      append_hex(out, c);
    }
  }
}

void append_rfc3339(std::string& out, std::chrono::system_clock::time_point at) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(at.time_since_epoch()).count();
  const auto seconds = static_cast<std::time_t>(ms >= 0 ? ms / 1000 : (ms - 999) / 1000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                 utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                 ms - static_cast<std::int64_t>(seconds) * 1000);
}

}  // namespace rouse::gateway
