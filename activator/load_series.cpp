#include "activator/load_series.hpp"

#include <algorithm>

namespace rouse::activator {
namespace {

using std::chrono::seconds;
using in_seconds = std::chrono::duration<double>;

std::int64_t second_of(load_series::time_point at) {
  return std::chrono::floor<seconds>(at.time_since_epoch()).count();
}

load_series::time_point begin_of(std::int64_t second) {
  return load_series::time_point(seconds(second));
}

/// The reach may begin and end within a second, and each end needs its bucket.
std::size_t buckets_for(load_series::duration reach) {
  return static_cast<std::size_t>(std::chrono::ceil<seconds>(reach).count()) + 2;
}

}  // namespace

load_series::load_series(duration reach) : reach_(reach), buckets_(buckets_for(reach), 0.0) {}

double& load_series::bucket(std::int64_t second) noexcept {
  return buckets_[static_cast<std::size_t>(second) % buckets_.size()];
}

const double& load_series::bucket(std::int64_t second) const noexcept {
  return buckets_[static_cast<std::size_t>(second) % buckets_.size()];
}

void load_series::set_reach(duration reach) {
  if (reach == reach_) return;
  std::vector<double> old(buckets_for(reach), 0.0);
  old.swap(buckets_);
  reach_ = reach;
  if (empty()) return;
  const auto kept = static_cast<std::int64_t>(std::min(old.size(), buckets_.size()));
  for (auto second = newest_; second > newest_ - kept; --second)
    bucket(second) = old[static_cast<std::size_t>(second) % old.size()];
}

void load_series::clear() noexcept {
  std::ranges::fill(buckets_, 0.0);
  begin_ = end_ = time_point::min();
}

/// Makes `second` the newest bucket; those that it passes are empty.
void load_series::advance(std::int64_t second) noexcept {
  if (second - newest_ >= static_cast<std::int64_t>(buckets_.size())) {
    std::ranges::fill(buckets_, 0.0);
    newest_ = second;
  }
  while (newest_ < second) bucket(++newest_) = 0.0;
}

void load_series::add(double average, time_point from, time_point to) {
  if (empty()) {
    begin_ = end_ = from;
    newest_ = second_of(from);
  }
  from = std::max(from, end_);
  if (to <= from) return;
  end_ = to;
  // What is older than the buckets reach back need not be walked through.
  auto at = std::max(from, begin_of(second_of(to) - static_cast<std::int64_t>(buckets_.size()) + 1));
  while (at < to) {
    const auto second = second_of(at);
    const auto until = std::min(to, begin_of(second + 1));
    advance(second);
    bucket(second) += average * in_seconds(until - at).count();
    at = until;
  }
}

double load_series::average(duration window) const {
  if (empty() || end_ == begin_) return 0;
  const auto from = std::max(begin_, end_ - std::min(window, reach_));
  if (from >= end_) return 0;
  const auto oldest = second_of(from);
  double sum = 0;
  if (newest_ > oldest) {  // from the newest back, over the end of the ring at most once, and without a division each
    const auto* at = &bucket(newest_);
    for (auto left = newest_ - oldest; left > 0; --left) {
      sum += *at;
      at = at == buckets_.data() ? &buckets_.back() : at - 1;
    }
  }
  if (oldest <= newest_) {
    const auto covered_from = std::max(begin_, begin_of(oldest));
    const auto covered_to = std::min(end_, begin_of(oldest + 1));
    if (covered_to > covered_from)
      sum += bucket(oldest) * (in_seconds(covered_to - from) / in_seconds(covered_to - covered_from));
  }
  return sum / in_seconds(end_ - from).count();
}

}  // namespace rouse::activator
