// Times the first byte of an answer, for the benches cold_start and thaw, with one and the same code for all ways:
//
//   direct PORT COMMAND...   spawn COMMAND with PORT in its environment, connect as soon as it listens, GET /, first
//   byte;
//                            then end it. The time starts before the spawn.
//   through PORT PATH        connect to PORT, GET PATH, first byte. The time starts before the connect.
//   awake PORT PID           SIGCONT to PID, connect to PORT, GET /, first byte. The time starts before the signal.
//
// Reads such lines from standard input until it ends; answers each with the nanoseconds taken, or `error WHAT`.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;
constexpr auto patience = std::chrono::seconds(20);

/// A connected socket, or -1 with errno.
int dial(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(port);
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(fd, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0) return fd;
  close(fd);
  return -1;
}

/// Sends GET `path` and waits for the first byte; the status line must say 200. Empty when all went well.
std::string ask(int fd, const std::string& path) {
  const auto request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
    return "send failed";
  pollfd wait{fd, POLLIN, 0};
  if (poll(&wait, 1, 20'000) != 1) return "no answer within 20 s";
  char start[13] = {};
  if (recv(fd, start, 12, MSG_WAITALL) != 12) return "the connection ended without an answer";
  return std::strncmp(start, "HTTP/1.1 200", 12) == 0 || std::strncmp(start, "HTTP/1.0 200", 12) == 0
             ? ""
             : "answered " + std::string(start);
}

std::string through(std::uint16_t port, const std::string& path) {
  const int fd = dial(port);
  if (fd < 0) return "cannot connect";
  auto problem = ask(fd, path);
  close(fd);
  return problem;
}

std::string direct(std::uint16_t port, const std::vector<std::string>& command, pid_t& child) {
  const auto begin = clock_type::now();
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  setenv("PORT", std::to_string(port).c_str(), 1);
  if (posix_spawnp(&child, arguments[0], nullptr, nullptr, arguments.data(), environ) != 0)
    return "cannot spawn " + command[0];
  int fd = -1;
  while ((fd = dial(port)) < 0) {
    if (clock_type::now() - begin > patience) return "does not listen";
    usleep(20);
  }
  auto problem = ask(fd, "/");
  close(fd);
  return problem;
}

std::string awake(std::uint16_t port, pid_t stopped) {
  if (kill(stopped, SIGCONT) != 0) return "cannot continue process " + std::to_string(stopped);
  return through(port, "/");
}

/// One line of input: what to do and with what.
struct order {
  std::string kind;
  std::uint16_t port = 0;
  std::vector<std::string> rest;

  [[nodiscard]] bool valid() const {
    if (port == 0 || rest.empty()) return false;
    return kind == "direct" || kind == "through" || (kind == "awake" && std::atoi(rest[0].c_str()) > 1);
  }
};

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    order given;
    words >> given.kind >> given.port;
    for (std::string word; words >> word;) given.rest.push_back(word);
    if (!given.valid()) {
      std::cout << "error expected `direct PORT COMMAND...`, `through PORT PATH` or `awake PORT PID`" << std::endl;
      continue;
    }
    pid_t child = -1;
    const auto begin = clock_type::now();
    const auto problem = given.kind == "direct"    ? direct(given.port, given.rest, child)
                         : given.kind == "through" ? through(given.port, given.rest[0])
                                                   : awake(given.port, std::atoi(given.rest[0].c_str()));
    const auto taken = clock_type::now() - begin;
    if (child > 0) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
    if (problem.empty())
      std::cout << std::chrono::duration_cast<std::chrono::nanoseconds>(taken).count() << std::endl;
    else
      std::cout << "error " << problem << std::endl;
  }
}
