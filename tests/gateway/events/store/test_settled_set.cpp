#include <catch2/catch.hpp>
#include <random>
#include <set>

#include "gateway/events/store/settled_set.hpp"

using rouse::gateway::events::settled_set;
using ranges = std::map<std::int64_t, std::int64_t>;

TEST_CASE("what follows the position moves it") {
  settled_set set(10);
  set.add(11, 11);
  set.add(12, 15);
  CHECK(set.position() == 15);
  CHECK(set.ranges().empty());
  set.add(3, 16);
  CHECK(set.position() == 16);
}

TEST_CASE("what lies beyond a gap is a range until the gap closes") {
  settled_set set;
  set.add(3, 4);
  set.add(7, 7);
  CHECK(set.ranges() == ranges{{3, 4}, {7, 7}});
  set.add(5, 5);
  CHECK(set.ranges() == ranges{{3, 5}, {7, 7}});
  set.add(6, 6);
  CHECK(set.ranges() == ranges{{3, 7}});
  set.add(1, 2);
  CHECK(set.position() == 7);
  CHECK(set.ranges().empty());
}

TEST_CASE("any order of ranges gives the same as a set of numbers") {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    settled_set set;
    std::set<std::int64_t> model;
    ranges written;  // as rows would be, brought up to date by what is said to have changed
    for (int step = 0; step < 60; ++step) {
      const std::int64_t first = 1 + static_cast<std::int64_t>(random() % 80);
      const std::int64_t last = first + static_cast<std::int64_t>(random() % 4);
      set.add(first, last);
      for (auto seq = first; seq <= last; ++seq) model.insert(seq);
      if (step % 3 != 0) continue;
      for (const auto changed : set.changed()) {
        written.erase(changed);
        if (set.ranges().contains(changed)) written[changed] = set.ranges().at(changed);
      }
      set.clear_changed();
      REQUIRE(written == set.ranges());
    }
    for (std::int64_t seq = 1; seq < 90; ++seq) REQUIRE(set.contains(seq) == model.contains(seq));
    for (const auto& [first, last] : set.ranges()) {
      REQUIRE_FALSE(set.contains(first - 1));
      REQUIRE_FALSE(set.contains(last + 1));
    }
  }
}
