#include "activator/backend/http/transport.hpp"

#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

namespace rouse::backend_http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::local::stream_protocol;
using boost::system::error_code;

/// An address that drops packets must not use up the time of the others.
constexpr auto connect_patience = std::chrono::seconds(3);

template <class Protocol>
class plain_transport final : public transport {
 public:
  explicit plain_transport(typename Protocol::socket socket) : socket_(std::move(socket)) {}
  void read_some(char* to, std::size_t most, handler done) override {
    socket_.async_read_some(asio::buffer(to, most), [self = shared_from_this(), done = std::move(done)](
                                                        const error_code& error, std::size_t n) { done(error, n); });
  }
  void write(const char* from, std::size_t size, handler done) override {
    asio::async_write(socket_, asio::buffer(from, size),
                      [self = shared_from_this(), done = std::move(done)](const error_code& error, std::size_t n) {
                        done(error, n);
                      });
  }
  void close() override {
    error_code ignored;
    socket_.close(ignored);
  }
  bool is_idle() override { return socket_.is_open() && quiet(socket_.native_handle()); }

 private:
  typename Protocol::socket socket_;
};

class dialler final : public dialling, public std::enable_shared_from_this<dialler> {
 public:
  dialler(asio::io_context& io, origin to, std::shared_ptr<tls_context> tls, dial_handler done)
      : io_(io), to_(std::move(to)), tls_(std::move(tls)), done_(std::move(done)), resolver_(io), timer_(io) {}

  void begin() {
    if (to_.scheme == origin::kind::unix_socket) return connect_unix();
    if (const auto where = parse_address(to_.host, to_.port)) {
      error_code ignored;
      addresses_.emplace_back(asio::ip::make_address(to_.host, ignored), to_.port);
      return next();
    }
    resolver_.async_resolve(to_.host, std::to_string(to_.port), asio::ip::resolver_base::numeric_service,
                            [self = shared_from_this()](const error_code& error, tcp::resolver::results_type found) {
                              if (!self->done_) return;
                              if (error)
                                return self->fail("cannot look up the name " + self->to_.host + ": " + error.message());
                              for (const auto& entry : found) self->addresses_.push_back(entry.endpoint());
                              self->next();
                            });
  }

  void cancel() override {
    done_ = nullptr;
    resolver_.cancel();
    timer_.cancel();
    error_code ignored;
    if (tcp_) tcp_->close(ignored);
    if (unix_) unix_->close(ignored);
    if (const auto held = std::exchange(shaking_, nullptr)) held->close();
  }

 private:
  void connect_unix() {
    stream_protocol::endpoint where;
    if (to_.host.size() >= sizeof(sockaddr_un{}.sun_path))
      return later("the path of the socket is too long: " + to_.host);
    where.path(to_.host);
    unix_.emplace(io_);
    unix_->async_connect(where, [self = shared_from_this()](const error_code& error) {
      if (!self->done_) return;
      if (error) return self->fail(connect_problem(error, self->to_));
      self->finish(std::make_shared<plain_transport<stream_protocol>>(std::move(*self->unix_)));
    });
  }

  void next() {
    const tcp::endpoint where = addresses_[at_++];
    tcp_.emplace(io_);
    if (at_ < addresses_.size()) {
      timer_.expires_after(connect_patience);
      timer_.async_wait([self = shared_from_this()](const error_code& error) {
        error_code ignored;
        if (!error && self->done_ && self->tcp_) self->tcp_->close(ignored);
      });
    }
    tcp_->async_connect(where, [self = shared_from_this()](const error_code& error) {
      if (!self->done_) return;
      self->timer_.cancel();
      if (!error && self->tcp_->is_open()) return self->connected();
      if (self->at_ < self->addresses_.size()) return self->next();
      self->fail(connect_problem(error, self->to_));
    });
  }

  void connected() {
    error_code ignored;
    tcp_->set_option(tcp::no_delay(true), ignored);
    if (to_.scheme == origin::kind::http) return finish(std::make_shared<plain_transport<tcp>>(std::move(*tcp_)));
    const bool v6 = addresses_[at_ - 1].address().is_v6();
    const int socket = tcp_->release(ignored);
    tcp_.reset();
    shake_hands(io_, socket, v6, to_, *tls_, shaking_, [self = shared_from_this()](dialled got) {
      self->shaking_.reset();
      if (const auto done = std::exchange(self->done_, nullptr)) done(std::move(got));
    });
  }

  void later(std::string problem) {
    asio::post(io_, [self = shared_from_this(), problem = std::move(problem)] { self->fail(problem); });
  }
  void fail(std::string problem) {
    dialled got;
    got.problem = std::move(problem);
    if (const auto done = std::exchange(done_, nullptr)) done(std::move(got));
  }
  void finish(std::shared_ptr<transport> made) {
    dialled got;
    got.to = std::move(made);
    if (const auto done = std::exchange(done_, nullptr)) done(std::move(got));
  }

  asio::io_context& io_;
  const origin to_;
  const std::shared_ptr<tls_context> tls_;
  dial_handler done_;
  tcp::resolver resolver_;
  asio::steady_timer timer_;
  std::vector<tcp::endpoint> addresses_;
  std::size_t at_ = 0;
  std::optional<tcp::socket> tcp_;
  std::optional<stream_protocol::socket> unix_;
  std::shared_ptr<transport> shaking_;
};

}  // namespace

std::shared_ptr<dialling> dial(asio::io_context& io, const origin& to, std::shared_ptr<tls_context> tls,
                               dial_handler done) {
  auto made = std::make_shared<dialler>(io, to, std::move(tls), std::move(done));
  made->begin();
  return made;
}

bool quiet(int socket) {
  char byte = 0;
  const ssize_t n = ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

std::string connect_problem(const error_code& error, const origin& to) {
  const std::string whom = describe(to);
  const bool local = to.scheme == origin::kind::unix_socket;
  if (error == asio::error::connection_refused) return "connection refused by " + whom;
  if (local && error == boost::system::errc::no_such_file_or_directory) return "there is no socket " + whom;
  if (local && error == asio::error::access_denied) return "no permission to use the socket " + whom;
  if (error == asio::error::operation_aborted) return "no connection to " + whom + " in time";
  return "cannot connect to " + whom + ": " + error.message();
}

}  // namespace rouse::backend_http
