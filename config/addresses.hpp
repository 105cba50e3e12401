#pragma once
// Addresses as they stand in the config: where to listen, and whom to trust. Pure functions, no look-up of names.

#include <string>
#include <string_view>

#include "config/config.hpp"
#include "config/units.hpp"

namespace rouse::config {

/// `0.0.0.0:8080`, `[::1]:8080`, `localhost:8080` (127.0.0.1) or `:8080` (every IPv4 address); port 0 lets the kernel
/// choose.
[[nodiscard]] parsed<listen_address> parse_listen(std::string_view text);

/// `10.0.0.0/8`, `fd00::/8`, or a bare address. Bits beyond the prefix must be 0, so that a slip does not trust a
/// stranger.
[[nodiscard]] parsed<network> parse_network(std::string_view text);

/// Whether only this machine can reach the address: 127.0.0.0/8, ::1 and ::ffff:127.0.0.0/104.
[[nodiscard]] bool is_loopback(const listen_address& address);

/// Whether both cannot be bound at once: same port (not 0), and the same address or the same family's wildcard.
[[nodiscard]] bool collide(const listen_address& a, const listen_address& b);

/// `0.0.0.0:8080`, `[::1]:8080`.
[[nodiscard]] std::string format_listen(const listen_address& address);

}  // namespace rouse::config
