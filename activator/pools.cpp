#include "activator/pools.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace rouse::activator {
namespace {

double hours(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::ratio<3600>>(time).count();
}

}  // namespace

void pool_book::configure(const std::vector<config::pool>& pools, time_point now, wall_time wall) {
  for (auto& one : entries_) one.configured = false;
  for (const auto& given : pools) {
    auto known = std::ranges::find(entries_, given.name, [](const entry& one) { return one.config.name; });
    if (known == entries_.end()) {
      entries_.emplace_back();
      known = entries_.end() - 1;
      known->reckoned = now;
    }
    reckon(*known, now);  // at the old price until now
    known->config = given;
    known->schedule.reset();
    if (!given.schedule.empty()) known->schedule.emplace(given);
    known->configured = true;
    set_limit(*known, wall);
  }
  for (auto& one : entries_) {
    if (one.configured) continue;
    reckon(one, now);
    one.config.reserved = 0;
    one.limit = 0;
  }
  poke_all();
}

std::optional<std::uint32_t> pool_book::find(std::string_view name) const {
  const auto known =
      std::ranges::find(entries_, name, [](const entry& one) -> std::string_view { return one.config.name; });
  if (known == entries_.end()) return std::nullopt;
  return static_cast<std::uint32_t>(known - entries_.begin());
}

std::uint32_t pool_book::number_of(std::string_view name) const {
  const auto found = find(name);
  assert(found && "the loader checks the names of pools");
  return *found;
}

/// True when the limit in force has changed.
bool pool_book::set_limit(entry& one, wall_time wall) {
  const auto limit = one.schedule ? one.schedule->at(wall).max_instances : one.config.max_instances;
  return std::exchange(one.limit, limit) != limit;
}

std::optional<wall_time> pool_book::follow(wall_time wall) {
  std::optional<wall_time> next;
  bool changed = false;
  for (auto& one : entries_) {
    if (!one.configured || !one.schedule) continue;
    changed = set_limit(one, wall) || changed;
    if (const auto at = one.schedule->at(wall).until) next = std::min(*at, next.value_or(*at));
  }
  if (changed) poke_all();
  return next;
}

std::optional<unsigned> pool_book::must_go(std::uint32_t pool, bool within_min, time_point now, unsigned own) const {
  const auto& one = entries_[pool];
  if (!is_open(pool) || now < one.refused_until) return std::nullopt;
  if (!one.limit) return 0;
  if (*one.limit == 0) return std::nullopt;
  const auto for_others = within_min ? 0 : std::max(one.kept_free - static_cast<int>(own), 0);
  const auto wanted = one.used + static_cast<unsigned>(for_others) + 1;
  return wanted - std::min(wanted, *one.limit);
}

void pool_book::take(std::uint32_t pool, time_point now) {
  reckon(entries_[pool], now);
  ++entries_[pool].used;
}

void pool_book::give_back(std::uint32_t pool, time_point now) {
  reckon(entries_[pool], now);
  assert(entries_[pool].used > 0);
  --entries_[pool].used;
  poke_all();
}

void pool_book::keep_free(std::uint32_t pool, int more) {
  entries_[pool].kept_free += more;
  if (more < 0) poke_all();
}

void pool_book::want(std::uint32_t lifecycle) {
  if (std::ranges::find(wanting_, lifecycle) == wanting_.end()) wanting_.push_back(lifecycle);
}

void pool_book::want_no_more(std::uint32_t lifecycle) {
  std::erase(wanting_, lifecycle);
}

/// In the order of asking; who still finds no room asks again, behind the others: they take turns.
void pool_book::poke_all() {
  const auto all = std::exchange(wanting_, {});
  for (const auto lifecycle : all) poke_(lifecycle);
}

void pool_book::cordon(std::uint32_t pool, bool on) {
  entries_[pool].cordoned = on;
  if (!on) poke_all();
}

void pool_book::refuse_no_more(std::uint32_t pool) {
  entries_[pool].refused_until = {};
  poke_all();
}

std::optional<pool_book::time_point> pool_book::refusal_ends(std::uint32_t pool, time_point now) const {
  const auto until = entries_[pool].refused_until;
  return until > now ? std::optional(until) : std::nullopt;
}

void pool_book::reckon(entry& one, time_point now) {
  const double time = hours(now - one.reckoned);
  one.reckoned = now;
  one.used_hours += one.used * time;
  one.cost += std::max(one.used, one.config.reserved) * time * one.config.cost;
}

std::vector<pool_status> pool_book::status(time_point now) const {
  std::vector<pool_status> out;
  for (auto one : entries_) {
    if (!one.configured && one.used == 0) continue;
    reckon(one, now);
    pool_status shown;
    shown.name = one.config.name;
    shown.backend = config::to_string(one.config.backend);
    shown.max_instances = one.limit;
    shown.instances = one.used;
    shown.reserved = one.config.reserved;
    shown.cost = one.config.cost;
    shown.cost_total = one.cost;
    shown.instance_hours = one.used_hours;
    shown.cordoned = one.cordoned;
    shown.configured = one.configured;
    out.push_back(std::move(shown));
  }
  return out;
}

}  // namespace rouse::activator
