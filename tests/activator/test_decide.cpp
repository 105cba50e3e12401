#include <catch2/catch.hpp>

#include <string>

#include "activator/decide.hpp"
#include "activator/words.hpp"

using namespace rouse::activator;
using namespace std::chrono_literals;

namespace {

struct row {
  const char* what;
  unsigned min, max;
  std::uint32_t concurrency;
  unsigned ready, starting;
  std::uint64_t in_flight, parked;
  unsigned idle_expired;
  unsigned desired;
  const char* reason;
};

const row table[] = {
    {"at zero, at rest", 0, 20, 10, 0, 0, 0, 0, 0, 0, "nothing parked or in flight"},
    {"first request", 0, 20, 10, 0, 0, 0, 1, 0, 1, "1 parked, none ready"},
    {"as many as fit one instance", 0, 20, 10, 0, 0, 0, 10, 0, 1, "10 parked, none ready"},
    {"one more", 0, 20, 10, 0, 0, 0, 11, 0, 2, "11 parked + 0 in flight / 10 per instance -> 2"},
    {"a crowd, up to max", 0, 10, 1, 0, 0, 0, 200, 0, 10,
     "200 parked + 0 in flight / 1 per instance -> 200, max is 10"},
    {"starting ones are capacity to come", 0, 20, 1, 0, 3, 0, 3, 0, 3, "3 are enough for 3 parked + 0 in flight"},
    {"parked and in flight add up", 0, 20, 10, 2, 0, 20, 3, 0, 3, "3 parked + 20 in flight / 10 per instance -> 3"},
    {"one is starting already", 0, 20, 10, 2, 1, 20, 3, 0, 3, "3 are enough for 3 parked + 20 in flight"},
    {"no limit counts as 100", 0, 20, 0, 1, 0, 100, 1, 0, 2, "1 parked + 100 in flight / 100 per instance -> 2"},
    {"min without demand", 2, 20, 10, 0, 0, 0, 0, 0, 2, "min is 2"},
    {"min, one lost", 2, 20, 10, 1, 0, 0, 0, 1, 2, "min is 2"},
    {"demand above min", 2, 20, 10, 2, 0, 20, 1, 0, 3, "1 parked + 20 in flight / 10 per instance -> 3"},
    {"idle but not long enough", 0, 20, 10, 3, 0, 0, 0, 0, 3, "3 are enough for 0 parked + 0 in flight"},
    {"all idle", 0, 20, 10, 3, 0, 0, 0, 3, 0, "3 idle for 60 s"},
    {"all idle, min stays", 1, 20, 10, 3, 0, 0, 0, 3, 1, "2 idle for 60 s, min is 1"},
    {"only idle ones go", 0, 20, 10, 5, 0, 3, 0, 2, 3, "2 idle for 60 s"},
    {"idle ones that are needed stay", 0, 20, 1, 3, 0, 2, 1, 1, 3, "3 are enough for 1 parked + 2 in flight"},
    {"a starting one is never a victim", 0, 20, 10, 1, 1, 0, 0, 1, 1, "1 idle for 60 s"},
    {"full and at max", 0, 2, 1, 2, 0, 2, 5, 0, 2, "5 parked + 2 in flight / 1 per instance -> 7, max is 2"},
    {"never above max", 0, 2, 1, 3, 0, 3, 0, 0, 2, "max is 2"},
    {"a great many parked", 0, 20, 1, 0, 0, 0, 5'000'000'000, 0, 20,
     "5000000000 parked + 0 in flight / 1 per instance -> 5000000000, max is 20"},
};

}  // namespace

TEST_CASE("decide follows demand, min, max and idleness") {
  for (const auto& one : table) {
    CAPTURE(one.what);
    scale_state state;
    state.min = one.min;
    state.max = one.max;
    state.concurrency = one.concurrency;
    state.ready = one.ready;
    state.starting = one.starting;
    state.in_flight = one.in_flight;
    state.parked = one.parked;
    state.idle_expired = one.idle_expired;
    const auto decision = decide(state);
    CHECK(decision.desired == one.desired);
    CHECK(decision.reason == one.reason);
  }
}

TEST_CASE("decide never leaves its bounds and never takes more than what is idle") {
  for (unsigned min = 0; min <= 3; ++min)
    for (unsigned max = min ? min : 1; max <= 4; ++max)
      for (unsigned ready = 0; ready <= max; ++ready)
        for (unsigned starting = 0; ready + starting <= max; ++starting)
          for (unsigned idle = 0; idle <= ready; ++idle)
            for (unsigned work = 0; work <= 9; ++work) {
              scale_state state{.min = min,
                                .max = max,
                                .concurrency = 2,
                                .ready = ready,
                                .starting = starting,
                                .in_flight = ready - idle,
                                .parked = work,
                                .idle_expired = idle};
              const auto desired = decide(state).desired;
              CHECK(desired >= min);
              CHECK(desired <= max);
              CHECK(desired + idle >= ready + starting);
              CHECK((desired == max || desired * 2 >= state.in_flight + work));
            }
}

TEST_CASE("words for people") {
  CHECK(in_words(60s) == "60 s");
  CHECK(in_words(1500ms) == "1.5 s");
  CHECK(in_words(12ms) == "12 ms");
  CHECK(in_words(std::chrono::nanoseconds(400'000)) == "0.4 ms");
  rouse::router::address v4;
  v4.bytes = {127, 0, 0, 1};
  v4.port = 20017;
  CHECK(in_words(v4) == "127.0.0.1:20017");
  rouse::router::address v6;
  v6.bytes[15] = 1;
  v6.v6 = true;
  v6.port = 80;
  CHECK(in_words(v6) == "[::1]:80");
  CHECK(printable("a\tb\x1b[31m\r\n\x7f\xc3\xa9") == "a\tb\\x1b[31m\\x0d\\x0a\\x7f\xc3\xa9");
  CHECK(as_tail({}).empty());
  CHECK(as_tail({"one", "two\n"}) == "; its last lines:\n    one\n    two\\x0a");
}
