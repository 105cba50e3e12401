#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "router/least_request.hpp"

using namespace rouse::router;

namespace {

struct fleet {
  std::vector<std::unique_ptr<instance>> owned;
  std::vector<instance*> list;

  fleet(std::size_t n, std::uint32_t limit) {
    for (std::size_t i = 0; i < n; ++i) {
      owned.push_back(std::make_unique<instance>(i, "f", limit, 1));
      owned.back()->open();
      list.push_back(owned.back().get());
    }
  }
  ~fleet() {
    for (auto& each : owned) {
      while (each->slots_taken() > 0) each->give_back();
    }
  }
  fleet(const fleet&) = delete;
  fleet& operator=(const fleet&) = delete;

  void load(std::size_t i, std::uint32_t slots) {
    while (owned[i]->slots_taken() < slots) REQUIRE(owned[i]->try_take());
  }
};

}  // namespace

TEST_CASE("nothing to choose from") {
  CHECK(least_request({}, 1) == nullptr);
  fleet one(1, 1);
  CHECK(least_request(one.list, 7) == one.list[0]);
  one.load(0, 1);
  CHECK(least_request(one.list, 7) == nullptr);
  CHECK(take_least_request(one.list, 7) == nullptr);
}

TEST_CASE("the least loaded open instance below its limit is chosen, whatever the seed") {
  fleet f(64, 10);
  for (std::size_t i = 0; i < 64; ++i) f.load(i, 4);
  f.owned[17]->give_back();
  for (int i = 0; i < 4; ++i) f.owned[40]->give_back();
  f.owned[40]->drain();  // idle, but closed
  for (std::uint32_t seed = 0; seed < 1000; ++seed) REQUIRE(least_request(f.list, seed) == f.list[17]);
  f.load(17, 10);
  f.owned[63]->give_back();
  for (std::uint32_t seed = 0; seed < 1000; ++seed) REQUIRE(least_request(f.list, seed * 64) == f.list[63]);
}

TEST_CASE("ties are spread evenly, also by seeds that only count") {
  for (const std::uint32_t step : {1U, 2U, 64U, 2654435769U}) {
    fleet f(10, 0);
    f.load(3, 1);
    f.load(4, 1);
    std::vector<int> chosen(10, 0);
    for (std::uint32_t i = 0; i < 8000; ++i) ++chosen[least_request(f.list, i * step)->id()];
    CAPTURE(step);
    for (std::size_t i = 0; i < 10; ++i) {
      if (i == 3 || i == 4) {
        CHECK(chosen[i] == 0);
      } else {
        CHECK(chosen[i] > 800);
        CHECK(chosen[i] < 1200);
      }
    }
  }
}

TEST_CASE("taking fills a fleet level by level") {
  fleet f(7, 5);
  for (std::uint32_t i = 0; i < 35; ++i) {
    REQUIRE(take_least_request(f.list, i) != nullptr);
    const auto [low, high] = std::minmax_element(
        f.list.begin(), f.list.end(), [](instance* a, instance* b) { return a->slots_taken() < b->slots_taken(); });
    REQUIRE((*high)->slots_taken() - (*low)->slots_taken() <= 1);
  }
  CHECK(take_least_request(f.list, 99) == nullptr);
}

TEST_CASE("above 64 a free slot is never missed") {
  fleet f(300, 1);
  for (std::size_t i = 0; i < 300; ++i) f.load(i, 1);
  for (std::size_t i = 0; i < 300; i += 7) {
    f.owned[i]->give_back();
    for (std::uint32_t seed = 0; seed < 50; ++seed) REQUIRE(least_request(f.list, seed) == f.list[i]);
    REQUIRE(take_least_request(f.list, 3) == f.list[i]);
  }
  CHECK(least_request(f.list, 1) == nullptr);
}

TEST_CASE("above 64 the load stays close to even") {
  fleet f(500, 0);
  std::mt19937 random(1);
  for (int i = 0; i < 500 * 20; ++i) REQUIRE(take_least_request(f.list, static_cast<std::uint32_t>(random())));
  std::uint32_t high = 0;
  for (const auto* each : f.list) high = std::max(high, each->slots_taken());
  CHECK(high <= 22);
}

TEST_CASE("racing takers get every slot once") {
  fleet f(5, 4);
  std::atomic<int> got{0};
  std::vector<std::thread> takers;
  for (std::uint32_t t = 0; t < 3; ++t) {
    takers.emplace_back([&, t] {
      for (std::uint32_t seed = t; take_least_request(f.list, seed) != nullptr; ++seed) ++got;
    });
  }
  for (auto& taker : takers) taker.join();
  CHECK(got == 20);
  for (const auto* each : f.list) CHECK(each->slots_taken() == 4);
}
