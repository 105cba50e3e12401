#include "activator/lifecycle.hpp"

#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "activator/words.hpp"

namespace rouse::activator {

lifecycle::lifecycle(surroundings& around, function_runtime& runtime) : around_(around), runtime_(runtime) {}

lifecycle::~lifecycle() = default;

void lifecycle::evaluate(time_point now) {
  runtime_.lot.acknowledge_demand();
  end_backoff(now);
  retire();
  for (const auto& one : instances_) {
    if (one.at == phase::ready) backoff_.ran(one.ready_at, now);
  }
  refuse_while_nothing_comes(now);
  release_slow_answers(now);
  if (deadline_) {
    evaluate_ending(now);
  } else {
    evaluate_running(now);
  }
  schedule(now);
}

void lifecycle::evaluate_running(time_point now) {
  const auto state = count(now);
  const unsigned current = state.ready + state.starting;
  auto decision = decide(state);
  unsigned stopped = 0;
  if (decision.desired < current) {
    stopped = stop_idle(current - decision.desired, now);
    decision.desired =
        current - stopped;  // a request may win an instance before it is told to stop; then that one stays
  }
  const bool waiting = backoff_.waiting(now);
  // What cannot be started must not make `desired` follow each request up and down.
  if (waiting && !refusing_ && stopped == 0) decision.desired = std::max(decision.desired, desired_);
  if (refusing_ && decision.desired < desired_) decision.reason = "a start failed and nothing waits any more";
  set_desired(decision.desired, decision.reason);
  if (waiting) return;
  for (auto have = current; have < decision.desired; ++have) start_one(now);
}

scale_state lifecycle::count(time_point now) const {
  const auto& config = runtime_.config;
  scale_state state;
  state.min = config.scale.min;
  state.max = config.scale.max;
  state.idle = config.scale.idle;
  state.concurrency = config.concurrency;
  state.parked = runtime_.lot.parked();
  for (const auto& one : instances_) {
    if (one.at == phase::starting) ++state.starting;
    if (one.at != phase::ready) continue;  // slots on an instance that is to end need no instance to come
    ++state.ready;
    const auto taken = one.self->slots_taken();
    state.in_flight += taken;
    if (taken == 0 && now - idle_since(one) >= state.idle) ++state.idle_expired;
  }
  return state;
}

lifecycle::time_point lifecycle::idle_since(const tracked& one) {
  return std::max(one.ready_at, time_point(std::chrono::nanoseconds(one.self->last_active())));
}

unsigned lifecycle::in_phase(phase which) const {
  return static_cast<unsigned>(std::ranges::count(instances_, which, &tracked::at));
}

void lifecycle::start_one(time_point now) {
  assert(around_.with && "use_backend() comes before the first request");
  const auto& config = runtime_.config;
  start_spec spec;
  spec.id = around_.next_id++;
  spec.function = config.name;
  spec.revision = config.revision;
  spec.instance = config.revision + "-" + std::to_string(spec.id);
  spec.command = config.command;
  spec.env = config.env;
  spec.directory = config.directory;
  spec.ready_path = config.ready_path;
  spec.start_timeout = config.start_timeout;
  tracked one;
  one.self = std::make_unique<router::instance>(spec.id, spec.instance, config.concurrency, around_.workers);
  one.began = now;
  instances_.push_back(std::move(one));
  around_.by_id.emplace(spec.id, this);
  around_.with->start(spec);
}

void lifecycle::on_ready(std::uint64_t id, const ready_report& report, time_point now) {
  auto& one = find(id);
  if (one.at != phase::starting) {  // told to stop while it was starting
    assert(one.at == phase::stopping && !one.published);
    if (report.probe_socket >= 0) ::close(report.probe_socket);
    return;
  }
  auto& self = *one.self;
  self.set_address(report.where);
  self.set_birth(std::chrono::nanoseconds(one.began.time_since_epoch()).count(),
                 std::chrono::nanoseconds(now.time_since_epoch()).count());
  if (report.probe_socket >= 0) {
    self.connections.connections.store(1);
    self.connections.probe_socket.store(report.probe_socket);
  }
  one.at = phase::ready;
  one.ready_at = now;
  const bool opened = self.open();
  assert(opened);
  static_cast<void>(opened);
  ++past().cold_starts;
  past().cold_start_duration.observe(static_cast<std::uint64_t>(std::chrono::nanoseconds(now - one.began).count()));
  publish();
  around_.log.info("function {}: instance {} ready after {} on {}", runtime_.config.name, self.name(),
                   in_words(now - one.began), in_words(report.where));
  evaluate(now);
}

void lifecycle::publish() {
  auto list = std::make_unique<parking_lot::instance_list>();
  for (auto& one : instances_) {
    if (one.at != phase::ready) continue;
    one.published = true;
    list->push_back(one.self.get());
  }
  std::shared_ptr<const parking_lot::instance_list> old = runtime_.lot.publish(std::move(list));
  if (old) around_.plane.quiesce([old] {});  // freed with the callback
}

void lifecycle::on_exit(std::uint64_t id, exit_report report, time_point now) {
  auto& one = find(id);
  const auto was = std::exchange(one.at, phase::exited);
  assert(was != phase::exited);
  one.self->mark_gone();
  around_.by_id.erase(id);
  if (was == phase::starting) {
    start_failed(one, report, now);
  } else if (was == phase::ready) {
    crashed(one, report, now);
    publish();
    leave_workers({id});
  } else {
    if (one.published) backoff_.ran(one.ready_at, now);
    around_.log.info("function {}: instance {} stopped: {}", runtime_.config.name, one.self->name(),
                     printable(report.detail));
  }
  evaluate(now);
}

void lifecycle::start_failed(const tracked& one, exit_report& report, time_point now) {
  const bool same_again = failure_ && failure_->reason == report.reason;
  const bool news = backoff_.failed(one.began, now, around_.random());
  ++past().start_failures[report.reason];
  const auto others = in_phase(phase::ready) + in_phase(phase::starting);
  // Twenty starts that fail together for one reason are one error; the others are told only to those who debug.
  around_.log.log(news || !same_again ? spdlog::level::err : spdlog::level::debug,
                  "function {}: instance {} could not be started ({}): {}; {}next try in {} at the earliest{}",
                  runtime_.config.name, one.self->name(), report.reason, printable(report.detail),
                  others ? std::to_string(others) + " ready or starting remain, " : std::string(),
                  in_words(backoff_.retry_at() - now), as_tail(report.last_lines));
  remember_failure(std::move(report.reason), std::move(report.detail), std::move(report.last_lines));
}

void lifecycle::crashed(const tracked& one, exit_report& report, time_point now) {
  const bool delays = backoff_.crashed(one.began, one.ready_at, now, around_.random());
  const auto lived = in_words(now - one.ready_at);
  around_.log.warn("function {}: instance {} ended by itself {} after it was ready, with {} in flight ({}): {}{}{}",
                   runtime_.config.name, one.self->name(), lived, one.self->slots_taken(), report.reason,
                   printable(report.detail),
                   delays ? "; it keeps ending, next try in " + in_words(backoff_.retry_at() - now) : std::string(),
                   as_tail(report.last_lines));
  if (!delays) return;
  remember_failure(std::move(report.reason), "it keeps ending soon after it was ready: " + report.detail,
                   std::move(report.last_lines));
}

void lifecycle::remember_failure(std::string reason, std::string detail, std::vector<std::string> last_lines) {
  auto why = std::make_shared<start_failure>();
  why->reason = std::move(reason);
  why->detail = std::move(detail);
  why->last_lines = std::move(last_lines);
  why->retry_at = backoff_.retry_at();
  failure_ = std::move(why);
}

void lifecycle::refuse_while_nothing_comes(time_point now) {
  if (refusing_ || !backoff_.waiting(now) || in_phase(phase::ready) + in_phase(phase::starting) > 0) return;
  assert(failure_);
  refusing_ = true;
  runtime_.lot.fail(failure_);
}

void lifecycle::release_slow_answers(time_point now) {
  if (runtime_.config.concurrency > 0 || runtime_.lot.parked() == 0 || now < overdue_at_) return;
  overdue_at_ = now + tick;  // once a tick, however often demand asks for an evaluation
  runtime_.lot.offer_overdue();
}

void lifecycle::end_backoff(time_point now) {
  if (backoff_.waiting(now)) return;
  failure_.reset();
  if (!std::exchange(refusing_, false)) return;
  runtime_.lot.clear_failure();
}

void lifecycle::on_output(std::uint64_t id, std::string line) {
  const auto& config = runtime_.config;
  const auto& name = find(id).self->name();
  around_.log.info("[{} {}] {}", config.name, name, printable(line));
  runtime_.output.add(name, std::move(line), around_.wall());
}

void lifecycle::set_desired(unsigned to, const std::string& reason) {
  if (to == desired_) return;
  auto& past = this->past();
  ++(to > desired_ ? past.up : past.down);
  constexpr std::size_t most = 10;
  if (past.decisions.size() == most) past.decisions.pop_back();
  past.decisions.insert(past.decisions.begin(), decision_status{around_.wall(), desired_, to, reason});
  around_.log.info("function {}: {} -> {}: {}", runtime_.config.name, desired_, to, reason);
  desired_ = to;
}

void lifecycle::schedule(time_point now) {
  next_due_.reset();
  const auto due = [&](time_point at) {
    if (at > now) next_due_ = std::min(at, next_due_.value_or(at));
  };
  const auto idle = runtime_.config.scale.idle;
  if (backoff_.waiting(now)) due(backoff_.retry_at());
  if (!instances_.empty() || runtime_.lot.parked() > 0) {
    // With a short `idle` the moment an instance became idle must be seen in time to keep to it.
    due(now + (deadline_ ? poll : std::clamp(idle, poll, tick)));
    if (deadline_) due(*deadline_);
  }
  for (const auto& one : instances_) {
    if (one.at == phase::ready && one.self->slots_taken() == 0) due(idle_since(one) + idle);
  }
}

lifecycle::tracked& lifecycle::find(std::uint64_t id) {
  const auto at = std::ranges::find(instances_, id, [](const tracked& one) { return one.self->id(); });
  assert(at != instances_.end());
  return *at;
}

lifecycle::history& lifecycle::past() {
  if (!history_) history_ = std::make_unique<history>();
  return *history_;
}

}  // namespace rouse::activator
