#include "gateway/listener.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <spdlog/spdlog.h>
#include <boost/asio/ip/v6_only.hpp>

namespace rouse::gateway {

namespace {

using namespace std::chrono_literals;

constexpr int backlog = 4096;
constexpr int accepts_per_turn = 64;  // then requests in progress have their turn
constexpr auto pause_when_full = 100ms;
constexpr auto between_complaints = 10s;

constexpr char too_many_reply[] =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: 126\r\n"
    "Retry-After: 1\r\nConnection: close\r\n\r\n"
    "{\"type\":\"no-capacity\",\"title\":\"Service "
    "Unavailable\",\"status\":503,\"detail\":\"`server.limits.connections` "
    "callers are connected\"}";

std::string describe(const tcp::endpoint& where) {
  const auto address = where.address().to_string();
  return (where.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(where.port());
}

}  // namespace

listener::listener(const config::listen_address& where, worker& on, site& shared)
    : on_(on), site_(shared), acceptor_(on.context()), pause_(on.context()) {
  error_code ec;
  const auto address = asio::ip::make_address(where.host, ec);
  where_ = tcp::endpoint(address, where.port);
  const auto check = [&](const char* what) {
    if (!ec) return;
    std::string mend;
    if (ec == asio::error::address_in_use) mend = "; another program listens there: stop it, or change `server.listen`";
    if (ec == asio::error::access_denied)
      mend = "; ports below 1024 need privileges: choose another in `server.listen`";
    throw std::runtime_error("cannot listen on " + describe(where_) + ": " + what + ": " + ec.message() + mend);
  };
  check("address");
  acceptor_.open(where_.protocol(), ec);
  check("socket");
  acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
  check("reuse address");
  if (where_.address().is_v6()) {
    acceptor_.set_option(asio::ip::v6_only(!address.is_unspecified()), ec);
    check("dual stack");
  }
  acceptor_.bind(where_, ec);
  check("bind");
  acceptor_.listen(backlog, ec);
  check("listen");
  acceptor_.non_blocking(true, ec);
  check("non-blocking");
  where_ = acceptor_.local_endpoint(ec);
}

void listener::start() {
  on_.post([this] { wait(); });
}

void listener::close() {
  on_.post([this] {
    error_code ignored;
    // Whoever is in the kernel's queue has been told that the connection stands: closing now would reset it.
    while (acceptor_.is_open() && accept_one() == accepted::yes) continue;
    acceptor_.close(ignored);
    pause_.cancel();
    closed_ = true;
  });
}

void listener::wait() {
  if (!acceptor_.is_open()) return;
  acceptor_.async_wait(tcp_acceptor::wait_read, [this](const error_code& ec) {
    if (!ec) accept_some();
  });
}

worker& listener::least_loaded() const {
  auto* best = site_.workers.front();
  for (auto* one : site_.workers) {
    if (one->load() < best->load()) best = one;
  }
  return *best;
}

bool listener::too_many() const {
  const auto limit = site_.server.limits.connections;
  if (limit == 0) return false;
  std::uint64_t open = 0;
  for (const auto* one : site_.workers) open += one->load();
  return open >= limit;
}

listener::accepted listener::accept_one() {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  const int fd =
      ::accept4(acceptor_.native_handle(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) return accepted::yes;
    return errno == EAGAIN || errno == EWOULDBLOCK ? accepted::none : accepted::failed;
  }
  tcp::endpoint from;
  from.resize(size);
  std::memcpy(from.data(), &peer, size);
  if (too_many()) {
    [[maybe_unused]] const auto sent =
        ::send(fd, too_many_reply, sizeof too_many_reply - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    ::close(fd);
  } else {
    least_loaded().adopt(fd, from);
  }
  return accepted::yes;
}

void listener::accept_some() {
  for (int i = 0; i < accepts_per_turn; ++i) {
    const auto outcome = accept_one();
    if (outcome == accepted::yes) continue;
    if (outcome == accepted::none) break;
    // Out of descriptors or memory: callers wait in the kernel's queue meanwhile.
    const int error = errno;
    const auto now = steady::now();
    if (now - complained_ > between_complaints) {
      complained_ = now;
      site_.log.error(
          "cannot accept connections: {}; raise the limit of open files (ulimit -n) or set server.limits.connections",
          std::strerror(error));
    }
    pause_.expires_after(pause_when_full);
    pause_.async_wait([this](const error_code& ec) {
      if (!ec) wait();
    });
    return;
  }
  wait();
}

}  // namespace rouse::gateway
