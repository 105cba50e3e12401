#include "gateway/events/trigger.hpp"

#include <algorithm>
#include <utility>

#include "config/text.hpp"
#include "gateway/events/cloudevents/filter.hpp"
#include "gateway/events/cloudevents/storage.hpp"
#include "gateway/events/event_request.hpp"

namespace rouse::gateway::events {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t fetch_count = 256;
constexpr std::size_t most_here = 100'000;       // numbers and keys, of events that wait behind others
constexpr std::size_t most_retries = 10'000;     // that wait for their next try; more would only grow
constexpr std::size_t most_held = 8U << 20U;     // bytes of contents kept at hand, of events that may go
constexpr std::size_t most_aside = 8U << 20U;    // and of those that may not yet; others are read again
constexpr std::uint64_t most_reply = 1U << 20U;  // bytes of a reply
constexpr auto source_pause = 1s;                // when the source cannot be read
constexpr auto longest_pause = 5s;               // the function may be well again sooner than it was thought
constexpr auto told_again = 60s;

wall_time wall_now() {
  return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

std::size_t size_of(const cloud_event& event) {
  return 256 + event.data.size();
}

const config::event_filter* filter_of(const config::trigger& trigger) {
  if (const auto* const bus = std::get_if<config::bus_source>(&trigger.source)) return &bus->filter;
  if (const auto* const kafka = std::get_if<config::kafka_source>(&trigger.source)) return &kafka->filter;
  return nullptr;
}

}  // namespace

/// One event on its way.
struct trigger::flight {
  flight(worker& on, std::uint64_t of, cloud_event what) : number(of), event(std::move(what)), worker_(on) {}
  void address(const std::string& to, config::event_delivery how) {
    request = make_request(event, how, to, worker_.random(), worker_.random(), worker_.random());
    delivery_request what;
    what.function = to;
    what.head = request.head;
    what.body = request.body;
    what.most_reply = most_reply;
    going.emplace(worker_, what);
  }

  std::uint64_t number;
  cloud_event event;
  std::optional<std::string> unreadable;  ///< why it is no event
  attempts_made made;
  bool to_dead_letters = false;  ///< it was given up, and goes to the function for those
  event_request request;
  std::optional<delivery> going;  ///< ends on its worker; the rest may end on a thread of the store
  delivery_result result;

