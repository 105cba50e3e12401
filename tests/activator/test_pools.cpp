// Places: who may start where, who makes room for whom, and what it costs.

#include <catch2/catch.hpp>

#include "control_rig.hpp"

using namespace rouse;
using namespace std::chrono_literals;
using rig = test::control_rig;
using lone_rig = test::lifecycle_rig;

namespace {

/// A function of one request per instance in the given pools, by index and own bound.
config::function in_pools(const std::string& name, std::vector<config::pool_use> pools, unsigned min = 0) {
  auto out = test::a_function(name);
  auto& one = out.revisions[0];
  one.concurrency = 1;
  one.scale.utilization = 1;
  one.scale.min = min;
  one.pools = std::move(pools);
  return out;
}

}  // namespace

TEST_CASE("pools are filled in order, each as far as it and the own bound go") {
  rig r({test::a_pool("near", 3), test::a_pool("far", 2), test::a_pool("last")});
  r.apply(in_pools("f", {{0, 2}, {1, 0}, {2, 0}}, 6));
  CHECK(r.used("near") == 2);  // its own bound
  CHECK(r.used("far") == 2);
  CHECK(r.used("last") == 2);
  r.apply(in_pools("g", {{0, 0}}, 0));
  r.request("g");
  CHECK(r.used("near") == 3);
  r.request("g");
  CHECK(r.used("near") == 3);
  CHECK(r.backend.starts.size() == 7);
}

TEST_CASE("a pool that is cordoned gets no new ones; those that wait start when it is over") {
  rig r({test::a_pool("near"), test::a_pool("far", 1)});
  r.apply(in_pools("f", {{0, 0}, {1, 0}}));
  r.book.cordon(0, true);
  r.request("f");
  CHECK(r.used("near") == 0);
  CHECK(r.used("far") == 1);
  r.request("f");
  CHECK(r.backend.starts.size() == 1);
  CHECK(r.status("f").revisions[0].why == "no pool has room for another instance");
  r.book.cordon(0, false);
  r.settle();
  CHECK(r.used("near") == 1);
  CHECK(r.status("f").revisions[0].why.empty());
}

TEST_CASE("what goes beyond one's own min leaves room for the min of others") {
  rig r({test::a_pool("local", 3)});
  r.apply(in_pools("f", {{0, 0}}, 2));
  r.now += 5ms;
  r.exits(1);
  r.exits(2);  // its starts fail: its two places are kept for it
  r.apply(in_pools("g", {{0, 0}}));
  for (int i = 0; i < 3; ++i) r.request("g");
  CHECK(r.backend.starts.size() == 3);
  CHECK(r.used("local") == 1);
  r.advance(1s);
  CHECK(r.backend.starts.size() == 5);
  CHECK(r.count("f", "f-ab12cd34", "starting") == 2);
}

TEST_CASE("a backend without capacity: the next pool is tried at once, and nobody is told of a failure") {
  lone_rig r([](auto& f) { f.pools = {{0, 0}, {1, 0}}; }, {test::a_pool("near"), test::a_pool("far")});
  // What cannot be reached has no room either.
  const std::string reason = GENERATE("no-capacity", "unavailable");
  auto& first = r.request();
  r.exits(1, reason);
  CHECK(r.log.has("warning function f: pool near has no capacity: exited with status 3; it is asked again in 5 s"));
  CHECK_FALSE(first.failed());
  REQUIRE(r.backend.starts.size() == 2);
  CHECK(r.book.status(r.now)[1].instances == 1);

  SECTION("the next one has some") {
    r.ready(2);
    CHECK(first.served());
    r.now += 5s;
    r.request();
    r.evaluate();
    r.advance(1s);
    CHECK(r.book.status(r.now)[0].instances == 1);  // near is asked again
  }
  SECTION("nor has any") {
    r.exits(2, reason);
    REQUIRE(first.failed());
    CHECK(first.failure()->reason == reason);
    CHECK(r.life->status(r.now).start_failures.at(reason) == 2);
    r.request();
    CHECK(r.last == activator::parking_lot::park_result::start_failed);
    r.advance(5s);
    r.request();
    CHECK(r.last == activator::parking_lot::park_result::parked);
    CHECK(r.book.status(r.now)[0].instances == 1);
  }
}

TEST_CASE("who found no room is told when there is some, each in turn") {
  rig r({test::a_pool("local", 1)});
  for (const auto* name : {"a", "b", "c"}) r.apply(in_pools(name, {{0, 0}}));
  auto& a = r.request("a");
  r.ready(1);
  REQUIRE(a.served());
  r.request("b");
  r.request("c");
  CHECK(r.choose("b")->no_room);
  CHECK_FALSE(r.choose("a")->no_room);
  CHECK(r.backend.starts.size() == 1);
  r.exits(1, "signalled");
  REQUIRE(r.backend.starts.size() == 2);
  CHECK(r.backend.starts[1].function == "b");
  CHECK_FALSE(r.choose("b")->no_room);
  r.ready(2);
  r.exits(2, "signalled");
  REQUIRE(r.backend.starts.size() == 3);
  CHECK(r.backend.starts[2].function == "c");
}

