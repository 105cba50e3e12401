#include <catch2/catch.hpp>

#include <cmath>
#include <map>
#include <vector>

#include "activator/simulator/arrivals.hpp"

using namespace rouse::simulator;
using namespace std::chrono_literals;

namespace {

function_load rows(std::vector<std::uint64_t> counts) {
  function_load out;
  out.service = 5ms;
  for (std::size_t i = 0; i < counts.size(); ++i)
    if (counts[i] > 0) out.rows.push_back({60s * i, counts[i], i % 2 ? 70ms : nanoseconds(-1)});
  return out;
}

std::vector<arrivals::arrival> all(const function_load& load, spread as, std::uint64_t seed = 1) {
  random_source random(seed, 0);
  arrivals stream(load, 60s, as);
  std::vector<arrivals::arrival> out;
  while (const auto one = stream.next(random)) out.push_back(*one);
  return out;
}

}  // namespace

TEST_CASE("as many as each row says, within its interval, in order") {
  const auto load = rows({5, 0, 1000, 1});
  for (const auto as : {spread::even, spread::poisson}) {
    const auto got = all(load, as);
    std::map<int, int> per_row;
    for (std::size_t i = 0; i < got.size(); ++i) {
      ++per_row[static_cast<int>(got[i].at / 60s)];
      if (i > 0) CHECK(got[i].at >= got[i - 1].at);
    }
    CHECK(per_row == std::map<int, int>{{0, 5}, {2, 1000}, {3, 1}});
    CHECK(got.front().service == 5ms);
    CHECK(got.back().service == 70ms);
  }
  CHECK(all(rows({}), spread::poisson).empty());
}

TEST_CASE("even: at equal distances") {
  const auto got = all(rows({4}), spread::even);
  CHECK(got[0].at == 7500ms);
  CHECK(got[1].at == 22500ms);
  CHECK(got[3].at == 52500ms);
}

TEST_CASE("poisson: independent and uniform over the interval") {
  // 60 slices of a minute with 6,000 arrivals: 100 in each, give or take 10 (the root of 100).
  const auto got = all(rows({6000}), spread::poisson);
  std::vector<int> slices(60);
  for (const auto& one : got) ++slices[static_cast<std::size_t>(one.at / 1s)];
  double variance = 0;
  for (const auto count : slices) {
    CHECK(count > 50);
    CHECK(count < 150);
    variance += (count - 100.0) * (count - 100.0) / 60;
  }
  CHECK(variance > 50);
  CHECK(variance < 200);
}

TEST_CASE("the same seed gives the same arrivals, another one others") {
  const auto load = rows({100});
  const auto one = all(load, spread::poisson, 1);
  const auto same = all(load, spread::poisson, 1);
  const auto other = all(load, spread::poisson, 2);
  int equal = 0;
  for (std::size_t i = 0; i < one.size(); ++i) {
    CHECK(one[i].at == same[i].at);
    equal += one[i].at == other[i].at;
  }
  CHECK(equal < 5);
}
