#include "gateway/events/invoker.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "gateway/events/dispatch_queue.hpp"
#include "gateway/events/event_request.hpp"
#include "gateway/events/kept_response.hpp"

namespace rouse::gateway::events {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t take_count = 32;
constexpr std::size_t take_bytes = 1U << 20U;
constexpr std::uint64_t most_in_flight = 256;  // of one function; its slots bound it first, where it has a limit
constexpr auto memory_pause = 50ms;
constexpr auto store_pause = 1s;
constexpr auto long_refusal = 500ms;
constexpr auto longest_pause = 5s;
constexpr auto told_again = 60s;

wall_time wall_now() {
  return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

}  // namespace

std::string encode_call(std::string_view revision, std::string_view head) {
  std::string out(revision);
  out += '\n';
  out += head;
  return out;
}

struct invoker::flight {
  flight(worker& on, const std::string& function, std::uint64_t most_reply, held what)
      : call(std::move(what.call)), share(std::move(what.share)) {
    const std::string_view meta(call.meta);
    const auto line = meta.find('\n');
    delivery_request request;
    request.function = function;
    request.revision = meta.substr(0, line);
    request.head = meta.substr(line + 1);
    request.body = call.body;
    request.most_reply = most_reply;
    going.emplace(on, request);
  }
  taken_invocation call;
  memory_share share;
  std::optional<delivery> going;
};

namespace {

/// Whether the store may keep later what it could not keep now. A disk that fails may be mended, and the attempt was
/// made: to forget it would be to make it twice.
bool may_pass(store_errc what) {
  switch (what) {
    case store_errc::busy:
    case store_errc::storage_full:
    case store_errc::io:
    case store_errc::corrupt:
      return true;
    case store_errc::not_found:
    case store_errc::conflict:
    case store_errc::limit:
    case store_errc::closed:
      break;
  }
  return false;
}

/// Calls the store until it has kept what it is told, or says that it never will.
template <typename Call>
awaitable<void> keep(worker& on, spdlog::logger& log, std::string function, Call call) {
  timer waits(on.context());
  for (unsigned tries = 1;; ++tries) {
    std::optional<store_result<void>> said;
    call([&](store_result<void> result) {
      auto moved = std::make_shared<store_result<void>>(std::move(result));
      on.post([&said, &waits, moved] {
        said.emplace(std::move(*moved));
        waits.cancel();
      });
    });
    while (!said) {
      waits.expires_at(steady::time_point::max());
      co_await waits.async_wait(as_result);
    }
    if (said->has_value()) co_return;
    const auto& error = said->error();
    const bool again = may_pass(error.code) && !on.closing();
    if (!again || std::has_single_bit(tries)) {
      log.error("function {}: what came of an invocation could not be kept{}: {}", function,
                again ? ", and is tried again" : "", error.text);
    }
    if (!again) co_return;
    waits.expires_after(store_pause);
    co_await waits.async_wait(as_result);
  }
}

}  // namespace

invoker::invoker(worker& on, store& from, std::string function, spdlog::logger& log)
    : worker_(on), store_(from), function_(std::move(function)), log_(log), timer_(on.context()) {}

invoker::~invoker() = default;

void invoker::start() {
  worker_.post([self = shared_from_this()] {
    self->worker_.join(*self);
    if (self->stopping_) return self->unlink();
    self->running_ = true;
    self->worker_.spawn(self->run());
  });
}

void invoker::poke() {
  worker_.post([self = shared_from_this()] {
    self->more_ = true;
    self->wake();
  });
}

void invoker::stop() {
  worker_.post([self = shared_from_this()] { self->drain(); });
}

void invoker::drain() {
  stopping_ = true;
  if (acquiring_) acquiring_->drain();
  wake();
}

void invoker::close() {
  drain();
}

void invoker::wake() {
  woken_ = true;
  timer_.cancel();
}

awaitable<void> invoker::wait(std::optional<wall_time> until) {
  if (!woken_) {
    if (until) {
      timer_.expires_after(std::max<std::chrono::milliseconds>(*until - wall_now(), 1ms));
    } else {
      timer_.expires_at(steady::time_point::max());
    }
    co_await timer_.async_wait(as_result);
  }
  woken_ = false;
}

/// `async` of the function as it is configured now; nullptr: the function is gone.
const config::async* invoker::settings() {
  const auto& functions = worker_.current_view()->view->snapshot->functions;
  const auto at = std::ranges::lower_bound(functions, function_, {}, &config::function::name);
  return at == functions.end() || at->name != function_ ? nullptr : &at->async;
}

awaitable<void> invoker::run() {
  const auto self = shared_from_this();
  while (!stopping_) {
    woken_ = false;
    if (paused_until_ && wall_now() < *paused_until_) {
      co_await wait(paused_until_);
      continue;
    }
    if (paused_until_) pause({}, 0ms);
    if (in_flight_ >= most_in_flight) {
      co_await wait(std::nullopt);
      continue;
    }
    if (taken_.empty()) {
      if (!more_ && next_due_ && *next_due_ <= wall_now()) more_ = true;
      if (more_) {
        co_await take_more();
      } else {
        co_await wait(next_due_);
      }
      continue;
    }
    if (!store_.is_wanted(taken_.front().call.id)) {
      taken_.pop_front();
      continue;
    }
    const auto* const now = settings();
    if (!now) {
      return_taken();
      pause("the function is not in the configuration any more", longest_pause);
      continue;
    }
    if (large_replies_ && worker_.shared().bodies.replies.overdrawn()) {
      pause("replies take all the memory that they may", memory_pause);
      continue;
    }
    auto one = std::make_shared<flight>(worker_, function_, now->max_body, std::move(taken_.front()));
    taken_.pop_front();
    acquiring_ = &*one->going;
    const bool has_slot = co_await one->going->acquire();
    acquiring_ = nullptr;
    if (!has_slot) {
      auto& why = one->going->result();
      const auto detail = why.detail;
      const auto retry_after = why.retry_after;
      one->going.reset();
      taken_.push_front({std::move(one->call), std::move(one->share)});
      if (stopping_) continue;
      if (retry_after >= long_refusal) return_taken();  // others may need the room
      pause(detail, std::max<std::chrono::milliseconds>(retry_after, 1ms));
      continue;
    }
    if (!store_.begin(one->call.id)) continue;  // cancelled; the slot is given back with `one`
    in_flight_.fetch_add(1, std::memory_order_relaxed);
    worker_.spawn(fly(std::move(one)));
  }
  return_taken();
  while (in_flight_ > 0) co_await wait(std::nullopt);
  unlink();
  running_ = false;
}

/// To the store, in the order in which they were taken.
void invoker::return_taken() {
  for (const auto& one : taken_) store_.put_back(one.call.id);
  if (!taken_.empty()) more_ = true;
  taken_.clear();
}

/// Shares for what is taken, while the store chooses it.
struct invoker::room {
  std::vector<memory_share> shares;
  bool full = false;
};

awaitable<void> invoker::take_more() {
  more_ = false;
  const auto rooms = std::make_shared<room>();
  // One of each function is made whatever those of others take, or these could hold it up for as long as they run.
  const auto admit = [rooms, alone = in_flight_ == 0, &budget = worker_.shared().bodies.queued](std::size_t bytes) {
    memory_share share(budget);
    if (bytes > body_memory::small && !share.hold_or_overdraw(bytes, bytes)) {
      rooms->full = !alone || !rooms->shares.empty();
      if (rooms->full) return false;
      share.force(bytes);
    }
    rooms->shares.push_back(std::move(share));
    return true;
  };
  std::optional<store_result<taken>> got;
  const auto then = [self = shared_from_this(), &got](store_result<taken> result) {
    auto moved = std::make_shared<store_result<taken>>(std::move(result));
    self->worker_.post([self, &got, moved] {
      got.emplace(std::move(*moved));
      self->wake();
    });
  };
  store_.take(function_, take_count, take_bytes, then, admit);
  while (!got) co_await wait(std::nullopt);
  if (!*got) {
    more_ = true;
    pause("the invocations cannot be read: " + got->error().text, store_pause);
    co_return;
  }
  auto& invocations = (*got)->invocations;
  for (std::size_t i = 0; i < invocations.size(); ++i)
    taken_.push_back({std::move(invocations[i]), std::move(rooms->shares[i])});
  if (rooms->full && invocations.empty()) pause("queued requests take all the memory that they may", memory_pause);
  next_due_ = (*got)->next_due;
}

awaitable<void> invoker::fly(std::shared_ptr<flight> one) {
  const auto self = shared_from_this();
  co_await one->going->send();
  co_await conclude(*one);
  in_flight_.fetch_sub(1, std::memory_order_relaxed);
  wake();
}

awaitable<void> invoker::conclude(flight& one) {
  auto& result = one.going->result();
  const auto how = judge(result);
  large_replies_ = result.body.size() > body_memory::small;
  if (how == verdict::refused) {
    store_.put_back(one.call.id);
    more_ = true;
    pause(result.detail, std::max<std::chrono::milliseconds>(result.retry_after, 1ms));
    co_return;
  }
  const auto* const now = settings();
  const config::async defaults;
  const auto& rules = now ? *now : defaults;
  const auto attempts = static_cast<unsigned>(one.call.attempts) + 1;
  if (how == verdict::retry && attempts < rules.retry.attempts) {
    retry_rule rule;
    rule.delay = rules.retry.delay;
    rule.max_delay = rules.retry.max_delay;
    const double random = static_cast<double>(worker_.random() >> 11U) * 0x1p-53;
    invocation_retry again;
    again.next_attempt = wall_now() + rule.pause_after(attempts, random, retry_after_of(result));
    again.status = result.how == delivery_result::kind::answered ? static_cast<int>(result.status) : 0;
    again.error = describe(result);
    if (!next_due_ || again.next_attempt < *next_due_) next_due_ = again.next_attempt;
    const auto call = [&](completion<void> done) { store_.retry(one.call.id, again, std::move(done)); };
    co_return co_await keep(worker_, log_, function_, call);
  }
  invocation_end end;
  end.succeeded = how == verdict::done && !result.cut;
  end.result_ttl = rules.result_ttl;
  end.dead_letter = !end.succeeded;
  if (result.how == delivery_result::kind::answered) {
    end.status = static_cast<int>(result.status);
    if (result.cut) {
      end.error =
          "the function's response is larger than `async.max_body` (" + std::to_string(rules.max_body) + " bytes)";
    } else {
      kept_response response;
      response.status = result.status;
      response.fields = std::move(result.fields);
      response.body = std::move(result.body);
      if (!end.succeeded) end.error = "the function answered " + std::to_string(result.status);
      end.response = std::make_shared<std::string>(encode(response));
    }
  } else {
    end.error = result.detail;
  }
  const auto call = [&](completion<void> done) { store_.finish(one.call.id, end, std::move(done)); };
  co_await keep(worker_, log_, function_, call);
}

std::string invoker::paused_because() const {
  const std::lock_guard lock(why_mutex_);
  return why_paused_;
}

void invoker::pause(const std::string& why, std::chrono::milliseconds time) {
  {
    const std::lock_guard lock(why_mutex_);
    // A reason that comes and goes is told now and then.
    if (const auto now = wall_now(); !why.empty() && (why != told_ || now - told_at_ >= told_again)) {
      log_.warn("function {}: no queued invocation is made for now: {}", function_, why);
      told_ = why;
      told_at_ = now;
    }
    why_paused_ = why;
  }
  if (why.empty()) {
    paused_until_.reset();
  } else {
    paused_until_ = wall_now() + std::min<std::chrono::milliseconds>(time, longest_pause);
  }
}

}  // namespace rouse::gateway::events
