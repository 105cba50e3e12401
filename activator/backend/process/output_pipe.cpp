#include "activator/backend/process/output_pipe.hpp"

#include <unistd.h>

#include <boost/asio/post.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

namespace rouse::process {
namespace {

namespace asio = boost::asio;
using clock = std::chrono::steady_clock;

constexpr int lines_per_turn = 32;
constexpr std::size_t bytes_per_read = 64 * 1024;
constexpr int reads_while_dropping = 4;
constexpr auto pause_while_dropping = std::chrono::milliseconds(1);

enum class got { some, nothing_now, end };

}  // namespace

struct output_pipe::state : std::enable_shared_from_this<state> {
  state(asio::io_context& control, descriptor read_end, std::function<void(std::string)> line)
      : pipe(control, read_end.release()), timer(control), lines(clock::now()), on_line(std::move(line)) {}

  void turn();
  bool hand_on();
  got read_some();
  void wait_readable();
  void wait_until(clock::time_point when);
  void again();
  void report_dropped_later();
  void finished();

  asio::posix::stream_descriptor pipe;
  asio::steady_timer timer;  ///< paces turns and ends the dropping; one use at a time
  activator::output_lines lines;
  std::function<void(std::string)> on_line;
  std::function<void()> on_done;  ///< set once finishing
  bool ended = false;             ///< read to the end, or while finishing, until it would block
  bool gone = false;              ///< the owner has let go
};

/// Hands on what is buffered; true when the turn's share of lines is used up.
bool output_pipe::state::hand_on() {
  for (int i = 0; i < lines_per_turn; ++i) {
    auto line = lines.next(clock::now());
    if (!line) return false;
    on_line(std::move(*line));
    if (gone) return false;
  }
  return true;
}

got output_pipe::state::read_some() {
  std::array<char, bytes_per_read> part;
  for (;;) {
    const ssize_t n = ::read(pipe.native_handle(), part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return got::nothing_now;
    if (n <= 0) return got::end;
    lines.push({part.data(), static_cast<std::size_t>(n)}, clock::now());
    return got::some;
  }
}

void output_pipe::state::turn() {
  if (gone) return;
  if (hand_on()) return again();
  if (gone) return;
  if (ended) return finished();
  got last = read_some();
  for (int i = 1; i < reads_while_dropping && last == got::some && lines.dropping_until(); ++i) last = read_some();
  if (last == got::end || (last == got::nothing_now && on_done)) {
    ended = true;
    lines.close();
    return again();
  }
  if (last == got::nothing_now) return wait_readable();
  if (lines.dropping_until() && !on_done) return wait_until(clock::now() + pause_while_dropping);
  again();
}

void output_pipe::state::again() {
  asio::post(pipe.get_executor(), [self = shared_from_this()] { self->turn(); });
}

void output_pipe::state::wait_until(clock::time_point when) {
  timer.expires_at(when);
  timer.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (!error) self->turn();
  });
}

void output_pipe::state::wait_readable() {
  report_dropped_later();
  pipe.async_wait(asio::posix::stream_descriptor::wait_read,
                  [self = shared_from_this()](const boost::system::error_code& error) {
                    if (!error) self->turn();
                  });
}

/// A flood that has stopped is reported though nothing more may ever come.
void output_pipe::state::report_dropped_later() {
  if (!lines.dropping_until()) return;
  timer.expires_at(*lines.dropping_until());
  timer.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (!error && !self->gone && !self->on_done) self->hand_on();
  });
}

void output_pipe::state::finished() {
  if (!on_done) return;  // the end came first; finish() will find us here
  timer.cancel();
  const auto done = std::exchange(on_done, nullptr);
  done();
}

output_pipe::output_pipe(asio::io_context& control, descriptor read_end, std::function<void(std::string)> line)
    : state_(std::make_shared<state>(control, std::move(read_end), std::move(line))) {
  state_->wait_readable();
}

output_pipe::~output_pipe() {
  state_->gone = true;
  boost::system::error_code ignored;
  state_->pipe.close(ignored);
  state_->timer.cancel();
}

void output_pipe::finish(std::function<void()> done) {
  state_->on_done = std::move(done);
  boost::system::error_code ignored;
  state_->pipe.cancel(ignored);
  state_->timer.cancel();
  state_->again();
}

std::vector<std::string> output_pipe::last_lines() const {
  return state_->lines.last_lines();
}

}  // namespace rouse::process
