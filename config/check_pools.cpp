#include <algorithm>

#include "config/readers.hpp"

namespace rouse::config {
namespace {

/// Most sets of several pools that are compared with each other: each pair costs.
constexpr std::size_t most_sets = 256;
/// Most functions that a problem names.
constexpr std::size_t most_names = 3;

std::vector<std::uint32_t> pools_of(const revision& value) {
  std::vector<std::uint32_t> out;
  for (const pool_use& use : value.pools) out.push_back(use.pool);
  std::sort(out.begin(), out.end());
  return out;
}

std::string list(const std::vector<std::string>& names, std::size_t count) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return count > names.size() ? out + " and " + std::to_string(count - names.size()) + " more" : out;
}

/// Room of all `set` together; nullopt when one of them has no bound.
std::optional<std::uint64_t> room_of_all(const std::vector<std::uint32_t>& set, const std::vector<pool_draft>& pools) {
  std::uint64_t out = 0;
  for (std::uint32_t index : set) {
    auto const room = room_of(pools[index].value);
    if (!room) return std::nullopt;
    out += *room;
  }
  return out;
}

std::string names_of(const std::vector<std::uint32_t>& set, const std::vector<pool_draft>& pools) {
  std::string out;
  for (std::uint32_t index : set) out += (out.empty() ? "" : ", ") + shown(pools[index].value.name);
  return out;
}

}  // namespace

void pool_demand::add(const function& value) {
  for (std::size_t i = 0; i < value.revisions.size(); ++i) {
    const revision& one = value.revisions[i];
    if (value.weights[i] == 0 || one.scale.min == 0) continue;
    sum& total = sums_[pools_of(one)];
    total.instances += one.scale.min;
    if (++total.count > most_names) continue;
    std::string const name = value.revisions.size() == 1 ? value.name : value.name + "@" + one.name;
    total.names.push_back(shown(name) + " " + std::to_string(one.scale.min));
  }
}

void pool_demand::check(const std::vector<pool_draft>& pools, problem_list& problems) const {
  std::set<std::uint32_t> full;
  for (const auto& [set, own] : sums_) {
    if (set.size() != 1) continue;
    const pool_draft& one = pools[set.front()];
    auto const room = room_of(one.value);
    if (!room || own.instances <= *room) continue;
    full.insert(set.front());
    problems.add(one.at, "the pool " + shown(one.value.name) + " has room for " + std::to_string(*room) +
                             " instances, but the `min` of what can run only there add up to " +
                             std::to_string(own.instances) + " (" + list(own.names, own.count) +
                             "): raise `max_instances`, lower a `min`, or name another pool for it");
  }
  if (sums_.size() > most_sets) return;
  for (const auto& [set, own] : sums_) {
    auto const room = room_of_all(set, pools);
    bool const told = std::any_of(set.begin(), set.end(), [&](std::uint32_t p) { return full.contains(p); });
    if (set.size() < 2 || !room || told) continue;
    std::uint64_t wanted = 0;
    for (const auto& [other, theirs] : sums_) {
      if (std::includes(set.begin(), set.end(), other.begin(), other.end())) wanted += theirs.instances;
    }
    if (wanted <= *room) continue;
    problems.add(pools[set.front()].at, "the pools " + names_of(set, pools) + " have room for " +
                                            std::to_string(*room) +
                                            " instances together, but the `min` of what can run only there add up to " +
                                            std::to_string(wanted) + " (among them " + list(own.names, own.count) +
                                            "): raise a `max_instances`, lower a `min`, or name another pool for it");
  }
}

}  // namespace rouse::config
