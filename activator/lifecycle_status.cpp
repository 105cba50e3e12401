// What the admin interface shows of one revision.

#include "activator/lifecycle.hpp"
#include "activator/words.hpp"

namespace rouse::activator {
namespace {

std::string state_in_words(router::instance_state state) {
  return state == router::instance_state::open ? "ready" : router::to_string(state);
}

}  // namespace

revision_status lifecycle::status(time_point now) const {
  revision_status out;
  out.function = runtime_->function->name;
  out.revision = config_->name;
  out.parked = runtime_->lot.parked();
  const auto bounds = limits();
  out.min = bounds.min;
  out.max = bounds.max;
  out.desired = desired_;
  out.runtimes.push_back(runtime_);
  for (const auto& where : places_) out.pools.push_back(around_.pools.name_of(where.pool));
  if (lacks_room_) out.why = "no pool has room for another instance";
  if (failure_) out.failure = failure_->detail;
  for (const auto& one : instances_) {
    const auto taken = one.self->slots_taken();
    out.in_flight += taken;
    if (one.at == phase::exited && taken == 0) continue;  // only the memory of it is left
    instance_status shown;
    shown.id = one.self->id();
    shown.name = one.self->name();
    shown.pool = around_.pools.name_of(one.pool);
    shown.state = state_in_words(one.self->state());
    shown.progress = one.progress;
    if (one.published) shown.address = in_words(one.self->where());
    shown.in_flight = taken;
    shown.age = std::chrono::duration_cast<std::chrono::milliseconds>(now - one.began);
    out.instances.push_back(std::move(shown));
  }
  out.cold_start_buckets.resize(duration_histogram::bounds_ns.size() + 1);
  if (!history_) return out;
  out.decisions = history_->decisions;
  out.decision_counts = history_->counts;
  out.start_failures = history_->start_failures;
  out.ejections = history_->ejections;
  out.thaws = history_->thaws;
  out.cold_starts = history_->cold_starts;
  out.cold_start_sum_ns = history_->cold_start_duration.sum_ns();
  for (std::size_t i = 0; i < out.cold_start_buckets.size(); ++i) {
    out.cold_start_buckets[i] = history_->cold_start_duration.bucket(i);
  }
  return out;
}

}  // namespace rouse::activator
