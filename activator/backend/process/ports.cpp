#include "activator/backend/process/ports.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>

#include "activator/backend/process/descriptor.hpp"

namespace rouse::process {
namespace {

constexpr std::uint16_t lowest = 10240;  // below it are the ports that well-known services listen on
constexpr std::uint32_t most_tries = 512;

bool bind_any(int family, std::uint16_t port, bool reuse, bool& supported) {
  const descriptor s(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  supported = static_cast<bool>(s);
  if (!s) return false;
  const int on = 1;
  const int off = 0;
  if (reuse) ::setsockopt(s.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family == AF_INET6) {
    ::setsockopt(s.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(port);
    return ::bind(s.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0;
  }
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_port = htons(port);
  return ::bind(s.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0;
}

}  // namespace

port_range ports_outside(port_range ephemeral) {
  const port_range usual;
  if (ephemeral.first > usual.last || ephemeral.last < usual.first) return usual;
  constexpr int enough = 1000;
  constexpr int most = 10000;
  const int below = ephemeral.first - lowest;
  const int above = 65535 - ephemeral.last;
  if (below >= enough && below >= std::min(above, most))
    return {static_cast<std::uint16_t>(ephemeral.first - std::min(below, most)),
            static_cast<std::uint16_t>(ephemeral.first - 1)};
  if (above >= enough)
    return {static_cast<std::uint16_t>(ephemeral.last + 1),
            static_cast<std::uint16_t>(ephemeral.last + std::min(above, most))};
  return usual;
}

std::optional<port_range> parse_port_range(std::string_view text) {
  port_range range{0, 0};
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, range.first);
  if (first.ec != std::errc{}) return std::nullopt;
  const char* at = std::find_if(first.ptr, end, [](char c) { return c != ' ' && c != '\t'; });
  if (std::from_chars(at, end, range.last).ec != std::errc{} || range.last < range.first) return std::nullopt;
  return range;
}

port_range default_ports() {
  std::ifstream file("/proc/sys/net/ipv4/ip_local_port_range");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  return ports_outside(parse_port_range(text).value_or(port_range{32768, 60999}));
}

bool can_bind(std::uint16_t port, bool reuse) {
  // An IPv6 wildcard socket that also takes IPv4 collides with every other use of the port. Without IPv6, the IPv4 one
  // does.
  bool supported = false;
  const bool free = bind_any(AF_INET6, port, reuse, supported);
  return supported ? free : bind_any(AF_INET, port, reuse, supported);
}

port_chooser::port_chooser(port_range range, std::uint32_t seed)
    : range_(range), next_(seed % (static_cast<std::uint32_t>(range.last) - range.first + 1)) {}

std::optional<std::uint16_t> port_chooser::take() {
  const std::uint32_t size = static_cast<std::uint32_t>(range_.last) - range_.first + 1;
  for (std::uint32_t i = 0; i < std::min(size, most_tries); ++i) {
    const auto port = static_cast<std::uint16_t>(range_.first + next_);
    next_ = (next_ + 1) % size;
    if (taken_.contains(port) || !can_bind(port, false)) continue;
    taken_.insert(port);
    return port;
  }
  return std::nullopt;
}

void port_chooser::give_back(std::uint16_t port) {
  taken_.erase(port);
}

}  // namespace rouse::process
