#include "activator/runtime.hpp"

#include <algorithm>

namespace rouse::activator {

function_runtime::function_runtime(std::string function_name, unsigned workers)
    : name(std::move(function_name)), splits_(workers) {}

void function_runtime::configure(const config::function& config) {
  budget.set_limits(config.queue.max_requests, config.queue.max_bytes);
  rate.set(config.rate_limit);
}

revision_runtime::revision_runtime(std::shared_ptr<function_runtime> of, const config::revision& config,
                                   std::uint32_t number_given, unsigned workers,
                                   std::function<void(revision_runtime&)> wake_control,
                                   std::int64_t (*clock)() noexcept)
    : function(std::move(of)),
      name(config.name),
      hash(config.hash),
      number(number_given),
      wake(std::move(wake_control)),
      lot(
          function->budget, [this] { wake(*this); }, clock),
      counters_(workers) {}

revision_runtime::~revision_runtime() {
  for (auto& entry : counters_) delete entry.load(std::memory_order_relaxed);
}

revision_counters& revision_runtime::counters_of(unsigned worker) {
  auto* found = counters_[worker].load(std::memory_order_relaxed);
  if (!found) {
    found = new revision_counters;
    counters_[worker].store(found, std::memory_order_release);
  }
  return *found;
}

const revision_counters* revision_runtime::peek(unsigned worker) const noexcept {
  return counters_[worker].load(std::memory_order_acquire);
}

const service::target* service::find(std::string_view revision) const noexcept {
  const auto named = [revision](const target& one) { return one.runtime->name == revision; };
  const auto found = std::ranges::find_if(targets, named);
  return found == targets.end() ? nullptr : &*found;
}

}  // namespace rouse::activator
