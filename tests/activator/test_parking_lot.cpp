#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iostream>
#include <memory>
#include <thread>
#include <vector>

#include "activator/parking_lot.hpp"

using namespace rouse::activator;
using rouse::router::instance;
using result = parking_lot::park_result;
using outcome = waiter::outcome;

namespace {

/// One worker, one lot, and the instances of its list.
struct bench_top {
  int posts = 0;
  int demands = 0;
  park_budget budget;
  mailbox box{[this] { ++posts; }};
  std::vector<std::unique_ptr<instance>> instances;
  parking_lot lot{budget, [this] { ++demands; }};
  std::vector<int> woken;  // who was woken, in order

  instance& add(std::uint32_t limit, bool open = true) {
    instances.push_back(std::make_unique<instance>(instances.size(), "f", limit, 1));
    if (open) instances.back()->open();
    auto list = std::make_unique<parking_lot::instance_list>();
    for (auto& each : instances) list->push_back(each.get());
    (void)lot.publish(std::move(list));
    return *instances.back();
  }
  /// A waiter that writes its number down when it is woken.
  std::unique_ptr<waiter> make(int number) {
    return std::make_unique<waiter>(box, [this, number] { woken.push_back(number); });
  }
  std::unique_ptr<waiter> parked(int number, std::uint64_t bytes = 0,
                                 parking_lot::turn as = parking_lot::turn::newcomer) {
    auto made = make(number);
    REQUIRE(lot.park(*made, bytes, as) == result::parked);
    return made;
  }
  std::vector<std::unique_ptr<waiter>> crowd(int n) {
    std::vector<std::unique_ptr<waiter>> made;
    for (int i = 0; i < n; ++i) made.push_back(parked(i));
    return made;
  }
  std::vector<int> delivered() {
    woken.clear();
    box.deliver();
    return woken;
  }
};

using order = std::vector<int>;

}  // namespace

TEST_CASE("a slot is taken where the fewest are, and given back when it ends") {
  bench_top top;
  CHECK_FALSE(top.lot.take(1));
  auto& a = top.add(2);
  auto& b = top.add(2);
  {
    auto first = top.lot.take(1);
    auto second = top.lot.take(1);
    REQUIRE((first && second));
    CHECK(&first->on() != &second->on());
    slot third = std::move(*first);
    CHECK_FALSE(*first);
    CHECK(a.slots_taken() + b.slots_taken() == 2);
    third = std::move(*second);
    CHECK(a.slots_taken() + b.slots_taken() == 1);
    third.reset();
    third.reset();
    CHECK(a.slots_taken() + b.slots_taken() == 0);
  }
  std::vector<slot> all;
  while (auto got = top.lot.take(1)) all.push_back(std::move(*got));
  CHECK(all.size() == 4);
}

TEST_CASE("who waits is served first in, first out, one for each slot that opens, and nobody barges") {
  bench_top top;
  auto& a = top.add(1);
  auto held = top.lot.take(0);
  REQUIRE(held);
  auto crowd = top.crowd(3);
  CHECK(top.lot.parked() == 3);
  CHECK(top.delivered().empty());
  for (int turn = 0; turn < 3; ++turn) {
    held->reset();
    CHECK(a.slots_taken() == 1);
    CHECK_FALSE(top.lot.take(0));
    CHECK(top.delivered() == order{turn});
    REQUIRE(crowd[turn]->result() == outcome::granted);
    *held = crowd[turn]->take_slot();
  }
  held->reset();
  CHECK(a.slots_taken() == 0);
  CHECK(top.lot.take(0));
}

TEST_CASE("a free slot is not taken while somebody waits for another reason") {
  bench_top top;
  auto& a = top.add(1);
  a.eject();
  auto waits = top.parked(1);
  a.open();
  CHECK_FALSE(top.lot.take(0));  // open again, but not yet offered: the head of the queue comes first
  top.lot.offer();
  CHECK(top.delivered() == order{1});
}

TEST_CASE("an instance that opens takes as many as it has slots") {
  bench_top top;
  auto& a = top.add(2, false);
  auto crowd = top.crowd(5);
  top.lot.offer();
  CHECK(top.delivered().empty());
  a.open();
  top.lot.offer();
  CHECK(top.delivered() == order{0, 1});
  top.add(2);  // publishing offers by itself
  CHECK(top.delivered() == order{2, 3});
  CHECK(top.lot.parked() == 1);
}

