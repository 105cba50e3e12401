#include "config/addresses.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "config/text.hpp"

namespace rouse::config {
namespace {

using bytes16 = std::array<std::uint8_t, 16>;

struct ip {
  bytes16 bytes{};  ///< IPv4 is mapped into IPv6
  bool v4 = false;
};

std::optional<ip> parse_ip(std::string_view text) {
  std::string const zero_terminated(text);
  ip out;
  if (inet_pton(AF_INET6, zero_terminated.c_str(), out.bytes.data()) == 1) return out;
  if (inet_pton(AF_INET, zero_terminated.c_str(), out.bytes.data() + 12) != 1) return std::nullopt;
  out.bytes[10] = out.bytes[11] = 0xFF;
  out.v4 = true;
  return out;
}

std::string format_ip(const bytes16& bytes, bool v4) {
  char buffer[INET6_ADDRSTRLEN] = {};
  inet_ntop(v4 ? AF_INET : AF_INET6, bytes.data() + (v4 ? 12 : 0), buffer, sizeof buffer);
  return buffer;
}

bool is_mapped(const bytes16& bytes) {
  return std::all_of(bytes.begin(), bytes.begin() + 10, [](auto b) { return b == 0; }) && bytes[10] == 0xFF &&
         bytes[11] == 0xFF;
}

bytes16 masked(bytes16 bytes, unsigned prefix) {
  for (unsigned bit = prefix; bit < 128; ++bit) {
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] & ~(0x80U >> (bit % 8)));
  }
  return bytes;
}

parsed<listen_address> no_listen(std::string why) {
  return {std::nullopt, std::move(why)};
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// The text has no port: say which of the likely slips it is.
std::string missing_port(std::string_view text) {
  if (all_digits(text)) return "is only a port: write " + shown("0.0.0.0:" + std::string(text));
  if (text.find(':') != text.npos) {
    return "is " + shown(text) + ", which has no port: write an IPv6 address in brackets, such as `\"[::1]:8080\"`";
  }
  return "is " + shown(text) + ", which has no port: write " + shown(std::string(text) + ":8080");
}

parsed<listen_address> with_port(std::string_view text, std::string_view host, std::string_view port, bool bracketed) {
  auto const number = parse_whole(port, 0, 65535);
  if (!number.value) return no_listen("is " + shown(text) + ", but its port must be a number from 0 to 65535");
  auto const done = [&](std::string address) {
    return parsed<listen_address>{listen_address{std::move(address), static_cast<std::uint16_t>(*number.value)}, {}};
  };
  if (bracketed) {
    auto const address = parse_ip(host);
    if (!address || address->v4)
      return no_listen("is " + shown(text) + ", but what stands in [] is not an IPv6 address");
    return done(format_ip(address->bytes, false));
  }
  if (host.empty()) return done("0.0.0.0");
  if (lower(host) == "localhost") return done("127.0.0.1");
  auto const address = parse_ip(host);
  if (address && address->v4) return done(format_ip(address->bytes, true));
  if (host.find(':') != host.npos) {
    return no_listen("is " + shown(text) + ": write an IPv6 address in brackets, such as `\"[::1]:8080\"`");
  }
  return no_listen("is " + shown(text) + ", but " + shown(host) +
                   " is not a numeric address: write one such as `0.0.0.0:8080`, `127.0.0.1:8080` or `:8080`");
}

}  // namespace

parsed<listen_address> parse_listen(std::string_view text) {
  if (text.empty()) return no_listen("is empty: write an address such as `0.0.0.0:8080`");
  if (text.front() == '[') {
    std::size_t const close = text.find(']');
    if (close == text.npos) return no_listen("is " + shown(text) + ", where the `]` is missing");
    if (close + 1 >= text.size() || text[close + 1] != ':') {
      return no_listen("is " + shown(text) + ", which has no port: write " +
                       shown(std::string(text.substr(0, close + 1)) + ":8080"));
    }
    return with_port(text, text.substr(1, close - 1), text.substr(close + 2), true);
  }
  std::size_t const colon = text.rfind(':');
  if (colon == text.npos || parse_ip(text)) return no_listen(missing_port(text));
  return with_port(text, text.substr(0, colon), text.substr(colon + 1), false);
}

parsed<network> parse_network(std::string_view text) {
  auto fail = [](std::string why) { return parsed<network>{std::nullopt, std::move(why)}; };
  std::size_t const slash = text.find('/');
  auto const address = parse_ip(text.substr(0, slash));
  if (!address) {
    return fail("must be an address or a network such as `10.0.0.0/8` or `fd00::/8`, not " + shown(text));
  }
  unsigned const most = address->v4 ? 32 : 128;
  unsigned prefix = most;
  if (slash != text.npos) {
    auto const number = parse_whole(text.substr(slash + 1), 0, most);
    if (!number.value) {
      return fail("is " + shown(text) + ", but what follows the `/` must be a number from 0 to " +
                  std::to_string(most));
    }
    prefix = static_cast<unsigned>(*number.value);
  }
  unsigned const mapped_prefix = prefix + (address->v4 ? 96 : 0);
  bytes16 const base = masked(address->bytes, mapped_prefix);
  if (base != address->bytes) {
    std::string const suffix = "/" + std::to_string(prefix);
    return fail("is " + shown(text) + ", but its host bits are not 0: did you mean " +
                shown(format_ip(base, address->v4) + suffix) + " or " + shown(format_ip(address->bytes, address->v4)) +
                "?");
  }
  network out;
  out.address = base;
  out.prefix = mapped_prefix;
  return {out, {}};
}

bool is_loopback(const listen_address& address) {
  auto const parsed_ip = parse_ip(address.host);
  if (!parsed_ip) return false;
  if (is_mapped(parsed_ip->bytes)) return parsed_ip->bytes[12] == 127;
  bytes16 one{};
  one[15] = 1;
  return parsed_ip->bytes == one;
}

bool collide(const listen_address& a, const listen_address& b) {
  if (a.port == 0 || a.port != b.port) return false;
  auto const wildcard = [](const listen_address& x) { return x.host == "0.0.0.0" || x.host == "::"; };
  bool const same_family = (a.host.find(':') == a.host.npos) == (b.host.find(':') == b.host.npos);
  return a.host == b.host || (same_family && (wildcard(a) || wildcard(b)));
}

std::string format_listen(const listen_address& address) {
  bool const v6 = address.host.find(':') != address.host.npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

}  // namespace rouse::config
