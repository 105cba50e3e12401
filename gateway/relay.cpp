// Bodies, in both directions at once, with bounded memory: a piece is read only when the piece before it has been
// written.

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/write.hpp>

#include "gateway/session.hpp"

namespace rouse::gateway {

namespace {

constexpr std::uint64_t most_held = 64 * 1024;  // a body up to this size can be sent again
constexpr std::size_t small_piece = 16 * 1024;
constexpr std::size_t large_piece = 64 * 1024;  // once a stream fills small ones
constexpr std::string_view continue_head = "HTTP/1.1 100 Continue\r\n\r\n";

void append_chunk_size(std::string& out, std::size_t size) {
  std::array<char, 16> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), size, 16).ptr;
  out.append(digits.data(), end);
  out += "\r\n";
}

void append_last_chunk(std::string& out, const std::string& trailers) {
  out += "0\r\n";
  out += trailers;
  out += "\r\n";
}

}  // namespace

std::size_t session::try_write(tcp_socket& to, std::string_view a, std::string_view b, std::string_view c,
                               error_code& ec) {
  const std::array<asio::const_buffer, 3> parts = {asio::buffer(a.data(), a.size()), asio::buffer(b.data(), b.size()),
                                                   asio::buffer(c.data(), c.size())};
  const std::size_t used = !c.empty() ? 3 : !b.empty() ? 2 : 1;
  std::size_t sent = 0;
  if (used == 1) {
    sent = to.write_some(parts[0], ec);
  } else {
    sent = to.write_some(parts, ec);
  }
  if (ec == asio::error::would_block || ec == asio::error::try_again) {
    ec = {};
    return 0;
  }
  return ec ? 0 : sent;
}

/// Writes what try_write left over. `a` may be the worker's scratch string: what is left of it is copied before
/// waiting.
awaitable<error_code> session::write_rest(tcp_socket& to, std::size_t sent, std::string_view a, std::string_view b,
                                          std::string_view c) {
  std::string kept;
  if (sent < a.size()) kept.assign(a.substr(sent));
  sent -= std::min(sent, a.size());
  const auto from_b = std::min(sent, b.size());
  sent -= from_b;
  std::array<std::string_view, 3> rest = {kept, b.substr(from_b), c.substr(std::min(sent, c.size()))};
  for (auto part : rest) {
    while (!part.empty()) {
      const auto [ec, n] = co_await to.async_write_some(asio::buffer(part.data(), part.size()), as_result);
      if (ec) co_return ec;
      part.remove_prefix(n);
      progress();
    }
  }
  co_return error_code();
}

void session::progress() {
  if (phase_ != phase::streaming && phase_ != phase::uploading) return;
  const auto allowed = limits_->stream_idle_timeout;
  deadline_ = allowed.count() ? steady::now() + allowed : steady::time_point::max();
}

// --- the request's body
// ------------------------------------------------------------------------------------------------

/// Looks at what of the body came with the head. Chunks are decoded in place, once, before any attempt.
bool session::prepare_body(answer& why) {
  auto* data = static_cast<char*>(in_.data().data()) + head_bytes_;
  const std::size_t size = in_.size() - head_bytes_;
  if (head_.body == http::framing::length) {
    const auto here = static_cast<std::size_t>(std::min<std::uint64_t>(size, head_.content_length));
    first_body_ = {data, here};
    first_consumed_ = here;
    body_left_ = head_.content_length - here;
    body_complete_ = body_left_ == 0;
    body_held_ = body_complete_ || (head_.idempotent && head_.content_length <= most_held);
  } else if (head_.body == http::framing::chunked) {
    if (!decoder_) decoder_.emplace();
    decoder_->reset();
    const auto step = decoder_->decode(data, size);
    if (step.bad) {
      why.status = 400;
      why.type = "bad-request";
      why.detail = std::string("the request's chunked body is not valid: ") + decoder_->detail();
      last_ = unread_ = true;
      return false;
    }
    first_body_ = {data, step.produced};
    first_consumed_ = step.consumed;
    body_complete_ = body_held_ = step.done;
  }
  bytes_in_ = first_body_.size();
  const auto limit = worker_.shared().server.limits.body_bytes;
  if (limit > 0 && bytes_in_ > limit) {
    why.status = 413;
    why.type = "body-too-large";
    why.detail = "the body is larger than `server.limits.body_bytes`";
    last_ = unread_ = true;
    return false;
  }
  return true;
}

/// Appends to the head what must stand before first_body_, and returns what must stand behind it.
std::string session::compose_request_tail(std::string& out) {
  std::string tail;
  if (head_.body != http::framing::chunked) return tail;
  if (!first_body_.empty()) {
    append_chunk_size(out, first_body_.size());
    tail = "\r\n";
  }
  if (body_complete_) append_last_chunk(tail, decoder_->trailers());
  return tail;
}

