#pragma once
// The pools' books: how many instances each holds, how many it may hold now, and what that costs. Control thread only;
// lives as long as the activator. An entry keeps its number over reloads, so that instances of a pool that the file no
// longer names are still counted off it.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "activator/schedule.hpp"
#include "config/config.hpp"

namespace rouse::activator {

/// For the admin interface.
struct pool_status {
  std::string name;
  std::string backend;
  std::string problem;                    ///< what is wrong with the backend, in a sentence; empty: nothing
  bool standby = false;                   ///< another rouse works it
  std::optional<unsigned> max_instances;  ///< in force now, schedule included; unset: no bound
  unsigned instances = 0;                 ///< starting, ready, draining, ejected, frozen and stopping ones
  unsigned reserved = 0;
  double cost = 1.0;
  double cost_total = 0;      ///< instance-hours, at least the reserved ones, x cost
  double instance_hours = 0;  ///< used ones only
  bool cordoned = false;
  bool configured = true;  ///< the file names it
};

class pool_book {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  /// `poke` is called with a lifecycle's number when there may be room for what it wanted to start; not from inside
  /// want().
  explicit pool_book(std::function<void(std::uint32_t lifecycle)> poke) : poke_(std::move(poke)) {}

  /// Takes over the file's pools by name.
  void configure(const std::vector<config::pool>& pools, time_point now, wall_time wall);
  /// The stable number of a pool by its name; it exists.
  [[nodiscard]] std::uint32_t number_of(std::string_view name) const;
  [[nodiscard]] std::optional<std::uint32_t> find(std::string_view name) const;
  [[nodiscard]] const std::string& name_of(std::uint32_t pool) const { return entries_[pool].config.name; }

  /// Follows the schedules. Returns when to be called next; nothing without schedules.
  std::optional<wall_time> follow(wall_time wall);

  /// Whether an instance may be started there now. What goes beyond its revision's `min` leaves free the places that
  /// are kept for others; `own`: so many of those are its own.
  [[nodiscard]] bool has_room(std::uint32_t pool, bool within_min, time_point now, unsigned own = 0) const {
    return must_go(pool, within_min, now, own) == 0U;
  }
  /// So many instances must end there before one more may be started; nothing where that would not help: the pool is
  /// closed, its backend has refused for now, or its limit is 0.
  [[nodiscard]] std::optional<unsigned> must_go(std::uint32_t pool, bool within_min, time_point now,
                                                unsigned own = 0) const;
  /// In force now; nothing: no bound.
  [[nodiscard]] std::optional<unsigned> limit_of(std::uint32_t pool) const { return entries_[pool].limit; }
  [[nodiscard]] bool is_cordoned(std::uint32_t pool) const { return entries_[pool].cordoned; }
  /// Full or not, instances are started there: the file names it, and it is not cordoned.
  [[nodiscard]] bool is_open(std::uint32_t pool) const { return entries_[pool].configured && !entries_[pool].cordoned; }
  void take(std::uint32_t pool, time_point now);
  void give_back(std::uint32_t pool, time_point now);
  /// An instance there was told to end: its place will be free.
  void will_leave(std::uint32_t pool) { ++entries_[pool].leaving; }
  void has_left(std::uint32_t pool) { --entries_[pool].leaving; }
  [[nodiscard]] bool some_leave(std::uint32_t pool) const { return entries_[pool].leaving > 0; }

  /// Places that are kept free for somebody: instances that some revision's `min` still lacks, reckoned to its first
  /// pool, and those that were made free by others' going.
  void keep_free(std::uint32_t pool, int more);
  /// The lifecycle found no room; it is poked, in the order of asking, when there may be some.
  void want(std::uint32_t lifecycle);
  void want_no_more(std::uint32_t lifecycle);

  void cordon(std::uint32_t pool, bool on);
  /// The backend refused for lack of room: nothing is started there until then.
  void refuse_until(std::uint32_t pool, time_point when) { entries_[pool].refused_until = when; }
  /// There may be room again: it can be asked at once.
  void refuse_no_more(std::uint32_t pool);
  /// When the earliest of these refusals that lies after `now` ends.
  [[nodiscard]] std::optional<time_point> refusal_ends(std::uint32_t pool, time_point now) const;

  [[nodiscard]] std::vector<pool_status> status(time_point now) const;

 private:
  struct entry {
    config::pool config;
    std::optional<pool_schedule> schedule;  ///< where there is one
    bool configured = true;
    bool cordoned = false;
    std::optional<unsigned> limit;  ///< in force
    unsigned used = 0;
    unsigned leaving = 0;  ///< of those, told to end
    int kept_free = 0;
    time_point refused_until{};
    time_point reckoned{};  ///< until when the two sums are right
    double used_hours = 0;
    double cost = 0;  ///< at the prices of their time
  };
  static void reckon(entry& one, time_point now);
  static bool set_limit(entry& one, wall_time wall);
  void poke_all();

  std::function<void(std::uint32_t)> poke_;
  std::vector<entry> entries_;
  std::vector<std::uint32_t> wanting_;
};

}  // namespace rouse::activator
