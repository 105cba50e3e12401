// Requests that are not forwarded: their body is read whole and handed to the intake, whose answer goes to the caller.

#include <algorithm>
#include <cstring>

#include "gateway/intake.hpp"
#include "gateway/request_view.hpp"
#include "gateway/session.hpp"

namespace rouse::gateway {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t read_size = 16 * 1024;
constexpr auto answer_time = 30s;  // for the store to say that it is durable
constexpr std::string_view continue_head = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

/// Appends what the caller sends, decoded. False with the answer, or with interrupted_ set.
awaitable<bool> session::read_whole_body(std::string& out, std::uint64_t most, answer& why) {
  const auto too_large = [&] {
    why.status = 413;
    why.type = "body-too-large";
    why.detail = "the body is larger than " + std::to_string(most) + " bytes, the most that is kept here";
    last_ = unread_ = true;
    return false;
  };
  out.assign(first_body_);
  if (out.size() > most || (head_.body == http::framing::length && head_.content_length > most)) co_return too_large();
  if (body_complete_) co_return true;
  if (head_.expect_continue && first_consumed_ == 0 && head_.version == 11) {
    error_code ec;
    const auto sent = try_write(socket_, continue_head, {}, {}, ec);
    if (!ec && sent < continue_head.size()) ec = co_await write_rest(socket_, sent, continue_head);
    if (ec) interrupt(interruption::caller_left);
  }
  pump_ = std::make_unique<boost::beast::flat_buffer>();
  const auto begun = head_bytes_ + first_consumed_;  // part of a chunk's head, when the body is chunked
  if (const std::size_t size = in_.size() - begun; size > 0) {
    std::memcpy(pump_->prepare(size).data(), static_cast<const char*>(in_.data().data()) + begun, size);
    pump_->commit(size);
  }
  while (!body_complete_ && interrupted_ == interruption::none) {
    enter(phase::head, worker_.shared().server.limits.idle_timeout, steady::now());
    std::size_t want = read_size;
    if (head_.body == http::framing::length) want = static_cast<std::size_t>(std::min<std::uint64_t>(want, body_left_));
    const auto [ec, n] = co_await socket_.async_read_some(pump_->prepare(want), as_result);
    if (ec) {
      if (interrupted_ == interruption::none) interrupt(interruption::caller_left);
      break;
    }
    pump_->commit(n);
    auto* const data = static_cast<char*>(pump_->data().data());
    if (head_.body == http::framing::length) {
      out.append(data, pump_->size());
      body_left_ -= pump_->size();
      body_complete_ = body_left_ == 0;
      pump_->consume(pump_->size());
    } else {
      const auto step = decoder_->decode(data, pump_->size());
      if (step.bad) {
        why.status = 400;
        why.type = "bad-request";
        why.detail = std::string("the request's chunked body is not valid: ") + decoder_->detail();
        last_ = unread_ = true;
        co_return false;
      }
      out.append(data, step.produced);
      body_complete_ = step.done;
      pump_->consume(step.consumed);
    }
    if (out.size() > most) co_return too_large();
  }
  bytes_in_ = out.size();
  co_return interrupted_ == interruption::none;
}

/// What stays of the request once its body has been read.
intake_request session::make_intake_request(std::string body) {
  intake_request ask;
  ask.method = head_.method;
  switch (kind_) {
    case router::route_kind::bus:
      ask.what = intake_request::kind::event;
      ask.name = kept_for_;
      for (const auto& field : head_.fields) ask.fields.emplace_back(field.name, field.value);
      break;
    case router::route_kind::invocation:
      ask.what = intake_request::kind::invocation;
      ask.name = target_;
      break;
    case router::route_kind::function:
    case router::route_kind::async_function: {
      ask.what = intake_request::kind::invoke;
      ask.name = service_->function->name;
      ask.revision = kept_for_;
      if (std::string key; field_value(&head_, "idempotency-key", key)) ask.idempotency_key = std::move(key);
      // As it is to arrive: with who called, but of a known length.
      http::forward_info info;
      info.target = target_;
      info.caller = caller_;
      info.fallback_host = service_->function->name;
      info.trusted = trusted_;
      info.request_id = request_id_;
      info.traceparent = traceparent_;
      head_.body = body.empty() && head_.body == http::framing::none ? http::framing::none : http::framing::length;
      head_.content_length = body.size();
      http::compose_request(ask.head, head_, info);
      break;
    }
  }
  ask.body = std::move(body);
  return ask;
}

/// True when the connection can carry another request.
awaitable<bool> session::hand_in() {
  answer why;
  auto& store = *worker_.shared().events;
  const auto kind = kind_ == router::route_kind::bus          ? intake_request::kind::event
                    : kind_ == router::route_kind::invocation ? intake_request::kind::invocation
                                                              : intake_request::kind::invoke;
  auto most =
      store.most_body(kind, service_ ? std::string_view(service_->function->name) : std::string_view(kept_for_));
  if (const auto limit = worker_.shared().server.limits.body_bytes; limit > 0) most = std::min(most, limit);
  std::string body;
  if (!co_await read_whole_body(body, most, why)) co_return co_await end_hand_in(std::move(why));
  traceparent_ = http::choose_traceparent(head_, worker_.random(), worker_.random(), worker_.random(), trace_scratch_);

  struct pending {
    session* waits = nullptr;  ///< while it does
    std::optional<intake_reply> reply;
  };
  auto state = std::make_shared<pending>();
  state->waits = this;
  store.take(make_intake_request(std::move(body)), [state, &on = worker_](intake_reply reply) {
    auto moved = std::make_shared<intake_reply>(std::move(reply));
    on.post([state, moved] {
      state->reply = std::move(*moved);
      if (state->waits) state->waits->pause_.cancel();
    });
  });
  enter(phase::head, answer_time, steady::now());
  worker_.watch().add(*this, socket_.native_handle());
  while (!state->reply && interrupted_ == interruption::none) {
    pause_.expires_at(steady::time_point::max());
    co_await pause_.async_wait(as_result);
  }
  state->waits = nullptr;
  if (interrupted_ != interruption::none) {
    why.status = 503;
    why.type = interrupted_ == interruption::daemon_ends ? "draining" : "storage-failed";
    why.detail = interrupted_ == interruption::daemon_ends
                     ? "rouse is shutting down; it is not known whether this was kept"
                     : "the store did not answer in time; it is not known whether this was kept";
    why.retry_after = 5;
    co_return co_await end_hand_in(std::move(why));
  }
  auto& reply = *state->reply;
  if (reply.status >= 400 && reply.fields.empty()) {
    why.status = reply.status;
    why.type = reply.type;
    why.detail = std::move(reply.detail);
    why.retry_after = reply.retry_after;
    co_return co_await end_hand_in(std::move(why));
  }
  co_return co_await answer_kept(reply);
}

/// The error goes to the caller, unless that has left.
awaitable<bool> session::end_hand_in(answer why) {
  if (interrupted_ == interruption::caller_left) {
    reset_connection();
    end_exchange(499);
    co_return false;
  }
  if (interrupted_ == interruption::too_slow && why.detail.empty()) {
    why.status = 408;
    why.type = "request-timeout";
    why.detail = "the body did not arrive in time";
  }
  if (interrupted_ == interruption::daemon_ends && why.detail.empty()) {
    why.status = 503;
    why.type = "draining";
    why.detail = "rouse is shutting down";
    why.retry_after = 5;
  }
  const auto status = why.status;
  service_ = nullptr;  // a function's `fallback` is for those who wait for its answer
  const bool keep = co_await refuse(std::move(why));
  end_exchange(status);
  co_return keep;
}

awaitable<bool> session::answer_kept(const intake_reply& reply) {
  enter(phase::closing, answer_time, steady::now());
  const bool keep = keeps_connection() && !worker_.closing();
  if (!keep) last_ = true;
  std::string out;
  http::local_reply local;
  local.status = reply.status;
  local.fields = &reply.fields;
  local.body = reply.body;
  local.request_id = request_id_;
  local.keep_alive = keep;
  local.head_only = head_.method == "HEAD";
  local.caller_version = head_.version;
  http::compose_local(out, local);
  error_code ec;
  const auto sent = try_write(socket_, out, {}, {}, ec);
  if (!ec && sent < out.size()) ec = co_await write_rest(socket_, sent, out);
  bytes_out_ += out.size();
  end_exchange(reply.status);
  co_return keep && !ec && interrupted_ == interruption::none;
}

}  // namespace rouse::gateway
