// A load generator for the benches: a closed loop (each connection sends its next request when the answer to the last
// one is complete) on one thread, as cheap as possible. Loopback or any IPv4 address.
//
//   load --port PORT --path /0 --connections 64 --seconds 3 --warmup 0.5 --body 4096 --header 'X-Own: yes'
//
// Prints one line of JSON. `requests` and the latencies are those of the measured time; `all_requests` includes the
// warm-up, for dividing CPU time by. Ends with 1 when nothing was answered.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/histogram.hpp"

namespace {

using clock_type = std::chrono::steady_clock;

struct options {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::string path = "/";
  unsigned connections = 64;
  double seconds = 3;
  double warmup = 0;
  long body = -1;       ///< bytes to POST; -1: GET
  std::string headers;  ///< more of them, each with its line end
};

[[noreturn]] void usage(const char* why) {
  std::fprintf(
      stderr,
      "load: %s\nusage: load --port PORT [--host ADDRESS] [--path PATH] [--connections N] [--seconds S] [--warmup S] "
      "[--body BYTES] [--header 'NAME: VALUE']...\n",
      why);
  std::exit(2);
}

options parse(int argc, char** argv) {
  options o;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--host")
      o.host = value;
    else if (name == "--port")
      o.port = static_cast<std::uint16_t>(std::atoi(value));
    else if (name == "--path")
      o.path = value;
    else if (name == "--connections")
      o.connections = static_cast<unsigned>(std::atoi(value));
    else if (name == "--seconds")
      o.seconds = std::atof(value);
    else if (name == "--warmup")
      o.warmup = std::atof(value);
    else if (name == "--body")
      o.body = std::atol(value);
    else if (name == "--header")
      o.headers += std::string(value) + "\r\n";
    else
      usage("unknown option");
  }
  if (argc % 2 == 0) usage("an option has no value");
  if (o.port == 0) usage("--port is missing");
  if (o.connections == 0 || o.seconds <= 0) usage("--connections and --seconds must be above 0");
  return o;
}

/// One caller. `head` is kept until it is complete, then `left` counts the body down.
struct connection {
  int fd = -1;
  std::string head;
  std::uint64_t left = 0;
  bool in_body = false;
  bool success = false;
  std::size_t sent = 0;
  clock_type::time_point begin;
};

class generator {
 public:
  explicit generator(const options& o) : options_(o), connections_(o.connections) {
    request_ = (o.body >= 0 ? "POST " : "GET ") + o.path + " HTTP/1.1\r\nHost: " + o.host + ":" +
               std::to_string(o.port) + "\r\nUser-Agent: load\r\nAccept: */*\r\n" + o.headers;
    if (o.body >= 0) {
      request_ += "Content-Type: application/octet-stream\r\nContent-Length: " + std::to_string(o.body) + "\r\n\r\n";
      request_.append(static_cast<std::size_t>(o.body), 'x');
    } else {
      request_ += "\r\n";
    }
    poll_ = epoll_create1(EPOLL_CLOEXEC);
    for (auto& c : connections_) open(c);
  }

