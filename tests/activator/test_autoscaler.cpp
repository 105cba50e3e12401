#include <catch2/catch.hpp>

#include <map>

#include "activator/autoscaler.hpp"

using namespace rouse;
using namespace rouse::activator;
using namespace std::chrono_literals;

namespace {

using time_point = autoscaler::time_point;

/// One revision whose instances are what was desired, at once, and whose load is told second by second.
struct rig {
  config::scale config;
  double target = 7;
  scale_limits limits{0, 20};
  scale_input in;
  autoscaler scaler;
  time_point now{100'000s};
  scale_decision last;

  /// The metric is `load` for the next `seconds`; decided at the end of each. `follow`: what is desired is ready then.
  void run(double load, int seconds, bool follow = false) {
    for (int i = 0; i < seconds; ++i) {
      scaler.observe(load, now, now + 1s);
      now += 1s;
      if (in.ready > 0) in.in_flight = static_cast<std::uint64_t>(load + 0.999);
      if (in.in_flight > 0) in.last_active = now;
      decide();
      if (follow) in.ready = last.desired;
    }
  }
  const scale_decision& decide() {
    last = scaler.decide(config, target, limits, in, now);
    return last;
  }
  unsigned desired() { return decide().desired; }
  std::string reason() { return decide().reason; }
};

rig with_ready(unsigned ready) {
  rig out;
  out.in.ready = ready;
  out.in.last_active = out.now;
  return out;
}

}  // namespace

TEST_CASE("never called: nothing is wanted, remembered or looked at") {
  rig one;
  CHECK(one.desired() == 0);
  CHECK(one.last.reason.empty());
  CHECK_FALSE(one.last.next);
  CHECK(sizeof(autoscaler) == sizeof(void*));
}

TEST_CASE("first demand at zero acts at once on what waits now") {
  rig one;
  one.in.parked = 1;
  CHECK(one.desired() == 1);
  CHECK(one.last.cause == scale_cause::demand);
  CHECK(one.last.reason == "1 parked, none ready -> 1");
  CHECK(one.last.next == one.now + 1s);
  one.in.parked = 50;  // 50 / 7 = 7.1
  CHECK(one.desired() == 8);
  CHECK(one.last.reason == "50 parked, none ready, target 7 -> 8");
  one.in.parked = 1000;
  CHECK(one.desired() == 20);
  CHECK(one.last.reason == "1000 parked, none ready, target 7 -> 143, capped by max 20");
  one.in.starting = 20;
  CHECK(one.desired() == 20);
  CHECK(one.last.reason.empty());
}

TEST_CASE("with a target below one, each parked request gets an instance and no more") {
  rig one;
  one.target = 0.7;  // concurrency 1 x utilization 0.7
  one.in.parked = 1;
  CHECK(one.desired() == 1);
  one.in.parked = 5;
  CHECK(one.desired() == 5);
  // A cold start of three seconds: the one request is all there was.
  one.in.parked = 1;
  one.in.starting = 1;
  one.run(1, 3);
  CHECK(one.last.desired == 1);
  one.in.parked = 0;
  one.in.starting = 0;
  one.in.ready = 1;
  one.run(1, 60);
  CHECK(one.last.desired == 1);
  one.run(2, 60);
  CHECK(one.last.desired == 3);  // 2 / 0.7 = 2.9
}

TEST_CASE("waiting events wake a revision, whatever the metric") {
  rig one;
  one.in.waiting_events = 500;
  CHECK(one.desired() == 1);
  CHECK(one.last.reason == "500 waiting, none ready -> 1");
  one.config.metric = config::scale_metric::rps;
  CHECK(one.desired() == 1);
  one.config.metric = config::scale_metric::backlog;
  one.target = 100;
  CHECK(one.desired() == 5);
  CHECK(one.last.reason == "500 waiting, none ready, target 100 -> 5");
}

TEST_CASE("max_up_rate bounds the first step, too") {
  rig one;
  one.config.max_up_rate = 3;  // ceil(3 x max(1, 0)) = 3
  one.in.parked = 1000;
  CHECK(one.desired() == 3);
  CHECK(one.last.reason == "1000 parked, none ready, target 7 -> 143, 3 by max_up_rate");
}

TEST_CASE("stable: the average over the window by the target, rounded up") {
  auto one = with_ready(2);
  one.run(12, 60);
  CHECK(one.last.desired == 2);  // 12 / 7 = 1.7
  one.run(14, 60);
  CHECK(one.last.desired == 2);  // exactly 2
  one.run(14.5, 60);
  CHECK(one.last.desired == 3);  // 2.07
  CHECK(one.last.cause == scale_cause::stable);
  CHECK(one.last.reason == "stable: 14.5 in flight / target 7 -> 3");
}

TEST_CASE("the words name what the metric counts") {
  auto one = with_ready(1);
  one.config.metric = config::scale_metric::rps;
  one.target = 140;
  one.run(200, 60);
  CHECK(one.last.reason == "panic: 200 requests/s / target 140 -> 2");  // 2 / 1 >= 2
  auto two = with_ready(1);
  two.config.metric = config::scale_metric::backlog;
  two.in.waiting_events = 3;
  two.run(12.34, 60);
  CHECK(two.last.reason == "panic: 12.3 waiting / target 7 -> 2");
  auto three = with_ready(1);
  three.in.parked = 3;
  three.run(12, 60);
  CHECK(three.last.reason == "panic: 12 in flight or parked / target 7 -> 2");
}

TEST_CASE("down goes by no more than max_down_rate") {
  auto one = with_ready(11);
  one.run(77, 120);
  CHECK(one.last.desired == 11);
  one.run(10, 58);
  one.run(10, 2);  // the window holds 10 only: 10 / 7 -> 2, floor(11 / 2) = 5
  CHECK(one.last.desired == 5);
  CHECK(one.last.reason == "stable: 10 in flight / target 7 -> 2, 5 by max_down_rate");
  one.in.ready = 5;
  one.run(10, 2);
  CHECK(one.last.desired == 2);  // floor(5 / 2) = 2
}

TEST_CASE("the rates are per two seconds, however often one asks") {
  auto one = with_ready(16);
  one.limits.max = 50;
  one.run(112, 120);
  one.run(1, 60, false);
  REQUIRE(one.last.desired == 8);
  for (int i = 0; i < 5; ++i) {
    one.now += 1ms;
    CHECK(one.desired() == 8);
    one.in.ready = one.last.desired;
  }
  one.run(1, 2);
  CHECK(one.last.desired == 4);
}

TEST_CASE("max_down_rate never starts any") {
  auto one = with_ready(16);
  one.run(112, 120);
  one.run(0.5, 60);
  one.in.ready = 1;  // fifteen crashed
  one.in.in_flight = 1;
  CHECK(one.desired() == 1);
}

TEST_CASE("panic: entered at the threshold, not below it") {
  // Ready 4. Six seconds at 55 make a panic average of 55: ceil(55 / 7) = 8, 8 / 4 = 2.0.
  auto one = with_ready(4);
  one.run(28, 120);
  REQUIRE(one.last.desired == 4);
  one.run(55, 6);
  CHECK(one.scaler.in_panic());
  CHECK(one.last.desired == 8);
  CHECK(one.last.cause == scale_cause::panic);
  CHECK(one.last.reason == "panic: 55 in flight / target 7 -> 8");
  // At 49: ceil(49 / 7) = 7, 7 / 4 = 1.75. Stable: (54 x 28 + 6 x 49) / 60 = 30.1 -> 5.
  auto two = with_ready(4);
  two.run(28, 120);
  two.run(49, 6);
  CHECK_FALSE(two.scaler.in_panic());
  CHECK(two.last.desired == 5);
  CHECK(two.last.reason == "stable: 30.1 in flight / target 7 -> 5");
}

TEST_CASE("panic: instances that start count as capacity to come") {
  auto one = with_ready(4);
  one.run(28, 120);
  one.in.starting = 1;
  one.run(55, 6);  // 8 / (4 + 1) = 1.6
  CHECK_FALSE(one.scaler.in_panic());
}

TEST_CASE("in panic the number never falls, and it ends after a whole window below") {
  auto one = with_ready(4);
  one.run(28, 120);
  one.run(84, 6);  // ceil(84 / 7) = 12
  REQUIRE(one.last.desired == 12);
  one.in.ready = 12;
  one.run(28, 1);
  // (5 x 84 + 28) / 6 = 74.7 -> 11; the threshold is not reached any more (11 / 12), the last time was a second ago.
  CHECK(one.last.desired == 12);
  one.run(28, 58);
  CHECK(one.scaler.in_panic());
  CHECK(one.last.desired == 12);
  one.in.ready = 11;  // one is lost in the panic
  CHECK(one.desired() == 12);
  CHECK(one.last.reason == "panic: highest need so far -> 12");
  one.in.ready = 12;
  one.run(28, 1);
  CHECK_FALSE(one.scaler.in_panic());
  // Stable: the window has (6 s of it gone) 60 x 28 -> 4, but floor(12 / 2) = 6.
  CHECK(one.last.desired == 6);
  CHECK(one.last.cause == scale_cause::stable);
}

TEST_CASE("panic goes on while the threshold is reached") {
  auto one = with_ready(1);
  one.limits.max = 100;
  one.run(7, 120);
  one.run(700, 100);  // 100 wanted, but one stays the only one ready
  REQUIRE(one.scaler.in_panic());
  CHECK(one.last.desired == 100);
  one.run(0, 5);
  one.in.in_flight = 1;
  one.run(1, 50);
  CHECK(one.scaler.in_panic());  // 6 s of the panic average and 60 s are not over
  CHECK(one.last.desired == 100);
  one.run(1, 20);
  CHECK_FALSE(one.scaler.in_panic());
}

TEST_CASE("panic is capped by max") {
  auto one = with_ready(4);
  one.limits.max = 10;
  one.run(28, 120);
  one.run(84, 6);
  CHECK(one.last.desired == 10);
  CHECK(one.last.reason == "panic: 84 in flight / target 7 -> 12, capped by max 10");
}

TEST_CASE("max_up_rate bounds panic and stable") {
  auto one = with_ready(4);
  one.config.max_up_rate = 1.5;
  one.run(28, 120);
  one.run(84, 6);
  CHECK(one.last.desired == 6);  // ceil(1.5 x 4)
  CHECK(one.last.reason == "panic: 84 in flight / target 7 -> 12, 6 by max_up_rate");
}

TEST_CASE("down_delay holds the highest number of that long") {
  auto one = with_ready(8);
  one.config.down_delay = 30s;
  one.run(56, 120);
  one.run(7, 20);
  // (40 x 56 + 20 x 7) / 60 = 39.7 -> 6, but 8 was wanted less than 30 s ago.
  CHECK(one.last.desired == 8);
  one.in.ready = 7;
  CHECK(one.desired() == 8);
  CHECK(one.last.reason == "stable: 39.7 in flight / target 7 -> 6, 8 by down_delay");
  one.in.ready = 8;
  one.run(7, 16);
  // Eight was last wanted when the average was above 49: until 8 seconds after the fall (56 - 8 x 49 / 60 = 49.5).
  CHECK(one.last.desired == 8);
  one.run(7, 3);
  CHECK(one.last.desired == 7);
}

TEST_CASE("idle alone decides zero") {
  auto one = with_ready(4);
  one.run(28, 120);
  one.in.in_flight = 0;
  one.in.last_active = one.now;
  const auto over = one.now + 60s;
  one.run(0, 59, true);
  CHECK(one.last.desired == 1);  // the averages alone would have said 0 or 1 long since
  CHECK(one.last.next == over);
  one.now += 900ms;
  CHECK(one.desired() == 1);
  CHECK(one.last.next == over);  // exactly, not a second later
  one.now = over;
  CHECK(one.desired() == 0);
  CHECK(one.last.cause == scale_cause::idle);
  CHECK(one.last.reason == "idle for 60 s -> 0");
  one.in.ready = 0;
  CHECK(one.desired() == 0);
  CHECK_FALSE(one.last.next);
}

TEST_CASE("the averages never decide zero") {
  auto one = with_ready(4);
  one.config.idle = 10min;
  one.run(28, 120);
  one.run(0, 300, true);
  CHECK(one.last.desired == 1);
  one.in.ready = 2;
  CHECK(one.reason() == "stable: 0 in flight / target 7 -> 0, 1 until idle");
  one.run(0, 2);
  CHECK(one.last.desired == 1);
  one.in.ready = 1;
  one.run(0, 2);
  CHECK(one.last.desired == 1);  // floor(1 / 2) = 0, but not before idle
}

TEST_CASE("after idle the number is min at once, however the averages, panic and delay stand") {
  auto one = with_ready(4);
  one.config.idle = 2s;
  one.config.down_delay = 10min;
  one.run(28, 120);
  one.run(140, 10, true);
  REQUIRE(one.last.desired == 20);
  REQUIRE(one.scaler.in_panic());
  one.in.in_flight = 0;
  one.limits.min = 3;
  one.now += 2s;
  CHECK(one.desired() == 3);
  CHECK(one.last.reason == "idle for 2 s -> 3");
  CHECK_FALSE(one.scaler.in_panic());
  one.in.ready = 3;
  CHECK(one.desired() == 3);
  CHECK(one.last.next == one.now + 1s);  // while there are instances, requests may take slots without a word
}

TEST_CASE("a stream in flight is not idle") {
  auto one = with_ready(1);
  one.in.in_flight = 1;
  one.now += 1h;
  CHECK(one.desired() == 1);
  one.in.in_flight = 0;
  one.in.parked = 1;
  CHECK(one.desired() == 1);
  one.in.parked = 0;
  one.in.waiting_events = 1;
  CHECK(one.desired() == 1);
  one.in.waiting_events = 0;
  CHECK(one.desired() == 0);
}

TEST_CASE("a young series lowers nothing but to zero") {
  auto one = with_ready(10);
  one.run(7, 59);
  CHECK(one.last.desired == 10);
  one.run(7, 1);
  CHECK(one.last.desired == 5);
  // After forgetting it is young again.
  one.scaler.forget();
  one.run(7, 5);
  CHECK(one.last.desired == 10);
  // Nothing at all remembered.
  one.scaler.forget();
  CHECK(one.desired() == 10);
  one.in.in_flight = 0;
  one.now += 60s;
  CHECK(one.desired() == 0);
}

TEST_CASE("after a rest at zero a series is young, however far back its first observation reaches") {
  auto one = with_ready(1);
  one.run(1, 120);
  one.in.in_flight = 0;
  one.now += 60s;
  REQUIRE(one.desired() == 0);
  one.in.ready = 0;
  REQUIRE(one.desired() == 0);
  const auto slept = one.now;
  one.now += 10min;
  one.in.parked = 60;
  one.scaler.observe(0.001, slept, one.now);
  REQUIRE(one.desired() == 9);  // 60 / 7 = 8.6
  one.in.starting = 8;
  one.in.ready = 1;
  one.in.parked = 0;
  one.in.in_flight = 7;
  one.in.last_active = one.now + 2s;
  one.scaler.observe(60, one.now, one.now + 2s);
  one.now += 2s;
  CHECK(one.desired() == 9);
  one.in.ready = 9;
  one.in.starting = 0;
  one.run(1, 50);
  CHECK(one.last.desired == 9);
}

TEST_CASE("in the first second of a series what waits now counts, not its average") {
  auto one = with_ready(1);
  one.scaler.observe(1000, one.now, one.now + 2ms);
  one.now += 2ms;
  one.in.in_flight = 7;
  one.in.parked = 3;
  CHECK(one.desired() == 2);  // 10 / 7
  CHECK(one.last.reason == "3 parked, target 7 -> 2");
}

TEST_CASE("min and max hold whatever is needed") {
  rig one;
  one.limits = {3, 20};
  CHECK(one.desired() == 3);
  CHECK(one.last.cause == scale_cause::min);
  CHECK(one.last.reason == "min is 3");
  one.in.share = 0;  // no traffic, no minimum
  CHECK(one.desired() == 0);
  one.in.share = 0.01;
  CHECK(one.desired() == 3);

  auto two = with_ready(8);
  two.run(56, 120);
  two.limits.max = 5;
  CHECK(two.desired() == 5);
  CHECK(two.last.cause == scale_cause::max);
  CHECK(two.last.reason == "max is 5");
  two.limits = {6, 5};  // min wins over a max below it
  CHECK(two.desired() == 6);
  two.limits = {0, 0};
  CHECK(two.desired() == 0);
}

TEST_CASE("spare ones are on top of what is needed, and do not keep an idle function up") {
  rig one;
  one.config.spare = 2;
  CHECK(one.desired() == 0);
  one.in.parked = 1;
  CHECK(one.desired() == 3);
  CHECK(one.last.reason == "1 parked, none ready -> 1, + 2 spare");
  one.in.parked = 0;
  one.in.ready = 1;
  one.run(5, 60);
  CHECK(one.last.desired == 3);
  CHECK(one.last.cause == scale_cause::spare);
  CHECK(one.last.reason == "1 needed + 2 spare -> 3");
  one.in.ready = 3;
  one.in.last_active = one.now + 1h;  // something came and went at the very end, but of no weight in the average
  one.run(0, 64, true);
  CHECK(one.last.desired == 1);
  one.in.last_active = one.now;
  one.now += 60s;
  CHECK(one.desired() == 0);
  one.in.share = 0;
  one.in.ready = 0;
  one.in.parked = 1;
  CHECK(one.desired() == 1);  // none are kept ready without traffic
}

TEST_CASE("targets and loads of any size are survived") {
  auto one = with_ready(1);
  one.target = 0;
  one.run(1e15, 61);
  CHECK(one.last.desired == 20);
  one.limits.max = 4'000'000'000u;
  CHECK(one.desired() <= 1'000'000'000u);
  one.in.parked = ~0ull >> 1;
  one.in.ready = 0;
  CHECK(one.desired() >= 20);
}

// Nest's public example: min 4, threshold 100, utilization 0.7.
TEST_CASE("load doubles and halves: instances follow, and do not flap") {
  rig one;
  one.target = 100 * 0.7;
  one.limits = {4, 200};
  one.decide();
  one.in.ready = one.last.desired;
  REQUIRE(one.in.ready == 4);
  std::map<double, unsigned> settled;
  int turns = 0;
  unsigned before = 4;
  int direction = 0;
  const auto step = [&](double load) {
    for (int i = 0; i < 180; ++i) {
      one.run(load, 1, true);
      const int way = one.last.desired > before ? 1 : one.last.desired < before ? -1 : 0;
      if (way != 0 && way != direction) ++turns;
      if (way != 0) direction = way;
      before = one.last.desired;
    }
    settled[load] = one.last.desired;
  };
  for (double load = 100; load <= 6400; load *= 2) step(load);
  // ceil(load / 70), at least 4.
  CHECK(settled[100] == 4);
  CHECK(settled[200] == 4);
  CHECK(settled[400] == 6);
  CHECK(settled[800] == 12);
  CHECK(settled[1600] == 23);
  CHECK(settled[3200] == 46);
  CHECK(settled[6400] == 92);
  CHECK(turns == 1);  // only up
  for (double load = 3200; load >= 100; load /= 2) step(load);
  CHECK(settled[3200] == 46);
  CHECK(settled[800] == 12);
  CHECK(settled[100] == 4);
  CHECK(turns == 2);  // then only down
}

TEST_CASE("a doubling is answered within the panic window, not within the stable one") {
  auto one = with_ready(10);
  one.limits.max = 200;
  one.run(70, 120);
  REQUIRE(one.last.desired == 10);
  one.run(280, 3, true);  // (3 x 70 + 3 x 280) / 6 = 175 -> 25, 25 / 10 >= 2
  CHECK(one.last.desired == 25);
  one.run(280, 3, true);
  CHECK(one.last.desired == 40);
}
