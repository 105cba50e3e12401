#include "gateway/events/dispatch_queue.hpp"

#include <algorithm>
#include <cassert>

namespace rouse::gateway::events {

std::chrono::milliseconds retry_rule::pause_after(unsigned made, double random,
                                                  std::chrono::milliseconds retry_after) const {
  using std::chrono::milliseconds;
  constexpr auto longest_asked = milliseconds(24 * 3600 * 1000);
  auto pause = exponential ? delay : delay * made;
  if (exponential) {
    for (unsigned i = 1; i < made && pause < max_delay; ++i) pause *= 2;
  }
  pause = std::min(pause, max_delay);
  const auto half = pause / 2;
  const auto spread =
      half + milliseconds(static_cast<std::int64_t>(random * static_cast<double>((pause - half).count())));
  return std::max(spread, std::min(retry_after, longest_asked));
}

void dispatch_queue::add(std::uint64_t number, key order_key) {
  assert(!entries_.contains(number));
  if (order_key) {
    const auto [at, first] = behind_.try_emplace(*order_key);
    if (!first) {
      at->second.push_back(number);
    } else {
      ready_.push_back(number);
    }
  } else {
    ready_.push_back(number);
  }
  entries_.emplace(number, entry{std::move(order_key), {}});
}

void dispatch_queue::add_tried(std::uint64_t number, key order_key, attempts_made made) {
  assert(!entries_.contains(number));
  if (order_key) {
    const auto [at, first] = behind_.try_emplace(*order_key);
    if (!first) {
      at->second.push_back(number);
      entries_.emplace(number, entry{std::move(order_key), made});
      return;
    }
  }
  due_.emplace(made.next_try, number);
  entries_.emplace(number, entry{std::move(order_key), made});
}

std::optional<std::uint64_t> dispatch_queue::next(wall_time now) {
  if (in_flight_ >= concurrency_) return std::nullopt;
  std::uint64_t number = 0;
  if (!due_.empty() && due_.begin()->first <= now) {
    number = due_.begin()->second;
    due_.erase(due_.begin());
  } else if (!ready_.empty()) {
    number = ready_.front();
    ready_.pop_front();
  } else {
    return std::nullopt;
  }
  ++in_flight_;
  return number;
}

std::optional<wall_time> dispatch_queue::wakes_at() const {
  if (due_.empty() || in_flight_ >= concurrency_) return std::nullopt;
  return due_.begin()->first;
}

void dispatch_queue::let_next_of(const std::string& order_key) {
  const auto at = behind_.find(order_key);
  assert(at != behind_.end());
  if (at->second.empty()) {
    behind_.erase(at);
    return;
  }
  const auto number = at->second.front();
  at->second.pop_front();
  if (const auto& made = entries_.at(number).made; made.count > 0) {
    due_.emplace(made.next_try, number);
  } else {
    ready_.push_back(number);
  }
}

void dispatch_queue::settle(std::uint64_t number) {
  const auto at = entries_.find(number);
  assert(at != entries_.end());
  --in_flight_;
  const auto order_key = std::move(at->second.order_key);
  entries_.erase(at);
  if (order_key) let_next_of(*order_key);
}

void dispatch_queue::retry(std::uint64_t number, attempts_made made) {
  --in_flight_;
  entries_.at(number).made = made;
  due_.emplace(made.next_try, number);
}

void dispatch_queue::put_back(std::uint64_t number) {
  --in_flight_;
  const auto& made = entries_.at(number).made;
  if (made.count > 0) {
    due_.emplace(made.next_try, number);
  } else {
    ready_.push_front(number);
  }
}

void dispatch_queue::forget_waiting() {
  for (const auto number : ready_) entries_.erase(number);
  ready_.clear();
  for (const auto& [time, number] : due_) entries_.erase(number);
  due_.clear();
  for (const auto& [order_key, waiting] : behind_) {
    for (const auto number : waiting) entries_.erase(number);
  }
  behind_.clear();
  for (const auto& [number, one] : entries_) {
    if (one.order_key) behind_.try_emplace(*one.order_key);
  }
}

attempts_made dispatch_queue::made(std::uint64_t number) const {
  return entries_.at(number).made;
}

}  // namespace rouse::gateway::events
