#include "activator/backoff.hpp"

#include <algorithm>

namespace rouse::activator {

bool backoff::failed(time_point began, time_point now, double random) {
  const bool new_wave = !wave_ || began >= *wave_;
  if (new_wave || step_ == 0) ++step_;
  if (new_wave) wave_ = now;
  const unsigned doublings = std::min(step_ - 1, 6u);
  const std::chrono::duration<double> delay = std::min(first * (1u << doublings), cap);
  const auto until = now + std::chrono::duration_cast<std::chrono::nanoseconds>(delay * (0.9 + 0.2 * random));
  retry_at_ = std::max(until, retry_at_.value_or(until));
  return new_wave;
}

bool backoff::crashed(time_point began, time_point ready_at, time_point now, double random) {
  ran(ready_at, now);
  if (now - ready_at >= settled) return false;
  if (step_ == 0 && (!wave_ || began < *wave_)) {
    if (!wave_) wave_ = now;
    return false;
  }
  failed(began, now, random);
  return true;
}

void backoff::ran(time_point ready_at, time_point now) {
  if (!wave_ || ready_at < *wave_ || now - ready_at < settled) return;
  step_ = 0;
  wave_.reset();
}

}  // namespace rouse::activator
