// One request's walk: match -> take a slot or park -> forward (perhaps again) -> give the slot back.

#include <algorithm>
#include <cmath>

#include "gateway/session.hpp"

namespace rouse::gateway {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t session_memory = 2048;  // what a parked request costs besides its buffers, about
constexpr unsigned most_tries = 64;           // over stale pooled connections and counted attempts together
constexpr std::size_t response_read = 16 * 1024;

double milliseconds_between(steady::time_point from, steady::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

std::int64_t steady_ns(steady::time_point at) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(at.time_since_epoch()).count();
}

std::uint64_t seconds_until(steady::time_point when) {
  const auto left = std::chrono::ceil<std::chrono::seconds>(when - steady::now()).count();
  return static_cast<std::uint64_t>(std::max<std::int64_t>(1, left));
}

std::string_view without_port(std::string_view host) {
  const auto bracket = host.rfind(']');
  const auto colon = host.rfind(':');
  if (colon == std::string_view::npos || (bracket != std::string_view::npos && colon < bracket)) return host;
  return host.substr(0, colon);
}

/// router::request_view::field over a request_head: all values of one name, joined as HTTP joins them.
bool field_value(const void* fields, std::string_view name, std::string& value) {
  const auto& head = *static_cast<const http::request_head*>(fields);
  bool found = false;
  value.clear();
  for (const auto& field : head.fields) {
    const bool same = field.name.size() == name.size() &&
                      std::equal(name.begin(), name.end(), field.name.begin(), [](char wanted, char sent) {
                        return wanted == (sent >= 'A' && sent <= 'Z' ? static_cast<char>(sent + 32) : sent);
                      });
    if (!same) continue;
    if (found) value += ", ";
    value += field.value;
    found = true;
  }
  return found;
}

}  // namespace

void session::begin_exchange() {
  began_ = steady::now();
  function_ = nullptr;
  counters_ = nullptr;
  overall_deadline_ = steady::time_point::max();
  park_ms_.reset();
  cold_ms_.reset();
  counted_attempts_ = 0;
  bytes_in_ = bytes_out_ = 0;
  first_body_ = {};
  first_consumed_ = 0;
  body_left_ = 0;
  body_complete_ = head_.body == http::framing::none;
  body_held_ = true;
  held_.clear();
  upload_stop_ = reading_body_ = request_sent_ = continue_sent_ = response_began_ = false;
  request_id_ = http::choose_request_id(head_, worker_.random(), worker_.random(), id_scratch_);
}

/// Finds the function; false with the answer when there is none.
bool session::match(answer& why) {
  router::request_view view;
  view.method = head_.method;
  view.host = without_port(head_.host);
  view.target = head_.target;
  view.fields = &head_;
  view.field = &field_value;
  const auto found = worker_.shared().routes.match(view, route_scratch_);
  switch (found.error) {
    case router::route_error::none:
      target_ = found.target;
      function_ = &worker_.shared().functions.at(found.function);
      counters_ = &worker_.stats().of(found.function);
      return true;
    case router::route_error::bad_target:
      why.status = 400;
      why.type = "bad-request";
      why.detail = "the path cannot be normalised: it has an invalid percent-escape or climbs above its root";
      return false;
    case router::route_error::no_revision:
      why.status = 404;
      why.type = "no-route";
      why.detail = "the function has no such revision";
      return false;
    case router::route_error::no_route:
      break;
  }
  why.status = 404;
  why.type = "no-route";
  why.detail =
      "no route and no function URL matches this host and path; see `routes` and `functions` in the configuration";
  return false;
}

/// Checks what can be refused whatever the function.
bool session::admit(answer& why) {
  const auto limit = worker_.shared().snapshot.server.limits.body_bytes;
  if (limit > 0 && head_.body == http::framing::length && head_.content_length > limit) {
    why.status = 413;
    why.type = "body-too-large";
    why.detail = "the body has " + std::to_string(head_.content_length) + " bytes; at most " + std::to_string(limit) +
                 " are accepted";
    return false;
  }
  return prepare_body(why);
}