void session::begin_upload() {
  upload_stop_ = false;
  uploading_ = true;
  asio::co_spawn(worker_.context(), upload(), [this](const std::exception_ptr& failed) {
    uploading_ = false;
    if (failed) interrupt(interruption::daemon_ends);
    pause_.cancel();
  });
}

awaitable<void> session::upload() {
  if (head_.expect_continue && !continue_sent_ && first_consumed_ == 0 && head_.version == 11 && !response_began_) {
    continue_sent_ = true;
    error_code ec;
    const auto sent = try_write(socket_, continue_head, {}, {}, ec);
    if (!ec && sent < continue_head.size()) ec = co_await write_rest(socket_, sent, continue_head);
    if (ec && !upload_stop_) interrupt(interruption::caller_left);
    if (ec || upload_stop_) co_return;
  }
  if (!pump_) {
    pump_ = std::make_unique<boost::beast::flat_buffer>();
    const auto begun = head_bytes_ + first_consumed_;  // part of a chunk's head, when the body is chunked
    const std::size_t size = in_.size() - begun;
    if (size > 0) std::memcpy(pump_->prepare(size).data(), static_cast<const char*>(in_.data().data()) + begun, size);
    pump_->commit(size);
  }
  std::size_t want = small_piece;
  while (!body_complete_ && !upload_stop_) {
    std::size_t most = want;
    if (head_.body == http::framing::length) most = static_cast<std::size_t>(std::min<std::uint64_t>(most, body_left_));
    reading_body_ = true;
    const auto [ec, n] = co_await socket_.async_read_some(pump_->prepare(most), as_result);
    if (ec) {
      if (!upload_stop_) interrupt(interruption::caller_left);
      co_return;  // reading_body_ stays: it tells whose silence it was
    }
    reading_body_ = false;
    pump_->commit(n);
    progress();
    if (n == want) want = large_piece;
    const bool goes_on = co_await upload_piece();
    if (!goes_on) co_return;
  }
  if (body_complete_) request_is_sent();
}

/// Sends what the pump has. False when the upload is over before its end.
awaitable<bool> session::upload_piece() {
  auto* data = static_cast<char*>(pump_->data().data());
  std::size_t used = pump_->size();
  std::string_view body(data, used);
  std::string before;
  std::string behind;
  if (head_.body == http::framing::length) {
    body_left_ -= used;
    body_complete_ = body_left_ == 0;
    if (body_held_) held_.append(body);
  } else {
    const auto step = decoder_->decode(data, used);
    if (step.bad) {
      interrupt(interruption::bad_body);
      co_return false;
    }
    used = step.consumed;
    body = std::string_view(data, step.produced);
    body_complete_ = step.done;
    if (!body.empty()) {
      append_chunk_size(before, body.size());
      behind = "\r\n";
    }
    if (step.done) append_last_chunk(behind, decoder_->trailers());
  }
  bytes_in_ += body.size();
  const auto limit = worker_.shared().server.limits.body_bytes;
  if (limit > 0 && bytes_in_ > limit) {
    body_complete_ = false;
    interrupt(interruption::body_too_large);
    co_return false;
  }
  error_code ec;
  const auto total = before.size() + body.size() + behind.size();
  if (!upload_stop_ && total > 0) {
    const auto sent = try_write(upstream_->socket, before, body, behind, ec);
    if (!ec && sent < total) ec = co_await write_rest(upstream_->socket, sent, before, body, behind);
  }
  pump_->consume(used);
  // An instance that does not take the body may have answered: whoever reads its response finds out.
  co_return !ec && !upload_stop_;
}

void session::request_is_sent() {
  request_sent_ = true;
  if (phase_ == phase::uploading) enter(phase::waiting, limits_->timeout, steady::now());
}

/// Ends the upload coroutine and waits until it has ended.
awaitable<void> session::stop_upload() {
  upload_stop_ = true;
  error_code ignored;
  while (uploading_) {
    socket_.cancel(ignored);
    if (upstream_) upstream_->socket.cancel(ignored);
    pause_.expires_at(steady::time_point::max());
    co_await pause_.async_wait(as_result);
  }
}

// --- the response
// -------------------------------------------------------------------------------------------------------

/// Passes on an interim response. 100 is not: rouse has answered the caller's Expect itself.
awaitable<error_code> session::pass_interim() {
  error_code ec;
  if (response_.status != 100 && head_.version == 11) {
    auto& out = worker_.scratch();
    out.clear();
    http::compose_interim(out, response_);
    const auto sent = try_write(socket_, out, {}, {}, ec);
    if (!ec && sent < out.size()) ec = co_await write_rest(socket_, sent, out);
  }
  upstream_->in.consume(response_head_bytes_);
  co_return ec;
}

