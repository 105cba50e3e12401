// The exact integral of the load, and readings of it while it is written.

#include <catch2/catch.hpp>

#include <atomic>
#include <thread>

#include "activator/counters.hpp"
#include "stress_support.hpp"

using rouse::activator::load_meter;

TEST_CASE("the integral is the sum of the times that all have spent, to the nanosecond") {
  load_meter meter;
  const auto before = meter.read();
  CHECK(before.present == 0);
  CHECK(before.arrivals == 0);
  CHECK(before.integral(1000) == before.integral(5));  // nobody is there
  meter.enter(100);
  meter.enter(250);
  meter.leave(300);  // whichever of the two
  const auto middle = meter.read();
  CHECK(middle.present == 1);
  CHECK(middle.arrivals == 2);
  CHECK(middle.integral(1000) - before.integral(50) == 200 + 750);
  meter.leave(1500);
  const auto after = meter.read();
  CHECK(after.present == 0);
  CHECK(after.integral(9000) - middle.integral(1000) == 500);
  CHECK(after.integral(9000) - before.integral(0) == 200 + 1250);
}

TEST_CASE("sums over workers are right also where one left what another saw come") {
  load_meter one, other;
  one.enter(10);
  other.enter(20);
  other.leave(50);
  auto sum = one.read();
  sum.add(other.read());
  CHECK(sum.present == 1);
  CHECK(sum.arrivals == 2);
  CHECK(sum.integral(100) == 90 + 30);
}

TEST_CASE("a reader never sees half of a change") {
  // The writer moves all three numbers in step: at every whole state area == -(present x 7) and arrivals == present,
  // until it takes them all off again.
  load_meter meter;
  rouse::activator::stress::verdict judge;
  std::atomic<bool> stop{false};
  std::atomic<int> readings{0};
  const auto read = [&] {
    std::uint64_t arrivals = 0;
    while (!stop) {
      const auto seen = meter.read();
      judge.expect(seen.area + seen.present * 7 == 0, "area and present are of two moments");
      judge.expect(seen.present <= 3, "more are present than ever were");
      judge.expect(seen.arrivals % 3 == seen.present % 3 || seen.present < 3, "arrivals are of another moment");
      judge.expect(seen.arrivals >= arrivals, "arrivals went back");
      arrivals = seen.arrivals;
      ++readings;
    }
  };
  std::thread first(read), second(read);
  const int rounds = 20'000 * rouse::activator::stress::scale;
  int done = 0;
  for (; (done < rounds || readings < 1000) && !judge.failed(); ++done) {
    for (int i = 0; i < 3; ++i) meter.enter(7);
    for (int i = 0; i < 3; ++i) meter.leave(7);
    if (done % 64 == 0) std::this_thread::yield();
  }
  stop = true;
  first.join();
  second.join();
  CHECK(judge.text() == "");
  CHECK(meter.read().arrivals == 3 * static_cast<std::uint64_t>(done));
  CHECK(meter.read().integral(123) == 0);
}
