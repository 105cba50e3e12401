// How instances go: drained when there are too many, stopped or frozen when idle, all of them at shutdown; and the
// freeing of what is gone.

#include <algorithm>
#include <cassert>
#include <tuple>
#include <utility>

#include "activator/lifecycle.hpp"
#include "activator/words.hpp"

namespace rouse::activator {

/// `idle` is over: everything without a slot taken ends, or freezes. What is starting is not called off, as it is idle
/// only since it is ready: else callers who do not wait as long as a start takes would never see one end well. Returns
/// how many do not serve any more.
unsigned lifecycle::go_to_zero(time_point now) {
  if (retires_now()) {
    const auto before = in_phase(phase::ready) + in_phase(phase::starting);
    retire_instances(now);
    return before;
  }
  const auto can_freeze = [](const tracked& one) { return one.with->traits().can_freeze; };
  if (config_->scale.to_zero == config::to_zero::freeze && std::ranges::all_of(instances_, can_freeze))
    return freeze_idle();
  std::vector<std::uint64_t> victims;
  unsigned gone = 0;
  for (auto& one : instances_) {
    const bool was_ready = one.at == phase::ready;  // an ejected one is no capacity
    if ((!was_ready && one.at != phase::ejected) || !one.self->stop_if_idle()) continue;
    one.at = phase::stopping;
    victims.push_back(one.self->id());
    if (was_ready) ++gone;
  }
  stop_all(victims, now);
  return gone;
}

/// They leave the workers, who close their idle connections; only then they are stopped from running: a connection to a
/// frozen server would look alive.
unsigned lifecycle::freeze_idle() {
  std::vector<std::uint64_t> victims;
  for (auto& one : instances_) {
    if (one.at != phase::ready || one.outdated || !one.self->freeze()) continue;
    one.at = phase::frozen;
    one.since = observed_.value_or(one.ready_at);
    victims.push_back(one.self->id());
  }
  if (victims.empty()) return 0;
  publish();
  leave_workers(victims);
  return static_cast<unsigned>(victims.size());
}

/// Takes `fewer` ready instances out of service: those that are to be replaced first, then those in the last pool, then
/// idle ones (the longest idle first), then the least busy. A busy one drains, however long its streams run. Ejected
/// ones go in any case: they are no capacity. Returns how many of the ready ones go.
unsigned lifecycle::shrink(unsigned fewer, time_point now) {
  if (retires_now()) return go_to_zero(now);
  if (fewer == 0) return 0;
  return take_out(could_go([](const tracked&) { return true; }), fewer, now);
}

/// Those that take work, or would if they were not ejected, in the order in which they are to go.
std::vector<lifecycle::tracked*> lifecycle::could_go(const std::function<bool(const tracked&)>& which) {
  const auto rank = [this](const tracked* one) {
    const auto is_its = [&](const place& where) { return where.pool == one->pool; };
    const auto pool = places_.end() - std::ranges::find_if(places_, is_its);  // the last is 1, one that is gone 0
    return std::tuple(one->at != phase::ejected, !one->outdated, pool, one->self->slots_taken(), idle_since(*one));
  };
  std::vector<std::pair<decltype(rank(nullptr)), tracked*>> ranked;
  for (auto& one : instances_) {
    if ((one.at == phase::ready || one.at == phase::ejected) && which(one)) ranked.emplace_back(rank(&one), &one);
  }
  std::ranges::stable_sort(ranked, {}, [](const auto& entry) { return entry.first; });
  std::vector<tracked*> order;
  for (const auto& entry : ranked) order.push_back(entry.second);
  return order;
}

/// So many ready ones, and the ejected ones before them. Returns how many of the ready ones go.
unsigned lifecycle::take_out(const std::vector<tracked*>& order, unsigned fewer, time_point now) {
  std::vector<std::uint64_t> idle;
  std::vector<std::uint64_t> busy;
  unsigned gone = 0;
  for (auto* one : order) {
    const bool was_ready = one->at == phase::ready;
    if (was_ready && gone == fewer) break;
    if (one->self->stop_if_idle()) {
      one->at = phase::stopping;
      idle.push_back(one->self->id());
    } else if (one->self->drain()) {
      one->at = phase::draining;
      one->since = now;
      busy.push_back(one->self->id());
    } else {
      continue;
    }
    if (was_ready) ++gone;
  }
  stop_all(idle, now);
  if (!busy.empty()) {
    publish();
    leave_workers(busy);
  }
  return gone;
}

/// The first of these goes, for the sake of its place.
void lifecycle::make_room(const std::function<bool(const tracked&)>& which, time_point now) {
  auto order = could_go(which);
  if (order.empty()) return;
  order.resize(1);
  order.front()->makes_room = true;
  take_out(order, 1, now);
}

void lifecycle::give_up_one(std::uint32_t pool, time_point now) {
  make_room([pool](const tracked& one) { return one.pool == pool; }, now);
}

unsigned lifecycle::could_give_up(std::uint32_t pool) const {
  const auto could = [pool](const tracked& one) {
    return one.pool == pool && (one.at == phase::ready || one.at == phase::ejected);
  };
  return static_cast<unsigned>(std::ranges::count_if(instances_, could));
}

bool lifecycle::is_making_room(std::uint32_t pool) const {
  return std::ranges::any_of(instances_, [pool](const tracked& one) {
    return one.makes_room && one.pool == pool && (one.at == phase::draining || one.at == phase::stopping);
  });
}

/// The revision's traffic has moved: nothing of it stays longer than its streams.
void lifecycle::retire_instances(time_point now) {
  std::vector<std::uint64_t> left;
  std::vector<std::uint64_t> unborn;
  for (auto& one : instances_) {
    if (one.at == phase::starting) {
      unborn.push_back(one.self->id());
    } else if ((one.at == phase::ready || one.at == phase::ejected) && one.self->drain()) {
      one.at = phase::draining;
      one.since = now;
      left.push_back(one.self->id());
    }
  }
  if (!left.empty()) publish();
  leave_workers(left);
  for (const auto id : unborn) {
    find(id).self->mark_stopping();
    stop(find(id), config_->stop_grace, now);
  }
  end_drained(now);
  for (auto& one : instances_) {
    if (one.at == phase::frozen && one.self->stop_if_idle()) stop(one, config_->stop_grace, now);
  }
}

/// Tells those to end whose last slot was given back, and those whose streams outlast `drain_max`.
void lifecycle::end_drained(time_point now) {
  if (deadline_) return;
  for (auto& one : instances_) {
    if (one.at != phase::draining) continue;
    const bool late = now - one.since >= config_->drain_max;
    if (!one.self->stop_if_idle()) {
      if (!late) continue;
      around_.log.warn("function {}: instance {} still has {} in flight after `drain_max` ({}): it is ended",
                       runtime_->function->name, one.self->name(), one.self->slots_taken(),
                       in_words(config_->drain_max));
      one.self->mark_stopping();
    }
    stop(one, config_->stop_grace, now);
  }
}

void lifecycle::end_frozen(time_point now) {
  for (auto& one : instances_) {
    const bool late = now - one.since >= config_->scale.frozen_for;
    if (one.at != phase::frozen || !(late || one.outdated) || !one.self->stop_if_idle()) continue;
    stop(one, config_->stop_grace, now);
  }
}

void lifecycle::end_unused(time_point now) {
  if (limits().min > 0 || runtime_->lot.parked() > 0) return;
  std::vector<std::uint64_t> victims;
  for (auto& one : instances_) {
    if (one.at != phase::ready || one.self->last_active() != 0 || !one.self->stop_if_idle()) continue;
    one.at = phase::stopping;
    victims.push_back(one.self->id());
  }
  if (victims.empty()) return;
  stop_all(victims, now);
  set_desired(in_phase(phase::ready) + in_phase(phase::starting), scale_cause::rollout,
              "it starts, and nothing needs it now");
}

bool lifecycle::end_one_frozen(std::uint32_t pool, time_point now) {
  tracked* oldest = nullptr;
  for (auto& one : instances_) {
    if (one.at == phase::frozen && one.pool == pool && (!oldest || one.since < oldest->since)) oldest = &one;
  }
  if (!oldest || !oldest->self->stop_if_idle()) return false;
  stop(*oldest, config_->stop_grace, now);
  return true;
}

/// They are marked already and leave the workers' list together.
void lifecycle::stop_all(const std::vector<std::uint64_t>& ids, time_point now) {
  if (ids.empty()) return;
  publish();
  leave_workers(ids);
  for (const auto id : ids) stop(find(id), deadline_ ? grace_left(now) : config_->stop_grace, now);
}

/// The instance is marked already; this tells the backend. What the next rouse would start as well is only let go.
void lifecycle::stop(tracked& one, std::chrono::milliseconds grace, time_point now) {
  one.at = phase::stopping;
  one.kill_at = now + grace;
  const bool again = std::exchange(one.told, true);
  if (!again) around_.pools.will_leave(one.pool);
  if (deadline_ && !again && !one.outdated && !retiring_) {
    one.with->let_go(one.self->id(), grace);
  } else {
    one.with->stop(one.self->id(), grace);
  }
}

/// After these left the published list: workers close their idle connections to them, so that a server which waits for
/// its connections can end, and one that is to be frozen can be.
void lifecycle::leave_workers(const std::vector<std::uint64_t>& ids) {
  for (const auto id : ids) {
    auto& one = find(id);
    assert(one.published);
    one.forgotten = false;
    const auto time = ++one.leaving;
    around_.plane.forget(*one.self, [this, id, time, alive = std::weak_ptr(around_.alive)] {
      if (alive.expired()) return;
      auto& left = find(id);
      if (left.leaving != time) return;  // it came back, or left once more
      left.forgotten = true;
      if (left.at == phase::frozen) {
        left.held = true;
        left.with->freeze(id);
      }
      retire();
    });
  }
}

/// Frees what has exited, once no slot is taken and no worker can look at it any more.
void lifecycle::retire() {
  for (auto& one : instances_) {
    if (one.at != phase::exited || !one.forgotten || one.retiring || one.self->slots_taken() > 0) continue;
    one.retiring = true;
    around_.plane.quiesce([this, id = one.self->id(), alive = std::weak_ptr(around_.alive)] {
      if (!alive.expired()) erase(id);
    });
  }
  std::erase_if(instances_, [](const tracked& one) { return one.at == phase::exited && !one.published; });
}

void lifecycle::erase(std::uint64_t id) {
  std::erase_if(instances_, [id](const tracked& one) { return one.self->id() == id; });
  if (instances_.empty()) instances_.shrink_to_fit();
}

void lifecycle::shut_down(time_point deadline, time_point now) {
  if (deadline_ && deadline >= *deadline_) return;
  deadline_ = deadline;
  at_once_ = deadline <= now;
  const auto grace = grace_left(now);
  for (auto& one : instances_) {
    if (one.at == phase::stopping && now + grace < one.kill_at) stop(one, grace, now);
  }
  evaluate(now);
}

void lifecycle::evaluate_ending(time_point now) {
  if (now >= *deadline_) return end_by_force(now);
  const auto parked = runtime_->lot.parked();
  if (parked == 0) {
    end_idle(now);
  } else {
    const auto state = count();
    const auto decision = decide(state, now);
    const auto have = state.ready + state.starting;
    set_desired(std::max(decision.desired, have), decision.cause, decision.reason);
    if (decision.desired > have) grow(decision.desired - have, have, !backoff_.waiting(now), now);
    return;
  }
  set_desired(in_phase(phase::ready) + in_phase(phase::starting), scale_cause::shutdown, "shutting down");
}

/// Nothing is parked: what has no slot taken may end, what is starting is not waited for.
void lifecycle::end_idle(time_point now) {
  std::vector<std::uint64_t> victims;
  for (auto& one : instances_) {
    if (one.at == phase::starting) {
      one.self->mark_stopping();
      stop(one, grace_left(now), now);
    } else if (one.at == phase::draining || one.at == phase::frozen) {
      if (one.self->stop_if_idle()) stop(one, grace_left(now), now);  // it left the workers before
    } else if ((one.at == phase::ready || one.at == phase::ejected) && one.self->stop_if_idle()) {
      victims.push_back(one.self->id());
      one.at = phase::stopping;
    }
  }
  stop_all(victims, now);
}

void lifecycle::end_by_force(time_point now) {
  std::vector<std::uint64_t> known;
  for (auto& one : instances_) {
    if (one.at >= phase::stopping) continue;
    const bool listed = one.at == phase::ready || one.at == phase::ejected;
    one.self->mark_stopping();
    if (listed) {
      known.push_back(one.self->id());
      one.at = phase::stopping;
    } else {
      stop(one, grace_left(now), now);
    }
  }
  stop_all(known, now);
  set_desired(0, scale_cause::shutdown, "shutting down: the time to drain is over");
}

std::chrono::milliseconds lifecycle::grace_left(time_point now) const {
  if (at_once_) return std::chrono::milliseconds(0);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ + last_grace - now);
  return std::clamp(left, std::chrono::milliseconds(0), config_->stop_grace);
}

}  // namespace rouse::activator