TEST_CASE("a draining instance gives nothing, and its slots still count") {
  bench_top top;
  auto& a = top.add(2);
  auto one = top.lot.take(0);
  auto two = top.lot.take(0);
  auto waits = top.parked(1);
  a.drain();
  one->reset();
  CHECK(top.delivered().empty());
  CHECK(a.slots_taken() == 1);
  a.open();
  top.lot.offer();
  CHECK(top.delivered() == order{1});
  CHECK(a.slots_taken() == 2);
}

TEST_CASE("a slot that is free when somebody parks is granted through the queue and leaves no trace in the budget") {
  bench_top top;
  top.budget.max_requests = 1;
  top.add(2);
  auto one = top.parked(1, 100);
  auto two = top.parked(2, 100);
  CHECK(top.budget.requests == 0);
  CHECK(top.budget.bytes == 0);
  CHECK(top.lot.parked() == 0);
  CHECK(top.demands == 0);
  CHECK(top.posts == 1);
  CHECK(top.delivered() == order{1, 2});
}

TEST_CASE("both bounds hold for all revisions together, and a refusal leaves no trace") {
  bench_top top;
  top.budget.max_requests = 3;
  top.budget.max_bytes = 100;
  parking_lot other(top.budget, [] {});
  auto one = top.parked(1, 60);
  auto two = top.make(2);
  CHECK(other.park(*two, 41) == result::queue_full);
  CHECK(top.budget.requests == 1);
  CHECK(top.budget.bytes == 60);
  CHECK(other.parked() == 0);
  CHECK(other.park(*two, 40) == result::parked);  // a refused waiter may try again
  auto three = top.parked(3, 0);
  auto four = top.make(4);
  CHECK(top.lot.park(*four, 0) == result::queue_full);
  CHECK(top.budget.bytes == 100);
  one.reset();
  CHECK(top.budget.requests == 2);
  CHECK(top.budget.bytes == 40);
  CHECK(top.lot.park(*four, ~0ull) == result::queue_full);  // no overflow either
  CHECK(top.lot.park(*four, 60) == result::parked);
  two.reset();
  three.reset();
  four.reset();
  CHECK(top.budget.requests == 0);
  CHECK(top.budget.bytes == 0);
  CHECK(top.lot.parked() == 0);
}

TEST_CASE("who leaves frees its place and keeps the order of the others") {
  bench_top top;
  auto& a = top.add(1, false);
  auto crowd = top.crowd(5);
  crowd[0].reset();
  crowd[2].reset();
  crowd[4].reset();
  CHECK(top.lot.parked() == 2);
  CHECK(top.budget.requests == 2);
  a.open();
  top.lot.offer();
  CHECK(top.delivered() == order{1});
  crowd[1].reset();
  CHECK(top.delivered() == order{3});
}

TEST_CASE("a grant that its waiter does not live to see goes to the next") {
  bench_top top;
  auto& a = top.add(1, false);
  auto crowd = top.crowd(3);
  a.open();
  top.lot.offer();
  crowd[0].reset();  // granted, not delivered
  CHECK(top.delivered() == order{1});
  crowd[1].reset();  // delivered, not taken up
  CHECK(a.slots_taken() == 1);
  CHECK(top.delivered() == order{2});
  crowd[2].reset();
  CHECK(a.slots_taken() == 0);
}

TEST_CASE("retries keep their turn, in their own order, and are outside max_requests") {
  bench_top top;
  top.budget.max_requests = 2;
  top.budget.max_bytes = 10;
  auto& a = top.add(10, false);
  auto crowd = top.crowd(2);
  crowd.push_back(top.parked(10, 4, parking_lot::turn::retry));
  crowd.push_back(top.parked(11, 4, parking_lot::turn::retry));
  crowd.push_back(top.parked(12, 0, parking_lot::turn::retry));
  crowd[4].reset();
  crowd.push_back(top.parked(13, 0, parking_lot::turn::retry));
  auto heavy = top.make(14);
  CHECK(top.lot.park(*heavy, 4, parking_lot::turn::retry) == result::queue_full);
  CHECK(top.budget.requests == 2);
  CHECK(top.budget.bytes == 8);
  a.open();
  top.lot.offer();
  CHECK(top.delivered() == order{10, 11, 13, 0, 1});
  CHECK(top.budget.requests == 0);
  CHECK(top.budget.bytes == 0);
}

