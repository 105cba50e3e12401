// What the admin interface shows of one function.

#include "activator/lifecycle.hpp"
#include "activator/words.hpp"

namespace rouse::activator {
namespace {

std::string state_in_words(router::instance_state state) {
  return state == router::instance_state::open ? "ready" : router::to_string(state);
}

}  // namespace

function_status lifecycle::status(time_point now) const {
  function_status out;
  out.name = runtime_.config.name;
  out.revision = runtime_.config.revision;
  out.parked = runtime_.lot.parked();
  out.parked_bytes = runtime_.budget.bytes.load(std::memory_order_relaxed);
  out.desired = desired_;
  if (failure_) out.failure = failure_->detail;
  for (const auto& one : instances_) {
    const auto taken = one.self->slots_taken();
    out.in_flight += taken;
    if (one.at == phase::exited && taken == 0) continue;  // only the memory of it is left
    instance_status shown;
    shown.id = one.self->id();
    shown.name = one.self->name();
    shown.state = state_in_words(one.self->state());
    if (one.published) shown.address = in_words(one.self->where());
    shown.in_flight = taken;
    shown.age = std::chrono::duration_cast<std::chrono::milliseconds>(now - one.began);
    out.instances.push_back(std::move(shown));
  }
  out.cold_start_buckets.resize(duration_histogram::bounds_ns.size() + 1);
  if (!history_) return out;
  out.decisions = history_->decisions;
  out.decisions_up = history_->up;
  out.decisions_down = history_->down;
  out.start_failures = history_->start_failures;
  out.cold_starts = history_->cold_starts;
  out.cold_start_sum_ns = history_->cold_start_duration.sum_ns();
  for (std::size_t i = 0; i < out.cold_start_buckets.size(); ++i) {
    out.cold_start_buckets[i] = history_->cold_start_duration.bucket(i);
  }
  return out;
}

}  // namespace rouse::activator
