#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "activator/backend/fixed/roster.hpp"

using namespace rouse::fixed;
using namespace std::chrono_literals;
using rouse::router::address;
using kind = roster::event::kind;

namespace {

const roster::time_point t0{std::chrono::hours(1)};

address host(std::uint8_t last) {
  address out;
  out.bytes = {10, 0, 0, last};
  out.port = 80;
  return out;
}

/// A roster of checked endpoints 10.0.0.1, 10.0.0.2, ...
roster healthy(std::uint8_t count) {
  roster out;
  std::vector<address> all;
  for (std::uint8_t i = 1; i <= count; ++i) all.push_back(host(i));
  out.set_addresses(all, true, {});
  for (const auto& one : all) out.passed(one);
  (void)out.take_events();
  return out;
}

/// Of what was told: ids in order, each with what.
std::vector<std::pair<std::uint64_t, kind>> told(std::vector<roster::event> events) {
  std::vector<std::pair<std::uint64_t, kind>> out;
  for (const auto& one : events)
    if (one.what != kind::standing) out.emplace_back(one.id, one.what);
  return out;
}

using list = std::vector<std::pair<std::uint64_t, kind>>;

}  // namespace

TEST_CASE("starts take endpoints of their own, and the next one finds none") {
  auto on = healthy(2);
  on.start(1, t0);
  on.start(2, t0);
  on.start(3, t0);
  const auto events = on.take_events();
  REQUIRE(events.size() == 3);
  CHECK(events[0].where.bytes[3] == 1);
  CHECK(events[1].where.bytes[3] == 2);
  CHECK(events[2].what == kind::exit);
  CHECK(events[2].last.reason == "no-capacity");
  CHECK(events[2].last.detail == "2 endpoints of 2 are healthy, and in use");
  CHECK_FALSE(events[2].last.was_ready);
  on.stop(1, "released");
  on.start(4, t0);
  const auto after = on.take_events();
  REQUIRE(after.size() == 2);
  CHECK(after[0].last.was_asked);
  CHECK(after[0].last.was_ready);
  CHECK(after[0].last.reason == "released");
  CHECK(after[1].where.bytes[3] == 1);
}

TEST_CASE("a start waits until all have been checked, and no longer than it must") {
  roster on;
  on.start(1, t0 + 60s);
  on.set_addresses({host(1)}, false, {});
  on.failed(host(1), "refuses connections");
  CHECK(told(on.take_events()).empty());  // a name has not been looked up yet
  on.set_addresses({host(1), host(2), host(3)}, true, {});
  on.failed(host(2), "did not answer in time");
  CHECK(told(on.take_events()).empty());

  SECTION("the last one is healthy") {
    on.passed(host(3));
    CHECK(told(on.take_events()) == list{{1, kind::ready}});
  }
  SECTION("none is") {
    on.failed(host(3), "refuses connections");
    const auto events = on.take_events();
    REQUIRE(events.size() == 2);
    CHECK(events[0].last.reason == "no-capacity");
    CHECK(events[0].last.detail ==
          "none of 3 endpoints is healthy: 10.0.0.1:80 refuses connections; 10.0.0.2:80 did not answer in time; "
          "10.0.0.3:80 refuses connections");
    CHECK(events[1].what == kind::standing);
    CHECK(events[1].count == 0);
  }
  SECTION("its time is over first") {
    CHECK(on.next_expiry() == t0 + 60s);
    on.expire(t0 + 59s);
    CHECK(on.take_events().empty());
    on.expire(t0 + 60s);
    const auto events = on.take_events();
    REQUIRE(events.size() == 1);
    CHECK(events[0].last.reason == "timeout");
    CHECK(events[0].last.detail.find("10.0.0.3:80 has not been checked yet") != std::string::npos);
    CHECK_FALSE(on.next_expiry());
  }
  SECTION("it is stopped first") {
    on.stop(1, "released");
    const auto events = on.take_events();
    REQUIRE(events.size() == 1);
    CHECK(events[0].last.was_asked);
    CHECK_FALSE(events[0].last.was_ready);
  }
}

