// Which waiting event may go: turns, keys, concurrency, retries, and how long these wait.

#include <catch2/catch.hpp>

#include "gateway/events/dispatch_queue.hpp"

namespace {

using namespace rouse::gateway::events;
using namespace std::chrono_literals;

wall_time at(std::chrono::milliseconds since_start) {
  return wall_time(std::chrono::hours(24 * 365 * 50)) + since_start;
}

attempts_made failed(unsigned count, std::chrono::milliseconds next_try) {
  return attempts_made{count, at(0ms), at(next_try)};
}

const auto none = std::optional<std::uint64_t>();
const auto any = dispatch_queue::key();

}  // namespace

TEST_CASE("without keys events go in the order in which they came") {
  dispatch_queue queue;
  CHECK(queue.next(at(0ms)) == none);
  for (std::uint64_t number : {3, 5, 9}) queue.add(number, any);
  CHECK(queue.ready() == 3);
  CHECK(queue.next(at(0ms)) == 3U);
  CHECK(queue.next(at(0ms)) == 5U);
  CHECK(queue.in_flight() == 2);
  CHECK(queue.next(at(0ms)) == 9U);
  CHECK(queue.next(at(0ms)) == none);
  CHECK(queue.wakes_at() == std::nullopt);
  queue.settle(5);
  queue.settle(3);
  queue.settle(9);
  CHECK(queue.size() == 0);
  CHECK(queue.in_flight() == 0);
}

TEST_CASE("no more are in flight than the concurrency allows") {
  dispatch_queue queue;
  queue.set_concurrency(2);
  for (std::uint64_t number = 1; number <= 4; ++number) queue.add(number, any);
  REQUIRE(queue.next(at(0ms)) == 1U);
  REQUIRE(queue.next(at(0ms)) == 2U);
  CHECK(queue.next(at(0ms)) == none);
  CHECK(queue.ready() == 2);
  SECTION("a settled one makes room for one") {
    queue.settle(1);
    CHECK(queue.next(at(0ms)) == 3U);
    CHECK(queue.next(at(0ms)) == none);
  }
  SECTION("one that is to be tried again makes room while it waits") {
    queue.retry(2, failed(1, 100ms));
    CHECK(queue.next(at(0ms)) == 3U);
    CHECK(queue.next(at(100ms)) == none);
  }
  SECTION("the limit may rise") {
    queue.set_concurrency(3);
    CHECK(queue.next(at(0ms)) == 3U);
    CHECK(queue.next(at(0ms)) == none);
  }
  SECTION("the limit may fall below what is in flight") {
    queue.set_concurrency(1);
    queue.settle(1);
    CHECK(queue.next(at(0ms)) == none);
    queue.settle(2);
    CHECK(queue.next(at(0ms)) == 3U);
  }
  SECTION("none at all") {
    queue.set_concurrency(0);
    queue.settle(1);
    queue.settle(2);
    CHECK(queue.next(at(0ms)) == none);
  }
}

TEST_CASE("a retry goes when it is due, before those that never went") {
  dispatch_queue queue;
  queue.add(1, any);
  queue.add(2, any);
  REQUIRE(queue.next(at(0ms)) == 1U);
  queue.retry(1, failed(1, 100ms));
  CHECK(queue.waiting_for_retry() == 1);
  CHECK(queue.made(1).count == 1);
  CHECK(queue.wakes_at() == at(100ms));
  CHECK(queue.next(at(99ms)) == 2U);
  CHECK(queue.next(at(99ms)) == none);
  queue.add(3, any);
  CHECK(queue.next(at(100ms)) == 1U);
  CHECK(queue.waiting_for_retry() == 0);
  CHECK(queue.made(1).count == 1);
  queue.retry(1, failed(2, 300ms));
  CHECK(queue.made(1).count == 2);
  CHECK(queue.next(at(200ms)) == 3U);
}

TEST_CASE("retries go in the order of their times") {
  dispatch_queue queue;
  queue.add_tried(1, any, failed(1, 300ms));
  queue.add_tried(2, any, failed(4, 100ms));
  queue.add_tried(3, any, failed(1, 100ms));
  CHECK(queue.ready() == 0);
  CHECK(queue.wakes_at() == at(100ms));
  CHECK(queue.next(at(50ms)) == none);
  CHECK(queue.next(at(400ms)) == 2U);
  CHECK(queue.made(2).count == 4);
  CHECK(queue.next(at(400ms)) == 3U);
  CHECK(queue.wakes_at() == at(300ms));
  CHECK(queue.next(at(400ms)) == 1U);
  CHECK(queue.wakes_at() == std::nullopt);
}

