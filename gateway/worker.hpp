#pragma once
// One thread of the data plane: an io_context of its own, its callers' sessions, its connections to instances, its
// deadlines. A connection never migrates. Other threads reach a worker only by post().

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/intrusive/list.hpp>
#include <boost/smart_ptr/local_shared_ptr.hpp>

#include "activator/parking_lot.hpp"
#include "gateway/fd_watch.hpp"
#include "gateway/net.hpp"
#include "gateway/site.hpp"
#include "gateway/stats.hpp"
#include "gateway/sweep.hpp"
#include "gateway/upstream_pool.hpp"

namespace rouse::gateway {

class session;

using worker_hook = boost::intrusive::list_base_hook<boost::intrusive::tag<class in_worker>,
                                                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

/// What runs on a worker and must be told when the daemon drains or ends: a caller's session, an abandoned exchange,
/// the delivery of an event. In the worker's list until it is destroyed.
class worker_task : public worker_hook {
 public:
  /// Begin nothing new.
  virtual void drain() {}
  /// End now, without destroying anything before this returns.
  virtual void close() = 0;

 protected:
  ~worker_task() = default;
};

/// A view as one worker's exchanges hold it: counted without atomic instructions, on that worker's thread only.
struct held_view {
  std::shared_ptr<const activator::view> view;
};
using view_pin = boost::local_shared_ptr<const held_view>;

class worker {
 public:
  worker(unsigned index, site& shared);
  ~worker();
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  /// The thread's body: runs until stop() has been called and every session has ended.
  void run();

  // --- any thread
  // -----------------------------------------------------------------------------------------------------
  template <typename Handler>
  void post(Handler handler) {
    asio::post(context_, std::move(handler));
  }
  /// Takes over an accepted caller's socket.
  void adopt(int descriptor, tcp::endpoint peer);
  /// Callers' connections open now; counts a connection from adopt() on.
  [[nodiscard]] std::uint32_t load() const noexcept { return load_.load(std::memory_order_relaxed); }
  [[nodiscard]] worker_stats& stats() noexcept { return stats_; }
  /// Ends idle connections, and every other after the exchange it is in.
  void drain();
  /// Ends everything in progress: what is parked is refused, what is in flight is reset.
  void close();
  /// Lets run() return once everything has ended.
  void stop();

  // --- this worker's thread
  // -------------------------------------------------------------------------------------------
  [[nodiscard]] asio::io_context& context() noexcept { return context_; }
  [[nodiscard]] unsigned index() const noexcept { return index_; }
  [[nodiscard]] site& shared() noexcept { return site_; }
  /// New exchanges go by this view; those begun keep theirs.
  void serve_by(std::shared_ptr<const activator::view> next);
  [[nodiscard]] const view_pin& current_view() const noexcept { return view_; }
  [[nodiscard]] upstream_pool& pool() noexcept { return pool_; }
  [[nodiscard]] fd_watch& watch() noexcept { return watch_; }
  [[nodiscard]] activator::mailbox& mailbox() noexcept { return mailbox_; }
  [[nodiscard]] bool draining() const noexcept { return draining_; }
  [[nodiscard]] bool closing() const noexcept { return closing_; }
  /// A string for composing heads that leave at once.
  [[nodiscard]] std::string& scratch() noexcept { return scratch_; }
  [[nodiscard]] std::uint64_t random() noexcept;
  /// Puts an entry under the sweep; it leaves when destroyed.
  void sweep(sweep_entry& entry);
  /// Keeps an abandoned exchange's slot until the instance ended it, at most `grace`: what still works is not idle.
  void linger(std::unique_ptr<upstream> connection, activator::slot held, std::chrono::milliseconds grace);
  /// Tells it of drain() and close(), also when they have been called already; it leaves when destroyed.
  void join(worker_task& one);
  /// Runs a coroutine, which run() waits for.
  void spawn(awaitable<void> task);

 private:
  awaitable<void> serve(std::unique_ptr<session> one);
  void begin(int descriptor, const tcp::endpoint& peer);
  void arm_sweep();
  void stop_if_done();

  asio::io_context context_{1};
  asio::executor_work_guard<executor> work_{context_.get_executor()};
  const unsigned index_;
  site& site_;
  fd_watch watch_;
  upstream_pool pool_;
  activator::mailbox mailbox_;
  sweep_list sweep_list_;
  timer sweep_timer_;
  bool sweep_armed_ = false;
  std::atomic<std::uint32_t> load_{0};
  worker_stats stats_;
  view_pin view_;
  boost::intrusive::list<worker_task, boost::intrusive::base_hook<worker_hook>,
                         boost::intrusive::constant_time_size<false>>
      members_;
  std::size_t tasks_ = 0;  ///< coroutines that run
  bool draining_ = false;
  bool closing_ = false;
  bool stopping_ = false;
  std::string scratch_;
  std::uint64_t random_state_;
};

}  // namespace rouse::gateway
