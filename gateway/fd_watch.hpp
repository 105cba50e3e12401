#pragma once
// Notices that a peer closed a socket on which nobody reads at the moment: parked callers, callers of slow functions,
// and idle upstream connections. Asio reports a FIN only to a pending read, and a read would take bytes that are not
// wanted yet; an epoll set of our own with EPOLLRDHUP, itself watched by Asio, sees it within a millisecond. One
// worker's thread only.

#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include "gateway/net.hpp"

namespace rouse::gateway {

class fd_watch {
 public:
  /// Someone whose socket is watched. Unwatched by remove() before it dies.
  class client {
   public:
    /// The peer closed its side, or the connection broke. Called once per add(); the client is then no longer watched.
    /// May cancel and post, but must not destroy another client.
    virtual void on_peer_closed() = 0;

   protected:
    ~client() = default;

   private:
    friend class fd_watch;
    int watched_fd_ = -1;
  };

  explicit fd_watch(asio::io_context& context);
  ~fd_watch();
  fd_watch(const fd_watch&) = delete;
  fd_watch& operator=(const fd_watch&) = delete;

  /// Watches `fd`; with `or_readable` also for bytes that nobody asked for. Harmless when already watched.
  void add(client& who, int fd, bool or_readable = false);
  /// Harmless when not watched. Must be called before the descriptor is closed or handed away.
  void remove(client& who) noexcept;
  /// Ends the pending wait, so that the context can run dry.
  void stop();

 private:
  void wait();
  void dispatch();

  asio::posix::basic_stream_descriptor<executor> epoll_;
  int epoll_fd_;
};

}  // namespace rouse::gateway