/// Composes the caller's head into the worker's scratch string.
void session::compose_caller_head() {
  const bool old_caller = head_.version < 11;
  switch (response_.body) {
    case http::framing::none:
      body_out_ = http::body_out::none;
      break;
    case http::framing::length:
      body_out_ = http::body_out::length;
      break;
    case http::framing::chunked:
    case http::framing::until_close:
      body_out_ = old_caller ? http::body_out::until_close : http::body_out::chunked;
      break;
  }
  http::reply_info info;
  info.caller_version = head_.version;
  info.keep_alive = announced_keep_ = keeps_connection() && body_out_ != http::body_out::until_close;
  info.body = body_out_;
  info.park_ms = park_ms_;
  info.cold_ms = cold_ms_;
  auto& out = worker_.scratch();
  out.clear();
  http::compose_response(out, response_, info);
  upstream_->in.consume(response_head_bytes_);
  response_left_ = response_.content_length;
}

/// What of the response's body stands in the upstream buffer; consumed once it is written.
bool session::next_piece(piece& next) {
  auto& in = upstream_->in;
  auto* data = static_cast<char*>(in.data().data());
  switch (response_.body) {
    case http::framing::none:
      next.done = true;
      return true;
    case http::framing::length:
      next.used = static_cast<std::size_t>(std::min<std::uint64_t>(in.size(), response_left_));
      next.body = {data, next.used};
      response_left_ -= next.used;
      next.done = response_left_ == 0;
      return true;
    case http::framing::until_close:
      next.used = in.size();
      next.body = {data, next.used};
      return true;
    case http::framing::chunked: {
      const auto step = response_decoder_->decode(data, in.size());
      if (step.bad) return false;
      next.used = step.consumed;
      next.body = {data, step.produced};
      next.done = step.done;
      return true;
    }
  }
  return false;
}

/// Sends one piece, in the caller's framing; the first one behind the head.
awaitable<error_code> session::send_piece(const piece& next, bool first) {
  auto& out = worker_.scratch();
  if (!first) out.clear();
  std::string behind;
  if (body_out_ == http::body_out::chunked) {
    if (!next.body.empty()) {
      append_chunk_size(out, next.body.size());
      behind = "\r\n";
    }
    if (next.done)
      append_last_chunk(behind, response_decoder_ && response_.body == http::framing::chunked
                                    ? response_decoder_->trailers()
                                    : std::string());
  }
  const auto total = out.size() + next.body.size() + behind.size();
  if (total == 0) co_return error_code();
  response_began_ = true;
  error_code ec;
  const auto sent = try_write(socket_, out, next.body, behind, ec);
  if (!ec && sent < total) ec = co_await write_rest(socket_, sent, out, next.body, behind);
  bytes_out_ += next.body.size();
  co_return ec;
}

awaitable<session::attempt_end> session::relay_response() {
  enter(phase::streaming, limits_->stream_idle_timeout, steady::now());
  if (response_.body == http::framing::chunked) {
    if (!response_decoder_) response_decoder_.emplace();
    response_decoder_->reset();
  }
  compose_caller_head();
  auto& in = upstream_->in;
  std::size_t want = small_piece;
  bool closed = false;
  for (bool first = true;; first = false) {
    piece next;
    if (!next_piece(next)) {
      if (!first) co_return attempt_end::broken;
      co_return refuse_response(std::string("the instance's chunked response is not valid: ") +
                                response_decoder_->detail());
    }
    if (closed) next.done = true;
    const auto ec = co_await send_piece(next, first);
    if (ec && interrupted_ == interruption::none) interrupted_ = interruption::caller_left;
    if (interrupted_ != interruption::none) co_return attempt_end::broken;
    in.consume(next.used);
    if (next.done) break;
    progress();
    const auto [read_ec, n] = co_await upstream_->socket.async_read_some(in.prepare(want), as_result);
    if (interrupted_ != interruption::none) co_return attempt_end::broken;
    if (read_ec) {
      // Only a response without a length may end with the connection, and only by a proper end.
      if (read_ec != asio::error::eof || response_.body != http::framing::until_close) co_return attempt_end::broken;
      closed = true;
    }
    in.commit(n);
    if (n == want) want = large_piece;
    progress();
  }
  co_await finish_response();
  co_return attempt_end::finished;
}

/// Keeps or ends the upstream connection, then gives the slot back.
awaitable<void> session::finish_response() {
  if (uploading_) {
    co_await stop_upload();
    announced_keep_ = false;  // the rest of the request's body is still to come, and nobody wants it
  }
  const bool reusable = response_.keep_alive && response_.body != http::framing::until_close && request_sent_ &&
                        upstream_->in.size() == 0;
  if (reusable) {
    upstream_->keep = std::chrono::seconds(response_.keep_alive_seconds);
    worker_.pool().put(std::move(upstream_), steady::now());
  }
  upstream_.reset();
  note_outcome(response_.status >= 500);
  slot_.reset();
}

}  // namespace rouse::gateway
