#include "gateway/events/cloudevents/header_value.hpp"

#include "config/text.hpp"

namespace rouse::gateway::events {
namespace {

constexpr std::string_view hex = "0123456789ABCDEF";

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/// What stands between the quotes, with backslashes resolved; nullopt when the last character is not the closing quote.
std::optional<std::string> unquoted(std::string_view text) {
  std::string out;
  for (std::size_t at = 1; at < text.size(); ++at) {
    if (text[at] == '"') return at + 1 == text.size() ? std::optional(std::move(out)) : std::nullopt;
    if (text[at] == '\\' && ++at == text.size()) return std::nullopt;
    out += text[at];
  }
  return std::nullopt;
}

decoded_value percent_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += text[at];
      continue;
    }
    int const high = at + 2 < text.size() ? digit(text[at + 1]) : -1;
    int const low = at + 2 < text.size() ? digit(text[at + 2]) : -1;
    if (high < 0 || low < 0) {
      return {std::nullopt, "holds a `%` without two hexadecimal digits behind it; write `%25` for a percent sign"};
    }
    out += static_cast<char>(high * 16 + low);
    at += 2;
  }
  return {std::move(out), {}};
}

}  // namespace

std::string encode_header_value(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char const c : text) {
    if (c > 0x20 && c < 0x7F && c != '"' && c != '%') {
      out += c;
      continue;
    }
    auto const byte = static_cast<unsigned char>(c);
    out += '%';
    out += hex[byte >> 4U];
    out += hex[byte & 15U];
  }
  return out;
}

decoded_value decode_header_value(std::string_view text) {
  std::string plain;
  if (text.starts_with('"')) {
    auto inner = unquoted(text);
    if (!inner) {
      return {std::nullopt, "begins with a quote that is not closed at its end; close it, or write `%22` for a quote"};
    }
    plain = std::move(*inner);
    text = plain;
  }
  decoded_value out = percent_decoded(text);
  if (out.value && config::first_invalid_utf8(*out.value) != std::string::npos) {
    return {std::nullopt, "is not valid UTF-8 once decoded; percent-encode the bytes of UTF-8 text"};
  }
  return out;
}

}  // namespace rouse::gateway::events
