// The server behind the proxies that are measured: as cheap as a server can be, so that the proxy is what is measured.
// One thread, epoll, HTTP/1.1 with keep-alive and pipelining. Not strict: it trusts the proxy in front of it.
//
//   upstream [PORT]        default: $PORT; listens on 127.0.0.1
//
// GET|POST /N answers N bytes (at most 1 MiB; /0 is an empty body), any other path "ok\n". Bodies with Content-Length
// or chunked are read and dropped before the answer is sent. When the first request comes, the time (seconds since
// 1970) is written to the file that $UPSTREAM_FIRST names, if it does.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

constexpr std::size_t largest_body = 1 << 20;

/// What is left of the request being read on a connection, and what is left to send.
struct connection {
  int fd = -1;
  std::string in;          ///< bytes received and not yet used
  std::string out;         ///< what the socket would not take at once
  std::uint64_t body = 0;  ///< bytes of a Content-Length body (or of a chunk and its line end) still to drop
  bool chunked = false;    ///< in a chunked body
  bool trailers = false;   ///< behind the last chunk
  bool close_after = false;
  std::size_t answer = 0;  ///< size of the body to answer with once the request's body was read
  bool plain = false;      ///< answer "ok\n"
  bool pending = false;    ///< an answer is due at the end of the body
};

const std::string& filler() {
  static const std::string bytes(largest_body, 'x');
  return bytes;
}

/// The value of a field in a head, by its name in lower case with colon; empty when there is none.
std::string_view find_field(std::string_view head, std::string_view name) {
  for (std::size_t at = head.find("\r\n"); at != std::string_view::npos && at + 2 < head.size();
       at = head.find("\r\n", at + 2)) {
    const char* line = head.data() + at + 2;
    if (head.size() - at - 2 < name.size() || strncasecmp(line, name.data(), name.size()) != 0) continue;
    const auto begin = at + 2 + name.size();
    auto value = head.substr(begin, head.find("\r\n", begin) - begin);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    return value;
  }
  return {};
}

/// Of the first request.
void note_time() {
  static const char* name = std::getenv("UPSTREAM_FIRST");
  if (name == nullptr) return;
  if (std::FILE* file = std::fopen(name, "w"); file != nullptr) {
    const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
    std::fprintf(file, "%.6f\n", now.count());
    std::fclose(file);
  }
  name = nullptr;
}

void read_target(connection& c, std::string_view head) {
  const auto from = head.find('/');
  const auto end = head.find(' ', from);
  const auto path = head.substr(from + 1, end - from - 1);
  c.plain = path.empty() || path.find_first_not_of("0123456789") != std::string_view::npos || path.size() > 7;
  c.answer = c.plain ? 3 : std::min<std::size_t>(std::strtoul(path.data(), nullptr, 10), largest_body);
}

/// Appends one answer to `out`; bodies beyond a few KiB are copied too: this is a bench for small ones.
void answer(connection& c) {
  char head[96];
  const int length = std::snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%s\r\n", c.answer,
                                   c.close_after ? "Connection: close\r\n" : "");
  c.out.append(head, static_cast<std::size_t>(length));
  if (c.plain)
    c.out += "ok\n";
  else
    c.out.append(filler(), 0, c.answer);
  c.pending = false;
}

/// Reads the head of a chunk (or a trailer line) at `at`; returns how many bytes it took, 0 when more are needed.
std::size_t chunk_step(connection& c, std::string_view rest) {
  const auto end = rest.find("\r\n");
  if (end == std::string_view::npos) return 0;
  if (c.trailers) {
    if (end == 0) c.chunked = c.trailers = false;
  } else {
    const auto size = std::strtoull(rest.data(), nullptr, 16);
    if (size == 0)
      c.trailers = true;
    else
      c.body = size + 2;
  }
  return end + 2;
}

