#pragma once
// A program of this machine beside the one under test: a server that is not rouse's, a scaler.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace rouse::test {

/// A port that stays this object's, without listening: a server that binds with SO_REUSEADDR may have it, again and
/// again.
class held_port {
 public:
  held_port() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int yes = 1;
    ::setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof where;
    ::bind(socket_, reinterpret_cast<sockaddr*>(&where), size);
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&where), &size);
    number_ = ntohs(where.sin_port);
  }
  ~held_port() { ::close(socket_); }
  held_port(const held_port&) = delete;
  held_port& operator=(const held_port&) = delete;
  [[nodiscard]] std::uint16_t number() const { return number_; }

 private:
  int socket_;
  std::uint16_t number_ = 0;
};

/// Waits until somebody listens on the port of 127.0.0.1; false when nobody does within 20 seconds.
inline bool wait_listening(std::uint16_t port) {
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  where.sin_port = htons(port);
  for (int i = 0; i < 4000; ++i) {
    const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool listens = ::connect(s, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0;
    ::close(s);
    if (listens) return true;
    ::usleep(5000);
  }
  return false;
}

/// Runs until it is destroyed, which kills it and all of its process group.
class local_process {
 public:
  local_process(std::vector<std::string> command, std::vector<std::string> environment) {
    for (char** one = ::environ; *one != nullptr; ++one) environment.emplace_back(*one);
    std::vector<char*> argv, envp;
    for (auto& one : command) argv.push_back(one.data());
    for (auto& one : environment) envp.push_back(one.data());
    argv.push_back(nullptr);
    envp.push_back(nullptr);
    posix_spawnattr_t how;
    ::posix_spawnattr_init(&how);
    ::posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    if (::posix_spawnp(&pid_, argv[0], &files, &how, argv.data(), envp.data()) != 0) pid_ = -1;
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&how);
  }
  ~local_process() {
    if (pid_ <= 0) return;
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  local_process(const local_process&) = delete;
  local_process& operator=(const local_process&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int which) const { ::kill(pid_, which); }

 private:
  pid_t pid_ = -1;
};

}  // namespace rouse::test
