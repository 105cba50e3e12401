#pragma once
// A server of a few lines for the tests beside this file: each connection is a thread that does what the test says.

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace rouse::backend_http::test {

/// Runs the context until `done`; false when `within` passes first.
inline bool run_until(boost::asio::io_context& io, const std::function<bool()>& done,
                      std::chrono::milliseconds within = std::chrono::seconds(20)) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    io.restart();
    io.run_one_for(std::chrono::milliseconds(10));
  }
  return true;
}

inline void say(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

/// One request's head and, by its Content-Length, its body; empty at the end of the stream.
inline std::string hear(int fd) {
  std::string text;
  std::size_t whole = std::string::npos;
  while (text.size() < whole) {
    char part[4096];
    const ssize_t n = ::recv(fd, part, sizeof part, 0);
    if (n <= 0) return {};
    text.append(part, static_cast<std::size_t>(n));
    const auto end = text.find("\r\n\r\n");
    if (end == std::string::npos) continue;
    whole = end + 4;
    const auto field = text.find("Content-Length: ");
    if (field < end) whole += std::stoul(text.substr(field + 16));
  }
  return text;
}

inline std::string answer(int status, std::string_view body) {
  return "HTTP/1.1 " + std::to_string(status) + " Word\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

/// Listens on 127.0.0.1, or on a unix socket when a path is given. `serve(fd, n)` runs in a thread for the n-th
/// connection, counted from 1; the connection is closed when it returns. All threads are joined at the end, their reads
/// cut short.
class small_server {
 public:
  using handler = std::function<void(int fd, int number)>;

  explicit small_server(handler serve, const std::string& path = {}) : serve_(std::move(serve)), path_(path) {
    if (path.empty()) {
      listening_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in where{};
      where.sin_family = AF_INET;
      where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof where;
      ::bind(listening_, reinterpret_cast<sockaddr*>(&where), size);
      ::getsockname(listening_, reinterpret_cast<sockaddr*>(&where), &size);
      port_ = ntohs(where.sin_port);
    } else {
      listening_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_un where{};
      where.sun_family = AF_UNIX;
      std::strncpy(where.sun_path, path.c_str(), sizeof where.sun_path - 1);
      ::bind(listening_, reinterpret_cast<sockaddr*>(&where), sizeof where);
    }
    ::listen(listening_, 64);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~small_server() {
    ending_ = true;
    ::shutdown(listening_, SHUT_RDWR);
    acceptor_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const auto& one : all_)
        if (one.fd >= 0) ::shutdown(one.fd, SHUT_RDWR);
    }
    for (auto& one : all_) one.runs.join();
    ::close(listening_);
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  small_server(const small_server&) = delete;
  small_server& operator=(const small_server&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] int accepted() const { return accepted_; }

 private:
  struct one {
    int fd = -1;
    std::thread runs;
  };
  void accept_all() {
    for (;;) {
      const int fd = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0 || ending_) {
        if (fd >= 0) ::close(fd);
        return;
      }
      const std::lock_guard lock(mutex_);
      one& made = all_.emplace_back();
      made.fd = fd;
      made.runs = std::thread([this, &made, fd, number = ++accepted_] {
        serve_(fd, number);
        const std::lock_guard closing(mutex_);
        made.fd = -1;
        ::close(fd);
      });
    }
  }

  const handler serve_;
  const std::string path_;
  int listening_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> ending_{false};
  std::atomic<int> accepted_{0};
  std::mutex mutex_;
  std::list<one> all_;
  std::thread acceptor_;
};

}  // namespace rouse::backend_http::test
