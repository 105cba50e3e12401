// One request's walk: match -> take a slot or park -> forward (perhaps again) -> give the slot back.

#include <algorithm>
#include <cmath>

#include "activator/words.hpp"
#include "gateway/request_view.hpp"
#include "gateway/session.hpp"

namespace rouse::gateway {

namespace {

using namespace std::chrono_literals;
using activator::shed_reason;

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

}  // namespace

void session::begin_exchange() {
  began_ = steady::now();
  view_ = worker_.current_view();
  service_ = nullptr;
  revision_ = nullptr;
  limits_ = nullptr;
  counters_ = nullptr;
  metered_ = false;
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
  const auto& now = *view_->view;
  const auto found = now.routes->match(view_of(head_), route_scratch_);
  switch (found.error) {
    case router::route_error::none:
      target_ = found.target;
      kind_ = found.kind;
      if (kind_ == router::route_kind::function && head_.respond_async &&
          now.snapshot->functions[found.function].expose_async)
        kind_ = router::route_kind::async_function;
      if (kind_ != router::route_kind::function) {
        match_kept(found);
        return true;
      }
      revision_named_ = found.revision != router::route_match::not_named;
      if (choose(*now.services[found.function],
                 revision_named_
                     ? std::string_view(now.snapshot->functions[found.function].revisions[found.revision].name)
                     : std::string_view()))
        return true;
      [[fallthrough]];
    case router::route_error::no_revision:
      why.status = 404;
      why.type = "no-route";
      why.detail = "the function has no such revision";
      return false;
    case router::route_error::bad_target:
      why.status = 400;
      why.type = "bad-request";
      why.detail = "the path cannot be normalised: it has an invalid percent-escape or climbs above its root";
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

/// What is handed in chooses its revision when it is delivered.
void session::match_kept(const router::route_match& found) {
  const auto& now = *view_->view;
  kept_for_.clear();
  if (kind_ == router::route_kind::bus) kept_for_ = now.snapshot->buses[found.function].name;
  if (kind_ != router::route_kind::async_function) return;
  service_ = now.services[found.function].get();
  if (found.revision != router::route_match::not_named)
    kept_for_ = now.snapshot->functions[found.function].revisions[found.revision].name;
}

/// Sets the revision: the one of that name, or by lanes, stickiness and weights. False, and nothing has changed, when
/// there is none.
bool session::choose(const activator::service& among, std::string_view revision) {
  const activator::service::target* chosen = nullptr;
  if (revision.empty()) {
    auto& split = among.function->split_of(worker_.index());
    chosen = &among.targets[router::choose(*among.config, among.weights, view_of(head_), split)];
  } else {
    chosen = among.find(revision);
  }
  if (!chosen) return false;
  service_ = &among;
  revision_ = chosen->runtime.get();
  limits_ = chosen->config.get();
  counters_ = &revision_->counters_of(worker_.index());
  return true;
}

/// It counts as load of its revision from here on.
void session::arrive(steady::time_point at) {
  counters_->load.enter(steady_ns(at));
  metered_ = true;
}

/// Traffic was split anew while this request waited: the same function, as it is now. False where the function, or the
/// revision that the caller named, is not in the configuration any more: nothing else can answer the request.
bool session::choose_again() {
  const auto pin = worker_.current_view();
  const auto& functions = pin->view->snapshot->functions;
  const auto& name = service_->function->name;
  const auto at = std::ranges::lower_bound(functions, name, {}, &config::function::name);
  if (at == functions.end() || at->name != name) return false;
  if (later_views_.empty() || later_views_.back() != pin) later_views_.push_back(pin);
  const auto& service = *pin->view->services[static_cast<std::size_t>(at - functions.begin())];
  const std::string revision = revision_named_ ? revision_->name : std::string();
  auto* const before = counters_;
  if (!choose(service, revision)) return false;
  const auto now = steady::now();
  before->load.leave(steady_ns(now));
  arrive(now);
  return true;
}

bool session::admit_rate(answer& why) {
  const auto wait = service_->function->rate.try_take(steady_ns(began_));
  if (wait == 0) return true;
  counters_->shed_one(shed_reason::rate_limited);
  why.status = 429;
  why.type = "rate-limited";
  why.detail = "more requests come than `rate_limit` allows for this function";
  why.retry_after = static_cast<std::uint64_t>((wait + 999'999'999) / 1'000'000'000);
  return false;
}

/// Checks what can be refused whatever the function.
bool session::admit(answer& why) {
  const auto limit = worker_.shared().server.limits.body_bytes;
  if (limit > 0 && head_.body == http::framing::length && head_.content_length > limit) {
    why.status = 413;
    why.type = "body-too-large";
    why.detail = "the body has " + std::to_string(head_.content_length) + " bytes; at most " + std::to_string(limit) +
                 " are accepted";
    return false;
  }
  return prepare_body(why);
}

awaitable<void> session::pause(std::chrono::milliseconds time) {
  pause_.expires_after(time);
  co_await pause_.async_wait(as_result);
}

awaitable<bool> session::exchange() {
  begin_exchange();
  answer why;
  bool admitted = admit(why);
  kind_ = router::route_kind::function;
  if (admitted) admitted = match(why);
  if (admitted && kind_ != router::route_kind::function) co_return co_await hand_in();
  if (admitted) admitted = admit_rate(why);
  if (!admitted) {
    if (!counters_) worker_.stats().unmatched.add();
    const auto status = why.status;
    const bool keep = co_await refuse(std::move(why));
    end_exchange(status);
    co_return keep;
  }
  arrive(began_);
  traceparent_ = http::choose_traceparent(head_, worker_.random(), worker_.random(), worker_.random(), trace_scratch_);
  if (limits_->max_duration.count()) overall_deadline_ = began_ + limits_->max_duration;

  if (!co_await take_or_park(activator::parking_lot::turn::newcomer)) {
    co_return co_await conclude(attempt_end::refused);
  }
  // Fixed from here on: a retry may choose another revision, but what was counted up must be counted down.
  auto* const counted = counters_;
  counted->requests_in_flight.add();
  bool retrying = false;
  auto end = attempt_end::refused;
  for (unsigned tries = 1;; ++tries) {
    end = co_await attempt();
    if (end == attempt_end::untouched && !dial_.error().empty()) {
      if (co_await let_crash_be_seen(1s)) --counted_attempts_;
    }
    note_failure(end);
    if (!may_retry(end) || tries == most_tries) break;
    if (end == attempt_end::no_response && !on_reused_) co_await let_crash_be_seen(100ms);
    if (interrupted_ != interruption::none) break;
    if (!on_reused_ && !retrying) {
      if (!within_retry_budget()) {
        counters_->shed_one(shed_reason::retry_budget);
        break;
      }
      retrying = true;
      counted->retries_in_flight.add();
    }
    counters_->retries.add();
    upstream_.reset();
    slot_.reset();  // gives back before it takes
    if (!co_await take_or_park(activator::parking_lot::turn::retry)) {
      end = attempt_end::refused;
      break;
    }
  }
  if (retrying) counted->retries_in_flight.sub();
  counted->requests_in_flight.sub();
  co_return co_await conclude(end);
}

/// An instance that refuses connections, or closes a new one without an answer, has most likely just died, and the
/// control thread is about to learn of it (late on a machine that is short of CPU): waits so long for that, so that the
/// next try does not choose it again. True when it is gone.
awaitable<bool> session::let_crash_be_seen(std::chrono::milliseconds at_most) {
  const auto& on = slot_.on();
  for (auto waited = 0ms; waited < at_most && interrupted_ == interruption::none; waited += 5ms) {
    if (on.state() == router::instance_state::gone) co_return true;
    co_await pause(5ms);
  }
  co_return false;
}

bool session::may_retry(attempt_end end) const noexcept {
  if (interrupted_ != interruption::none || response_began_) return false;
  if (end != attempt_end::untouched && end != attempt_end::no_response) return false;
  if (end == attempt_end::no_response && !(head_.idempotent && body_held_)) return false;
  if (end == attempt_end::no_response && head_.upgrade_websocket && !on_reused_) return false;
  return on_reused_ || counted_attempts_ < limits_->retry.attempts;
}

/// At most `retry.budget` of the requests in flight may be in a second try, so that retries cannot bury a function that
/// is in trouble; three always may (as Envoy has it). Counted for each worker by itself.
bool session::within_retry_budget() const noexcept {
  if (limits_->retry.budget <= 0) return false;
  const auto allowed = limits_->retry.budget * static_cast<double>(counters_->requests_in_flight.get());
  return static_cast<double>(counters_->retries_in_flight.get()) < std::max(3.0, allowed);
}

/// Whether the instance did its part; many failures in a row take it out of service (lifecycle::look_for_sick).
void session::note_outcome(bool failed) {
  if (!slot_) return;
  auto& on = slot_.on();
  if (!failed) return on.succeeded();
  const auto limit = limits_->outlier.failures;
  if (limit > 0 && on.failed(limit)) revision_->wake(*revision_);
}

/// The same for an attempt that did not end with a response (finish_response() sees those).
void session::note_failure(attempt_end end) {
  if (end == attempt_end::finished) return;
  if (interrupted_ != interruption::none) {
    if (interrupted_ == interruption::function_timeout) note_outcome(true);
    return;  // the caller's doing, or ours
  }
  const bool stale = on_reused_ && (end == attempt_end::untouched || end == attempt_end::no_response);
  if (!stale) note_outcome(true);
}

/// A slot of the revision, or of the one that is chosen in its place while the request waits. One that has no other to
/// go to is served where it is, though that was closed. False with refusal_ set, or with interrupted_ set.
awaitable<bool> session::take_or_park(activator::parking_lot::turn as) {
  last_resort_ = false;
  activator::park_place kept;  // on the way from one queue to the next
  for (;;) {
    if (auto taken = revision_->lot.take(static_cast<std::uint32_t>(worker_.random()))) {
      slot_ = std::move(*taken);
      co_return true;
    }
    moved_ = false;
    if (co_await obtain_slot(as, kept)) co_return true;
    if (!moved_) co_return false;
    const auto* const before = revision_;
    last_resort_ = !choose_again();
    if (revision_ == before && !last_resort_) co_await pause(1ms);  // a newer view is on its way: let it come
    if (interrupted_ != interruption::none) co_return false;
    as = activator::parking_lot::turn::moved;
  }
}

/// Parks until a slot is granted. False with moved_ (and what it keeps), refusal_ or interrupted_ set.
awaitable<bool> session::obtain_slot(activator::parking_lot::turn as, activator::park_place& kept) {
  bool woken = false;  // the outcome may be read only then
  activator::waiter place(worker_.mailbox(), [this, &woken] {
    woken = true;
    pause_.cancel();
  });
  const auto parked_at = steady::now();
  const auto memory = session_memory + in_.capacity() + held_.capacity() + (pump_ ? pump_->capacity() : 0);
  switch (revision_->lot.park(place, memory, as, revision_named_, last_resort_, &kept)) {
    case activator::parking_lot::park_result::queue_full:
      counters_->shed_one(shed_reason::queue_full);
      refusal_ = answer();
      refusal_.status = 503;
      refusal_.type = "queue-full";
      refusal_.detail = "as many requests as `queue` allows wait for this function already";
      refusal_.retry_after = 1;
      co_return false;
    case activator::parking_lot::park_result::start_failed:
      co_return explain_failure(place.failure());
    case activator::parking_lot::park_result::moved:
      moved_ = true;
      co_return false;
    case activator::parking_lot::park_result::parked:
      break;
  }
  // Whoever is moved from one revision to another has waited already.
  const auto waited = std::chrono::milliseconds(static_cast<std::int64_t>(park_ms_.value_or(0)));
  const auto most = service_->config->queue.max_wait;
  const auto left = as == activator::parking_lot::turn::moved ? most - std::min(waited, most) : most;
  enter(phase::parked, std::max(left, std::chrono::milliseconds(1)), parked_at);
  if (worker_.closing()) interrupt(interruption::daemon_ends);
  worker_.watch().add(*this, socket_.native_handle());
  while (!woken && interrupted_ == interruption::none) {
    pause_.expires_at(steady::time_point::max());
    co_await pause_.async_wait(as_result);
  }
  const auto now = steady::now();
  park_ms_ = park_ms_.value_or(0) + milliseconds_between(parked_at, now);
  if (interrupted_ != interruption::none) co_return false;
  if (place.result() == activator::waiter::outcome::moved) {
    kept = place.take_place();
    moved_ = true;
    co_return false;
  }
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
  const bool full = failure && activator::is_for_room(failure->reason);
  counters_->shed_one(full ? shed_reason::no_capacity : shed_reason::start_failed);
  refusal_ = answer();
  refusal_.status = full ? 503 : 502;
  refusal_.type = full ? "no-capacity" : "start-failed";
  refusal_.detail =
      full ? "no pool of the function has room for an instance" : "no instance of the function could be started";
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
  dial_.clear_error();
  auto now = steady::now();
  upstream_ = worker_.pool().take(slot_.on(), head_.idempotent, now);
  if (!upstream_) {
    if (interrupted_ != interruption::none) co_return attempt_end::refused;
    enter(phase::dialling, limits_->timeout, now);
    upstream_ = co_await dial_.connect(slot_.on(), head_.idempotent);
    if (!upstream_) {
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
  info.fallback_host = service_->function->name;
  info.trusted = trusted_;
  info.request_id = request_id_;
  info.traceparent = traceparent_;
  info.chunked = head_.body == http::framing::chunked;
  http::compose_request(out, head_, info);
  const std::string tail = compose_request_tail(out);
  const std::string_view last = tail.empty() ? std::string_view(held_) : std::string_view(tail);
  enter(body_complete_ ? phase::waiting : phase::uploading,
        body_complete_ ? limits_->timeout : limits_->stream_idle_timeout, now);
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
  const auto text = [](std::chrono::milliseconds time) { return std::to_string(time.count()) + " ms"; };
  answer why;
  why.status = 504;
  why.type = "function-timeout";
  switch (interrupted_) {
    case interruption::park_timeout:
      if (revision_->no_room.load(std::memory_order_relaxed)) {
        why.status = 503;
        why.type = "no-capacity";
        why.detail = "no pool of the function had room for an instance within `queue.max_wait` (" +
                     text(service_->config->queue.max_wait) + ")";
        why.retry_after = 5;
        break;
      }
      why.type = "park-timeout";
      why.detail = "no instance had room within `queue.max_wait` (" + text(service_->config->queue.max_wait) + ")";
      break;
    case interruption::function_timeout:
      why.detail = "the function did not begin to answer within `timeout` (" + text(limits_->timeout) + ")";
      break;
    case interruption::max_duration:
      why.detail = "the exchange was not over within `max_duration` (" + text(limits_->max_duration) + ")";
      break;
    case interruption::stream_idle:
      if (reading_body_) {
        why.status = 408;
        why.type = "request-timeout";
      }
      why.detail = "the body did not move for `stream_idle_timeout` (" + text(limits_->stream_idle_timeout) + ")";
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
    worker_.linger(std::move(upstream_), std::move(slot_), limits_->stop_grace);
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
    counters_->shed_one(shed_reason::caller_left);
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
    why = explain_interruption();
    if (interrupted_ == interruption::park_timeout)
      counters_->shed_one(why.status == 503 ? shed_reason::no_capacity : shed_reason::park_timeout);
    if (interrupted_ == interruption::daemon_ends) counters_->shed_one(shed_reason::draining);
  } else if (end == attempt_end::refused) {
    why = std::move(refusal_);
  } else {
    why.detail = end == attempt_end::untouched ? "the instance could not be reached" + dial_.error()
                                               : "the instance closed the connection before it answered";
  }
  const auto* fallback = fallback_for(why.status);
  const auto status = fallback ? fallback->status : why.status;
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
    if (metered_) counters_->load.leave(steady_ns(now));  // not one that `rate_limit` refused: it is no load
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
    if (service_) entry.function = service_->function->name;
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
  service_ = nullptr;
  revision_ = nullptr;
  limits_ = nullptr;
  counters_ = nullptr;
  view_.reset();
  later_views_.clear();
  // Views into in_, which the next head overwrites or frees.
  request_id_ = traceparent_ = target_ = {};
}

}  // namespace rouse::gateway
