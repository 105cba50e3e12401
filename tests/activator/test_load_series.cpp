#include <catch2/catch.hpp>

#include "activator/load_series.hpp"

using namespace rouse::activator;
using namespace std::chrono_literals;

namespace {

const load_series::time_point start{1000s};

load_series::time_point at(std::chrono::milliseconds offset) {
  return start + offset;
}

}  // namespace

TEST_CASE("a young series is averaged over what it covers") {
  load_series series(60s);
  CHECK(series.empty());
  CHECK(series.average(60s) == 0);
  series.add(8, at(200ms), at(450ms));
  CHECK(series.average(60s) == Approx(8));
  series.add(0, at(450ms), at(700ms));
  CHECK(series.average(60s) == Approx(4));  // 8 x 0.25 s over 0.5 s
  CHECK(series.covers() == 500ms);
  series.add(10, at(700ms), at(2200ms));
  CHECK(series.average(60s) == Approx((2 + 15) / 2.0));
}

TEST_CASE("only the window counts, and a part of its oldest second in proportion") {
  load_series series(60s);
  for (int second = 0; second < 100; ++second) series.add(second, at(second * 1s), at((second + 1) * 1s));
  CHECK(series.average(6s) == Approx((94 + 95 + 96 + 97 + 98 + 99) / 6.0));
  CHECK(series.average(60s) == Approx((40 + 99) / 2.0));
  series.add(100, at(100s), at(100s + 250ms));
  // 3/4 of second 94, 95 to 99, 1/4 of second 100: 70.5 + 485 + 25.
  CHECK(series.average(6s) == Approx((70.5 + 485 + 25) / 6));
}

TEST_CASE("one long observation is spread, also over more than is remembered") {
  load_series series(6s);
  series.add(3, at(300ms), at(3600s));
  CHECK(series.average(6s) == Approx(3));
  series.add(9, at(3600s), at(3603s));
  CHECK(series.average(6s) == Approx(6));
}

TEST_CASE("what nobody told of is 0, and what was told already is ignored") {
  load_series series(60s);
  series.add(10, at(0s), at(2s));
  series.add(10, at(8s), at(10s));
  CHECK(series.average(60s) == Approx(4));
  series.add(1000, at(1s), at(9s));
  series.add(1000, at(9s), at(10s));
  CHECK(series.average(60s) == Approx(4));
  series.add(10, at(5s), at(15s));  // of which (10 s, 15 s] is new
  CHECK(series.average(60s) == Approx((40 + 50) / 15.0));
}

TEST_CASE("reach changes and the recent past stays") {
  load_series series(6s);
  for (int second = 0; second < 10; ++second) series.add(second, at(second * 1s), at((second + 1) * 1s));
  series.set_reach(20s);
  CHECK(series.average(6s) == Approx((4 + 5 + 6 + 7 + 8 + 9) / 6.0));
  for (int second = 10; second < 40; ++second) series.add(second, at(second * 1s), at((second + 1) * 1s));
  CHECK(series.average(20s) == Approx((20 + 39) / 2.0));
  series.set_reach(3s);
  CHECK(series.average(3s) == Approx(38));
  CHECK(series.average(20s) == Approx(38));  // no further than it remembers
  series.clear();
  CHECK(series.empty());
  CHECK(series.average(3s) == 0);
  series.add(5, at(50s), at(51s));
  CHECK(series.average(3s) == Approx(5));
}