TEST_CASE("time alone changes nothing while too many are in flight") {
  dispatch_queue queue;
  queue.set_concurrency(1);
  queue.add_tried(1, any, failed(1, 100ms));
  queue.add(2, any);
  REQUIRE(queue.next(at(0ms)) == 2U);
  CHECK(queue.wakes_at() == std::nullopt);
  CHECK(queue.next(at(1s)) == none);
  queue.settle(2);
  CHECK(queue.wakes_at() == at(100ms));
}

TEST_CASE("one that was put back keeps its turn") {
  dispatch_queue queue;
  for (std::uint64_t number = 1; number <= 3; ++number) queue.add(number, any);
  REQUIRE(queue.next(at(0ms)) == 1U);
  SECTION("before those that never went") {
    queue.put_back(1);
    CHECK(queue.in_flight() == 0);
    CHECK(queue.next(at(0ms)) == 1U);
    CHECK(queue.next(at(0ms)) == 2U);
  }
  SECTION("with its attempts, and at once, for its time has come") {
    queue.retry(1, failed(3, 100ms));
    REQUIRE(queue.next(at(100ms)) == 1U);
    queue.put_back(1);
    CHECK(queue.made(1).count == 3);
    CHECK(queue.in_flight() == 0);
    CHECK(queue.next(at(100ms)) == 1U);
  }
  SECTION("with a key, before the others of it") {
    dispatch_queue keyed;
    keyed.add(1, "a");
    keyed.add(2, "a");
    REQUIRE(keyed.next(at(0ms)) == 1U);
    keyed.put_back(1);
    CHECK(keyed.next(at(0ms)) == 1U);
    CHECK(keyed.next(at(0ms)) == none);
  }
}

TEST_CASE("those of one key go one after another") {
  dispatch_queue queue;
  queue.add(1, "a");
  queue.add(2, "a");
  queue.add(3, "b");
  queue.add(4, any);
  queue.add(5, "a");
  CHECK(queue.size() == 5);
  CHECK(queue.ready() == 3);
  CHECK(queue.next(at(0ms)) == 1U);
  CHECK(queue.next(at(0ms)) == 3U);
  CHECK(queue.next(at(0ms)) == 4U);
  CHECK(queue.next(at(0ms)) == none);
  queue.settle(3);
  CHECK(queue.next(at(0ms)) == none);
  queue.settle(1);
  CHECK(queue.next(at(0ms)) == 2U);
  CHECK(queue.next(at(0ms)) == none);
  queue.settle(2);
  CHECK(queue.next(at(0ms)) == 5U);
  queue.settle(5);
  queue.settle(4);
  CHECK(queue.size() == 0);
  queue.add(6, "a");
  CHECK(queue.next(at(0ms)) == 6U);
}

TEST_CASE("an empty key is a key as any other") {
  dispatch_queue queue;
  queue.add(1, "");
  queue.add(2, "");
  REQUIRE(queue.next(at(0ms)) == 1U);
  CHECK(queue.next(at(0ms)) == none);
}

TEST_CASE("a key waits behind its retry, and others flow") {
  dispatch_queue queue;
  queue.add(1, "a");
  queue.add(2, "a");
  queue.add(3, "b");
  REQUIRE(queue.next(at(0ms)) == 1U);
  queue.retry(1, failed(1, 100ms));
  CHECK(queue.next(at(0ms)) == 3U);
  CHECK(queue.next(at(0ms)) == none);
  queue.settle(3);
  queue.add(4, "a");
  queue.add(5, "b");
  CHECK(queue.next(at(0ms)) == 5U);
  CHECK(queue.next(at(99ms)) == none);
  CHECK(queue.next(at(100ms)) == 1U);
  CHECK(queue.next(at(100ms)) == none);
  queue.settle(1);
  CHECK(queue.next(at(100ms)) == 2U);
  queue.settle(2);
  CHECK(queue.next(at(100ms)) == 4U);
}

TEST_CASE("what an earlier run had tried keeps the order of its key") {
  dispatch_queue queue;
  queue.add_tried(1, "a", failed(2, 200ms));
  queue.add_tried(2, "a", failed(1, 50ms));  // from a time at which the order was another
  queue.add(3, "a");
  queue.add(4, "b");
  CHECK(queue.wakes_at() == at(200ms));
  CHECK(queue.next(at(100ms)) == 4U);
  CHECK(queue.next(at(100ms)) == none);
  CHECK(queue.next(at(200ms)) == 1U);
  queue.settle(1);
  CHECK(queue.wakes_at() == at(50ms));
  CHECK(queue.next(at(200ms)) == 2U);
  CHECK(queue.made(2).count == 1);
  queue.settle(2);
  CHECK(queue.next(at(200ms)) == 3U);
}

