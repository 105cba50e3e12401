#include "router/token_bucket.hpp"

#include <algorithm>
#include <cmath>

namespace rouse::router {
namespace {

constexpr double second = 1e9;
/// Slower rates and deeper buckets than a century mean nothing and would overflow.
constexpr double longest = 3e18;
/// How far the clocks of two threads that take may be apart.
constexpr std::int64_t clock_slack = 1'000'000'000;

}  // namespace

void token_bucket::set(const config::rate_limit& limit) {
  if (!(limit.rps > 0)) {
    interval_.store(0, std::memory_order_relaxed);
    return;
  }
  const double interval = std::clamp(std::round(second / limit.rps), 1.0, longest);
  const double burst = limit.burst != 0 ? static_cast<double>(limit.burst) : std::max(1.0, std::floor(limit.rps));
  depth_.store(static_cast<std::int64_t>(std::min(interval * burst, longest)), std::memory_order_relaxed);
  interval_.store(static_cast<std::int64_t>(interval), std::memory_order_relaxed);
}

std::int64_t token_bucket::take(std::int64_t now_ns, std::int64_t interval) {
  const std::int64_t depth = depth_.load(std::memory_order_relaxed);
  std::int64_t arrival = arrival_.load(std::memory_order_relaxed);
  for (;;) {
    std::int64_t from = std::max(arrival, now_ns);
    // Only a limit that was slower or deeper can have left more than the bucket holds: then it is just empty.
    const bool stale = from - now_ns > depth + clock_slack;
    if (stale) from = now_ns + depth;
    const std::int64_t next = from + interval;
    const std::int64_t wait = next - now_ns - depth;
    if (wait > 0 && !stale) return wait;
    if (arrival_.compare_exchange_weak(arrival, wait > 0 ? from : next, std::memory_order_relaxed))
      return std::max<std::int64_t>(wait, 0);
  }
}

}  // namespace rouse::router