  void run() {
    const auto start = clock_type::now();
    measured_from_ =
        start + std::chrono::duration_cast<clock_type::duration>(std::chrono::duration<double>(options_.warmup));
    end_ = measured_from_ +
           std::chrono::duration_cast<clock_type::duration>(std::chrono::duration<double>(options_.seconds));
    for (auto& c : connections_) begin_request(c);
    std::vector<epoll_event> events(connections_.size());
    while (now_ < end_) {
      const int count = epoll_wait(poll_, events.data(), static_cast<int>(events.size()), 100);
      now_ = clock_type::now();
      for (int i = 0; i < count; ++i) serve(*static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr));
    }
  }

  [[nodiscard]] int report() const {
    const double seconds = std::chrono::duration<double>(now_ - measured_from_).count();
    const auto us = [](std::uint64_t ns) { return static_cast<double>(ns) / 1000.0; };
    std::printf(
        "{\"requests\": %llu, \"all_requests\": %llu, \"errors\": %llu, \"non_2xx\": %llu, \"seconds\": %.4f, \"rps\": "
        "%.1f, "
        "\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
        static_cast<unsigned long long>(latency_.total()), static_cast<unsigned long long>(all_),
        static_cast<unsigned long long>(errors_), static_cast<unsigned long long>(non_2xx_), seconds,
        static_cast<double>(latency_.total()) / seconds, us(latency_.quantile(0.5)), us(latency_.quantile(0.99)),
        us(latency_.max()));
    return all_ == 0 ? 1 : 0;
  }

 private:
  void open(connection& c) {
    c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(options_.port);
    if (inet_pton(AF_INET, options_.host.c_str(), &where.sin_addr) != 1) usage("--host is not an IPv4 address");
    if (connect(c.fd, reinterpret_cast<sockaddr*>(&where), sizeof where) != 0) {
      std::perror("load: cannot connect");
      std::exit(1);
    }
    const int one = 1;
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &c;
    epoll_ctl(poll_, EPOLL_CTL_ADD, c.fd, &event);
  }

  /// The other side ended the connection, or made no sense. Counted as an error when an answer was due.
  void reopen(connection& c) {
    ++errors_;
    close(c.fd);
    open(c);
    begin_request(c);
  }

  void begin_request(connection& c) {
    c.head.clear();
    c.in_body = false;
    c.sent = 0;
    c.begin = clock_type::now();
    push(c);
  }

  void push(connection& c) {
    const auto sent = send(c.fd, request_.data() + c.sent, request_.size() - c.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) c.sent += static_cast<std::size_t>(sent);
    const bool more = c.sent < request_.size();
    if (more || waits_to_write_) {
      epoll_event event{};
      event.events = more ? EPOLLIN | EPOLLOUT : EPOLLIN;
      event.data.ptr = &c;
      epoll_ctl(poll_, EPOLL_CTL_MOD, c.fd, &event);
      waits_to_write_ = waits_to_write_ || more;
    }
  }

  void serve(connection& c) {
    if (c.sent < request_.size()) push(c);
    const auto got = recv(c.fd, buffer_, sizeof buffer_, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return reopen(c);
    std::string_view data(buffer_, static_cast<std::size_t>(got));
    if (!c.in_body) {
      const auto before = c.head.size();
      c.head += data;
      const auto end = c.head.find("\r\n\r\n");
      if (end == std::string::npos) return;
      if (!read_head(c, std::string_view(c.head).substr(0, end + 2))) return reopen(c);
      data.remove_prefix(end + 4 - before);
    }
    if (data.size() > c.left) return reopen(c);
    c.left -= data.size();
    if (c.left == 0) complete(c);
  }

  bool read_head(connection& c, std::string_view head) {
    static constexpr std::string_view name = "\r\ncontent-length:";
    if (head.size() < 12 || !head.starts_with("HTTP/1.1 ")) return false;
    c.success = head[9] == '2';
    c.in_body = true;
    for (std::size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at + 2)) {
      if (head.size() - at > name.size() && strncasecmp(head.data() + at, name.data(), name.size()) == 0) {
        c.left = std::strtoull(head.data() + at + name.size(), nullptr, 10);
        return true;
      }
    }
    return false;  // what is measured here always has a Content-Length
  }

  void complete(connection& c) {
    const auto now = clock_type::now();
    ++all_;
    if (!c.success) ++non_2xx_;
    if (now >= measured_from_) {
      latency_.add(
          static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now - c.begin).count()));
    }
    begin_request(c);
  }

  const options options_;
  std::vector<connection> connections_;
  std::string request_;
  rouse::bench::histogram latency_;
  std::uint64_t all_ = 0;
  std::uint64_t errors_ = 0;
  std::uint64_t non_2xx_ = 0;
  bool waits_to_write_ = false;  ///< some connection was once armed for EPOLLOUT
  clock_type::time_point measured_from_, end_, now_;
  int poll_ = -1;
  char buffer_[64 * 1024];
};

}  // namespace

int main(int argc, char** argv) {
  const auto wanted = parse(argc, argv);
  auto load = std::make_unique<generator>(wanted);
  load->run();
  return load->report();
}
