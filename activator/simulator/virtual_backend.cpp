#include "activator/simulator/virtual_backend.hpp"

#include <cassert>

namespace rouse::simulator {

void virtual_backend::start(const activator::start_spec& spec) {
  const auto from = find_(spec);
  instances_.emplace(spec.id, instance{from.function, now_});
  count_[from.function].begun();
  count_.back().begun();
  const auto timeout = std::chrono::nanoseconds(spec.start_timeout).count();
  if (from.start_ns > timeout) {
    events_.add(now_ + timeout, event_kind::gone, spec.id);
  } else {
    events_.add(now_ + from.start_ns, event_kind::ready, spec.id);
  }
}

/// Only what is idle is told to stop, or what has drained for longer than it may.
void virtual_backend::stop(std::uint64_t id, std::chrono::milliseconds) {
  const auto found = instances_.find(id);
  if (found == instances_.end() || std::exchange(found->second.asked, true)) return;
  events_.add(now_, event_kind::gone, id);
}

bool virtual_backend::got_ready(std::uint64_t id) {
  const auto found = instances_.find(id);
  if (found == instances_.end()) return false;  // it was told to stop before
  auto& one = found->second;
  one.ready = true;
  for (auto* const of : {&count_[one.function], &count_.back()}) {
    --of->starting;
    ++of->became_ready;
  }
  return true;
}

activator::exit_report virtual_backend::ended(std::uint64_t id) {
  const auto found = instances_.find(id);
  activator::exit_report out;
  if (found == instances_.end()) return out;
  const auto one = found->second;
  instances_.erase(found);
  for (auto* const of : {&count_[one.function], &count_.back()}) {
    --of->all;
    of->lived_ns += now_ - one.began;
    if (!one.ready) --of->starting;
    if (!one.ready && !one.asked) ++of->failed;
  }
  out.was_ready = one.ready;
  out.was_asked = one.asked;
  out.reason = one.asked ? "exited" : "timeout";
  out.detail = one.asked ? "ended as it was told" : "was not ready within start_timeout";
  return out;
}

std::vector<std::int64_t> virtual_backend::lived(std::int64_t now) const {
  std::vector<std::int64_t> out;
  for (const auto& one : count_) out.push_back(one.lived_ns);
  for (const auto& [id, one] : instances_) {
    out[one.function] += now - one.began;
    out.back() += now - one.began;
  }
  return out;
}

}  // namespace rouse::simulator