TEST_CASE("a failed start wakes all who wait and refuses new work until it is cleared") {
  bench_top top;
  auto& a = top.add(1, false);
  auto crowd = top.crowd(3);
  const auto why = std::make_shared<const start_failure>(start_failure{"exited", "exited with status 3", {}, {}});
  top.lot.fail(why);
  CHECK(top.lot.parked() == 0);
  CHECK(top.budget.requests == 0);
  crowd[1].reset();
  CHECK(top.delivered() == order{0, 2});
  CHECK(crowd[0]->result() == outcome::failed);
  CHECK(crowd[0]->failure() == why);

  auto late = top.make(9);
  CHECK(top.lot.park(*late, 1) == result::start_failed);
  top.lot.clear_failure();  // who was refused knows why, whatever comes after
  CHECK(late->failure() == why);
  top.lot.fail(why);
  CHECK(top.budget.requests == 0);

  SECTION("an open instance serves all the same") {
    a.open();
    auto held = top.lot.take(0);
    REQUIRE(held);
    held->reset();
    CHECK(top.lot.park(*late, 1) == result::parked);
    CHECK(top.delivered() == order{9});
    // It is full now, yet not absent: one waits for it.
    auto next = top.parked(10);
    late.reset();
    CHECK(top.delivered() == order{10});
  }
  SECTION("cleared") {
    top.lot.clear_failure();
    CHECK(top.lot.park(*late, 1) == result::parked);
  }
}

TEST_CASE("who is moved out is told so in the order of the queue, and stands before newcomers elsewhere") {
  bench_top top;
  top.budget.max_requests = 3;
  top.budget.max_bytes = 30;
  parking_lot other(top.budget, [] {});
  auto crowd = top.crowd(2);
  crowd.push_back(top.parked(10, 0, parking_lot::turn::retry));
  top.lot.move_out();
  CHECK(top.lot.parked() == 0);
  CHECK(top.budget.requests == 2);  // they keep their places until they have ended, or parked again
  CHECK(top.delivered() == order{10, 0, 1});
  for (const auto& each : crowd) CHECK(each->result() == outcome::moved);
  crowd.clear();
  CHECK(top.budget.requests == 0);

  // Meanwhile the other lot has filled the budget: who was admitted once is not refused, but counted.
  std::vector<std::unique_ptr<waiter>> late;
  for (const int number : {20, 21, 22}) {
    late.push_back(top.make(number));
    REQUIRE(other.park(*late.back(), 10) == result::parked);
  }
  late.push_back(top.make(30));
  REQUIRE(other.park(*late.back(), 0, parking_lot::turn::retry) == result::parked);
  for (const int number : {10, 0, 1}) {
    late.push_back(top.make(number));
    REQUIRE(other.park(*late.back(), 10, parking_lot::turn::moved) == result::parked);
  }
  CHECK(top.budget.requests == 6);
  CHECK(top.budget.bytes == 60);
  auto refused = top.make(40);
  CHECK(other.park(*refused, 0) == result::queue_full);
  other.move_out();
  CHECK(top.delivered() == order{30, 10, 0, 1, 20, 21, 22});
  late.clear();
  CHECK(top.budget.requests == 0);
  CHECK(top.budget.bytes == 0);

  // The first one goes on: a lot that moved its waiters out takes new ones.
  auto again = top.parked(50);
  CHECK(top.lot.parked() == 1);
}

TEST_CASE("who is moved keeps the place in the budget: no newcomer gets it on the way") {
  bench_top top;
  top.budget.max_requests = 2;
  top.budget.max_bytes = 30;
  parking_lot other(top.budget, [] {});
  std::vector<std::unique_ptr<waiter>> crowd;
  for (const int number : {0, 1}) crowd.push_back(top.parked(number, 10));
  const auto refused = [&](parking_lot& at) {
    auto late = top.make(9);
    return at.park(*late, 0) == result::queue_full;
  };
  top.lot.move_out();
  CHECK(refused(top.lot));  // nobody was told yet
  CHECK(top.delivered() == order{0, 1});
  auto kept = crowd[0]->take_place();
  crowd[0].reset();
  CHECK(refused(top.lot));
  CHECK(top.budget.bytes == 20);
  // It parks again, with more memory than before; the place is the same one.
  auto again = top.make(2);
  REQUIRE(other.park(*again, 15, parking_lot::turn::moved, false, false, &kept) == result::parked);
  CHECK((top.budget.requests == 2 && top.budget.bytes == 25));
  kept.release();
  CHECK(top.budget.requests == 2);
  // The other leaves: its place is free.
  crowd[1].reset();
  CHECK((top.budget.requests == 1 && top.budget.bytes == 15));
  auto late = top.make(9);
  REQUIRE(other.park(*late, 0) == result::parked);
  // One that leaves before it was told, as well.
  other.move_out();
  CHECK(top.budget.requests == 2);
  late.reset();
  again.reset();
  CHECK((top.budget.requests == 0 && top.budget.bytes == 0));
}

