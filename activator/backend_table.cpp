#include "activator/backend_table.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace rouse::activator {

backend_factory always(backend& one) {
  return [&one](const config::pool&) { return std::shared_ptr<backend>(std::shared_ptr<void>(), &one); };
}

void backend_table::configure(const std::vector<config::pool>& pools, const pool_book& numbers) {
  for (auto& one : entries_) one.configured = false;
  for (const auto& given : pools) {
    const auto number = numbers.number_of(given.name);
    if (number >= entries_.size()) entries_.resize(number + 1);
    auto& known = entries_[number];
    if (known.config.backend != given.backend || !(known.config.connection == given.connection)) {
      known.with.reset();
      known.told = known.known = false;
      known.state = {};
    }
    known.config = given;
    known.configured = true;
  }
}

const std::shared_ptr<backend>& backend_table::of(std::uint32_t pool) {
  auto& one = entries_[pool];
  if (!one.with) {
    one.with = make_(one.config);
    assert(one.with);
    one.known = !one.with->traits().may_be_standby;
  }
  return one.with;
}

void backend_table::all_served() {
  for (auto& one : entries_) {
    if (one.with && !std::exchange(one.told, true)) one.with->all_served();
  }
}

bool backend_table::set_state(std::uint32_t pool, backend_state state) {
  auto& one = entries_[pool];
  const bool first = !std::exchange(one.known, true);
  if (one.state == state) return first;
  one.state = std::move(state);
  return true;
}

bool backend_table::standby() const {
  return std::ranges::any_of(entries_,
                             [](const entry& one) { return one.configured && one.with && one.state.standby; });
}

bool backend_table::all_known() const {
  return std::ranges::all_of(entries_, [](const entry& one) { return !one.configured || !one.with || one.known; });
}

}  // namespace rouse::activator
