#include <atomic>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "gateway/memory_budget.hpp"

using namespace rouse::gateway;

TEST_CASE("a share grows as far as it is allowed to, and gives back by ending") {
  memory_budget budget(1000);
  {
    memory_share one(budget);
    CHECK(one.hold(600));
    CHECK(one.hold(750));
    memory_share other(budget);
    CHECK(other.hold(250));
    CHECK_FALSE(other.hold(251));
    CHECK_FALSE(one.hold(751));
    CHECK((one.bytes() == 750 && other.bytes() == 250 && budget.used() == 1000));
    CHECK_FALSE(budget.overdrawn());
    CHECK(one.hold(100));  // less always
    CHECK(budget.used() == 350);
    memory_share moved(std::move(one));
    CHECK((moved.bytes() == 100 && one.bytes() == 0));
    other = std::move(moved);  // what it had goes back
    CHECK(budget.used() == 100);
    other.release();
    other.release();
    CHECK(budget.used() == 0);
    CHECK(other.hold(10));
    CHECK_FALSE(other.hold(1001));
  }
  CHECK(budget.used() == 0);
  CHECK_FALSE(memory_share());
}

TEST_CASE("one reply at a time goes beyond the limit, and those who wait go on after it") {
  memory_budget budget(1000);
  memory_share first(budget), second(budget), third(budget);
  CHECK(first.hold_or_overdraw(400, 900));
  CHECK(second.hold_or_overdraw(400, 900));
  CHECK(third.hold_or_overdraw(100, 900));
  CHECK(budget.used() == 900);
  // None could get on without another ending, if none went beyond.
  CHECK(first.hold_or_overdraw(800, 900));
  CHECK(first.bytes() == 900);  // all that it can need: it will not have to ask again
  CHECK((budget.used() == 1400 && budget.overdrawn()));
  CHECK_FALSE(second.hold_or_overdraw(800, 900));
  CHECK_FALSE(third.hold_or_overdraw(101, 900));
  CHECK((second.bytes() == 400 && third.bytes() == 100));
  first.release();
  CHECK(second.hold_or_overdraw(800, 900));
  CHECK((second.bytes() == 800 && budget.used() == 900));
}

TEST_CASE("what must be held is, whether or not there is room") {
  memory_budget budget(1000);
  {
    memory_share one(budget);
    one.force(1500);
    CHECK((one.bytes() == 1500 && budget.used() == 1500 && budget.overdrawn()));
    memory_share other(budget);
    CHECK_FALSE(other.hold(1));
    CHECK_FALSE(other.hold_or_overdraw(1, 1));
    one.force(200);
    CHECK((one.bytes() == 200 && budget.used() == 200));
    CHECK(other.hold(1));
  }
  CHECK(budget.used() == 0);
}

TEST_CASE("many at once never hold more than the budget") {
  memory_budget budget(10'000);
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&budget, &over, t] {
      for (unsigned i = 0; i < 20'000; ++i) {
        memory_share one(budget);
        for (std::uint64_t bytes = 100 + t; one.hold(bytes); bytes *= 2) {
        }
        if (budget.used() > budget.limit()) over = true;
      }
    });
  }
  for (auto& one : threads) one.join();
  CHECK_FALSE(over);
  CHECK(budget.used() == 0);
}

TEST_CASE("a text has room for exactly as much as was asked for") {
  std::string text(100, 'x');
  make_room(text, 150);
  CHECK((text.capacity() == 150 && text == std::string(100, 'x')));
  make_room(text, 120);
  CHECK(text.capacity() == 150);
}