TEST_CASE("a place is kept while a closed lot is on the way") {
  bench_top top;
  top.budget.max_requests = 1;
  parking_lot closed(top.budget, [] {});
  closed.close();
  auto first = top.parked(0, 1);
  top.lot.move_out();
  CHECK(top.delivered() == order{0});
  auto kept = first->take_place();
  first = top.make(1);
  CHECK(closed.park(*first, 1, parking_lot::turn::moved, false, false, &kept) == result::moved);
  CHECK(top.budget.requests == 1);
  REQUIRE(top.lot.park(*first, 1, parking_lot::turn::moved, false, false, &kept) == result::parked);
  CHECK(top.budget.requests == 1);
  first.reset();
  CHECK(top.budget.requests == 0);
}

TEST_CASE("a closed lot sends everybody elsewhere, whoever waits, comes or gives back") {
  bench_top top;
  top.add(1);
  auto held = top.lot.take(0);
  auto crowd = top.crowd(3);
  top.lot.close();
  crowd[1].reset();
  CHECK(top.delivered() == order{0, 2});
  CHECK(crowd[0]->result() == outcome::moved);
  auto late = top.make(9);
  for (const auto as : {parking_lot::turn::newcomer, parking_lot::turn::retry, parking_lot::turn::moved})
    CHECK(top.lot.park(*late, 1, as) == result::moved);
  crowd.clear();
  CHECK(top.budget.requests == 0);
  CHECK(top.budget.bytes == 0);
  held->reset();
  CHECK(top.delivered().empty());
  CHECK(top.demands == 1);
}

TEST_CASE("demand is signalled once per acknowledgement, and only by work that has to wait") {
  bench_top top;
  auto& a = top.add(1);
  auto served = top.parked(0);
  CHECK(top.demands == 0);
  auto one = top.parked(1);
  auto two = top.parked(2);
  CHECK(top.demands == 1);
  top.lot.acknowledge_demand();
  CHECK(top.demands == 1);
  auto three = top.parked(3);
  CHECK(top.demands == 2);
  CHECK(top.lot.parked() == 3);
  CHECK(a.slots_taken() == 1);
}

TEST_CASE("publishing hands back the list that was in force") {
  bench_top top;
  instance a(1, "f", 1, 1);
  a.open();
  auto* list = new parking_lot::instance_list{&a};
  CHECK(top.lot.publish(std::unique_ptr<const parking_lot::instance_list>(list))->empty());
  CHECK(top.lot.publish(std::make_unique<const parking_lot::instance_list>()).get() == list);
  CHECK_FALSE(top.lot.take(0));
}

TEST_CASE("a mailbox is posted to once until it is delivered, and delivers what was there") {
  bench_top top;
  auto& a = top.add(2, false);
  auto crowd = top.crowd(4);
  a.open();
  top.lot.offer();
  CHECK(top.posts == 1);
  // A wake that gives its slot on: the next grant belongs to the next delivery, which was posted.
  auto ends = std::make_unique<waiter>(top.box, [&] { crowd[0].reset(); });
  REQUIRE(top.lot.park(*ends, 0, parking_lot::turn::retry) == result::parked);
  crowd[0].reset();
  CHECK(top.posts == 1);
  CHECK(top.delivered() == order{1});
  crowd[1].reset();
  CHECK(top.posts == 2);
  CHECK(top.delivered() == order{2});
  crowd[2].reset();
  CHECK(top.delivered() == order{3});
}

