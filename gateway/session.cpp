#include "gateway/session.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include <boost/asio/ip/address.hpp>

namespace rouse::gateway {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t first_read = 4 * 1024;
constexpr std::size_t largest_read = 16 * 1024;
constexpr auto polite_close = 2s;    // how long a caller may go on sending after our last word
constexpr auto drain_linger = 1s;    // for a request that crosses the beginning of a drain
constexpr auto answer_time = 30s;    // to take an error's few bytes
constexpr auto watch_after = 100ms;  // waits shorter than this are not watched for the caller's leaving

std::string text_of(const tcp::endpoint& peer) {
  auto address = peer.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  }
  return address.to_string();
}

bool contains(const config::network& net, const std::array<std::uint8_t, 16>& address) {
  const auto whole = net.prefix / 8;
  if (!std::equal(net.address.begin(), net.address.begin() + whole, address.begin())) return false;
  const auto rest = net.prefix % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff << (8 - rest));
  return (net.address[whole] & mask) == (address[whole] & mask);
}

bool is_trusted(const std::vector<config::network>& proxies, const tcp::endpoint& peer) {
  if (proxies.empty()) return false;
  const auto v6 = peer.address().is_v4() ? asio::ip::make_address_v6(asio::ip::v4_mapped, peer.address().to_v4())
                                         : peer.address().to_v6();
  const auto bytes = v6.to_bytes();
  std::array<std::uint8_t, 16> plain;
  std::copy(bytes.begin(), bytes.end(), plain.begin());
  return std::any_of(proxies.begin(), proxies.end(), [&](const auto& net) { return contains(net, plain); });
}

}  // namespace

session::session(worker& on, tcp_socket socket, const tcp::endpoint& peer)
    : worker_(on),
      socket_(std::move(socket)),
      pause_(on.context()),
      dial_(on, pause_),
      caller_(text_of(peer)),
      trusted_(is_trusted(on.shared().server.trusted_proxies, peer)),
      read_size_(first_read) {}

session::~session() {
  worker_.watch().remove(*this);
}

awaitable<void> session::run() {
  const auto& limits = worker_.shared().server.limits;
  for (;;) {
    // Between requests and while a head arrives.
    enter(in_.size() ? phase::head : phase::idle, in_.size() ? limits.header_timeout : limits.idle_timeout,
          steady::now());
    if (worker_.draining()) end_soon();
    http::parse_result parsed;
    std::size_t looked_at = 0;
    for (;;) {
      if (in_.size() > 0) {
        const std::string_view seen(static_cast<const char*>(in_.data().data()), in_.size());
        parsed = http::parse_request(seen, limits.header_bytes, head_, looked_at);
        if (parsed.what != http::parse_result::kind::need_more) break;
        looked_at = seen.size();
        if (phase_ == phase::idle) enter(phase::head, limits.header_timeout, steady::now());
      }
      const auto [ec, n] = co_await socket_.async_read_some(in_.prepare(read_size_), as_result);
      if (ec) {
        if (phase_ == phase::head && interrupted_ != interruption::none) {
          head_.clear();
          answer why;
          why.status = interrupted_ == interruption::daemon_ends ? 503 : 408;
          why.type = interrupted_ == interruption::daemon_ends ? "draining" : "request-timeout";
          why.detail = interrupted_ == interruption::daemon_ends ? "rouse is shutting down"
                                                                 : "the request's head did not arrive in time";
          last_ = unread_ = true;
          worker_.stats().unmatched.add();
          co_await refuse(std::move(why));
          co_await close_politely();
        }
        co_return;
      }
      if (n == read_size_ && read_size_ < largest_read) read_size_ *= 2;
      in_.commit(n);
      // An interruption that came too late to stop this read does not concern what has arrived.
      if (!worker_.closing()) interrupted_ = interruption::none;
    }
    if (parsed.what == http::parse_result::kind::refused) {
      head_.clear();
      head_bytes_ = 0;
      answer why;
      why.status = parsed.why.status;
      why.type = parsed.why.type;
      why.detail = std::move(parsed.why.detail);
      last_ = unread_ = true;
      worker_.stats().unmatched.add();
      co_await refuse(std::move(why));
      co_await close_politely();
      co_return;
    }
    head_bytes_ = parsed.head_bytes;
    const bool keep = co_await exchange();
    worker_.watch().remove(*this);
    if (!keep) break;
    consume_request();
  }
  if (unread_) co_await close_politely();
}