 private:
  worker& worker_;
};

trigger::trigger(worker& on, std::shared_ptr<const config::trigger> config, trigger_names names,
                 std::unique_ptr<event_source> source, event_sink& sink, spdlog::logger& log,
                 std::function<unsigned()> concurrency_now)
    : worker_(on),
      config_(std::move(config)),
      names_(std::move(names)),
      source_(std::move(source)),
      sink_(sink),
      log_(log),
      concurrency_now_(std::move(concurrency_now)),
      timer_(on.context()) {}

trigger::~trigger() = default;

void trigger::start() {
  worker_.post([self = shared_from_this()] {
    self->worker_.join(*self);
    if (self->stopping_) {
      if (self->then_) self->then_();
      return;
    }
    self->running_ = true;
    self->worker_.spawn(self->run());
  });
}

void trigger::poke() {
  worker_.post([self = shared_from_this()] {
    self->more_ = true;
    self->wake();
  });
}

void trigger::stop(std::function<void()> then) {
  worker_.post([self = shared_from_this(), then = std::move(then)] {
    self->then_ = then;
    const bool running = self->running_;
    self->drain();
    if (!running && self->stopping_ && self->then_) self->then_();
  });
}

void trigger::drain() {
  stopping_ = true;
  if (acquiring_) acquiring_->drain();
  wake();
}

void trigger::close() {
  drain();
}

void trigger::wake() {
  woken_ = true;
  timer_.cancel();
}

std::string trigger::paused_because() const {
  const std::lock_guard lock(why_mutex_);
  return why_paused_;
}

// --- the walk
// ------------------------------------------------------------------------------------------------------------

awaitable<void> trigger::run() {
  const auto self = shared_from_this();
  co_await begin();
  while (!stopping_) {
    woken_ = false;
    queue_.set_concurrency(concurrency_now_());
    fetch_more();
    show();
    const auto now = wall_now();
    if (paused_until_ && now < *paused_until_) {
      co_await wait(paused_until_);
      continue;
    }
    if (paused_until_) pause({}, 0ms);
    const auto number = queue_.next(now);
    if (!number) {
      auto until = queue_.wakes_at();
      if (fetch_again_at_ && (!until || *fetch_again_at_ < *until)) until = fetch_again_at_;
      // Limits follow a schedule, so they are looked at now and then.
      if (const auto look = now + 1s; !until || look < *until) until = look;
      co_await wait(until);
      continue;
    }
    auto one = co_await prepare(*number);
    if (!one) continue;
    acquiring_ = &*one->going;
    const bool has_slot = co_await one->going->acquire();
    acquiring_ = nullptr;
    if (!has_slot) {
      const bool withdrawn = stopping_ || is_taken_back(one->number);
      const auto why = std::move(one->going->result());
      one->going.reset();
      put_back(*one);
      if (!withdrawn)
        pause("function " + (one->to_dead_letters ? names_.dead_function : names_.function) + ": " + why.detail,
              std::max<std::chrono::milliseconds>(why.retry_after, 1ms));
      continue;
    }
    worker_.spawn(fly(std::move(one)));
  }
  while (queue_.in_flight() > 0) co_await wait(std::nullopt);
  end_skip();
  source_->end();
  unlink();
  running_ = false;
  counters_.waiting = counters_.runnable = counters_.waiting_retry = counters_.in_flight = 0;
  if (then_) then_();
}

/// What an earlier run left, with the keys that order it.
awaitable<void> trigger::begin() {
  std::optional<event_source::beginning> left;
  event_source::news tell;
  tell.grown = [this] { poke(); };
  tell.taken_back = [this](std::function<void()> then) { taken_back(std::move(then)); };
  source_->begin(std::move(tell), [this, &left](event_source::beginning from) {
    left = std::move(from);
    wake();
  });
  while (!left) co_await wait(std::nullopt);
  for (const auto& one : left->retries) {
    auto order_key =
        config_->order == config::event_order::partition ? dispatch_queue::key(std::string()) : std::nullopt;
    while (config_->order == config::event_order::key && !stopping_) {
      const auto read = co_await read_again(one.number);
      if (read.found) order_key = key_of(*read.found);
      if (read.problem.empty()) break;
      co_await wait(wall_now() + source_pause);
    }
    queue_.add_tried(one.number, std::move(order_key), one.made);
  }
}

awaitable<event_source::one> trigger::read_again(std::uint64_t number) {
  std::optional<event_source::one> read;
  source_->fetch_again(number, [this, &read](event_source::one got) {
    read = std::move(got);
    wake();
  });
  while (!read) co_await wait(std::nullopt);
  co_return std::move(*read);
}

/// Until wake(), or the time.
awaitable<void> trigger::wait(std::optional<wall_time> until) {
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

/// The event and its request; nothing when it cannot go now.
awaitable<std::shared_ptr<trigger::flight>> trigger::prepare(std::uint64_t number) {
  auto what = unhold(number);
  if (!what) {
    auto read = co_await read_again(number);
    if (!read.problem.empty()) {
      put_back(number);
      pause("the events cannot be read: " + read.problem, source_pause);
      co_return nullptr;
    }
    if (!read.found) {
      settle(number);  // it is gone
      co_return nullptr;
    }
    if (is_taken_back(number)) {
      leave(number);
      co_return nullptr;
    }
    what.emplace();
    what->event = std::move(read.found->event);
    if (read.found->unreadable) what->unreadable = std::move(read.found->why);
  }
  auto out = std::make_shared<flight>(worker_, number, std::move(what->event));
  out->unreadable = std::move(what->unreadable);
  out->made = queue_.made(number);
  out->to_dead_letters = !names_.dead_function.empty() && out->made.count >= config_->retry.attempts;
  if (out->unreadable && bury_unreadable(out)) co_return nullptr;
  out->address(out->to_dead_letters ? names_.dead_function : names_.function, config_->delivery);
  co_return out;
}

/// What is no event is a dead letter at once. False: it is one already, and goes to the function for those.
bool trigger::bury_unreadable(const std::shared_ptr<flight>& one) {
  failure why;
  why.detail = one->unreadable->empty() ? "what the store holds under this number is not an event" : *one->unreadable;
  if (one->event.id.empty()) {
    source_->give_up(one->number, one->event, why,
                     [self = shared_from_this(), one](bool done) { self->given_up(one, done); });
    return true;
  }
  if (one->to_dead_letters) return false;
  one->made.count = std::max(one->made.count, config_->retry.attempts);
  if (one->made.first_failed == wall_time()) one->made.first_failed = wall_now();
  give_up(one, why);
  return true;
}

awaitable<void> trigger::fly(std::shared_ptr<flight> one) {
  const auto self = shared_from_this();
  co_await one->going->send();
  one->result = std::move(one->going->result());
  one->going.reset();
  conclude(one);
}

// --- what comes in
// -------------------------------------------------------------------------------------------------------

void trigger::fetch_more() {
  const auto now = wall_now();
  if (fetch_again_at_ && now < *fetch_again_at_) return;
  fetch_again_at_.reset();
  const bool enough = queue_.ready() >= fetch_count || queue_.size() >= most_here || held_bytes_ >= most_held ||
                      queue_.waiting_for_retry() >= most_retries;
  if (fetching_ || !more_ || enough) return;
  fetching_ = true;
  more_ = false;
  source_->fetch(fetch_count, [this](event_source::batch batch) {
    fetching_ = false;
    take_in(std::move(batch));
    wake();
  });
}

void trigger::take_in(event_source::batch batch) {
  if (!batch.problem.empty()) {
    more_ = true;
    fetch_again_at_ = wall_now() + source_pause;
    log_.error("trigger {}: the events cannot be read: {}", config_->name, batch.problem);
    return;
  }
  more_ = more_ || batch.more;
  for (auto& one : batch.items) {
    newest_ = std::max(newest_, one.number);
    take_in(std::move(one));
  }
  end_skip();
}

void trigger::take_in(event_source::item one) {
  const auto* const filter = filter_of(*config_);
  if (!one.skip && !one.unreadable && filter && !matches(*filter, one.event)) {
    counters_.filtered.add();
    one.skip = true;
  }
  if (one.skip) return skip(one.number);
  end_skip();
  auto key = one.unreadable ? std::nullopt : key_of(one);
  content what;
  what.event = std::move(one.event);
  if (one.unreadable) {
    if (one.why.empty())
      log_.error(
          "trigger {}: event number {}: what the store holds under this number is not an event: it is damaged, or of a "
          "later version of rouse",
          config_->name, one.number);
    what.unreadable = std::move(one.why);
  }
  const auto before = queue_.ready();
  if (one.made.count > 0) {
    queue_.add_tried(one.number, std::move(key), one.made);
  } else {
    queue_.add(one.number, std::move(key));
  }
  if (queue_.ready() == before) return set_aside(one.number, std::move(what));
  hold(one.number, std::move(what));
}

void trigger::hold(std::uint64_t number, content what) {
  held_bytes_ += size_of(what.event);
  held_.emplace(number, std::move(what));
}

/// For when its turn comes; there may be no room, and then it is read again.
void trigger::set_aside(std::uint64_t number, content what) {
  const auto size = size_of(what.event);
  if (aside_bytes_ + size > most_aside) return;
  aside_bytes_ += size;
  aside_.emplace(number, std::move(what));
}

std::optional<trigger::content> trigger::unhold(std::uint64_t number) {
  std::optional<content> out;
  for (auto [from, bytes] : {std::pair(&held_, &held_bytes_), std::pair(&aside_, &aside_bytes_)}) {
    const auto at = from->find(number);
    if (at == from->end()) continue;
    *bytes -= size_of(at->second.event);
    out = std::move(at->second);
    from->erase(at);
    break;
  }
  return out;
}

/// What waits belongs to somebody else from now on; what is in flight is brought to an end.
void trigger::taken_back(std::function<void()> then) {
  end_skip();
  taken_up_to_ = newest_;
  queue_.forget_waiting();
  held_.clear();
  aside_.clear();
  held_bytes_ = aside_bytes_ = 0;
  taken_in_flight_ = queue_.in_flight();
  taken_then_.push_back(std::move(then));
  if (acquiring_) acquiring_->drain();
  left(0);
  wake();
}

void trigger::skip(std::uint64_t number) {
  if (skipped_ && skipped_->second + 1 == number) {
    skipped_->second = number;
  } else {
    end_skip();
    skipped_.emplace(number, number);
  }
}

void trigger::end_skip() {
  if (skipped_) source_->settle_range(skipped_->first, skipped_->second);
  skipped_.reset();
}

dispatch_queue::key trigger::key_of(const event_source::item& one) const {
  switch (config_->order) {
    case config::event_order::none:
      return std::nullopt;
    case config::event_order::partition:
      return one.lane;
    case config::event_order::key:
      break;
  }
  if (one.order_key) return one.order_key;
  for (const auto* name : {"partitionkey", "subject"}) {
    if (const auto value = attribute(one.event, name)) return std::string(*value);
  }
  return std::nullopt;
}

// --- what came of it
// -----------------------------------------------------------------------------------------------------

void trigger::conclude(const std::shared_ptr<flight>& one) {
  const auto& result = one->result;
  switch (judge(result)) {
    case verdict::done:
      return succeed(one);
    case verdict::retry:
      return fail(one, retry_after_of(result), false);
    case verdict::hopeless:
      return fail(one, 0ms, true);
    case verdict::refused:
      put_back(*one);
      pause("function " + (one->to_dead_letters ? names_.dead_function : names_.function) + ": " + result.detail,
            std::max<std::chrono::milliseconds>(result.retry_after, 1ms));
      return wake();
  }
}

void trigger::succeed(const std::shared_ptr<flight>& one) {
  if (one->to_dead_letters || names_.reply.empty()) {
    if (!one->to_dead_letters) counters_.delivered.add();
    return settle(one->number);
  }
  auto replied = events_in_reply(one->result);
  if (!replied) {
    auto& result = one->result;
    result.how = delivery_result::kind::broken;
    result.detail = "the function's reply is not a valid event: " + replied.error().message;
    return fail(one, 0ms, false);
  }
  if (replied->empty()) {
    counters_.delivered.add();
    return settle(one->number);
  }
  std::vector<std::string> encoded;
  for (const auto& event : *replied) encoded.push_back(encode(event));
  // Until the reply is durable the attempt is not over.
  sink_.append(names_.reply, std::move(encoded), [self = shared_from_this(), one](std::string problem) {
    self->worker_.post([self, one, problem = std::move(problem)] {
      if (problem.empty()) {
        self->counters_.delivered.add();
        return self->settle(one->number);
      }
      auto& result = one->result;
      result.how = delivery_result::kind::broken;
      result.detail = "the reply could not be kept on bus " + self->names_.reply + ": " + problem;
      self->fail(one, 0ms, false);
    });
  });
}

void trigger::settle(std::uint64_t number) {
  source_->settle(number);
  leave(number);
}

/// It is in flight no more, and gone.
void trigger::leave(std::uint64_t number) {
  queue_.settle(number);
  left(number);
  wake();
}

/// In flight no more, and to be tried again at its time, unless that is somebody else's to do.
void trigger::try_again(flight& one, const attempts_made& made) {
  if (is_taken_back(one.number)) return leave(one.number);
  queue_.retry(one.number, made);
  content what;
  what.event = std::move(one.event);
  what.unreadable = std::move(one.unreadable);
  set_aside(one.number, std::move(what));
  wake();
}

/// In flight no more, and not tried.
void trigger::put_back(flight& one) {
  const bool stays = !is_taken_back(one.number);
  put_back(one.number);
  if (!stays) return;
  content what;
  what.event = std::move(one.event);
  what.unreadable = std::move(one.unreadable);
  hold(one.number, std::move(what));
}

void trigger::put_back(std::uint64_t number) {
  if (is_taken_back(number)) return leave(number);
  queue_.put_back(number);
}

/// Whoever took events back is told when the last of them that was in flight is over.
void trigger::left(std::uint64_t number) {
  if (taken_then_.empty()) return;
  if (number > 0 && is_taken_back(number)) --taken_in_flight_;
  if (taken_in_flight_ > 0) return;
  const auto all = std::exchange(taken_then_, {});
  for (const auto& then : all) then();
}

/// One attempt is over.
void trigger::fail(const std::shared_ptr<flight>& one, std::chrono::milliseconds retry_after, bool for_good) {
  auto made = one->made;
  const auto now = wall_now();
  if (made.count == 0) made.first_failed = now;
  ++made.count;
  failure why;
  why.attempts = made.count;
  why.status = one->result.how == delivery_result::kind::answered ? one->result.status : 0;
  why.detail = describe(one->result);
  if (!one->to_dead_letters && (for_good || made.count >= config_->retry.attempts)) {
    made.count = std::max(made.count, config_->retry.attempts);
    one->made = made;
    return give_up(one, why);
  }
  retry_rule rule;
  rule.attempts = config_->retry.attempts;
  rule.exponential = config_->retry.backoff == config::backoff::exponential;
  rule.delay = config_->retry.delay;
  rule.max_delay = config_->retry.max_delay;
  const auto tries = one->to_dead_letters ? made.count - config_->retry.attempts : made.count;
  const double random = static_cast<double>(worker_.random() >> 11U) * 0x1p-53;
  made.next_try = now + rule.pause_after(std::max(1U, tries), random, retry_after);
  counters_.retried.add();
  source_->retry(one->number, made, why);
  try_again(*one, made);
}

void trigger::give_up(const std::shared_ptr<flight>& one, const failure& why) {
  log_.warn("trigger {}: event {} was given up after {} attempts: {}", config_->name, config::shown(one->event.id),
            why.attempts, why.detail);
  if (!names_.dead_function.empty()) {
    counters_.dead.add();
    one->made.next_try = wall_now();
    source_->retry(one->number, one->made, why);
    return try_again(*one, one->made);
  }
  const auto back = [self = shared_from_this(), one](bool done) { self->given_up(one, done); };
  if (names_.dead_bus.empty()) return source_->give_up(one->number, one->event, why, back);
  auto event = one->event;
  event.extensions["deadlettertrigger"].value = config_->name;
  event.extensions["deadletterreason"].value = why.detail;
  event.extensions["deadletterattempts"] = extension{std::to_string(why.attempts), extension_type::integer};
  event.extensions["deadletterstatus"] = extension{std::to_string(why.status), extension_type::integer};
  if (validate(event))
    event.extensions["deadletterreason"].value = "it cannot stand in an attribute; see the log of rouse";
  sink_.append(names_.dead_bus, {encode(event)}, [self = shared_from_this(), back](std::string problem) {
    self->worker_.post([back, done = problem.empty()] { back(done); });
  });
}

/// What cannot be kept as a dead letter stays an event, and is tried again.
void trigger::given_up(const std::shared_ptr<flight>& one, bool done) {
  if (done) {
    counters_.dead.add();
    if (!names_.dead_bus.empty()) source_->settle(one->number);
    return leave(one->number);
  }
  log_.error("trigger {}: the dead letter of event {} could not be kept; the event stays and is tried again",
             config_->name, config::shown(one->event.id));
  auto made = one->made;
  made.next_try = wall_now() + config_->retry.max_delay;
  try_again(*one, made);
}

// --- what people see
// -----------------------------------------------------------------------------------------------------

void trigger::pause(const std::string& why, std::chrono::milliseconds time) {
  {
    const std::lock_guard lock(why_mutex_);
    // A reason that comes and goes is told now and then.
    if (const auto now = wall_now(); !why.empty() && (why != told_ || now - told_at_ >= told_again)) {
      log_.warn("trigger {}: nothing is delivered for now: {}", config_->name, why);
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

void trigger::show() {
  counters_.in_flight = queue_.in_flight();
  counters_.waiting_retry = queue_.waiting_for_retry();
  counters_.runnable = source_->unfetched() + queue_.ready();
  counters_.waiting = source_->unfetched() + queue_.size() - queue_.in_flight() - queue_.waiting_for_retry();
}

}  // namespace rouse::gateway::events
