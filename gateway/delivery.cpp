#include "gateway/delivery.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "activator/words.hpp"
#include "gateway/request_view.hpp"

namespace rouse::gateway {

namespace {

using namespace std::chrono_literals;
using activator::shed_reason;

constexpr unsigned most_tries = 64;  // over stale pooled connections
constexpr std::size_t response_head_limit = 256 * 1024;
constexpr std::size_t read_size = 16 * 1024;
constexpr auto memory_pause = 20ms;  // until it is looked again whether there is room for a reply

std::int64_t steady_ns(steady::time_point at) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(at.time_since_epoch()).count();
}

bool is_hop_by_hop(http::known id) {
  using http::known;
  switch (id) {
    case known::connection:
    case known::keep_alive:
    case known::proxy_connection:
    case known::te:
    case known::trailer:
    case known::transfer_encoding:
    case known::upgrade:
    case known::content_length:
    case known::connection_listed:
      return true;
    default:
      return false;
  }
}

std::string text_of(std::chrono::milliseconds time) {
  return std::to_string(time.count()) + " ms";
}

}  // namespace

delivery::delivery(worker& on, const delivery_request& what)
    : worker_(on), what_(what), pause_(on.context()), dial_(on, pause_), began_(steady::now()) {
  [[maybe_unused]] const auto parsed = http::parse_request(what_.head, what_.head.size(), head_);
  assert(parsed.what == http::parse_result::kind::done && "rouse composed it");
  worker_.sweep(*this);
  worker_.join(*this);
}

delivery::~delivery() {
  upstream_.reset();
  slot_.reset();
  if (counters_) counters_->load.leave(steady_ns(steady::now()));
}

// --- a slot
// --------------------------------------------------------------------------------------------------------------

/// Sets the revision by the worker's view of now.
bool delivery::choose() {
  const auto before = std::move(view_);  // what counters_ points to lives in it
  view_ = worker_.current_view();
  const auto& functions = view_->view->snapshot->functions;
  const auto at = std::ranges::lower_bound(functions, what_.function, {}, &config::function::name);
  if (at == functions.end() || at->name != what_.function)
    return refuse("no-route", "there is no function " + std::string(what_.function) + " in the configuration", 1s);
  const auto& among = *view_->view->services[static_cast<std::size_t>(at - functions.begin())];
  const activator::service::target* chosen = nullptr;
  if (what_.revision.empty()) {
    auto& split = among.function->split_of(worker_.index());
    chosen = &among.targets[router::choose(*among.config, among.weights, view_of(head_), split)];
  } else {
    chosen = among.find(what_.revision);
  }
  if (!chosen) return refuse("no-route", "the function has no revision " + std::string(what_.revision), 1s);
  const auto now = steady_ns(steady::now());
  if (revision_ == nullptr) {
    if (const auto wait = among.function->rate.try_take(now); wait != 0)
      return refuse("rate-limited", "more requests come than `rate_limit` allows for this function",
                    std::chrono::milliseconds(wait / 1'000'000 + 1));
  }
  if (counters_) counters_->load.leave(now);
  revision_ = chosen->runtime.get();
  limits_ = chosen->config.get();
  counters_ = &revision_->counters_of(worker_.index());
  counters_->load.enter(now);
  return true;
}

awaitable<bool> delivery::acquire() {
  for (;;) {
    const auto* const before = revision_;
    if (!choose()) co_return false;
    if (revision_ == before) co_await pause(1ms);  // it was moved, and a newer view is on its way: let it come
    if (interrupted_ != interruption::none) co_return refuse_interrupted();
    if (auto taken = revision_->lot.take(static_cast<std::uint32_t>(worker_.random()))) {
      slot_ = std::move(*taken);
      co_return true;
    }
    bool moved = false;
    if (co_await park(moved)) co_return true;
    if (!moved) co_return false;
  }
}

/// A ticket in the revision's queue. False with a result(), or with `moved`.
awaitable<bool> delivery::park(bool& moved) {
  bool woken = false;
  activator::waiter place(worker_.mailbox(), [this, &woken] {
    woken = true;
    pause_.cancel();
  });
  const auto parked_at = steady::now();
  switch (revision_->lot.park(place, 0, activator::parking_lot::turn::ticket, !what_.revision.empty())) {
    case activator::parking_lot::park_result::start_failed:
      co_return refuse_start(place.failure());
    case activator::parking_lot::park_result::moved:
      moved = true;
      co_return false;
    case activator::parking_lot::park_result::queue_full:  // not of a ticket
    case activator::parking_lot::park_result::parked:
      break;
  }
  parked_ = true;
  while (!woken && interrupted_ == interruption::none) {
    pause_.expires_at(steady::time_point::max());
    co_await pause_.async_wait(as_result);
  }
  parked_ = false;
  parked_for_ = parked_for_.value_or(0ns) + (steady::now() - parked_at);
  if (interrupted_ != interruption::none) co_return refuse_interrupted();
  if (place.result() == activator::waiter::outcome::moved) {
    moved = true;
    co_return false;
  }
  if (place.result() == activator::waiter::outcome::failed) co_return refuse_start(place.failure());
  slot_ = place.take_slot();
  co_return true;
}

