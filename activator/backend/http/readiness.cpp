#include "activator/backend/http/readiness.hpp"

#include <fcntl.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "activator/backend/http/origin.hpp"
#include "activator/backend/http/response_reader.hpp"

namespace rouse::backend_http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using clock = std::chrono::steady_clock;

constexpr std::size_t most_answer = 256 * 1024;
/// How long the rest of a good answer is waited for, for the sake of its connection.
constexpr auto rest_patience = std::chrono::milliseconds(100);

tcp::endpoint endpoint_of(const router::address& where) {
  if (where.v6) {
    asio::ip::address_v6::bytes_type bytes;
    std::copy(where.bytes.begin(), where.bytes.end(), bytes.begin());
    return {asio::ip::address_v6(bytes), where.port};
  }
  asio::ip::address_v4::bytes_type bytes;
  std::copy_n(where.bytes.begin(), bytes.size(), bytes.begin());
  return {asio::ip::address_v4(bytes), where.port};
}

std::string connect_words(const error_code& error) {
  if (error == asio::error::connection_refused) return "refuses connections";
  return "cannot be reached: " + error.message();
}

}  // namespace

/// One look at a time: connect, with a path ask, then either the end or a pause. What belongs to an abandoned look is
/// recognised by its number.
struct readiness::state : std::enable_shared_from_this<readiness::state> {
  state(asio::io_context& io, readiness_settings from, std::function<void(readiness_result)> handler)
      : settings(std::move(from)), done(std::move(handler)), socket(io), timer(io) {}

  void look_after(std::chrono::microseconds pause);
  void look();
  void within(std::chrono::milliseconds time, std::string otherwise);
  void on_connected();
  void ask();
  void read();
  void on_read(const error_code& error, std::size_t count);
  void not_ready(std::string why);
  void finish(bool ready, bool with_socket);
  void close();

  const readiness_settings settings;
  std::function<void(readiness_result)> done;
  tcp::socket socket;
  asio::steady_timer timer;
  std::uint64_t number = 0;  ///< of the look under way
  std::string problem;
  std::string request;
  std::unique_ptr<response_reader> answer;
  std::array<char, 4096> part;
  std::size_t read_so_far = 0;
  bool good = false;  ///< 2xx was read; only the rest of the answer is waited for
};

void readiness::state::look_after(std::chrono::microseconds pause) {
  timer.expires_at(std::min(clock::now() + pause, settings.deadline));
  timer.async_wait([self = shared_from_this(), mine = number](const error_code& error) {
    if (error || !self->done || self->number != mine) return;
    if (clock::now() < self->settings.deadline) return self->look();
    if (self->problem.empty()) self->problem = "was not looked at in time";
    self->finish(false, false);
  });
}

void readiness::state::look() {
  ++number;
  good = false;
  const tcp::endpoint where = endpoint_of(settings.where);
  error_code error;
  socket.open(where.protocol(), error);
  if (error) return not_ready("cannot be looked at: " + error.message());
  within(settings.connect_timeout, "does not answer to a connect");
  socket.async_connect(where, [self = shared_from_this(), mine = number](const error_code& failed) {
    if (!self->done || self->number != mine) return;
    if (failed) return self->not_ready(connect_words(failed));
    self->on_connected();
  });
}

/// Ends the look when the time is over, unless it has ended before or a later limit was set.
void readiness::state::within(std::chrono::milliseconds time, std::string otherwise) {
  timer.expires_at(std::min(clock::now() + time, settings.deadline));
  timer.async_wait(
      [self = shared_from_this(), mine = number, otherwise = std::move(otherwise)](const error_code& error) {
        if (error || !self->done || self->number != mine) return;
        if (self->good) return self->finish(true, false);
        self->not_ready(otherwise);
      });
}

void readiness::state::on_connected() {
  error_code error;
  // On loopback, a dial can be given the very port that it dials, and meet itself.
  if (socket.local_endpoint(error) == socket.remote_endpoint(error)) return not_ready("refuses connections");
  socket.set_option(tcp::no_delay(true), error);
  if (settings.path) return ask();
  finish(true, true);
}

void readiness::state::ask() {
  const std::string host = settings.host.empty() ? to_string(settings.where) : settings.host;
  request = "GET " + *settings.path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: rouse\r\nAccept: */*\r\n\r\n";
  answer = std::make_unique<response_reader>();
  read_so_far = 0;
  within(settings.answer_timeout, "does not answer GET " + *settings.path + " in time");
  asio::async_write(socket, asio::buffer(request), [self = shared_from_this()](const error_code&, std::size_t) {});
  read();
}

void readiness::state::read() {
  socket.async_read_some(asio::buffer(part),
                         [self = shared_from_this(), mine = number](const error_code& error, std::size_t count) {
                           if (self->done && self->number == mine) self->on_read(error, count);
                         });
}

void readiness::state::on_read(const error_code& error, std::size_t count) {
  const std::string get = "GET " + *settings.path;
  if (error) {
    if (good || (error == asio::error::eof && answer->push_end() && answer->status() / 100 == 2))
      return finish(true, false);
    return not_ready("closes the connection instead of an answer to " + get);
  }
  read_so_far += count;
  const bool valid = answer->push({part.data(), count});
  answer->body().clear();
  if (!valid) return good ? finish(true, false) : not_ready("answers " + get + " with something that is not HTTP");
  if (!answer->has_head()) return read_so_far > most_answer ? not_ready("answers " + get + " endlessly") : read();
  if (answer->status() / 100 != 2) return not_ready("answers " + get + " with " + std::to_string(answer->status()));
  if (answer->is_done()) return finish(true, answer->keep_alive() && !answer->surplus());
  if (read_so_far > most_answer) return finish(true, false);
  if (!std::exchange(good, true)) within(rest_patience, {});
  read();
}

void readiness::state::not_ready(std::string why) {
  problem = std::move(why);
  close();
  ++number;
  if (settings.once) return finish(false, false);
  const auto elapsed = std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - settings.begun);
  const std::chrono::microseconds longest = settings.longest_gap;
  look_after(std::clamp<std::chrono::microseconds>(elapsed / 50, std::chrono::microseconds(1000), longest));
}

void readiness::state::finish(bool ready, bool with_socket) {
  const auto tell = std::exchange(done, nullptr);
  timer.cancel();
  readiness_result result;
  result.ready = ready;
  error_code error;
  if (with_socket) {
    result.socket = socket.release(error);
    if (error) result.socket = -1;
    if (result.socket >= 0) ::fcntl(result.socket, F_SETFL, ::fcntl(result.socket, F_GETFL) | O_NONBLOCK);
  } else {
    close();
  }
  if (!ready) result.problem = problem;
  tell(std::move(result));
}

void readiness::state::close() {
  error_code ignored;
  socket.close(ignored);
}

readiness::readiness(asio::io_context& io, readiness_settings settings, std::function<void(readiness_result)> done)
    : state_(std::make_shared<state>(io, std::move(settings), std::move(done))) {
  state_->look_after(std::chrono::microseconds(0));
}

readiness::~readiness() {
  state_->done = nullptr;
  state_->timer.cancel();
  state_->close();
}

std::string readiness::problem() const {
  return state_->problem;
}

}  // namespace rouse::backend_http
