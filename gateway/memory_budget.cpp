#include "gateway/memory_budget.hpp"

namespace rouse::gateway {

bool memory_budget::add(std::uint64_t bytes) noexcept {
  auto used = used_.load(std::memory_order_relaxed);
  do {
    if (used > limit_ || bytes > limit_ - used) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  return true;
}

bool memory_budget::add_last(std::uint64_t bytes) noexcept {
  auto used = used_.load(std::memory_order_relaxed);
  do {
    if (used > limit_) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  return true;
}

bool memory_share::hold(std::uint64_t bytes) noexcept {
  if (bytes > bytes_) {
    if (!budget_->add(bytes - bytes_)) return false;
  } else if (bytes < bytes_) {
    budget_->give_back(bytes_ - bytes);
  }
  bytes_ = bytes;
  return true;
}

bool memory_share::hold_or_overdraw(std::uint64_t bytes, std::uint64_t all) noexcept {
  if (hold(bytes)) return true;
  if (!budget_->add_last(all - bytes_)) return false;
  bytes_ = all;
  return true;
}

void memory_share::force(std::uint64_t bytes) noexcept {
  budget_->used_.fetch_add(bytes - bytes_, std::memory_order_relaxed);  // of unsigned numbers: also less
  bytes_ = bytes;
}

void memory_share::release() noexcept {
  if (bytes_ > 0) budget_->give_back(std::exchange(bytes_, 0));
}

void make_room(std::string& text, std::size_t bytes) {
  if (bytes <= text.capacity()) return;
  std::string larger;
  larger.reserve(bytes);
  larger.append(text);
  text.swap(larger);
}

}  // namespace rouse::gateway