bool delivery::refuse(const char* type, std::string detail, std::chrono::milliseconds retry_after) {
  result_ = delivery_result();
  result_.type = type;
  result_.detail = std::move(detail);
  result_.retry_after = retry_after;
  return false;
}

bool delivery::refuse_start(const std::shared_ptr<const activator::start_failure>& failure) {
  const bool full = failure && activator::is_for_room(failure->reason);
  const auto wait = failure ? failure->retry_at - steady::now() : steady::duration(1s);
  return refuse(full ? "no-capacity" : "start-failed",
                failure ? failure->detail : "no instance of the function could be started",
                std::max(1ms, std::chrono::ceil<std::chrono::milliseconds>(wait)));
}

bool delivery::refuse_interrupted() {
  if (interrupted_ == interruption::withdrawn) return refuse("withdrawn", "it is not to be delivered now", 0ms);
  return refuse("draining", "rouse is shutting down", 0ms);
}

// --- forward
// -------------------------------------------------------------------------------------------------------------

awaitable<void> delivery::send() {
  if (limits_->max_duration.count()) overall_deadline_ = steady::now() + limits_->max_duration;
  auto* const counted = counters_;
  counted->requests_in_flight.add();
  auto end = try_end::stale;
  for (unsigned tries = 0; end == try_end::stale && tries < most_tries; ++tries) {
    result_ = delivery_result();
    end = co_await attempt();
  }
  counted->requests_in_flight.sub();
  if (end != try_end::answered) explain();
  const auto now = steady::now();
  counted->by_code[(end == try_end::answered ? result_.status
                    : end == try_end::stale  ? 502
                                             : result_.status) -
                   100]
      .add();
  counted->request_duration.observe(static_cast<std::uint64_t>((now - began_).count()));
  if (parked_for_) counted->park_duration.observe(static_cast<std::uint64_t>(parked_for_->count()));
}

/// One try. The slot is given back with its end, unless a kept connection turned out to be dead: then it is kept.
awaitable<delivery::try_end> delivery::attempt() {
  wrote_any_ = false;
  upstream_ = worker_.pool().take(slot_.on(), head_.idempotent, steady::now());
  if (!upstream_) {
    enter(limits_->timeout);
    on_deadline_ = interruption::timeout;
    if (interrupted_ == interruption::none) upstream_ = co_await dial_.connect(slot_.on(), head_.idempotent);
    if (!upstream_) {
      if (interrupted_ == interruption::none) {
        fail("the instance could not be reached" + dial_.error());
        release(false, true);
      }
      co_return try_end::failed;
    }
  }
  const bool reused = upstream_->reused;
  const auto stale = [&] {
    // At least once: what a dead connection may have taken with it is sent again.
    if (!reused || interrupted_ != interruption::none || upstream_->in.size() > 0) return false;
    upstream_.reset();
    return true;
  };
  const auto ec = co_await write_all();
  if (ec && stale()) co_return try_end::stale;
  enter(limits_->timeout);
  on_deadline_ = interruption::timeout;
  if (!co_await read_head()) {
    if (result_.detail.empty() && stale()) co_return try_end::stale;
    co_return try_end::failed;
  }
  if (!co_await read_body()) co_return try_end::failed;
  result_.how = delivery_result::kind::answered;
  const bool whole = response_.keep_alive && response_.body != http::framing::until_close && !ec;
  release(whole && upstream_->in.size() == 0, result_.status >= 500);
  co_return try_end::answered;
}