TEST_CASE("a wake may destroy its own waiter and others of the same round") {
  bench_top top;
  auto& a = top.add(3, false);
  std::vector<std::unique_ptr<waiter>> crowd(4);
  order woken;
  crowd[0] = std::make_unique<waiter>(top.box, [&] {
    woken.push_back(0);
    crowd[1].reset();
    crowd[0].reset();
  });
  for (int i = 1; i < 4; ++i) crowd[i] = std::make_unique<waiter>(top.box, [&woken, i] { woken.push_back(i); });
  for (auto& each : crowd) REQUIRE(top.lot.park(*each, 0) == result::parked);
  a.open();
  top.lot.offer();
  CHECK(top.lot.parked() == 1);
  for (int rounds = 0; rounds < top.posts; ++rounds) top.box.deliver();
  CHECK(woken == order{0, 2, 3});
  CHECK(a.slots_taken() == 2);
}

TEST_CASE("without a limit parked work is released one per instance, then doubling with the answers") {
  bench_top top;
  auto& a = top.add(0, false);
  auto crowd = top.crowd(20);
  a.open();
  top.lot.offer();
  top.lot.offer();
  CHECK(top.delivered() == order{0});
  CHECK_FALSE(top.lot.take(0));
  std::size_t first = 0;
  for (const std::size_t round : {1, 2, 4, 8}) {
    for (std::size_t i = first; i < first + round; ++i) crowd[i]->take_slot().reset();
    first += round;
    CHECK(top.delivered().size() == std::min<std::size_t>(2 * round, 20 - first));
  }
  CHECK(top.lot.parked() == 0);
  CHECK(top.lot.take(0));
  crowd.clear();
  CHECK(a.slots_taken() == 0);
  CHECK(a.unanswered_grants == 0);
}

TEST_CASE("without a limit an answered stream does not hold up the queue") {
  bench_top top;
  auto& a = top.add(0, false);
  auto crowd = top.crowd(4);
  a.open();
  top.lot.offer();
  CHECK(top.delivered() == order{0});
  slot stream = crowd[0]->take_slot();
  stream.answered();
  stream.answered();
  CHECK(top.delivered() == order{1, 2});
  crowd[1].reset();  // never used: one for one
  CHECK(top.delivered() == order{3});
  stream.reset();
  CHECK(a.slots_taken() == 2);
  CHECK(a.unanswered_grants == 2);
}

TEST_CASE("without a limit nobody is stuck behind an instance that closes or answers slowly") {
  bench_top top;
  auto& a = top.add(0, false);
  auto crowd = top.crowd(9);
  a.open();
  top.lot.offer();
  CHECK(top.delivered() == order{0});
  SECTION("the instance drains and another opens") {
    a.drain();
    crowd[0].reset();
    CHECK(top.delivered().empty());
    auto& b = top.add(0);
    CHECK(top.delivered() == order{1});
    a.open();
    top.lot.offer();
    CHECK(top.delivered() == order{2});
    CHECK(a.slots_taken() == 1);
    CHECK(b.slots_taken() == 1);
  }
  SECTION("the tick releases more while the answer is awaited") {
    top.lot.offer_overdue();
    CHECK(top.delivered() == order{1});
    top.lot.offer_overdue();
    CHECK(top.delivered() == order{2, 3});
    top.lot.offer_overdue();
    CHECK(top.delivered() == order{4, 5, 6, 7});
  }
  SECTION("who comes when the queue is empty is served at once") {
    while (top.lot.parked() > 0) top.lot.offer_overdue();
    auto late = top.parked(20);
    CHECK(top.lot.parked() == 0);
    CHECK(top.delivered().back() == 20);
  }
}

TEST_CASE("cost of a slot", "[.bench]") {
  bench_top top;
  for (int i = 0; i < 4; ++i) top.add(100);
  using clock = std::chrono::steady_clock;
  constexpr int rounds = 5'000'000;
  const auto run = [&](const char* what, unsigned threads, bool busy) {
    std::vector<slot> others;
    for (int i = 0; busy && i < 4; ++i) others.push_back(std::move(*top.lot.take(0)));
    std::vector<std::thread> workers;
    const auto start = clock::now();
    for (unsigned t = 0; t < threads; ++t) {
      workers.emplace_back([&, t] {
        for (std::uint32_t i = 0; i < rounds; ++i) (void)top.lot.take(i + t);
      });
    }
    for (auto& worker : workers) worker.join();
    const std::chrono::duration<double, std::nano> took = clock::now() - start;
    std::cout << what << ": " << took.count() / rounds << " ns per take and give back\n";
  };
  run("4 instances, 1 thread, instances otherwise busy", 1, true);
  run("4 instances, 1 thread, count falls to 0 (reads the clock)", 1, false);
  run("4 instances, 2 threads, instances otherwise busy", 2, true);
}
