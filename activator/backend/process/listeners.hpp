#pragma once
// Which TCP sockets listen on this machine, and whether one of them belongs to an instance. Stateless; any thread.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "router/address.hpp"

namespace rouse::process {

struct listener {
  router::address where;
  std::uint64_t inode = 0;
};

/// All listening sockets, or those on `port`, from /proc/net/tcp and tcp6: milliseconds, since the kernel walks its
/// whole table of connections to fill the page.
[[nodiscard]] std::vector<listener> listening(std::optional<std::uint16_t> port = std::nullopt);

/// The inode of the socket to which the kernel gives a connection to `port` on 127.0.0.1, or on ::1 where `v6`, by its
/// own look-up (sock_diag(7), microseconds). Nothing where there is none, or the kernel does not answer such questions.
[[nodiscard]] std::optional<std::uint64_t> accepting_socket(std::uint16_t port, bool v6);
/// The same from listening(), by the kernel's rules: the exact address before a wildcard, the own family before the
/// other. Several where they share the port (SO_REUSEPORT).
[[nodiscard]] std::vector<std::uint64_t> accepting_sockets_by_list(std::uint16_t port, bool v6);

/// The listening sockets in the text of /proc/net/tcp or tcp6, up to the first line of another state. Appends to `to`;
/// false once such a line was seen.
bool parse_listeners(std::string_view text, bool v6, std::vector<listener>& to);

enum class owner {
  nobody,   ///< nothing listens there (any more)
  ours,     ///< a descendant of the process asked about
  foreign,  ///< another process
  unknown,  ///< not to be seen: some descendant's descriptors may not be read (it changed its user, or is not dumpable)
};
struct ownership {
  owner who = owner::nobody;
  std::uint64_t inode = 0;
};

/// Who accepts connections to `port` on 127.0.0.1, or on ::1 where `v6`: a descendant of `root`, or somebody else.
/// Looks through the descriptors of the descendants: tens of microseconds for usual ones.
[[nodiscard]] ownership who_accepts(std::uint16_t port, bool v6, pid_t root);

/// Where descendants of `root` listen, whatever the port.
[[nodiscard]] std::vector<router::address> listening_below(pid_t root);

/// "127.0.0.1:80" or "[::1]:80".
[[nodiscard]] std::string to_string(const router::address& where);

}  // namespace rouse::process