/// An instance may answer before it has read everything; so the error is the reader's to judge.
awaitable<error_code> delivery::write_all() {
  enter(limits_->stream_idle_timeout);
  on_deadline_ = interruption::stream_idle;
  std::array<std::string_view, 2> rest = {what_.head, what_.body};
  while (!rest[0].empty() || !rest[1].empty()) {
    const std::array<asio::const_buffer, 2> parts = {asio::buffer(rest[0].data(), rest[0].size()),
                                                     asio::buffer(rest[1].data(), rest[1].size())};
    error_code ec;
    auto n = upstream_->socket.write_some(parts, ec);
    if (ec == asio::error::would_block || ec == asio::error::try_again) {
      const auto [wait_ec] = co_await upstream_->socket.async_wait(tcp_socket::wait_write, as_result);
      if (interrupted_ != interruption::none) co_return error_code(asio::error::operation_aborted);
      if (wait_ec) co_return wait_ec;
      continue;
    }
    if (ec) co_return ec;
    if (n > 0) wrote_any_ = true;
    const auto from_head = std::min(n, rest[0].size());
    rest[0].remove_prefix(from_head);
    rest[1].remove_prefix(n - from_head);
    enter(limits_->stream_idle_timeout);
  }
  co_return error_code();
}

/// The final response's head. False when interrupted, when the connection ended before any byte of it (no detail), or
/// with the detail of what is wrong.
awaitable<bool> delivery::read_head() {
  auto& in = upstream_->in;
  std::size_t looked_at = 0;
  for (;;) {
    if (in.size() > 0) {
      const std::string_view seen(static_cast<const char*>(in.data().data()), in.size());
      const auto parsed = http::parse_response(seen, response_head_limit, head_.method, response_, looked_at);
      if (parsed.what == http::parse_result::kind::refused)
        co_return fail("the instance's response is not valid HTTP: " + parsed.why.detail);
      if (parsed.what == http::parse_result::kind::done) {
        if (response_.status == 101) co_return fail("the instance switched protocols without being asked to");
        if (response_.status >= 200) {
          slot_.answered();
          result_.status = response_.status;
          for (const auto& field : response_.fields) {
            if (!is_hop_by_hop(field.id)) result_.fields.emplace_back(field.name, field.value);
          }
          in.consume(parsed.head_bytes);
          co_return true;
        }
        in.consume(parsed.head_bytes);
        looked_at = 0;
        continue;
      }
      looked_at = in.size();
    }
    const auto [ec, n] = co_await upstream_->socket.async_read_some(in.prepare(read_size), as_result);
    if (interrupted_ != interruption::none) co_return false;
    if (ec && in.size() > 0) co_return fail("the instance closed the connection in the middle of its response's head");
    if (ec) co_return false;
    in.commit(n);
  }
}

/// Waits until there is room for what has come of the body. False when interrupted.
awaitable<bool> delivery::hold_piece() {
  if (response_.body == http::framing::none) co_return true;
  auto& have = result_.body;
  auto& share = result_.share;
  const auto most = std::max<std::uint64_t>(what_.most_reply, have.size());
  const auto needed = std::min<std::uint64_t>(have.size() + upstream_->in.size(), most);
  if (needed <= std::max(share.bytes(), body_memory::small)) co_return true;
  auto all = most;
  if (response_.body == http::framing::length) all = std::min(all, response_.content_length);
  if (needed > all) all = needed;
  if (!share) share = memory_share(worker_.shared().bodies.replies);
  const auto room = std::max<std::uint64_t>(needed, std::min<std::uint64_t>(all, 2 * share.bytes()));
  while (!share.hold_or_overdraw(room, all)) {
    deadline_ = steady::time_point::max();  // it is not the instance that does not go on
    co_await pause(memory_pause);
    if (interrupted_ != interruption::none) co_return false;
  }
  make_room(have, static_cast<std::size_t>(share.bytes() == all ? all : room));
  enter(limits_->stream_idle_timeout);
  co_return true;
}

/// What has come of the body. False when it is not valid.
bool delivery::take_piece(bool& done) {
  auto& in = upstream_->in;
  auto* const data = static_cast<char*>(in.data().data());
  std::string_view body(data, in.size());
  std::size_t used = in.size();
  switch (response_.body) {
    case http::framing::none:
      done = true;
      return true;
    case http::framing::length:
      used = static_cast<std::size_t>(std::min<std::uint64_t>(used, body_left_));
      body = body.substr(0, used);
      body_left_ -= used;
      done = body_left_ == 0;
      break;
    case http::framing::until_close:
      break;
    case http::framing::chunked: {
      const auto step = decoder_.decode(data, used);
      if (step.bad) return fail(std::string("the instance's chunked response is not valid: ") + decoder_.detail());
      used = step.consumed;
      body = {data, step.produced};
      done = step.done;
      break;
    }
  }
  const auto room = what_.most_reply - std::min<std::uint64_t>(what_.most_reply, result_.body.size());
  if (body.size() > room) result_.cut = true;
  result_.body.append(body.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(room, body.size()))));
  in.consume(used);
  return true;
}

