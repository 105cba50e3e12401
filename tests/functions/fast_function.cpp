// A function that is up in about two milliseconds: a small epoll server for tests and benches. Answers every GET with
// 200 and "ok\n" over HTTP/1.1 with keep-alive and pipelining, listens on 127.0.0.1:$PORT ($HOST:$PORT where that is
// set: in containers and pods), and ends on SIGTERM. Plain system calls and a static link, so that nearly all of its
// start is the kernel's.
//
//   fast_function [BYTES [MILLISECONDS]]    a body of BYTES instead, each answer after MILLISECONDS of (blocking) work
//
// A request for /crash ends it with status 7 and a line that says so.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

struct connection {
  std::string in;
  std::string out;
  bool last = false;  ///< to be closed once `out` is sent
};

int listen_on(const char* host, int port) {
  const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<in_port_t>(port));
  if (::inet_pton(AF_INET, host != nullptr ? host : "127.0.0.1", &at.sin_addr) != 1) {
    std::fputs("fast_function: HOST is not an IPv4 address\n", stderr);
    std::exit(1);
  }
  if (s < 0 || ::bind(s, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 || ::listen(s, 1024) != 0) {
    std::perror("fast_function: cannot listen on $PORT");
    std::exit(1);
  }
  return s;
}

/// Moves every whole request from `c.in` to answers in `c.out`.
void answer(connection& c, const std::string& response, useconds_t work) {
  while (!c.last) {
    const auto end = c.in.find("\r\n\r\n");
    if (end == std::string::npos) return;
    c.last = c.in.find("Connection: close") < end;
    if (c.in.find(" /crash ") < end) {
      std::fputs("fast_function: crash\n", stderr);
      std::_Exit(7);
    }
    c.in.erase(0, end + 4);
    if (work > 0) ::usleep(work);
    c.out += response;
  }
}

/// False when the connection is over.
bool serve(int fd, connection& c, const std::string& response, useconds_t work) {
  char part[16384];
  for (;;) {
    const ssize_t n = ::read(fd, part, sizeof part);
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) return false;
    c.in.append(part, static_cast<std::size_t>(n));
    if (static_cast<std::size_t>(n) < sizeof part) break;
  }
  answer(c, response, work);
  while (!c.out.empty()) {
    const ssize_t n = ::send(fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return true;  // EPOLLOUT comes
    if (n < 0) return false;
    c.out.erase(0, static_cast<std::size_t>(n));
  }
  return !c.last;
}

}  // namespace

int main(int argc, char** argv) {
  const char* port = std::getenv("PORT");
  if (port == nullptr) {
    std::fputs("fast_function: PORT is not set\n", stderr);
    return 1;
  }
  const std::string body =
      argc > 1 && std::atoi(argv[1]) > 0 ? std::string(std::strtoul(argv[1], nullptr, 10), 'x') : "ok\n";
  const auto work = static_cast<useconds_t>(argc > 2 ? std::atoi(argv[2]) * 1000 : 0);
  const std::string response =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
      body;
  // The first process of a container has no default for signals.
  if (::getpid() == 1) std::signal(SIGTERM, [](int) { std::_Exit(0); });
  const int server = listen_on(std::getenv("HOST"), std::atoi(port));
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = server;
  ::epoll_ctl(poll, EPOLL_CTL_ADD, server, &event);
  std::vector<connection> connections;
  for (;;) {
    epoll_event events[64];
    const int count = ::epoll_wait(poll, events, 64, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd != server) {
        if (!serve(fd, connections[static_cast<std::size_t>(fd)], response, work)) {
          connections[static_cast<std::size_t>(fd)] = {};
          ::close(fd);
        }
        continue;
      }
      for (int next = 0; (next = ::accept4(server, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        const int on = 1;
        ::setsockopt(next, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (connections.size() <= static_cast<std::size_t>(next))
          connections.resize(static_cast<std::size_t>(next) + 1);
        event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        event.data.fd = next;
        ::epoll_ctl(poll, EPOLL_CTL_ADD, next, &event);
      }
    }
  }
}
