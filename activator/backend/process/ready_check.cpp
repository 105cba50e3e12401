#include "activator/backend/process/ready_check.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "activator/backend/process/listeners.hpp"

namespace rouse::process {
namespace {

socklen_t to_sockaddr(const router::address& from, sockaddr_storage& to) {
  to = {};
  if (from.v6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(to);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(from.port);
    std::memcpy(&v6.sin6_addr, from.bytes.data(), 16);
    return sizeof v6;
  }
  auto& v4 = reinterpret_cast<sockaddr_in&>(to);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(from.port);
  std::memcpy(&v4.sin_addr, from.bytes.data(), 4);
  return sizeof v4;
}

/// Where the ephemeral range covers everything, a dial can be given the very port that it dials, and meet itself.
bool connected_to_itself(int socket, const sockaddr_storage& peer, socklen_t size) {
  sockaddr_storage self{};
  socklen_t self_size = sizeof self;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&self), &self_size) != 0 || self_size != size) return false;
  if (peer.ss_family == AF_INET6)
    return reinterpret_cast<const sockaddr_in6&>(self).sin6_port ==
           reinterpret_cast<const sockaddr_in6&>(peer).sin6_port;
  return reinterpret_cast<const sockaddr_in&>(self).sin_port == reinterpret_cast<const sockaddr_in&>(peer).sin_port;
}

bool established(int socket) {
  pollfd p{socket, POLLOUT, 0};
  if (::poll(&p, 1, 0) <= 0) return false;
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

router::address loopback(bool v6, std::uint16_t port) {
  router::address where;
  where.v6 = v6;
  where.port = port;
  if (v6) {
    where.bytes[15] = 1;
  } else {
    where.bytes[0] = 127;
    where.bytes[3] = 1;
  }
  return where;
}

}  // namespace

descriptor connect_now(const router::address& where) {
  sockaddr_storage to;
  const socklen_t size = to_sockaddr(where, to);
  descriptor s(::socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!s) return {};
  if (::connect(s.get(), reinterpret_cast<const sockaddr*>(&to), size) != 0 &&
      (errno != EINPROGRESS || !established(s.get())))
    return {};
  if (connected_to_itself(s.get(), to, size)) return {};
  const int on = 1;
  ::setsockopt(s.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return s;
}

ready_check check_ready(std::uint16_t port, pid_t root) {
  ready_check check;
  for (const bool v6 : {false, true}) {
    check.where = loopback(v6, port);
    check.connection = connect_now(check.where);
    if (!check.connection) continue;
    const ownership found = who_accepts(port, v6, root);
    if (found.who == owner::ours || found.who == owner::unknown) {
      check.result = ready_check::verdict::ours;
      return check;
    }
    check.connection.reset();
    if (found.who == owner::foreign) {
      check.result = ready_check::verdict::foreign;
      check.inode = found.inode;
    }
  }
  return check;
}

}  // namespace rouse::process
