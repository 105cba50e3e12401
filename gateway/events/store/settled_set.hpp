#pragma once
// What a consumer has settled: everything up to a position, and ranges beyond it. A value, for the writer's thread; it
// remembers which ranges changed since they were last written.

#include <cstdint>
#include <map>
#include <set>

#include "gateway/events/store/types.hpp"

namespace rouse::gateway::events {

class settled_set {
 public:
  settled_set() = default;
  explicit settled_set(std::int64_t position) : position_(position) {}

  /// Adds a range; parts of it may be settled already.
  void add(std::int64_t first, std::int64_t last);
  [[nodiscard]] bool contains(std::int64_t seq) const;
  [[nodiscard]] std::int64_t position() const { return position_; }
  /// First to last, beyond the position, with gaps between them.
  [[nodiscard]] const std::map<std::int64_t, std::int64_t>& ranges() const { return ranges_; }

  /// The firsts of ranges that came, went or grew since clear_changed().
  [[nodiscard]] const std::set<std::int64_t>& changed() const { return changed_; }
  void clear_changed() { changed_.clear(); }

 private:
  using iterator = std::map<std::int64_t, std::int64_t>::iterator;
  iterator remove(iterator at);

  std::int64_t position_ = 0;
  std::map<std::int64_t, std::int64_t> ranges_;
  std::set<std::int64_t> changed_;
};

}  // namespace rouse::gateway::events