awaitable<bool> delivery::read_body() {
  decoder_.reset();
  body_left_ = response_.content_length;
  on_deadline_ = interruption::stream_idle;
  for (bool done = false;;) {
    enter(limits_->stream_idle_timeout);
    if (!co_await hold_piece()) co_return false;
    if (!take_piece(done)) co_return false;
    if (done) co_return true;
    const auto [ec, n] = co_await upstream_->socket.async_read_some(upstream_->in.prepare(read_size), as_result);
    if (interrupted_ != interruption::none) co_return false;
    if (ec) {
      if (ec == asio::error::eof && response_.body == http::framing::until_close) co_return true;
      co_return fail("the instance closed the connection in the middle of its response");
    }
    upstream_->in.commit(n);
  }
}

bool delivery::fail(std::string detail) {
  result_.detail = std::move(detail);
  return false;
}

/// The connection goes to the pool or ends, then the slot goes back.
void delivery::release(bool reusable, bool failed) {
  if (reusable) {
    upstream_->keep = std::chrono::seconds(response_.keep_alive_seconds);
    worker_.pool().put(std::move(upstream_), steady::now());
  }
  upstream_.reset();
  if (slot_) {
    auto& on = slot_.on();
    if (!failed) {
      on.succeeded();
    } else if (limits_->outlier.failures > 0 && on.failed(limits_->outlier.failures)) {
      revision_->wake(*revision_);
    }
  }
  slot_.reset();
  deadline_ = overall_deadline_ = steady::time_point::max();
}

/// Says why there is no response, and lets go of what is left.
void delivery::explain() {
  result_.status = 502;
  result_.how = delivery_result::kind::broken;
  bool failed = true;
  switch (interrupted_) {
    case interruption::none:
      if (result_.detail.empty()) result_.detail = "the instance closed the connection before it answered";
      break;
    case interruption::timeout:
      result_.detail = "the function did not begin to answer within `timeout` (" + text_of(limits_->timeout) + ")";
      break;
    case interruption::stream_idle:
      failed = false;
      result_.detail =
          "the body did not move for `stream_idle_timeout` (" + text_of(limits_->stream_idle_timeout) + ")";
      break;
    case interruption::max_duration:
      failed = false;
      result_.detail = "the exchange was not over within `max_duration` (" + text_of(limits_->max_duration) + ")";
      break;
    case interruption::withdrawn:
    case interruption::daemon_ends:
      failed = false;
      result_.detail = "rouse shut down before the function had answered";
      break;
  }
  if (interrupted_ == interruption::daemon_ends || interrupted_ == interruption::withdrawn) {
    result_.type = "draining";
    result_.status = 503;
    result_.how = delivery_result::kind::refused;  // our doing: no attempt
  } else if (interrupted_ != interruption::none) {
    result_.how = delivery_result::kind::timed_out;
    result_.status = 504;
  }
  if (interrupted_ != interruption::none && upstream_ && wrote_any_ && slot_) {
    // What still works on it is not idle (worker::linger).
    if (failed && limits_->outlier.failures > 0 && slot_.on().failed(limits_->outlier.failures))
      revision_->wake(*revision_);
    worker_.linger(std::move(upstream_), std::move(slot_), limits_->stop_grace);
    upstream_.reset();
    slot_.reset();
    return;
  }
  release(false, failed);
}

// --- interruptions
// -------------------------------------------------------------------------------------------------------

void delivery::enter(std::chrono::milliseconds allowed) {
  deadline_ = allowed.count() ? steady::now() + allowed : steady::time_point::max();
}

void delivery::interrupt(interruption why) {
  if (interrupted_ == interruption::none) interrupted_ = why;
  error_code ignored;
  if (upstream_) upstream_->socket.cancel(ignored);
  dial_.cancel();
  pause_.cancel();
}

void delivery::drain() {
  if (parked_ || !slot_) interrupt(interruption::withdrawn);
}

void delivery::close() {
  interrupt(interruption::daemon_ends);
}

void delivery::on_sweep(steady::time_point now) {
  if (interrupted_ != interruption::none) return interrupt(interrupted_);
  if (!slot_) return;
  if (now >= overall_deadline_) return interrupt(interruption::max_duration);
  if (now >= deadline_) interrupt(on_deadline_);
}

awaitable<void> delivery::pause(std::chrono::milliseconds time) {
  pause_.expires_after(time);
  co_await pause_.async_wait(as_result);
}

}  // namespace rouse::gateway
