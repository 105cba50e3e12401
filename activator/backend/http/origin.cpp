#include "activator/backend/http/origin.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace rouse::backend_http {
namespace {

/// Splits HOST[:PORT] or [V6][:PORT]. False with `problem` when it is neither.
bool split_authority(std::string_view text, origin& to, std::string& problem) {
  std::string_view port;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return problem = "has an address without its closing bracket", false;
    to.host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    if (!parse_address(to.host, 0)) return problem = "has something in brackets that is no IPv6 address", false;
  } else {
    const auto colon = text.find(':');
    to.host = text.substr(0, colon);
    if (colon != std::string_view::npos) port = text.substr(colon);
  }
  if (to.host.empty()) return problem = "has no host", false;
  const auto odd = [](char c) { return c <= ' ' || c == '@' || c == 0x7f; };
  if (std::any_of(to.host.begin(), to.host.end(), odd))
    return problem = "has a host with an impossible character", false;
  if (port.empty()) return true;
  port.remove_prefix(1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), to.port);
  if (error != std::errc{} || end != port.data() + port.size() || to.port == 0)
    return problem = "has no number from 1 to 65535 as its port", false;
  return true;
}

}  // namespace

origin unix_origin(std::string path) {
  origin made;
  made.scheme = origin::kind::unix_socket;
  made.host = std::move(path);
  return made;
}

std::optional<url> parse_url(std::string_view text, std::string& problem) {
  url made;
  made.target = "/";
  if (text.starts_with("unix://")) {
    made.to = unix_origin(std::string(text.substr(7)));
    if (made.to.host.starts_with('/')) return made;
    problem = "does not name an absolute path";
    return std::nullopt;
  }
  if (text.starts_with("http://")) {
    made.to.scheme = origin::kind::http;
    made.to.port = 80;
    text.remove_prefix(7);
  } else if (text.starts_with("https://")) {
    made.to.scheme = origin::kind::https;
    made.to.port = 443;
    text.remove_prefix(8);
  } else {
    problem = "does not begin with http://, https:// or unix://";
    return std::nullopt;
  }
  text = text.substr(0, text.find('#'));
  const auto end = text.find_first_of("/?");
  if (!split_authority(text.substr(0, end), made.to, problem)) return std::nullopt;
  if (end == std::string_view::npos) return made;
  const std::string_view target = text.substr(end);
  const auto odd = [](char c) { return c <= ' ' || c >= 0x7f; };
  if (std::any_of(target.begin(), target.end(), odd)) {
    problem = "has a character in its path that must be percent-encoded";
    return std::nullopt;
  }
  made.target = target.front() == '?' ? "/" + std::string(target) : std::string(target);
  return made;
}

std::string authority(const origin& of) {
  if (of.scheme == origin::kind::unix_socket) return "localhost";
  const bool v6 = of.host.find(':') != std::string::npos;
  std::string text = v6 ? "[" + of.host + "]" : of.host;
  if (of.port != (of.scheme == origin::kind::https ? 443 : 80)) text += ":" + std::to_string(of.port);
  return text;
}

std::string describe(const origin& of) {
  if (of.scheme == origin::kind::unix_socket) return of.host;
  const bool v6 = of.host.find(':') != std::string::npos;
  return (v6 ? "[" + of.host + "]:" : of.host + ":") + std::to_string(of.port);
}

std::string to_string(const router::address& where) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(where.v6 ? AF_INET6 : AF_INET, where.bytes.data(), text.data(), text.size());
  return (where.v6 ? "[" + std::string(text.data()) + "]:" : std::string(text.data()) + ":") +
         std::to_string(where.port);
}

std::optional<router::address> parse_address(std::string_view host, std::uint16_t port) {
  const std::string text(host);
  router::address where;
  where.port = port;
  if (::inet_pton(AF_INET, text.c_str(), where.bytes.data()) == 1) return where;
  where.v6 = true;
  if (::inet_pton(AF_INET6, text.c_str(), where.bytes.data()) == 1) return where;
  return std::nullopt;
}

}  // namespace rouse::backend_http
