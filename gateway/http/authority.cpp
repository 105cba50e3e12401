#include "gateway/http/authority.hpp"

#include <arpa/inet.h>

#include <cstring>

#include "gateway/http/chars.hpp"

namespace rouse::gateway::http::detail {
namespace {

constexpr std::size_t max_host = 255;

bool valid_port(std::string_view port) noexcept {
  if (port.empty() || port.size() > 5) return false;
  unsigned value = 0;
  for (const char c : port) {
    if (!is_digit(c)) return false;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value >= 1 && value <= 65535;
}

bool valid_ipv6(std::string_view address) noexcept {
  char text[INET6_ADDRSTRLEN];
  if (address.empty() || address.size() >= sizeof text) return false;
  std::memcpy(text, address.data(), address.size());
  text[address.size()] = '\0';
  in6_addr parsed{};
  return std::strlen(text) == address.size() && ::inet_pton(AF_INET6, text, &parsed) == 1;
}

/// Length of the name at the start of `text`, up to the first byte that is not of a name; 0 when it is not valid.
std::size_t name_length(std::string_view text) noexcept {
  char before = '.';
  std::size_t n = 0;
  for (; n < text.size() && is(text[n], host_char); ++n) {
    if (text[n] == '.' && before == '.') return 0;
    before = text[n];
  }
  return n;
}

std::string_view without_default_port(std::string_view authority, bool https) noexcept {
  const std::string_view port = https ? ":443" : ":80";
  if (authority.ends_with(port)) authority.remove_suffix(port.size());
  return authority;
}

}  // namespace

bool valid_authority(std::string_view text, const char*& why) noexcept {
  std::size_t host = 0;
  if (text.empty()) {
    why = "it is empty; name the host.";
    return false;
  }
  if (text.find('@') != std::string_view::npos) {
    why = "it holds user information (an @); send only the host and the port, and credentials in Authorization.";
    return false;
  }
  if (text.front() == '[') {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos || !valid_ipv6(text.substr(1, close - 1))) {
      why = "what stands in brackets is not an IPv6 address.";
      return false;
    }
    host = close + 1;
  } else {
    host = name_length(text);
    if (host == 0 || host > max_host) {
      why =
          "it does not begin with the name of a host (letters, digits, - . _ ~; no empty label; at most 255 "
          "characters).";
      return false;
    }
  }
  if (host == text.size()) return true;
  if (text[host] != ':') {
    why = "it holds a character that is not allowed in the name of a host; it must be one HOST or HOST:PORT.";
    return false;
  }
  if (!valid_port(text.substr(host + 1))) {
    why = "the port behind the colon is not a number from 1 to 65535.";
    return false;
  }
  return true;
}

bool same_authority(std::string_view a, std::string_view b, bool https) noexcept {
  return iequals(without_default_port(a, https), without_default_port(b, https));
}

}  // namespace rouse::gateway::http::detail