TEST_CASE("in a full pool what is frozen makes room, the longest frozen first") {
  rig r({test::a_pool("local", 2)});
  for (const auto* name : {"a", "b"}) {
    auto config = in_pools(name, {{0, 0}});
    config.revisions[0].scale.to_zero = config::to_zero::freeze;
    r.apply(config);
    auto& one = r.request(name);
    r.run_all();
    REQUIRE(one.served());
    r.give_back(one);
    r.advance(61s);
  }
  r.plane.let_all();
  REQUIRE(r.backend.frozen == std::vector<std::uint64_t>{1, 2});
  r.apply(in_pools("c", {{0, 0}}));
  auto& one = r.request("c");
  CHECK(r.backend.stops.size() == 1);
  CHECK(r.state(1) == "stopping");
  CHECK(r.state(2) == "frozen");
  r.advance(3s);
  CHECK(r.backend.stops.size() == 1);  // one for one
  r.exits(1);
  REQUIRE(r.backend.starts.size() == 3);
  r.ready(3);
  CHECK(one.served());
}

TEST_CASE("what is frozen makes no room where its place would be of no use") {
  rig r({test::a_pool("local", 2), test::a_pool("other", 1)});
  auto sleeper = in_pools("sleeper", {{0, 0}});
  sleeper.revisions[0].scale.to_zero = config::to_zero::freeze;
  r.apply(sleeper);
  auto& one = r.request("sleeper");
  r.run_all();
  REQUIRE(one.served());
  r.give_back(one);
  r.advance(61s);
  r.plane.let_all();
  REQUIRE(r.state(1) == "frozen");
  r.apply(in_pools("f", {{0, 1}, {1, 0}}));
  r.request("f");
  r.request("f");
  r.run_all();
  REQUIRE(r.used("local") == 2);
  REQUIRE(r.used("other") == 1);
  SECTION("to one that has as many as it may there") {
    r.request("f");
  }
  SECTION("to anybody, because nothing may start there") {
    r.book.cordon(0, true);
    r.apply(in_pools("g", {{0, 0}}));
    r.request("g");
  }
  SECTION("to anybody, because the backend has no capacity for now") {
    r.book.refuse_until(0, r.now + 10min);
    r.apply(in_pools("g", {{0, 0}}));
    r.request("g");
  }
  SECTION("to one that wants a place in another pool") {
    r.apply(in_pools("g", {{1, 0}}));
    r.request("g");
  }
  r.advance(1min);
  CHECK(r.state(1) == "frozen");
  CHECK(r.backend.stops.empty());
}

TEST_CASE("instance-hours and cost: at least what is reserved, at the price of the time") {
  std::vector<std::uint32_t> poked;
  activator::pool_book book([&](std::uint32_t number) { poked.push_back(number); });
  activator::pool_book::time_point now{};
  const activator::wall_time wall{};
  auto pool = test::a_pool("local", 3);
  pool.reserved = 2;
  pool.cost = 0.5;
  book.configure({pool}, now, wall);
  book.take(0, now);
  now += 1h;
  CHECK(book.status(now)[0].instance_hours == Approx(1));
  CHECK(book.status(now)[0].cost_total == Approx(1));  // two reserved
  book.take(0, now);
  book.take(0, now);
  CHECK_FALSE(book.has_room(0, true, now));
  now += 30min;
  CHECK(book.status(now)[0].cost_total == Approx(1 + 0.75));
  pool.cost = 2;
  pool.max_instances = 4;
  book.configure({pool}, now, wall);
  CHECK(book.has_room(0, true, now));
  now += 30min;
  CHECK(book.status(now)[0].cost_total == Approx(1.75 + 3));

  book.configure({}, now, wall);  // the file names it no more
  CHECK_FALSE(book.has_room(0, true, now));
  REQUIRE(book.status(now).size() == 1);
  CHECK_FALSE(book.status(now)[0].configured);
  for (int i = 0; i < 3; ++i) book.give_back(0, now);
  CHECK(book.status(now).empty());
}

TEST_CASE("a pool's schedule bounds it, and a change is told to those who wait") {
  std::vector<std::uint32_t> poked;
  activator::pool_book book([&](std::uint32_t number) { poked.push_back(number); });
  const activator::pool_book::time_point now{};
  auto pool = test::a_pool("night", 1);
  config::pool_window from_ten;
  from_ten.when.from = 10 * 60;
  from_ten.when.timezone = "UTC";
  from_ten.max_instances = 4;
  pool.schedule = {from_ten};
  activator::wall_time wall{std::chrono::hours(9)};  // 09:00 of a day
  book.configure({pool}, now, wall);
  CHECK(book.status(now)[0].max_instances == 1u);
  CHECK(book.follow(wall) == wall + 1h);
  book.want(7);
  book.want(9);
  book.want(7);
  CHECK(poked.empty());
  book.follow(wall + 1h);
  CHECK(book.status(now)[0].max_instances == 4u);
  CHECK(poked == std::vector<std::uint32_t>{7, 9});
}
