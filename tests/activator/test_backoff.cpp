#include <catch2/catch.hpp>

#include "activator/agenda.hpp"
#include "activator/backoff.hpp"

using namespace rouse::activator;
using namespace std::chrono_literals;

namespace {

const backoff::time_point t0{std::chrono::hours(1)};
constexpr double middle = 0.5;  // no jitter

}  // namespace

TEST_CASE("the delay doubles from one second to a minute") {
  backoff subject;
  CHECK_FALSE(subject.waiting(t0));
  auto now = t0;
  for (const auto expected : {1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s, 60s}) {
    CHECK(subject.failed(now, now, middle));
    CHECK(subject.retry_at() - now == expected);
    CHECK(subject.waiting(now));
    CHECK(subject.waiting(subject.retry_at() - 1ns));
    now = subject.retry_at();
    CHECK_FALSE(subject.waiting(now));
  }
}

TEST_CASE("jitter is a tenth either way") {
  backoff low;
  backoff high;
  low.failed(t0, t0, 0.0);
  high.failed(t0, t0, 0.999999);
  CHECK(low.retry_at() - t0 == 900ms);
  CHECK(high.retry_at() - t0 > 1099ms);
  CHECK(high.retry_at() - t0 <= 1100ms);
}

TEST_CASE("starts that were under way together fail as one") {
  backoff subject;
  CHECK(subject.failed(t0, t0 + 1s, middle));
  CHECK_FALSE(subject.failed(t0, t0 + 1s, middle));
  CHECK_FALSE(subject.failed(t0 + 500ms, t0 + 1100ms, middle));
  CHECK(subject.retry_at() == t0 + 2100ms);
  // The next try, and a straggler of the first wave after it began.
  CHECK_FALSE(subject.failed(t0, t0 + 3s, middle));
  CHECK(subject.failed(t0 + 2500ms, t0 + 4s, middle));
  CHECK(subject.retry_at() == t0 + 6s);
}

TEST_CASE("an instance that settles makes it forget") {
  backoff subject;
  subject.failed(t0, t0, middle);
  subject.failed(t0 + 1s, t0 + 1s, middle);
  subject.ran(t0 + 3s, t0 + 12s);  // not long enough
  subject.failed(t0 + 12s, t0 + 12s, middle);
  CHECK(subject.retry_at() - (t0 + 12s) == 4s);

  subject.ran(t0 - 100s, t0 + 60s);  // ready since before the failure: proves nothing about new starts
  subject.failed(t0 + 60s, t0 + 60s, middle);
  CHECK(subject.retry_at() - (t0 + 60s) == 8s);

  subject.ran(t0 + 70s, t0 + 80s);
  subject.failed(t0 + 100s, t0 + 100s, middle);
  CHECK(subject.retry_at() - (t0 + 100s) == 1s);
}

TEST_CASE("one early end is forgiven, a loop of them backs off") {
  backoff subject;
  CHECK_FALSE(subject.crashed(t0, t0 + 1s, t0 + 2s, middle));
  CHECK_FALSE(subject.crashed(t0, t0 + 1s, t0 + 2s, middle));  // its neighbour, of the same wave
  CHECK_FALSE(subject.waiting(t0 + 2s));
  CHECK(subject.crashed(t0 + 2s, t0 + 3s, t0 + 4s, middle));
  CHECK(subject.retry_at() == t0 + 5s);
  CHECK(subject.crashed(t0 + 5s, t0 + 6s, t0 + 7s, middle));
  CHECK(subject.retry_at() == t0 + 9s);
  // One that lived long is an accident again, and the slate is clean.
  CHECK_FALSE(subject.crashed(t0 + 9s, t0 + 10s, t0 + 20s, middle));
  CHECK_FALSE(subject.waiting(t0 + 20s));
  CHECK_FALSE(subject.crashed(t0 + 20s, t0 + 21s, t0 + 22s, middle));
}

TEST_CASE("a start that fails in the wave of a forgiven end still backs off") {
  backoff subject;
  CHECK_FALSE(subject.crashed(t0, t0 + 1s, t0 + 2s, middle));
  subject.failed(t0, t0 + 3s, middle);
  CHECK(subject.retry_at() == t0 + 4s);
}

TEST_CASE("the agenda gives the longest overdue first, and each once") {
  agenda subject;
  CHECK_FALSE(subject.earliest());
  CHECK_FALSE(subject.pop(t0));
  subject.set(3, t0 + 2s);
  subject.set(7, t0 + 1s);
  subject.set(5, t0 + 3s);
  subject.set(5, t0 + 4s);
  CHECK(subject.size() == 3);
  CHECK(subject.earliest() == t0 + 1s);
  CHECK_FALSE(subject.pop(t0));
  CHECK(subject.pop(t0 + 2s) == 7u);
  CHECK(subject.pop(t0 + 2s) == 3u);
  CHECK_FALSE(subject.pop(t0 + 3s));
  subject.set(5, std::nullopt);
  CHECK(subject.size() == 0);
  CHECK_FALSE(subject.earliest());
}
