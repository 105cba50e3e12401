// Demand and decision: what is looked at, what the autoscaler makes of it, and when to look again.

#include "activator/lifecycle.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "activator/schedule.hpp"
#include "activator/words.hpp"

namespace rouse::activator {
namespace {

std::int64_t nanoseconds(lifecycle::time_point at) {
  return std::chrono::nanoseconds(at.time_since_epoch()).count();
}

}  // namespace

lifecycle::lifecycle(surroundings& around, std::uint32_t number, std::shared_ptr<revision_runtime> runtime)
    : around_(around), number_(number), runtime_(std::move(runtime)) {}

lifecycle::~lifecycle() {
  around_.pools.want_no_more(number_);
  if (unmet_ > 0) around_.pools.keep_free(places_.front().pool, -static_cast<int>(unmet_));
  give_up_claim();
  if (deadline_) return;  // the next rouse wants what was let go
  for (const auto& with : served_) with->forget(number_);
}

void lifecycle::configure(std::shared_ptr<const config::revision> config, const std::vector<config::pool>& pools) {
  if (unmet_ > 0) around_.pools.keep_free(places_.front().pool, -static_cast<int>(std::exchange(unmet_, 0)));
  give_up_claim();
  config_ = std::move(config);
  const auto before = std::exchange(places_, {});
  for (const auto& use : config_->pools) {
    place made{around_.pools.number_of(pools[use.pool].name), use.max};
    const auto same = std::ranges::find(before, made.pool, &place::pool);
    if (same != before.end()) made.standing = same->standing;
    places_.push_back(made);
  }
  const auto& scale = config_->scale;
  schedule_ = scale.schedule.empty() ? nullptr : std::make_unique<const scale_schedule>(scale);
  scheduled_ = scale_limits{scale.min, scale.max};
  schedule_due_.reset();
  for (auto& one : instances_) one.self->set_slot_limit(config_->concurrency);
  if (!instances_.empty()) runtime_->lot.offer();
  serve();
}

void lifecycle::serve() {
  if (!around_.backends.can_make()) return;
  const auto spec = how_to_run();
  std::vector<const backend*> told;
  for (auto& where : places_) {
    const auto& with = around_.backends.of(where.pool);
    if (std::ranges::find(told, with.get()) != told.end()) continue;
    told.push_back(with.get());
    if (std::ranges::find(served_, with) == served_.end()) {
      served_.push_back(with);
      where.standing.reset();  // a backend that is new has not said
    }
    with->serve(spec);
  }
  forget_backends();
}

/// Those that its pools do not use any more, once nothing runs there.
void lifecycle::forget_backends() {
  std::erase_if(served_, [this](const std::shared_ptr<backend>& with) {
    const auto here = [&](const place& where) { return around_.backends.of(where.pool) == with; };
    const auto its = [&](const tracked& one) { return one.with == with && one.at != phase::exited; };
    if (std::ranges::any_of(places_, here) || std::ranges::any_of(instances_, its)) return false;
    with->forget(number_);
    return true;
  });
}

void lifecycle::set_bounds(std::optional<unsigned> min, std::optional<unsigned> max) noexcept {
  own_min_ = min;
  own_max_ = max;
}

void lifecycle::replace_all() {
  for (auto& one : instances_) one.outdated = true;
}

void lifecycle::evaluate(time_point now) {
  runtime_->lot.acknowledge_demand();
  end_backoff(now);
  retire();
  for (const auto& one : instances_) {
    if (one.at == phase::ready) backoff_.ran(one.ready_at, now);
  }
  observe(now);
  end_ejections(now);
  look_for_sick(now);
  refuse_while_nothing_comes(now);
  release_slow_answers(now);
  if (deadline_) {
    evaluate_ending(now);
  } else {
    evaluate_running(now);
  }
  end_drained(now);
  end_frozen(now);
  schedule(now);
}

/// The load since the last look, as the exact average that the workers' meters give.
void lifecycle::observe(time_point now) {
  const auto reading = read_load();
  const auto from = std::exchange(observed_, now);
  const auto before = std::exchange(seen_load_, reading);
  if (!from || now <= *from) return;
  const double time = std::chrono::duration<double>(now - *from).count();
  double average = 0;
  switch (config_->scale.metric) {
    case config::scale_metric::concurrency: {
      // A request that arrived before the last look and was counted after it is caught up with here; the reverse, one
      // that is dated after `now`, can make the difference a little negative.
      const auto spent =
          static_cast<std::int64_t>(reading.integral(nanoseconds(now)) - before.integral(nanoseconds(*from)));
      average = std::max<double>(0, static_cast<double>(spent)) / 1e9 / time;
      break;
    }
    case config::scale_metric::rps:
      average = static_cast<double>(reading.arrivals - before.arrivals) / time;
      break;
    case config::scale_metric::backlog:
      average = static_cast<double>(waiting_events());
      break;
  }
  scaler_.observe(average, *from, now);
}

load_meter::reading lifecycle::read_load() const {
  load_meter::reading sum;
  for (unsigned i = 0; i < runtime_->workers(); ++i) {
    if (const auto* counters = runtime_->peek(i)) sum.add(counters->load.read());
  }
  return sum;
}

std::uint64_t lifecycle::waiting_events() const {
  const auto all = runtime_->function->events_waiting.load(std::memory_order_relaxed);
  return static_cast<std::uint64_t>(std::ceil(share_ * static_cast<double>(all)));
}

void lifecycle::follow_schedule(time_point now) {
  if (!schedule_ || (schedule_due_ && now < *schedule_due_)) return;
  const auto wall = around_.wall();
  const auto answer = schedule_->at(wall);
  scheduled_ = answer.limits;
  schedule_due_.reset();
  if (answer.until) schedule_due_ = now + std::chrono::ceil<std::chrono::milliseconds>(*answer.until - wall);
}

void lifecycle::evaluate_running(time_point now) {
  follow_schedule(now);
  auto state = count();
  if (surge_ && state.starting > 0) {  // no capacity that anybody asked for
    --state.starting;
  } else if (surge_ && state.ready > 0) {
    --state.ready;
  }
  const unsigned current = state.ready + state.starting;
  auto decision = decide(state, now);
  unsigned gone = 0;
  if (decision.desired < current) {
    gone = decision.cause == scale_cause::idle && decision.desired == 0
               ? go_to_zero(now)
               : shrink(state.ready - std::min(state.ready, decision.desired), now);
    // A request may win an instance before it is told to stop; then that one stays. The surge goes with the others,
    // though it was not counted.
    decision.desired = current - std::min(gone, current);
  }
  if (retires_now()) retire_instances(now);  // those too that are no capacity, as the frozen ones
  const bool waiting = backoff_.waiting(now);
  // What cannot be started must not make `desired` follow each request up and down.
  if (waiting && !refusing_ && gone == 0) decision.desired = std::max(decision.desired, desired_);
  if (refusing_ && decision.desired < desired_) {
    decision.cause = scale_cause::failed;
    decision.reason = "a start failed and nothing waits any more";
  }
  if (decision.desired < desired_ && decision.reason.empty()) {
    decision.cause = scale_cause::replaced;
    decision.reason = "an instance ended, and no other is needed";
  }
  set_desired(decision.desired, decision.cause, decision.reason);
  if (std::exchange(lacks_room_, false)) around_.pools.want_no_more(number_);
  if (decision.desired > current) {
    grow(decision.desired - current, current, !waiting, now);
    report_unmet_min(count(), limits().min);
  }
  if (!waiting) roll_outdated(decision.desired, now);
  if (!lacks_room_) give_up_claim();
  runtime_->no_room = lacks_room_ && in_phase(phase::ready) + in_phase(phase::starting) == 0;
  if (state.ready + state.starting + state.draining == 0 && decision.desired == 0) {
    scaler_.forget();
    observed_.reset();
  }
}

scale_decision lifecycle::decide(const counted& state, time_point now) {
  const auto bounds = limits();
  report_unmet_min(state, bounds.min);
  if (retiring_ && state.parked == 0) return {0, scale_cause::replaced, "another revision has taken its place", {}};
  scale_input input;
  input.ready = state.ready;
  input.starting = state.starting;
  input.parked = state.parked;
  input.slots = config_->concurrency;
  input.in_flight = state.in_flight;
  input.waiting_events = waiting_events();
  input.last_active = state.last_active;
  input.share = share_;
  auto decision = scaler_.decide(config_->scale, config::target_of(*config_), bounds, input, now);
  scaler_due_ = decision.next;
  if (decision.desired < std::min(floor_, bounds.max)) {
    decision.desired = std::min(floor_, bounds.max);
    decision.cause = scale_cause::rollout;
    decision.reason = "a rollout needs " + std::to_string(floor_) + " before traffic moves";
  }
  return decision;
}

scale_limits lifecycle::limits() const {
  auto out = scheduled_;
  if (own_max_) out.max = *own_max_;
  if (own_min_) out.min = *own_min_;
  if (share_ <= 0) out.min = 0;
  if (ceiling_) out.max = std::min(out.max, *ceiling_);
  if (share_ > 0 && !own_min_) {
    unsigned standing = 0;
    for (const auto& where : places_) standing += where.standing.value_or(0);
    out.min = std::max(out.min, standing);
  }
  out.min = std::min(out.min, out.max);
  return out;
}

void lifecycle::report_unmet_min(const counted& state, unsigned min) {
  const unsigned have = state.ready + state.starting;
  const unsigned unmet = retiring_ || have >= min ? 0 : min - have;
  if (unmet == unmet_) return;
  around_.pools.keep_free(places_.front().pool, static_cast<int>(unmet) - static_cast<int>(unmet_));
  unmet_ = unmet;
}

lifecycle::counted lifecycle::count() const {
  counted out;
  out.parked = runtime_->lot.parked();
  for (const auto& one : instances_) {
    switch (one.at) {
      case phase::starting:
        ++out.starting;
        break;
      case phase::ready:
        ++out.ready;
        if (one.outdated) ++out.outdated;
        out.in_flight += one.self->slots_taken();
        out.last_active = std::max(out.last_active, idle_since(one));
        break;
      case phase::ejected:
        ++out.ejected;
        break;
      case phase::draining:
        ++out.draining;
        break;
      case phase::frozen:
        ++out.frozen;
        break;
      case phase::stopping:
      case phase::exited:
        break;
    }
  }
  return out;
}

lifecycle::time_point lifecycle::idle_since(const tracked& one) {
  return std::max(one.ready_at, time_point(std::chrono::nanoseconds(one.self->last_active())));
}

unsigned lifecycle::in_phase(phase which) const {
  return static_cast<unsigned>(std::ranges::count(instances_, which, &tracked::at));
}

unsigned lifecycle::ready() const {
  const auto serves = [](const tracked& one) { return one.at == phase::ready && !one.outdated; };
  return static_cast<unsigned>(std::ranges::count_if(instances_, serves));
}

/// Those that fail fast look like the least busy ones; they get no work for a while (after Envoy's consecutive-5xx
/// detector). At most half of the instances, but at least one.
void lifecycle::look_for_sick(time_point now) {
  const auto limit = config_->outlier.failures;
  if (limit == 0) return;
  const auto all = in_phase(phase::ready) + in_phase(phase::ejected);
  auto allowed = std::max(1U, all / 2);
  auto ejected = in_phase(phase::ejected);
  bool changed = false;
  for (auto& one : instances_) {
    if (ejected >= allowed) break;
    if (one.at != phase::ready || one.self->failures_in_a_row() < limit || !one.self->eject()) continue;
    const auto pause = std::min<std::chrono::milliseconds>(config_->outlier.eject * ++one.ejections, longest_ejection);
    one.at = phase::ejected;
    one.since = now;
    one.back_at = now + pause;
    ++ejected;
    ++past().ejections;
    changed = true;
    tell(spdlog::level::warn, about(one, "ejected"),
         fmt::format("instance {} failed {} times in a row: it gets no work for {}", one.self->name(),
                     one.self->failures_in_a_row(), in_words(pause)));
  }
  if (changed) publish();
}

void lifecycle::end_ejections(time_point now) {
  bool changed = false;
  for (auto& one : instances_) {
    if (one.at != phase::ejected || now < one.back_at || deadline_) continue;
    one.self->succeeded();
    if (!one.self->open()) continue;
    one.at = phase::ready;
    changed = true;
    tell(spdlog::level::info, about(one, "restored"), fmt::format("instance {} may have work again", one.self->name()));
  }
  if (changed) publish();
}

void lifecycle::set_desired(unsigned to, scale_cause cause, const std::string& reason) {
  if (to == desired_) return;
  // The autoscaler gives no reason for the number that is there already.
  const std::string why = reason.empty() ? "one more is there, and is of use" : reason;
  auto& past = this->past();
  ++past.counts[{to > desired_, cause}];
  constexpr std::size_t most = 10;
  if (past.decisions.size() == most) past.decisions.pop_back();
  past.decisions.insert(past.decisions.begin(), decision_status{around_.wall(), desired_, to, cause, why});
  around_.log.info("function {}: {}: {} -> {}: {}", runtime_->function->name, runtime_->name, desired_, to, why);
  auto what = about("scale");
  what.cause = to_string(cause);
  what.text = why;
  what.count = occurrence::step{desired_, to};
  around_.story->add(std::move(what), around_.wall());
  desired_ = to;
}

occurrence lifecycle::about(std::string_view type) const {
  occurrence what;
  what.type = type;
  what.function = runtime_->function->name;
  what.revision = runtime_->name;
  return what;
}

occurrence lifecycle::about(const tracked& one, std::string_view type, std::string cause) const {
  auto what = about(type);
  what.instance = one.self->name();
  what.pool = around_.pools.name_of(one.pool);
  what.cause = std::move(cause);
  return what;
}

void lifecycle::tell(spdlog::level::level_enum level, occurrence what, std::string text) {
  around_.log.log(level, "function {}: {}", what.function, text);
  if (level < spdlog::level::info) return;
  what.text = std::move(text);
  around_.story->add(std::move(what), around_.wall());
}

void lifecycle::schedule(time_point now) {
  next_due_.reset();
  const auto due = [&](time_point at) {
    if (at > now) next_due_ = std::min(at, next_due_.value_or(at));
  };
  if (backoff_.waiting(now)) due(backoff_.retry_at());
  if (deadline_ && (!instances_.empty() || runtime_->lot.parked() > 0)) due(*deadline_);
  if (!deadline_ && scaler_due_) due(*scaler_due_);
  if (!deadline_ && schedule_due_) due(*schedule_due_);
  const auto state = count();
  const auto moving = std::ranges::any_of(instances_, [](const tracked& one) { return one.at != phase::frozen; });
  if (moving || state.parked > 0 || (retiring_ && has_requests())) {
    due(now + (deadline_ ? poll : tick));
    if (state.draining > 0) due(now + drain_poll);
  }
  // With a short `idle` the moment an instance became idle must be seen in time to keep to it.
  if (state.ready > 0) due(now + std::clamp(config_->scale.idle, poll, tick));
  if (state.ready > 0 && state.in_flight == 0) due(state.last_active + config_->scale.idle);
  for (const auto& one : instances_) {
    if (one.at == phase::ejected) due(one.back_at);
    if (one.at == phase::frozen) due(one.since + config_->scale.frozen_for);
  }
  if (!lacks_room_) return;
  for (const auto& where : places_) {
    if (const auto at = around_.pools.refusal_ends(where.pool, now)) due(*at);
    if (where.refused_until > now) due(where.refused_until);
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
