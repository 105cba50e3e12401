#pragma once
// One worker's connections to instances. Idle ones are kept here; a busy one belongs to its session, which also holds
// the slot. Together, over all workers, they never exceed an instance's slot limit (router::instance::ledger): a server
// with one thread would hang on a connection that we merely keep.

#include <memory>
#include <unordered_map>
#include <vector>

#include <boost/beast/core/flat_buffer.hpp>

#include "gateway/fd_watch.hpp"
#include "gateway/net.hpp"
#include "router/instance.hpp"

namespace rouse::gateway {

class upstream_pool;

/// A connection to an instance. Counts in the ledger from its making to its end, so it must end before its slot is
/// given back or, when idle, before the instance is freed.
class upstream final : public fd_watch::client {
 public:
  /// The caller has already counted it in `on.connections.connections`.
  upstream(asio::io_context& context, router::instance& on);
  ~upstream();
  upstream(const upstream&) = delete;
  upstream& operator=(const upstream&) = delete;

  tcp_socket socket;
  boost::beast::flat_buffer in;  ///< what was read and not yet used
  bool reused = false;           ///< it carried an exchange before
  std::chrono::seconds keep{0};  ///< how long it may idle, as the instance announced; 0: not announced

  [[nodiscard]] router::instance& on() const noexcept { return on_; }
  void on_peer_closed() override;

 private:
  friend class upstream_pool;
  router::instance& on_;
  upstream_pool* idle_in_ = nullptr;
  steady::time_point idle_since_;
};

class upstream_pool {
 public:
  upstream_pool(asio::io_context& context, fd_watch& watch, unsigned worker);
  ~upstream_pool();

  /// The most recently used idle connection that may carry the request, or nothing. A request that is not idempotent
  /// takes only one idle for under a second: the instance may be closing an older one at this moment.
  [[nodiscard]] std::unique_ptr<upstream> take(router::instance& on, bool idempotent, steady::time_point now);
  /// Keeps a connection for the next request; closes it when the instance takes no more work.
  void put(std::unique_ptr<upstream> connection, steady::time_point now);
  /// Closes every idle connection to an instance.
  void drop(router::instance& on);
  /// Closes the oldest idle connection to an instance; false when there is none.
  bool drop_one(router::instance& on);
  /// Gives away an idle connection's descriptor to another worker (it stays counted as open); -1 when there is none.
  [[nodiscard]] int release(router::instance& on);
  /// Closes what idled too long, and begins to watch what has idled for a while.
  void sweep(steady::time_point now);
  void close_all();
  [[nodiscard]] bool empty() const noexcept { return idle_.empty(); }

 private:
  friend class upstream;
  using list = std::vector<std::unique_ptr<upstream>>;
  void forget(upstream& dead);
  std::unique_ptr<upstream> pop(list& from, std::size_t at);

  asio::io_context& context_;
  fd_watch& watch_;
  const unsigned worker_;
  std::unordered_map<router::instance*, list> idle_;
};

}  // namespace rouse::gateway