TEST_CASE("pauses grow exponentially up to the cap") {
  retry_rule rule;
  rule.delay = 1s;
  rule.max_delay = 10s;
  const auto longest = [&](unsigned made) { return rule.pause_after(made, 0.999999, 0ms); };
  const auto shortest = [&](unsigned made) { return rule.pause_after(made, 0.0, 0ms); };
  const std::pair<unsigned, std::chrono::milliseconds> expected[] = {
      {1, 1s}, {2, 2s}, {3, 4s}, {4, 8s}, {5, 10s}, {6, 10s}, {40, 10s}, {4'000'000'000U, 10s}};
  for (const auto& [made, pause] : expected) {
    CAPTURE(made);
    CHECK(shortest(made) == pause / 2);
    CHECK(longest(made) <= pause);
    CHECK(longest(made) >= pause - 1ms);
  }
}

TEST_CASE("pauses grow linearly up to the cap") {
  retry_rule rule;
  rule.exponential = false;
  rule.delay = 1s;
  rule.max_delay = 3500ms;
  const std::pair<unsigned, std::chrono::milliseconds> expected[] = {
      {1, 1000ms}, {2, 2000ms}, {3, 3000ms}, {4, 3500ms}, {1'000'000'000U, 3500ms}};
  for (const auto& [made, pause] : expected) {
    CAPTURE(made);
    CHECK(rule.pause_after(made, 0.0, 0ms) == pause / 2);
  }
}

TEST_CASE("a delay over the cap is the cap") {
  retry_rule rule;
  rule.delay = 10s;
  rule.max_delay = 2s;
  for (const bool exponential : {true, false}) {
    rule.exponential = exponential;
    CHECK(rule.pause_after(1, 0.0, 0ms) == 1s);
  }
}

TEST_CASE("pauses spread evenly over the upper half") {
  retry_rule rule;
  rule.delay = 1s;
  CHECK(rule.pause_after(1, 0.0, 0ms) == 500ms);
  CHECK(rule.pause_after(1, 0.5, 0ms) == 750ms);
  CHECK(rule.pause_after(2, 0.25, 0ms) == 1250ms);
  for (double random = 0; random < 1; random += 0.01) {
    const auto pause = rule.pause_after(3, random, 0ms);
    CHECK(pause >= 2s);
    CHECK(pause <= 4s);
  }
}

TEST_CASE("a Retry-After that is later counts, up to a day") {
  retry_rule rule;
  rule.delay = 1s;
  rule.max_delay = 5s;
  CHECK(rule.pause_after(1, 0.5, 100ms) == 750ms);
  CHECK(rule.pause_after(1, 0.5, 3s) == 3s);
  CHECK(rule.pause_after(1, 0.5, 60s) == 60s);
  CHECK(rule.pause_after(1, 0.5, std::chrono::hours(24 * 365)) == std::chrono::hours(24));
}

TEST_CASE("what waits is forgotten, and what is in flight keeps its key") {
  dispatch_queue queue;
  const auto key = [](const char* name) { return dispatch_queue::key(name); };
  queue.add(1, key("a"));
  queue.add(2, key("a"));
  queue.add(3, key("b"));
  queue.add(4, any);
  queue.add_tried(5, key("c"), failed(2, 50ms));
  queue.add(6, key("c"));
  REQUIRE(queue.next(at(0ms)) == 1U);
  queue.forget_waiting();
  CHECK(queue.size() == 1);
  CHECK(queue.ready() == 0);
  CHECK(queue.waiting_for_retry() == 0);
  CHECK(queue.in_flight() == 1);
  CHECK(queue.next(at(100ms)) == none);
  // They come again, as others.
  queue.add(12, key("a"));
  queue.add(13, key("b"));
  queue.add_tried(15, key("c"), failed(2, 50ms));
  CHECK(queue.next(at(0ms)) == 13U);
  CHECK(queue.next(at(0ms)) == none);
  CHECK(queue.next(at(50ms)) == 15U);
  queue.settle(1);
  CHECK(queue.next(at(50ms)) == 12U);
  for (std::uint64_t number : {12, 13, 15}) queue.settle(number);
  CHECK(queue.size() == 0);
}
