#include "gateway/fd_watch.hpp"

#include <sys/epoll.h>

#include <cerrno>
#include <system_error>

namespace rouse::gateway {

fd_watch::fd_watch(asio::io_context& context) : epoll_(context), epoll_fd_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_fd_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
  epoll_.assign(epoll_fd_);
  wait();
}

fd_watch::~fd_watch() = default;

void fd_watch::add(client& who, int fd, bool or_readable) {
  if (who.watched_fd_ >= 0) return;
  epoll_event event{};
  event.events = EPOLLRDHUP | EPOLLONESHOT | (or_readable ? EPOLLIN : 0u);
  event.data.ptr = &who;
  if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0) who.watched_fd_ = fd;
}

void fd_watch::remove(client& who) noexcept {
  if (who.watched_fd_ < 0) return;
  ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, who.watched_fd_, nullptr);
  who.watched_fd_ = -1;
}

void fd_watch::stop() {
  epoll_.close();
}

void fd_watch::wait() {
  epoll_.async_wait(asio::posix::descriptor_base::wait_read, [this](const error_code& ec) {
    if (ec) return;
    dispatch();
    wait();
  });
}

void fd_watch::dispatch() {
  // One event at a time, so that a client removed by another's reaction is never called.
  epoll_event event{};
  while (::epoll_wait(epoll_fd_, &event, 1, 0) == 1) {
    auto* who = static_cast<client*>(event.data.ptr);
    remove(*who);
    who->on_peer_closed();
  }
}

}  // namespace rouse::gateway
