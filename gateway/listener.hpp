#pragma once
// Accepts callers' connections and hands each to the worker with the fewest. Runs on the first worker's thread, so that
// a daemon with one worker pays for no thread hop; the other workers get theirs by post.

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "gateway/net.hpp"
#include "gateway/worker.hpp"

namespace rouse::gateway {

class listener {
 public:
  /// Binds and listens; throws std::runtime_error that names the address and what to do. Nothing is accepted before
  /// start().
  listener(const config::listen_address& where, worker& on, site& shared);

  /// Any thread.
  void start();
  /// Any thread: closes the listening socket, soon, on the first worker.
  void close();

  /// Any thread: close() is done, and every connection that was waiting has been handed to a worker.
  [[nodiscard]] bool closed() const noexcept { return closed_; }

  /// Where it listens; the port that the kernel chose when the configuration said 0.
  [[nodiscard]] const tcp::endpoint& where() const noexcept { return where_; }

 private:
  void wait();
  enum class accepted : std::uint8_t { yes, none, failed };
  accepted accept_one();
  void accept_some();
  [[nodiscard]] bool too_many() const;
  [[nodiscard]] worker& least_loaded() const;

  worker& on_;
  site& site_;
  tcp_acceptor acceptor_;
  timer pause_;
  tcp::endpoint where_;
  steady::time_point complained_;
  std::atomic<bool> closed_{false};
};

}  // namespace rouse::gateway