awaitable<bool> session::exchange() {
  begin_exchange();
  answer why;
  bool admitted = admit(why);
  if (admitted) admitted = match(why);
  if (!admitted) {
    if (!counters_) worker_.stats().unmatched.add();
    const auto status = why.status;
    const bool keep = co_await refuse(std::move(why));
    end_exchange(status);
    co_return keep;
  }
  const auto& limits = function_->config;
  traceparent_ = http::choose_traceparent(head_, worker_.random(), worker_.random(), worker_.random(), trace_scratch_);
  if (limits.max_duration.count()) overall_deadline_ = began_ + limits.max_duration;

  if (auto taken = function_->lot.take(static_cast<std::uint32_t>(worker_.random()))) {
    slot_ = std::move(*taken);
  } else if (!co_await obtain_slot(false)) {
    co_return co_await conclude(attempt_end::refused);
  }
  counters_->requests_in_flight.add();
  auto end = attempt_end::refused;
  for (unsigned tries = 1;; ++tries) {
    end = co_await attempt();
    if (end == attempt_end::untouched && !connect_error_.empty()) co_await let_crash_be_seen();
    if (!may_retry(end) || tries == most_tries) break;
    counters_->retries.add();
    upstream_.reset();
    slot_.reset();  // gives back before it takes
    if (auto taken = function_->lot.take(static_cast<std::uint32_t>(worker_.random()))) {
      slot_ = std::move(*taken);
    } else if (!co_await obtain_slot(true)) {
      end = attempt_end::refused;
      break;
    }
  }
  counters_->requests_in_flight.sub();
  co_return co_await conclude(end);
}

/// An instance that refuses connections has most likely just died, and the control thread is about to learn of it (late
/// on a machine that is short of CPU): waits at most a second for that, so that the next try does not choose it again.
/// Such a try is not counted.
awaitable<void> session::let_crash_be_seen() {
  const auto& on = slot_.on();
  for (int i = 0; i < 200 && interrupted_ == interruption::none; ++i) {
    if (on.state() == router::instance_state::gone) {
      --counted_attempts_;
      break;
    }
    co_await pause(5ms);
  }
}

bool session::may_retry(attempt_end end) const noexcept {
  if (interrupted_ != interruption::none || response_began_) return false;
  if (end != attempt_end::untouched && end != attempt_end::no_response) return false;
  if (end == attempt_end::no_response && !(head_.idempotent && body_held_)) return false;
  if (end == attempt_end::no_response && head_.upgrade_websocket && !on_reused_) return false;
  return on_reused_ || counted_attempts_ < function_->config.retry.attempts;
}

/// Parks until a slot is granted. False with refusal_ set, or with interrupted_ set.
awaitable<bool> session::obtain_slot(bool at_head) {
  bool woken = false;  // the outcome may be read only then
  activator::waiter place(worker_.mailbox(), [this, &woken] {
    woken = true;
    pause_.cancel();
  });
  const auto parked_at = steady::now();
  const auto memory = session_memory + in_.capacity() + held_.capacity() + (pump_ ? pump_->capacity() : 0);
  switch (function_->lot.park(place, memory, at_head)) {
    case activator::parking_lot::park_result::queue_full:
      counters_->shed[static_cast<std::size_t>(shed_reason::queue_full)].add();
      refusal_ = answer();
      refusal_.status = 503;
      refusal_.type = "queue-full";
      refusal_.detail = "as many requests as `queue` allows wait for this function already";
      refusal_.retry_after = 1;
      co_return false;
    case activator::parking_lot::park_result::start_failed:
      co_return explain_failure(function_->lot.failure());
    case activator::parking_lot::park_result::parked:
      break;
  }
  enter(phase::parked, function_->config.queue.max_wait, parked_at);
  if (worker_.closing()) interrupt(interruption::daemon_ends);
  worker_.watch().add(*this, socket_.native_handle());
  while (!woken && interrupted_ == interruption::none) {
    pause_.expires_at(steady::time_point::max());
    co_await pause_.async_wait(as_result);
  }
  const auto now = steady::now();
  park_ms_ = park_ms_.value_or(0) + milliseconds_between(parked_at, now);
  if (interrupted_ != interruption::none) co_return false;
  if (place.result() == activator::waiter::outcome::failed) co_return explain_failure(place.failure());
  slot_ = place.take_slot();
  const auto& on = slot_.on();
  if (on.ready_ns() > steady_ns(parked_at)) {
    cold_ms_ = static_cast<double>(on.ready_ns() - std::max(on.decided_ns(), steady_ns(parked_at))) / 1e6;
  }
  co_return true;
}

/// Sets refusal_ for a start that failed. Always false, for obtain_slot().
bool session::explain_failure(const std::shared_ptr<const activator::start_failure>& failure) {
  counters_->shed[static_cast<std::size_t>(shed_reason::start_failed)].add();
  refusal_ = answer();
  refusal_.status = 502;
  refusal_.type = "start-failed";
  refusal_.detail = "no instance of the function could be started";
  if (!failure) return false;
  refusal_.retry_after = seconds_until(failure->retry_at);
  if (!worker_.shared().expose_errors) return false;
  refusal_.detail = failure->detail;
  if (!failure->last_lines.empty()) refusal_.detail += "; the last lines it wrote:";
  for (const auto& line : failure->last_lines) refusal_.detail += "\n" + line;
  return false;
}