TEST_CASE("many unhealthy ones are not all named") {
  roster on;
  on.set_addresses({host(1), host(2), host(3), host(4), host(5)}, true, {});
  for (std::uint8_t i = 1; i <= 5; ++i) on.failed(host(i), "refuses connections");
  (void)on.take_events();
  on.start(1, t0);
  const auto events = on.take_events();
  REQUIRE(events.size() == 1);
  CHECK(events[0].last.detail.ends_with("10.0.0.3:80 refuses connections; and 2 more"));
}

TEST_CASE("a name that cannot be looked up is told to who finds nothing") {
  roster on;
  on.start(1, t0);
  on.set_addresses({}, true, "cannot look up app.internal: Host not found");
  const auto events = on.take_events();
  REQUIRE(events.size() == 2);
  CHECK(events[0].last.reason == "no-capacity");
  CHECK(events[0].last.detail == "cannot look up app.internal: Host not found");
}

TEST_CASE("three failed checks in a row end an instance, and one that passes makes the endpoint good again") {
  auto on = healthy(1);
  on.start(1, t0);
  (void)on.take_events();
  on.failed(host(1), "refuses connections");
  CHECK(on.is_in_doubt(host(1)));
  on.failed(host(1), "refuses connections");
  on.passed(host(1));
  CHECK_FALSE(on.is_in_doubt(host(1)));
  on.failed(host(1), "refuses connections");
  on.failed(host(1), "refuses connections");
  CHECK(on.take_events().empty());
  on.failed(host(1), "answers GET /healthz with 503");
  const auto events = on.take_events();
  REQUIRE(events.size() == 2);
  CHECK(events[0].id == 1);
  CHECK(events[0].last.reason == "unhealthy");
  CHECK(events[0].last.was_ready);
  CHECK_FALSE(events[0].last.was_asked);
  CHECK(events[0].last.detail == "10.0.0.1:80 answers GET /healthz with 503, 3 checks in a row");
  CHECK(events[1].what == kind::standing);
  CHECK(events[1].count == 0);
  on.failed(host(1), "refuses connections");
  CHECK(on.take_events().empty());
  on.passed(host(1));
  const auto back = on.take_events();
  REQUIRE(back.size() == 1);
  CHECK(back[0].count == 1);
}

TEST_CASE("how many stand is told when it changes, used or not") {
  roster on;
  on.set_addresses({host(1), host(2)}, true, {});
  CHECK(on.take_events().empty());
  on.passed(host(1));
  on.passed(host(1));
  on.passed(host(2));
  on.start(1, t0);
  std::vector<unsigned> counts;
  for (const auto& one : on.take_events())
    if (one.what == kind::standing) counts.push_back(one.count);
  CHECK(counts == std::vector<unsigned>{1, 2});
}

TEST_CASE("an endpoint that leaves its name is left when its work is done") {
  auto on = healthy(2);
  on.start(1, t0);
  (void)on.take_events();
  on.set_addresses({host(2)}, true, {});
  const auto events = on.take_events();
  REQUIRE(events.size() == 2);
  CHECK(events[0].what == kind::leaving);
  CHECK(events[0].id == 1);
  CHECK(events[1].count == 1);
  on.set_addresses({host(2)}, true, {});
  CHECK(on.take_events().empty());
  CHECK(on.has(host(1)));  // it is checked on: it may die before it is let go

  SECTION("in peace") {
    on.stop(1, "released");
    CHECK(told(on.take_events()) == list{{1, kind::exit}});
  }
  SECTION("or unhealthy") {
    for (unsigned i = 0; i < roster::fall; ++i) on.failed(host(1), "refuses connections");
    CHECK(told(on.take_events()) == list{{1, kind::exit}});
  }
  CHECK_FALSE(on.has(host(1)));
  on.start(2, t0);
  CHECK(on.take_events()[0].where.bytes[3] == 2);
}

TEST_CASE("an address that two names have is one endpoint") {
  roster on;
  on.set_addresses({host(1), host(1)}, true, {});
  CHECK(on.addresses().size() == 1);
}
