#include <atomic>
#include <catch2/catch.hpp>
#include <cstdint>
#include <thread>
#include <vector>

#include "router/token_bucket.hpp"

using rouse::router::token_bucket;

namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t s = 1000 * ms;

/// How many are allowed at this moment, at most `most`.
int allowed(token_bucket& bucket, std::int64_t now, int most = 1000) {
  int count = 0;
  while (count < most && bucket.try_take(now) == 0) ++count;
  return count;
}

}  // namespace

TEST_CASE("without a limit everything is allowed") {
  token_bucket bucket;
  CHECK(allowed(bucket, 0) == 1000);
  bucket.set({.rps = 0, .burst = 7});
  CHECK(allowed(bucket, 0) == 1000);
}

TEST_CASE("a burst, and then the rate, whenever it begins") {
  for (const std::int64_t begin : {-5 * s, std::int64_t{0}, 1'000'000 * s}) {
    token_bucket bucket({.rps = 10, .burst = 5});
    CHECK(allowed(bucket, begin) == 5);
    CHECK(bucket.try_take(begin) == 100 * ms);
    CHECK(bucket.try_take(begin + 30 * ms) == 70 * ms);
    CHECK(bucket.try_take(begin + 100 * ms - 1) == 1);
    CHECK(allowed(bucket, begin + 100 * ms) == 1);
    CHECK(allowed(bucket, begin + 400 * ms) == 3);
    CHECK(allowed(bucket, begin + 60 * s) == 5);
  }
}

TEST_CASE("what is refused costs nothing: over a long time exactly the rate is allowed") {
  token_bucket bucket({.rps = 40, .burst = 1});
  int count = 0;
  for (std::int64_t now = 0; now < 100 * s; now += ms) count += bucket.try_take(now) == 0 ? 1 : 0;
  CHECK(count == 4000);
}

TEST_CASE("burst 0 is a second's worth, and at least one") {
  token_bucket bucket({.rps = 25.5, .burst = 0});
  CHECK(allowed(bucket, s) == 25);
  token_bucket slow({.rps = 0.1, .burst = 0});
  CHECK(allowed(slow, s) == 1);
  CHECK(slow.try_take(s) == 10 * s);
}

TEST_CASE("absurd limits do not overflow") {
  token_bucket crawling({.rps = 1e-30, .burst = UINT32_MAX});
  CHECK(crawling.try_take(s) == 0);
  CHECK(crawling.try_take(s) > 0);
  token_bucket racing({.rps = 1e30, .burst = UINT32_MAX});
  CHECK(allowed(racing, s) == 1000);
}

TEST_CASE("limits change live") {
  token_bucket bucket({.rps = 0.01, .burst = 100});
  CHECK(allowed(bucket, 0) == 100);
  SECTION("what a slow bucket owed does not block a fast one") {
    bucket.set({.rps = 1000, .burst = 10});
    CHECK(bucket.try_take(0) == 1 * ms);
    CHECK(allowed(bucket, 1 * ms) == 1);
    CHECK(allowed(bucket, s) == 10);
  }
  SECTION("no limit, and one again") {
    bucket.set({.rps = 0});
    CHECK(allowed(bucket, 0) == 1000);
    bucket.set({.rps = 1, .burst = 2});
    CHECK(bucket.try_take(3 * s) == s);
    CHECK(allowed(bucket, 4 * s) == 1);
    CHECK(allowed(bucket, 60 * s) == 2);
  }
}

TEST_CASE("a clock that is a little behind gets nothing for free") {
  token_bucket bucket({.rps = 1000, .burst = 100});
  CHECK(allowed(bucket, s) == 100);
  CHECK(bucket.try_take(s - 200 * ms) > 0);
  CHECK(allowed(bucket, s) == 0);
  CHECK(allowed(bucket, s + 10 * ms) == 10);
}

TEST_CASE("threads together get no more and no less than the burst") {
  for (int round = 0; round < 50; ++round) {
    token_bucket bucket({.rps = 1, .burst = 1000});
    std::atomic<int> count{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 400; ++n) count += bucket.try_take(s) == 0 ? 1 : 0;
      });
    }
    for (auto& one : threads) one.join();
    REQUIRE(count == 1000);
  }
}