void session::consume_request() {
  if (!pump_) {
    in_.consume(head_bytes_ + first_consumed_);
    if (in_.size() == 0 && in_.capacity() > 2 * largest_read) in_.shrink_to_fit();
    return;
  }
  // What the upload read beyond its body is the beginning of the next request.
  in_.clear();
  const auto rest = pump_->data();
  std::memcpy(in_.prepare(rest.size()).data(), rest.data(), rest.size());
  in_.commit(rest.size());
  pump_.reset();
}

bool session::keeps_connection() const noexcept {
  return head_.keep_alive && !last_ && !worker_.draining();
}

void session::enter(phase next, std::chrono::milliseconds allowed, steady::time_point now) {
  phase_ = next;
  phase_began_ = now;
  deadline_ = allowed.count() ? now + allowed : steady::time_point::max();
}

/// Answers with an error of rouse's own. True when the connection can carry another request.
awaitable<bool> session::refuse(answer why) {
  interrupted_ = interruption::none;
  enter(phase::closing, answer_time, steady::now());
  const bool keep = keeps_connection() && body_complete_ && !uploading_ && !pump_ && !worker_.closing();
  if (!keep) unread_ = true;
  auto& out = worker_.scratch();
  out.clear();
  http::problem_reply reply;
  reply.status = why.status;
  reply.type = why.type;
  reply.detail = why.detail;
  if (service_) reply.function = service_->function->name;
  reply.instead = fallback_for(why.status);
  reply.request_id = request_id_;
  reply.retry_after = why.retry_after;
  reply.keep_alive = keep;
  reply.head_only = head_.method == "HEAD";
  reply.caller_version = head_.version;
  http::compose_problem(out, reply);
  error_code ec;
  std::size_t sent = socket_.write_some(asio::buffer(out), ec);
  if (ec == asio::error::would_block) ec = {};
  if (!ec && sent < out.size()) ec = co_await write_rest(socket_, sent, out);
  bytes_out_ += out.size();
  co_return keep && !ec && interrupted_ == interruption::none;
}

/// What the caller gets in place of this answer of rouse's own; nullptr: the answer itself.
const config::fallback* session::fallback_for(unsigned status) const noexcept {
  if (status < 500 || !service_ || !service_->config->fallback) return nullptr;
  return &*service_->config->fallback;
}

awaitable<void> session::close_politely() {
  error_code ec;
  socket_.shutdown(tcp::socket::shutdown_send, ec);
  if (ec) co_return;
  interrupted_ = interruption::none;
  enter(phase::closing, polite_close, steady::now());
  // Closing with unread bytes would send a reset that can overtake the answer.
  in_.clear();
  while (interrupted_ == interruption::none && !worker_.closing()) {
    const auto [read_ec, n] = co_await socket_.async_read_some(in_.prepare(largest_read), as_result);
    if (read_ec) break;
  }
}

void session::reset_connection() {
  error_code ignored;
  worker_.watch().remove(*this);
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
  last_ = true;
  unread_ = false;
}

void session::interrupt(interruption why) {
  if (interrupted_ == interruption::none) interrupted_ = why;
  cancel_waits();
}

void session::cancel_waits() {
  error_code ignored;
  socket_.cancel(ignored);
  if (upstream_) upstream_->socket.cancel(ignored);
  dial_.cancel();
  pause_.cancel();
}

void session::drain() {
  last_ = true;
  if (phase_ == phase::idle) end_soon();
}

/// The caller was not told that the connection ends, so a request may be under way: it is waited for a moment and
/// served.
void session::end_soon() {
  deadline_ = std::min(deadline_, steady::now() + drain_linger);
}

void session::close() {
  last_ = true;
  interrupt(interruption::daemon_ends);
}

void session::on_peer_closed() {
  interrupt(interruption::caller_left);
}

void session::on_sweep(steady::time_point now) {
  // A cancel misses what is just completing, and the walk may be waiting again.
  if (interrupted_ != interruption::none || (uploading_ && upload_stop_)) return cancel_waits();
  if (now >= overall_deadline_) return interrupt(interruption::max_duration);
  if (now >= deadline_) {
    switch (phase_) {
      case phase::idle:
      case phase::head:
      case phase::closing:
        return interrupt(interruption::too_slow);
      case phase::parked:
        return interrupt(interruption::park_timeout);
      case phase::dialling:
      case phase::waiting:
        return interrupt(interruption::function_timeout);
      case phase::uploading:
      case phase::streaming:
        return interrupt(interruption::stream_idle);
      case phase::tunnel:
        return;
    }
  }
  const bool waits = phase_ == phase::dialling || phase_ == phase::waiting || phase_ == phase::streaming;
  if (waits && now - phase_began_ >= watch_after && socket_.is_open()) {
    worker_.watch().add(*this, socket_.native_handle());
  }
}

}  // namespace rouse::gateway
