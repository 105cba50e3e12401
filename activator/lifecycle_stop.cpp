// How instances end: idle ones, all of them at shutdown, and the freeing of what is gone.

#include <algorithm>
#include <cassert>
#include <utility>

#include "activator/lifecycle.hpp"

namespace rouse::activator {

unsigned lifecycle::stop_idle(unsigned most, time_point now) {
  std::vector<tracked*> idle;
  for (auto& one : instances_) {
    if (one.at == phase::ready && now - idle_since(one) >= runtime_.config.scale.idle) idle.push_back(&one);
  }
  std::ranges::stable_sort(idle, {}, [](const tracked* one) { return idle_since(*one); });

  std::vector<std::uint64_t> victims;
  for (auto* one : idle) {
    if (victims.size() == most) break;
    if (!one->self->stop_if_idle()) continue;  // it has, or just got, a request
    one->at = phase::stopping;
    victims.push_back(one->self->id());
  }
  if (victims.empty()) return 0;
  publish();
  leave_workers(victims);
  for (const auto id : victims) stop(find(id), runtime_.config.stop_grace, now);
  return static_cast<unsigned>(victims.size());
}

/// The instance is marked already; this tells the backend.
void lifecycle::stop(tracked& one, std::chrono::milliseconds grace, time_point now) {
  one.at = phase::stopping;
  one.kill_at = now + grace;
  around_.with->stop(one.self->id(), grace);
}

/// After these left the published list: workers close their idle connections to them, so that a server which waits for
/// its connections can end.
void lifecycle::leave_workers(const std::vector<std::uint64_t>& ids) {
  for (const auto id : ids) {
    auto& one = find(id);
    assert(one.published && !one.forgotten);
    around_.plane.forget(*one.self, [this, id, alive = std::weak_ptr(around_.alive)] {
      if (alive.expired()) return;
      find(id).forgotten = true;
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
  if (runtime_.lot.parked() == 0) {
    end_idle(now);
  } else if (!backoff_.waiting(now)) {
    auto state = count(now);
    state.min = 0;
    state.idle_expired = 0;
    const auto decision = decide(state);
    set_desired(decision.desired, decision.reason);
    for (auto have = state.ready + state.starting; have < decision.desired; ++have) start_one(now);
    return;
  }
  set_desired(in_phase(phase::ready) + in_phase(phase::starting), "shutting down");
}

/// Nothing is parked: what has no slot taken may end, what is starting is not waited for.
void lifecycle::end_idle(time_point now) {
  std::vector<std::uint64_t> victims;
  std::vector<std::uint64_t> unborn;
  for (auto& one : instances_) {
    if (one.at == phase::starting) {
      one.self->mark_stopping();
      unborn.push_back(one.self->id());
    } else if (one.at == phase::ready && one.self->stop_if_idle()) {
      victims.push_back(one.self->id());
      one.at = phase::stopping;
    }
  }
  if (!victims.empty()) publish();
  leave_workers(victims);
  for (const auto id : victims) stop(find(id), grace_left(now), now);
  for (const auto id : unborn) stop(find(id), grace_left(now), now);
}

void lifecycle::end_by_force(time_point now) {
  std::vector<std::uint64_t> all;
  std::vector<std::uint64_t> known;
  for (auto& one : instances_) {
    if (one.at != phase::starting && one.at != phase::ready) continue;
    one.self->mark_stopping();
    all.push_back(one.self->id());
    if (one.at == phase::ready) known.push_back(one.self->id());
    one.at = phase::stopping;
  }
  if (!known.empty()) publish();
  leave_workers(known);
  for (const auto id : all) stop(find(id), grace_left(now), now);
  set_desired(0, "shutting down: the time to drain is over");
}

std::chrono::milliseconds lifecycle::grace_left(time_point now) const {
  if (at_once_) return std::chrono::milliseconds(0);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ + last_grace - now);
  return std::clamp(left, std::chrono::milliseconds(0), runtime_.config.stop_grace);
}

}  // namespace rouse::activator
