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
constexpr std::size_t first_room = 64 * 1024;
constexpr auto answer_time = 30s;  // for the store to say that it is durable
constexpr std::string_view continue_head = "HTTP/1.1 100 Continue\r\n\r\n";

void no_room(const memory_budget& budget, const char* what, std::string& detail) {
  detail = std::string("no memory is left for ") + what + ": bodies that rouse keeps take " +
           std::to_string(budget.used() >> 20U) + " MiB of at most " + std::to_string(budget.limit() >> 20U) + " MiB";
}

}  // namespace

/// Makes `out` large enough for so many bytes more, twice as large as it was where it has to move: memory is paid for
/// as the body comes, for a caller may declare much and send nothing. False with the answer when there is none.
bool session::make_body_room(std::string& out, std::size_t more, std::uint64_t most, memory_share& share, answer& why) {
  const auto needed = out.size() + more;
  if (needed <= share.bytes()) return true;
  auto room = std::max<std::uint64_t>(first_room, 2 * share.bytes());
  if (head_.body == http::framing::length) room = std::min(room, head_.content_length);
  room = body_complete_ ? needed : std::max<std::uint64_t>(needed, std::min(room, most));
  auto& budget = worker_.shared().bodies.callers;
  if (share.hold(room)) {
    make_room(out, static_cast<std::size_t>(room));
    return true;
  }
  why.status = 503;
  why.type = "queue-full";
  no_room(budget, "this body", why.detail);
  why.retry_after = 1;
  if (!body_complete_) last_ = unread_ = true;
  return false;
}

/// Appends what the caller sends, decoded. False with the answer, or with interrupted_ set.
awaitable<bool> session::read_whole_body(std::string& out, std::uint64_t most, memory_share& share, answer& why) {
  const auto too_large = [&] {
    why.status = 413;
    why.type = "body-too-large";
    why.detail = "the body is larger than " + std::to_string(most) + " bytes, the most that is kept here";
    last_ = unread_ = true;
    return false;
  };
  if (first_body_.size() > most || (head_.body == http::framing::length && head_.content_length > most))
    co_return too_large();
  if (!make_body_room(out, first_body_.size(), most, share, why)) co_return false;
  out.assign(first_body_);
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
      if (!make_body_room(out, pump_->size(), most, share, why)) co_return false;
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
      if (out.size() + step.produced > most) co_return too_large();
      if (!make_body_room(out, step.produced, most, share, why)) co_return false;
      out.append(data, step.produced);
      body_complete_ = step.done;
      pump_->consume(step.consumed);
    }
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
  auto& budget = worker_.shared().bodies.callers;
  most = std::min(most, budget.limit());
  std::string body;
  memory_share share(budget);
  if (!co_await read_whole_body(body, most, share, why)) {
    body = std::string();
    share.release();  // it may take a while to tell the caller
    co_return co_await end_hand_in(std::move(why));
  }
  traceparent_ = http::choose_traceparent(head_, worker_.random(), worker_.random(), worker_.random(), trace_scratch_);

  struct pending {
    session* waits = nullptr;  ///< while it does
    std::optional<intake_reply> reply;
    memory_share share;  ///< of the body, which is the store's when the caller has left
  };
  auto state = std::make_shared<pending>();
  state->waits = this;
  state->share = std::move(share);
  store.take(make_intake_request(std::move(body)), [state, &on = worker_](intake_reply reply) {
    state->share.release();
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
    const bool tell = worker_.shared().expose_errors && !reply.inside.empty();
    why.detail = std::move(tell ? reply.inside : reply.detail);
    why.retry_after = reply.retry_after;
    co_return co_await end_hand_in(std::move(why));
  }
  // Small ones have room: what was kept must be told.
  if (reply.body.size() > first_room && !state->share.hold(reply.body.size())) {
    why.status = 503;
    why.type = "queue-full";
    no_room(budget, "this response", why.detail);
    why.retry_after = 1;
    reply = intake_reply();
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
  local.head_only = true;
  local.caller_version = head_.version;
  http::compose_local(out, local);
  // Not copied behind its head: it may be large, and its reader slow.
  const bool bodiless = head_.method == "HEAD" || reply.status == 204 || reply.status == 304;
  const std::string_view body = bodiless ? std::string_view() : std::string_view(reply.body);
  error_code ec;
  const auto sent = try_write(socket_, out, body, {}, ec);
  if (!ec && sent < out.size() + body.size()) ec = co_await write_rest(socket_, sent, out, body);
  bytes_out_ += out.size() + body.size();
  end_exchange(reply.status);
  co_return keep && !ec && interrupted_ == interruption::none;
}

}  // namespace rouse::gateway
