// After a 101 the two connections are one: bytes pass as they come, each side may close its half.

#include <array>

#include <netinet/tcp.h>

#include <boost/asio/co_spawn.hpp>

#include "gateway/session.hpp"

namespace rouse::gateway {

namespace {

constexpr std::size_t piece_size = 16 * 1024;

/// No time-out ends a tunnel that is silent on purpose; TCP finds out when the peer is dead.
void keep_alive(tcp_socket& socket) {
  using seconds_idle = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPIDLE>;
  error_code ignored;
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  socket.set_option(seconds_idle(60), ignored);
}

}  // namespace

awaitable<session::attempt_end> session::tunnel() {
  worker_.watch().remove(*this);
  enter(phase::tunnel, std::chrono::milliseconds(0), steady::now());
  keep_alive(socket_);
  keep_alive(upstream_->socket);
  last_ = true;
  announced_keep_ = false;
  response_began_ = true;
  auto& out = worker_.scratch();
  out.clear();
  http::reply_info info;
  info.park_ms = park_ms_;
  info.cold_ms = cold_ms_;
  http::compose_response(out, response_, info);
  auto& in = upstream_->in;
  in.consume(response_head_bytes_);

  tunnel_up_runs_ = true;
  asio::co_spawn(worker_.context(), tunnel_up(), [this](const std::exception_ptr& failed) {
    tunnel_up_runs_ = false;
    if (failed) interrupt(interruption::daemon_ends);
    pause_.cancel();
  });
  std::string_view first(static_cast<const char*>(in.data().data()), in.size());
  error_code ec;
  const auto sent = try_write(socket_, out, first, {}, ec);
  if (!ec && sent < out.size() + first.size()) ec = co_await write_rest(socket_, sent, out, first);
  in.clear();
  if (!ec) co_await pass(upstream_->socket, socket_, in, bytes_out_);
  if (ec) cancel_waits();
  while (tunnel_up_runs_) {
    if (interrupted_ != interruption::none) cancel_waits();
    pause_.expires_at(steady::time_point::max());
    co_await pause_.async_wait(as_result);
  }
  upstream_.reset();
  note_outcome(false);
  slot_.reset();
  co_return attempt_end::finished;
}

awaitable<void> session::tunnel_up() {
  const auto begun = head_bytes_ + first_consumed_;
  std::string_view first(static_cast<const char*>(in_.data().data()) + begun, in_.size() - begun);
  if (!first.empty()) {
    error_code ec;
    const auto sent = try_write(upstream_->socket, first, {}, {}, ec);
    if (!ec && sent < first.size()) ec = co_await write_rest(upstream_->socket, sent, first);
    if (ec) {
      cancel_waits();
      co_return;
    }
  }
  boost::beast::flat_buffer buffer;
  co_await pass(socket_, upstream_->socket, buffer, bytes_in_);
}

/// One direction, to its end: a proper end closes the other side's half, an error ends both directions.
awaitable<void> session::pass(tcp_socket& from, tcp_socket& to, boost::beast::flat_buffer& buffer,
                              std::uint64_t& count) {
  for (;;) {
    const auto [ec, n] = co_await from.async_read_some(buffer.prepare(piece_size), as_result);
    if (ec == asio::error::eof) {
      error_code ignored;
      to.shutdown(tcp::socket::shutdown_send, ignored);
      co_return;
    }
    if (ec) break;
    const std::string_view piece(static_cast<const char*>(buffer.prepare(n).data()), n);
    error_code write_ec;
    const auto sent = try_write(to, piece, {}, {}, write_ec);
    if (!write_ec && sent < n) write_ec = co_await write_rest(to, sent, piece);
    if (write_ec) break;
    count += n;
  }
  interrupt(interruption::caller_left);
}

}  // namespace rouse::gateway
