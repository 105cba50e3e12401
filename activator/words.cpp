#include "activator/words.hpp"

#include <arpa/inet.h>

#include <array>
#include <cstdio>

namespace rouse::activator {

std::string in_words(std::chrono::nanoseconds duration) {
  const bool seconds = duration >= std::chrono::seconds(1);
  const double value = static_cast<double>(duration.count()) / (seconds ? 1e9 : 1e6);
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  std::string out = text.data();
  if (out.ends_with(".0")) out.resize(out.size() - 2);
  return out + (seconds ? " s" : " ms");
}

std::string in_words(const router::address& where) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(where.v6 ? AF_INET6 : AF_INET, where.bytes.data(), text.data(), text.size());
  const std::string host = text.data();
  return (where.v6 ? "[" + host + "]" : host) + ":" + std::to_string(where.port);
}

std::string printable(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= 0x20 && byte != 0x7f) || c == '\t') {
      out += c;
    } else {
      out += "\\x";
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

std::string as_tail(const std::vector<std::string>& last_lines) {
  if (last_lines.empty()) return {};
  std::string out = "; its last lines:";
  for (const auto& line : last_lines) out += "\n    " + printable(line);
  return out;
}

}  // namespace rouse::activator
