#include "gateway/events/store/settled_set.hpp"

#include <algorithm>
#include <iterator>

namespace rouse::gateway::events {

settled_set::iterator settled_set::remove(iterator at) {
  changed_.insert(at->first);
  return ranges_.erase(at);
}

void settled_set::add(std::int64_t first, std::int64_t last) {
  first = std::max(first, position_ + 1);
  if (last < first) return;
  auto next = ranges_.upper_bound(first);
  if (next != ranges_.begin() && std::prev(next)->second >= first - 1) {
    const auto before = std::prev(next);
    if (before->second >= last) return;
    first = before->first;
    next = remove(before);
  }
  while (next != ranges_.end() && next->first <= last + 1) {
    last = std::max(last, next->second);
    next = remove(next);
  }
  if (first == position_ + 1) {
    position_ = last;
    return;
  }
  ranges_.emplace_hint(next, first, last);
  changed_.insert(first);
}

bool settled_set::contains(std::int64_t seq) const {
  if (seq <= position_) return true;
  const auto next = ranges_.upper_bound(seq);
  return next != ranges_.begin() && std::prev(next)->second >= seq;
}

}  // namespace rouse::gateway::events
