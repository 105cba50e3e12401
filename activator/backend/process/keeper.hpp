#pragma once
// The keeper: a small single-threaded child of the daemon under which all instances run, so that none can outlive it.
// It forks one reaper per instance (reaper.hpp) on request and, once the daemon's end of its socket is closed by
// whatever cause, kills every descendant and exits. See README.md beside this file.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <vector>

#include "activator/backend/process/cgroup.hpp"
#include "activator/backend/process/descriptor.hpp"
#include "activator/backend/process/protocol.hpp"

namespace rouse::process {

/// The daemon's end of a keeper. Closing it ends the keeper and everything under it. Move-only; one thread at a time.
class keeper_handle {
 public:
  keeper_handle() = default;
  keeper_handle(descriptor socket, pid_t pid) noexcept : socket_(std::move(socket)), pid_(pid) {}
  keeper_handle(keeper_handle&& other) noexcept
      : socket_(std::move(other.socket_)), pid_(std::exchange(other.pid_, -1)) {}
  keeper_handle& operator=(keeper_handle&& other) noexcept;
  /// As end(5 s).
  ~keeper_handle();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// The non-blocking SOCK_SEQPACKET socket; stays owned by the handle.
  [[nodiscard]] int socket() const noexcept { return socket_.get(); }
  /// Closes the socket and waits at most `patience` until the keeper has killed everything and exited. False when it
  /// has not.
  bool end(std::chrono::milliseconds patience);

 private:
  descriptor socket_;
  pid_t pid_ = -1;
};

class keeper {
 public:
  /// Forks the keeper. To be called by main before any thread exists and before anything big is allocated: the child
  /// keeps a copy-on-write image of what the caller holds now. Throws std::system_error when it cannot.
  [[nodiscard]] static keeper_handle fork_keeper();

 private:
  explicit keeper(descriptor socket) noexcept : socket_(std::move(socket)) {}
  [[noreturn]] static void main(int socket);
  void run();
  bool serve();
  void start(const start_message& message, std::vector<descriptor> with);
  void reap();
  void sweep();
  void wait();

  descriptor socket_;
  cgroup_tree cgroups_;
  std::map<pid_t, start_message> reapers_;  ///< what each was made for, by its pid
  std::vector<start_message> lost_;         ///< whose reaper died early and whose remains are being killed
};

}  // namespace rouse::process
