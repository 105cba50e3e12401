#pragma once
// `rate_limit` of one function, for all workers together. One atomic word and no lock: the generic cell rate algorithm
// (GCRA, ITU-T I.371 annex A, "virtual scheduling"), which is a token bucket that keeps, instead of tokens, the time at
// which the next request would come if all came exactly at the rate. Lives as long as its function; any thread.

#include <atomic>
#include <cstdint>
#include <limits>

#include "config/config.hpp"

namespace rouse::router {

class token_bucket {
 public:
  token_bucket() = default;
  explicit token_bucket(const config::rate_limit& limit) { set(limit); }

  /// Changes the limit while requests are being counted. What was taken before stays taken, as time: a bucket that was
  /// empty is never further than a second and one request of the new rate from the next one.
  void set(const config::rate_limit& limit);

  /// Takes one request's worth. `now_ns` is of any one monotonic clock, the same for all callers; those of different
  /// threads may be up to a second apart. 0: allowed; else the nanoseconds after which it would be (for Retry-After),
  /// if nobody else came. Without a limit this is one relaxed load.
  [[nodiscard]] std::int64_t try_take(std::int64_t now_ns) {
    const std::int64_t interval = interval_.load(std::memory_order_relaxed);
    return interval == 0 ? 0 : take(now_ns, interval);
  }

 private:
  [[nodiscard]] std::int64_t take(std::int64_t now_ns, std::int64_t interval);

  // Relaxed throughout: nothing else is published by them. A taker that reads a new interval with an old depth errs by
  // one request.
  std::atomic<std::int64_t> interval_{0};  ///< ns between two requests at the rate; 0: no limit
  std::atomic<std::int64_t> depth_{0};     ///< burst x interval: how far `arrival_` may be ahead of now
  /// The theoretical arrival time, on a line of its own: every worker writes it.
  alignas(64) std::atomic<std::int64_t> arrival_{std::numeric_limits<std::int64_t>::min() / 2};
};

}  // namespace rouse::router
