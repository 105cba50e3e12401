#include "gateway/line_writer.hpp"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace rouse::gateway {
namespace {

bool is_regular(int descriptor) {
  struct stat what {};
  return ::fstat(descriptor, &what) == 0 && S_ISREG(what.st_mode);
}

/// A pipe that poll() calls writable takes PIPE_BUF bytes without waiting; cut at a line end, so that another writer of
/// the same pipe cannot come between the halves of a line that fits.
std::string_view next_piece(std::string_view text) {
  if (text.size() <= PIPE_BUF) return text;
  const auto end = text.substr(0, PIPE_BUF).rfind('\n');
  return text.substr(0, end == std::string_view::npos ? PIPE_BUF : end + 1);
}

}  // namespace

line_writer::line_writer(int descriptor, notice on_dropped, std::size_t bound)
    : descriptor_(descriptor), is_file_(is_regular(descriptor)), on_dropped_(std::move(on_dropped)), bound_(bound) {
  // A thread inherits the mask of its maker: with everything blocked, no signal handler runs here, and a reader that
  // went away shows as EPIPE.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

line_writer::~line_writer() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    give_up_at_ = std::chrono::steady_clock::now() + patience;
  }
  work_.notify_one();
  thread_.join();
}

void line_writer::write(std::string_view line) {
  {
    const std::lock_guard lock(mutex_);
    if (held_.size() + line.size() > bound_) {
      ++dropped_;
      ++dropped_unsaid_;
      return;
    }
    const bool was_empty = held_.empty();
    held_.append(line);
    if (!was_empty || writing_) return;  // the thread is awake, or about to look
  }
  work_.notify_one();
}

void line_writer::flush() {
  std::unique_lock lock(mutex_);
  idle_.wait_for(lock, patience, [this] { return held_.empty() && !writing_; });
}

std::uint64_t line_writer::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

void line_writer::run() {
  std::string batch;
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [this] { return !held_.empty() || ending_; });
    if (held_.empty()) return;
    batch.swap(held_);
    const auto unsaid = std::exchange(dropped_unsaid_, 0);
    writing_ = true;
    lock.unlock();
    write_out(batch);
    if (unsaid && on_dropped_) write_out(on_dropped_(unsaid));
    batch.clear();
    if (batch.capacity() > 64 * 1024) std::string().swap(batch);  // one burst shall not stay in memory for ever
    lock.lock();
    writing_ = false;
    if (held_.empty()) idle_.notify_all();
  }
}

void line_writer::write_out(std::string_view text) {
  while (!text.empty() && !broken_) {
    if (!is_file_) {
      pollfd ready{descriptor_, POLLOUT, 0};
      const int found = ::poll(&ready, 1, 100);
      if (found == 0 || (found < 0 && errno == EINTR)) {
        const std::lock_guard lock(mutex_);
        if (std::chrono::steady_clock::now() >= give_up_at_) return;
        continue;
      }
    }
    const auto piece = is_file_ ? text : next_piece(text);
    const auto written = ::write(descriptor_, piece.data(), piece.size());
    if (written > 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (written < 0 && errno != EINTR && errno != EAGAIN) {
      // Where lines should go is where one would complain. A full disk may have room again; a reader that left is gone.
      broken_ = errno == EPIPE || errno == EBADF;
      return;
    }
  }
}

}  // namespace rouse::gateway