/// One try on the instance of slot_.
awaitable<session::attempt_end> session::attempt() {
  request_sent_ = wrote_any_ = on_reused_ = false;
  connect_error_.clear();
  auto now = steady::now();
  upstream_ = worker_.pool().take(slot_.on(), head_.idempotent, now);
  if (!upstream_) {
    if (!co_await connect()) {
      ++counted_attempts_;
      co_return attempt_end::untouched;
    }
    now = steady::now();
  }
  if (interrupted_ != interruption::none) co_return attempt_end::refused;  // nothing is written yet
  on_reused_ = upstream_->reused;
  if (!on_reused_) ++counted_attempts_;

  // The head, what has come of the body, and nothing else in one send.
  auto& out = worker_.scratch();
  out.clear();
  http::forward_info info;
  info.target = target_;
  info.caller = caller_;
  info.fallback_host = function_->config.name;
  info.trusted = trusted_;
  info.request_id = request_id_;
  info.traceparent = traceparent_;
  info.chunked = head_.body == http::framing::chunked;
  http::compose_request(out, head_, info);
  const std::string tail = compose_request_tail(out);
  const std::string_view last = tail.empty() ? std::string_view(held_) : std::string_view(tail);
  enter(body_complete_ ? phase::waiting : phase::uploading,
        body_complete_ ? function_->config.timeout : function_->config.stream_idle_timeout, now);
  error_code ec;
  auto sent = try_write(upstream_->socket, out, first_body_, last, ec);
  const auto total = out.size() + first_body_.size() + last.size();
  if (sent > 0) wrote_any_ = true;
  if (!ec && sent < total) {
    wrote_any_ = true;  // perhaps: what a suspended send wrote is not known when it fails
    ec = co_await write_rest(upstream_->socket, sent, out, first_body_, last);
  }
  if (interrupted_ != interruption::none) co_return attempt_end::refused;
  if (ec && !wrote_any_) co_return attempt_end::untouched;
  // After an error the instance may still have answered before it closed, so the answer is looked for in any case.
  if (!ec) {
    if (body_complete_) {
      request_sent_ = true;
    } else {
      begin_upload();
    }
  }
  if (interrupted_ != interruption::none) co_return attempt_end::refused;

  auto& in = upstream_->in;
  std::size_t looked_at = 0;
  bool interim_came = false;
  for (;;) {
    if (in.size() > 0) {
      const std::string_view seen(static_cast<const char*>(in.data().data()), in.size());
      const auto parsed = http::parse_response(seen, response_head_limit, head_.method, response_, looked_at);
      if (parsed.what == http::parse_result::kind::refused) {
        co_return refuse_response("the instance's response is not valid HTTP: " + parsed.why.detail);
      }
      if (parsed.what == http::parse_result::kind::done) {
        response_head_bytes_ = parsed.head_bytes;
        if (response_.status >= 200 || response_.status == 101) slot_.answered();
        if (response_.status >= 200) break;
        if (response_.status == 101) {
          if (!head_.upgrade_websocket)
            co_return refuse_response("the instance switched protocols without being asked to");
          co_return co_await tunnel();
        }
        interim_came = true;
        looked_at = 0;
        if (const auto interim = co_await pass_interim(); interim || interrupted_ != interruption::none) {
          if (interim) response_began_ = true;  // it may be cut: nothing can be said after it
          if (interim) interrupt(interruption::caller_left);
          co_return attempt_end::refused;
        }
        continue;
      }
      looked_at = in.size();
    }
    const auto [read_ec, n] = co_await upstream_->socket.async_read_some(in.prepare(response_read), as_result);
    if (interrupted_ != interruption::none) co_return attempt_end::refused;
    if (read_ec) {
      if (uploading_) co_await stop_upload();
      if (interrupted_ != interruption::none) co_return attempt_end::refused;
      if (in.size() > 0)
        co_return refuse_response("the instance closed the connection in the middle of its response's head");
      if (interim_came) co_return refuse_response("the instance closed the connection before its final response");
      co_return wrote_any_ ? attempt_end::no_response : attempt_end::untouched;
    }
    in.commit(n);
  }
  co_return co_await relay_response();
}

session::attempt_end session::refuse_response(std::string detail) {
  refusal_ = answer();
  refusal_.detail = std::move(detail);
  return attempt_end::refused;
}