/// Uses up what can be used of the bytes received. False when the request cannot be understood.
bool consume(connection& c) {
  std::size_t at = 0;
  while (at < c.in.size()) {
    const std::string_view rest(c.in.data() + at, c.in.size() - at);
    if (c.body > 0) {
      const auto take = std::min<std::uint64_t>(c.body, rest.size());
      at += take;
      c.body -= take;
    } else if (c.chunked) {
      const auto took = chunk_step(c, rest);
      if (took == 0) break;
      at += took;
    } else {
      const auto end = rest.find("\r\n\r\n");
      if (end == std::string_view::npos) break;
      const auto head = rest.substr(0, end + 2);
      if (head.find('/') == std::string_view::npos) return false;
      note_time();
      read_target(c, head);
      c.close_after =
          find_field(head, "connection:") == "close" || head.find(" HTTP/1.0\r\n") != std::string_view::npos;
      c.chunked = !find_field(head, "transfer-encoding:").empty();
      if (const auto length = find_field(head, "content-length:"); !length.empty())
        c.body = std::strtoull(length.data(), nullptr, 10);
      c.pending = true;
      at += end + 4;
    }
    if (c.pending && c.body == 0 && !c.chunked) answer(c);
  }
  c.in.erase(0, at);
  return true;
}

class server {
 public:
  explicit server(std::uint16_t port) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int one = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(port);
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&where), sizeof where) != 0 || listen(listener_, 4096) != 0) {
      std::perror("upstream: cannot listen");
      std::exit(1);
    }
    poll_ = epoll_create1(EPOLL_CLOEXEC);
    watch(listener_, nullptr);
  }

  [[noreturn]] void run() {
    std::vector<epoll_event> events(1024);
    for (;;) {
      const int count = epoll_wait(poll_, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        const auto& event = events[static_cast<std::size_t>(i)];
        if (auto* c = static_cast<connection*>(event.data.ptr))
          serve(*c, (event.events & EPOLLRDHUP) != 0);
        else
          accept_all();
      }
    }
  }

 private:
  void watch(int fd, connection* c) {
    epoll_event event{};
    event.events = c ? EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET : EPOLLIN;
    event.data.ptr = c;
    epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &event);
  }

  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const int one = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      auto& c = connections_[fd] = std::make_unique<connection>();
      c->fd = fd;
      watch(fd, c.get());
    }
  }

  /// One read that fills less than the buffer has emptied the socket: no second read to learn that (edge-triggered
  /// epoll tells of more), unless the peer has closed behind those bytes.
  void serve(connection& c, bool ended) {
    for (;;) {
      if (!flush(c)) return;
      const auto got = recv(c.fd, buffer_, sizeof buffer_, 0);
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) return drop(c);
      c.in.append(buffer_, static_cast<std::size_t>(got));
      if (!consume(c)) return drop(c);
      if (!flush(c)) return;
      if (c.close_after && !c.pending && c.out.empty()) return drop(c);
      if (!ended && static_cast<std::size_t>(got) < sizeof buffer_) return;
    }
  }

  /// False when the connection was dropped or takes no more for now.
  bool flush(connection& c) {
    if (c.out.empty()) return true;
    const auto sent = send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
      drop(c);
      return false;
    }
    if (sent > 0) c.out.erase(0, static_cast<std::size_t>(sent));
    return c.out.empty();
  }

  void drop(connection& c) {
    const int fd = c.fd;
    close(fd);
    connections_.erase(fd);
  }

  int listener_ = -1;
  int poll_ = -1;
  std::unordered_map<int, std::unique_ptr<connection>> connections_;
  char buffer_[64 * 1024];
};

}  // namespace

int main(int argc, char** argv) {
  const char* port = argc > 1 ? argv[1] : std::getenv("PORT");
  const int number = port ? std::atoi(port) : 0;
  if (number <= 0 || number > 65535) {
    std::fputs("usage: upstream PORT   (or PORT in the environment)\n", stderr);
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  auto serve = std::make_unique<server>(static_cast<std::uint16_t>(number));
  serve->run();
}
