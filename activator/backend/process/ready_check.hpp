#pragma once
// Whether an instance can be reached yet, as far as one non-blocking look can tell. Stateless but for the sockets it
// makes; tens of microseconds.

#include <sys/types.h>

#include <cstdint>

#include "activator/backend/process/descriptor.hpp"
#include "router/address.hpp"

namespace rouse::process {

struct ready_check {
  enum class verdict {
    closed,   ///< nobody accepts connections on the port
    ours,     ///< the instance does (or somebody who cannot be told from it)
    foreign,  ///< another process does
  };
  verdict result = verdict::closed;
  router::address where;    ///< of `ours`
  descriptor connection;    ///< of `ours`: connected and non-blocking
  std::uint64_t inode = 0;  ///< of `foreign`: which socket, to recognise it by
};

/// A connected, non-blocking socket with TCP_NODELAY, or none when the connection was not made at once. Loopback
/// answers within the call, so "not at once" means refused, or dropped for a full accept queue: dial again.
[[nodiscard]] descriptor connect_now(const router::address& where);

/// Tries 127.0.0.1, then ::1. The cheap connect comes first; whose the listening socket is is asked only once one
/// succeeds.
[[nodiscard]] ready_check check_ready(std::uint16_t port, pid_t root);

}  // namespace rouse::process