/// What to tell the caller of an exchange that was interrupted before its response began.
session::answer session::explain_interruption() const {
  const auto& config = function_->config;
  const auto text = [](std::chrono::milliseconds time) { return std::to_string(time.count()) + " ms"; };
  answer why;
  why.status = 504;
  why.type = "function-timeout";
  switch (interrupted_) {
    case interruption::park_timeout:
      why.type = "park-timeout";
      why.detail = "no instance had room within `queue.max_wait` (" + text(config.queue.max_wait) + ")";
      break;
    case interruption::function_timeout:
      why.detail = "the function did not begin to answer within `timeout` (" + text(config.timeout) + ")";
      break;
    case interruption::max_duration:
      why.detail = "the exchange was not over within `max_duration` (" + text(config.max_duration) + ")";
      break;
    case interruption::stream_idle:
      if (reading_body_) {
        why.status = 408;
        why.type = "request-timeout";
      }
      why.detail = "the body did not move for `stream_idle_timeout` (" + text(config.stream_idle_timeout) + ")";
      break;
    case interruption::bad_body:
      why.status = 400;
      why.type = "bad-request";
      why.detail = std::string("the request's chunked body is not valid: ") + (decoder_ ? decoder_->detail() : "");
      break;
    case interruption::body_too_large:
      why.status = 413;
      why.type = "body-too-large";
      why.detail = "the body is larger than `server.limits.body_bytes`";
      break;
    case interruption::daemon_ends:
      why.status = 503;
      why.type = "draining";
      why.detail = "rouse is shutting down";
      why.retry_after = 5;
      break;
    case interruption::none:
    case interruption::caller_left:
    case interruption::too_slow:
      why.detail = "interrupted";
      break;
  }
  return why;
}

/// Leaves the upstream connection to end by itself; the slot stays taken until it has.
void session::abandon_upstream() {
  if (!upstream_) return slot_.reset();
  if (wrote_any_ && phase_ != phase::tunnel && slot_) {
    worker_.linger(std::move(upstream_), std::move(slot_), function_->config.stop_grace);
  }
  upstream_.reset();
  slot_.reset();
}

/// Ends the exchange: the answer to the caller where none has gone out, and the counting. True when the connection goes
/// on.
awaitable<bool> session::conclude(attempt_end end) {
  if (uploading_) co_await stop_upload();
  if (end == attempt_end::finished) {
    const bool keep = announced_keep_ && body_complete_ && interrupted_ == interruption::none;
    if (!body_complete_) unread_ = true;
    end_exchange(response_.status);
    co_return keep;
  }
  abandon_upstream();
  if (interrupted_ == interruption::caller_left) {
    counters_->shed[static_cast<std::size_t>(shed_reason::caller_left)].add();
    reset_connection();
    end_exchange(499);
    co_return false;
  }
  if (response_began_) {
    reset_connection();
    end_exchange(response_.status);
    co_return false;
  }
  answer why;
  if (interrupted_ != interruption::none) {
    if (interrupted_ == interruption::park_timeout)
      counters_->shed[static_cast<std::size_t>(shed_reason::park_timeout)].add();
    if (interrupted_ == interruption::daemon_ends)
      counters_->shed[static_cast<std::size_t>(shed_reason::draining)].add();
    why = explain_interruption();
  } else if (end == attempt_end::refused) {
    why = std::move(refusal_);
  } else {
    why.detail = end == attempt_end::untouched ? "the instance could not be reached" + connect_error_
                                               : "the instance closed the connection before it answered";
  }
  const auto status = why.status;
  overall_deadline_ = steady::time_point::max();
  const bool keep = co_await refuse(std::move(why));
  end_exchange(status);
  co_return keep;
}

/// Counts and logs. Nothing of the exchange is held after it.
void session::end_exchange(unsigned status) {
  const auto now = steady::now();
  const auto took = now - began_;
  if (counters_) {
    counters_->by_code[status - 100].add();
    counters_->request_duration.observe(static_cast<std::uint64_t>(std::chrono::nanoseconds(took).count()));
    if (park_ms_) counters_->park_duration.observe(static_cast<std::uint64_t>(*park_ms_ * 1e6));
  }
  overall_deadline_ = steady::time_point::max();
  auto& access = worker_.shared().access;
  if (access.enabled()) {
    access_entry entry;
    entry.at = std::chrono::system_clock::now();
    entry.peer = caller_;
    entry.method = head_.method;
    entry.target = head_.target;
    entry.host = head_.host;
    if (function_) entry.function = function_->config.name;
    entry.request_id = request_id_;
    std::string agent;
    std::string referer;
    if (field_value(&head_, "user-agent", agent)) entry.user_agent = agent;
    if (field_value(&head_, "referer", referer)) entry.referer = referer;
    entry.status = status;
    entry.bytes_out = bytes_out_;
    entry.bytes_in = bytes_in_;
    entry.duration_ms = milliseconds_between(began_, now);
    entry.park_ms = park_ms_.value_or(0);
    entry.cold = cold_ms_.has_value();
    entry.version = head_.version;
    access.write(entry);
  }
  function_ = nullptr;
  counters_ = nullptr;
  // Views into in_, which the next head overwrites or frees.
  request_id_ = traceparent_ = target_ = {};
}

}  // namespace rouse::gateway
