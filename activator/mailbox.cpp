// What the parking lot is built from: the list that runs through the waiters, the mailbox of a worker, and the budget.
// The protocol that ties them together is told in parking_lot.cpp.

#include <cassert>
#include <utility>

#include "activator/parking_lot.hpp"

namespace rouse::activator {

void waiter_list::insert_after(waiter* before, waiter& w) noexcept {
  waiter* const after = before != nullptr ? before->next_ : head_;
  w.prev_ = before;
  w.next_ = after;
  (before != nullptr ? before->next_ : head_) = &w;
  (after != nullptr ? after->prev_ : tail_) = &w;
  ++size_;
}

void waiter_list::erase(waiter& w) noexcept {
  (w.prev_ != nullptr ? w.prev_->next_ : head_) = w.next_;
  (w.next_ != nullptr ? w.next_->prev_ : tail_) = w.prev_;
  w.prev_ = w.next_ = nullptr;
  --size_;
}

mailbox::mailbox(std::function<void()> post) : post_(std::move(post)) {}

mailbox::~mailbox() {
  assert(woken_.empty() && "a mailbox was destroyed before its waiters");
}

bool mailbox::put(waiter& w) noexcept {
  const std::lock_guard lock(mutex_);
  woken_.push_back(w);
  w.place_ = waiter::where::delivered_list;
  return !std::exchange(posted_, true);
}

waiter* mailbox::pop() noexcept {
  const std::lock_guard lock(mutex_);
  waiter* const first = woken_.head();
  if (first != nullptr) {
    woken_.erase(*first);
    first->place_ = waiter::where::nowhere;
  }
  return first;
}

void mailbox::remove(waiter& w) noexcept {
  const std::lock_guard lock(mutex_);
  woken_.erase(w);
  w.place_ = waiter::where::nowhere;
}

void mailbox::deliver() noexcept {
  std::size_t left = 0;
  {
    const std::lock_guard lock(mutex_);
    posted_ = false;
    left = woken_.size();
  }
  // One at a time: a wake may destroy any waiter of this worker, also those that are still on the list.
  for (; left > 0; --left) {
    waiter* const w = pop();
    if (w == nullptr) return;
    w->woken_ = true;
    const auto wake = std::move(w->wake_);  // out of the waiter, which may not outlive the call
    wake();
  }
}

bool park_budget::admit(std::uint32_t more_requests, std::uint64_t more_bytes) noexcept {
  const std::lock_guard lock(mutex_);
  const auto requests_now = requests.load(std::memory_order_relaxed);
  const auto bytes_now = bytes.load(std::memory_order_relaxed);
  if (more_requests > 0 && (requests_now >= max_requests || more_requests > max_requests - requests_now)) return false;
  if (more_bytes > 0 && (bytes_now >= max_bytes || more_bytes > max_bytes - bytes_now)) return false;
  requests.store(requests_now + more_requests, std::memory_order_relaxed);
  bytes.store(bytes_now + more_bytes, std::memory_order_relaxed);
  return true;
}

void park_budget::force(std::uint32_t more_requests, std::uint64_t more_bytes) noexcept {
  const std::lock_guard lock(mutex_);
  requests.store(requests.load(std::memory_order_relaxed) + more_requests, std::memory_order_relaxed);
  bytes.store(bytes.load(std::memory_order_relaxed) + more_bytes, std::memory_order_relaxed);
}

void park_budget::set_limits(std::uint64_t requests_limit, std::uint64_t bytes_limit) noexcept {
  const std::lock_guard lock(mutex_);
  max_requests = requests_limit;
  max_bytes = bytes_limit;
}

void park_budget::release(std::uint32_t fewer_requests, std::uint64_t fewer_bytes) noexcept {
  const std::lock_guard lock(mutex_);
  assert(requests.load(std::memory_order_relaxed) >= fewer_requests &&
         bytes.load(std::memory_order_relaxed) >= fewer_bytes);
  requests.store(requests.load(std::memory_order_relaxed) - fewer_requests, std::memory_order_relaxed);
  bytes.store(bytes.load(std::memory_order_relaxed) - fewer_bytes, std::memory_order_relaxed);
}

void park_budget::replace(std::uint32_t fewer_requests, std::uint64_t fewer_bytes, std::uint32_t more_requests,
                          std::uint64_t more_bytes) noexcept {
  const std::lock_guard lock(mutex_);
  requests.store(requests.load(std::memory_order_relaxed) - fewer_requests + more_requests, std::memory_order_relaxed);
  bytes.store(bytes.load(std::memory_order_relaxed) - fewer_bytes + more_bytes, std::memory_order_relaxed);
}

}  // namespace rouse::activator
