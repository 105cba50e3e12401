#include <catch2/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "activator/backend/webhook/ledger.hpp"

using namespace rouse::webhook;
using namespace std::chrono_literals;
using rouse::router::address;

namespace {

using kind = ledger::event::kind;
using state = listed::state;

const ledger::time_point t0{std::chrono::hours(1)};

address at_port(std::uint16_t port) {
  address out;
  out.bytes = {127, 0, 0, 1};
  out.port = port;
  return out;
}

listed make(const std::string& name, state is, std::uint16_t port = 0) {
  listed out;
  out.name = name;
  out.is = is;
  if (port) out.where = at_port(port);
  return out;
}

/// A ledger and what a test asks of it.
struct desk {
  ledger of;
  ledger::time_point now = t0;

  void start(std::uint64_t id, const std::string& found = {}) { of.start(id, found, now + 60s); }
  wish ask() { return of.ask(now); }
  std::vector<ledger::event> hear(std::vector<listed> instances, const std::string& shortage = {}) {
    listing answer;
    answer.instances = std::move(instances);
    answer.shortage = shortage;
    of.heard(answer, round_, now);
    return of.take_events();
  }
  /// One exchange: the wish that was made, and what its answer led to.
  wish exchange(std::vector<listed> instances, const std::string& shortage = {}) {
    auto out = ask();
    round_ = out.round;
    events = hear(std::move(instances), shortage);
    return out;
  }
  /// A ledger that knows that nothing runs.
  desk& at_rest() {
    exchange({});
    return *this;
  }
  /// And one with a ready instance `name` of `id`.
  desk& with_ready(std::uint64_t id, const std::string& name, std::uint16_t port) {
    start(id);
    running_.push_back(make(name, state::ready, port));
    exchange(running_);
    REQUIRE(of.accepted(id));
    (void)of.take_events();
    return *this;
  }
  std::vector<ledger::event> events;

 private:
  std::uint64_t round_ = 1;
  std::vector<listed> running_;
};

std::vector<std::string> names(const std::vector<wish::removal>& of) {
  std::vector<std::string> out;
  for (const auto& one : of) out.push_back(one.name);
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST_CASE("nothing is asked for before it is known what runs, and that serves who waits") {
  desk on;
  on.start(1);
  on.start(2);
  CHECK(on.of.has_news());
  const auto first = on.exchange({make("a", state::ready, 80), make("b", state::starting), make("c", state::starting)});
  CHECK_FALSE(first.desired);
  CHECK(first.remove.empty());
  REQUIRE(on.events.size() == 2);
  CHECK(on.events[0].what == kind::try_out);
  CHECK(on.events[0].id == 1);
  CHECK(on.events[0].where.port == 80);
  CHECK(on.events[1].what == kind::found);
  CHECK(on.events[1].name == "c");
  CHECK_FALSE(on.of.has_news());  // three are there, and three are wanted until somebody answers for c
  CHECK(on.ask().desired == 3U);
}

TEST_CASE("what is found is counted until it is claimed, and then as anything else") {
  desk on;
  on.exchange({make("a", state::ready, 80)});
  REQUIRE(on.events.size() == 1);
  CHECK(on.exchange({make("a", state::ready, 80)}).desired == 1U);
  CHECK(on.events.empty());  // told once
  on.start(7, "a");
  CHECK(on.exchange({make("a", state::ready, 80)}).desired == 1U);
  REQUIRE(on.events.size() == 1);
  CHECK(on.events[0].what == kind::try_out);
  CHECK(on.events[0].id == 7);

  SECTION("a start that knows nothing of it takes it, and who names it then comes too late") {
    on.exchange({make("a", state::ready, 80), make("b", state::starting)});
    on.start(8);
    CHECK(on.exchange({make("a", state::ready, 80), make("b", state::ready, 81)}).desired == 2U);
    REQUIRE(on.events.size() == 1);
    CHECK(on.events[0].id == 8);
    CHECK(on.events[0].where.port == 81);
    on.start(9, "b");
    const auto events = on.of.take_events();
    REQUIRE(events.size() == 1);
    CHECK(events[0].id == 9);
    CHECK(events[0].last.reason == "gone");
    CHECK_FALSE(on.of.has_news());
  }
  SECTION("one that has ended meanwhile is told as gone") {
    on.exchange({make("a", state::ready, 80), make("b", state::starting)});
    on.exchange({make("a", state::ready, 80)});
    on.start(8, "b");
    const auto events = on.of.take_events();
    REQUIRE(events.size() == 1);
    CHECK(events[0].id == 8);
    CHECK(events[0].last.reason == "gone");
  }
}

TEST_CASE("a start asks for one more, gets the instance that comes, and is ready when that accepts") {
  auto on = desk().at_rest();
  CHECK_FALSE(on.of.has_news());
  on.start(1);
  CHECK(on.of.has_news());
  const auto asked = on.exchange({make("a", state::starting)});
  CHECK(asked.desired == 1U);
  CHECK(asked.reason == "start 1");
  CHECK(on.events.empty());
  CHECK_FALSE(on.of.has_news());
  CHECK(on.of.in_progress());
  on.exchange({make("a", state::ready, 80)});
  REQUIRE(on.events.size() == 1);
  CHECK(on.events[0].what == kind::try_out);
  on.exchange({make("a", state::ready, 80)});
  CHECK(on.events.empty());  // tried once
  CHECK(on.of.accepted(1));
  CHECK_FALSE(on.of.accepted(1));
  CHECK_FALSE(on.of.in_progress());
}

TEST_CASE("stop names the instance that goes, and its end is told when it is gone") {
  auto on = desk().at_rest().with_ready(1, "a", 80).with_ready(2, "b", 81);
  on.of.stop(1, 5s, on.now);
  on.now += 2s;
  const auto asked = on.exchange({make("a", state::terminating, 80), make("b", state::ready, 81)});
  CHECK(asked.desired == 1U);
  REQUIRE(names(asked.remove) == std::vector<std::string>{"a"});
  CHECK(asked.remove[0].grace == 3s);
  CHECK(asked.reason == "end 1");
  CHECK(on.events.empty());
  CHECK_FALSE(on.of.has_news());

  SECTION("in the end") {
    on.exchange({make("b", state::ready, 81)});
    REQUIRE(on.events.size() == 1);
    CHECK(on.events[0].what == kind::exit);
    CHECK(on.events[0].id == 1);
    CHECK(on.events[0].last.was_asked);
    CHECK(on.events[0].last.was_ready);
    CHECK(on.events[0].last.reason == "stopped");
    CHECK(on.exchange({make("b", state::ready, 81)}).remove.empty());
  }
  SECTION("again, it hurries") {
    on.of.stop(1, 0s, on.now);
    CHECK(on.of.has_news());
    CHECK(on.exchange({make("a", state::terminating, 80), make("b", state::ready, 81)}).remove[0].grace == 0s);
    CHECK_FALSE(on.of.has_news());
    on.of.stop(1, 60s, on.now);
    CHECK_FALSE(on.of.has_news());
  }
  SECTION("or never") {
    on.now += 3600s;
    on.of.expire(on.now);
    CHECK(on.of.take_events().empty());
    CHECK(names(on.ask().remove) == std::vector<std::string>{"a"});
  }
}

TEST_CASE("a start that is stopped before it has an instance") {
  auto on = desk().at_rest();
  on.start(1);
  SECTION("was never asked for: it ends at once") {
    on.of.stop(1, 5s, on.now);
    const auto events = on.of.take_events();
    REQUIRE(events.size() == 1);
    CHECK(events[0].last.was_asked);
    CHECK_FALSE(on.of.has_news());
  }
  SECTION("was asked for: it ends when an answer to less has come without it") {
    const auto before = on.ask();
    on.of.stop(1, 5s, on.now);
    listing none;
    on.of.heard(none, before.round, on.now);
    CHECK(on.of.take_events().empty());
    CHECK(on.exchange({}).desired == 0U);
    REQUIRE(on.events.size() == 1);
    CHECK(on.events[0].last.reason == "stopped");
  }
  SECTION("was asked for, and comes: it is removed") {
    const auto before = on.ask();
    on.of.stop(1, 5s, on.now);
    listing one;
    one.instances.push_back(make("a", state::starting));
    on.of.heard(one, before.round, on.now);
    const auto asked = on.exchange({});
    CHECK(asked.desired == 0U);
    CHECK(names(asked.remove) == std::vector<std::string>{"a"});
    REQUIRE(on.events.size() == 1);
    CHECK(on.events[0].last.was_asked);
  }
}

TEST_CASE("an instance that vanishes or fails ends its id, and less is wanted at once") {
  auto on = desk().at_rest().with_ready(1, "a", 80);
  SECTION("vanished") {
    on.exchange({});
    REQUIRE(on.events.size() == 1);
    CHECK(on.events[0].last.reason == "gone");
  }
  SECTION("failed") {
    auto broken = make("a", state::failed);
    broken.reason = "oom";
    broken.detail = "used too much";
    on.exchange({broken});
    REQUIRE(on.events.size() == 1);
    CHECK(on.events[0].last.reason == "oom");
    CHECK(on.events[0].last.detail == "a has failed: used too much");
    CHECK(names(on.ask().remove) == std::vector<std::string>{"a"});
  }
  SECTION("another one by its name") {
    on.exchange({make("a", state::ready, 81)});
    REQUIRE(on.events.size() == 2);
    CHECK(on.events[0].last.reason == "gone");
    CHECK(on.events[1].what == kind::found);
  }
  CHECK_FALSE(on.events[0].last.was_asked);
  CHECK(on.events[0].last.was_ready);
}

TEST_CASE("a failed one that nobody saw before fails the start that waits longest") {
  auto on = desk().at_rest();
  on.start(1);
  on.start(2);
  auto broken = make("a", state::failed);
  broken.reason = "image";
  on.exchange({broken, make("b", state::starting)});
  REQUIRE(on.events.size() == 1);
  CHECK(on.events[0].id == 2);  // b serves the first
  CHECK(on.events[0].last.reason == "image");
  const auto asked = on.exchange({broken, make("b", state::starting)});
  CHECK(asked.desired == 1U);
  CHECK(on.events.empty());
}

TEST_CASE("failed ones of before are no news of a start of now") {
  desk on;
  on.start(1);
  on.exchange({make("old", state::failed)});
  CHECK(on.events.empty());
  CHECK(on.ask().desired == 1U);
}

TEST_CASE("a shortage ends who waits for an instance, and nobody else") {
  auto on = desk().at_rest().with_ready(1, "a", 80);
  on.start(2);
  on.start(3);
  on.exchange({make("a", state::ready, 80), make("b", state::starting)}, "no-capacity");
  REQUIRE(on.events.size() == 1);
  CHECK(on.events[0].id == 3);
  CHECK(on.events[0].last.reason == "no-capacity");
  CHECK(on.of.has_news());
  CHECK(on.ask().desired == 2U);
}

TEST_CASE("a shortage says nothing about what was not asked for yet") {
  auto on = desk().at_rest();
  const auto before = on.ask();
  on.start(1);
  listing short_of;
  short_of.shortage = "no-capacity";
  on.of.heard(short_of, before.round, on.now);
  CHECK(on.of.take_events().empty());
}

TEST_CASE("one that the scaler ends is told as leaving, wanted no more, and replaced by nobody") {
  auto on = desk().at_rest().with_ready(1, "a", 80);
  on.exchange({make("a", state::terminating, 80)});
  REQUIRE(on.events.size() == 1);
  CHECK(on.events[0].what == kind::leaving);
  CHECK(on.ask().desired == 0U);
  on.exchange({make("a", state::terminating, 80)});
  CHECK(on.events.empty());
  on.of.stop(1, 5s, on.now);
  on.exchange({});
  REQUIRE(on.events.size() == 1);
  CHECK(on.events[0].last.was_asked);
}

TEST_CASE("a scaler that is away is waited for for a while, and then for nothing that it has not begun") {
  auto on = desk().at_rest();
  on.start(1);
  on.exchange({make("a", state::starting, 80)});
  on.start(2);
  on.of.set_problem("connection refused", on.now);
  CHECK(on.of.next_expiry() == on.now + 10s);
  on.now += 9s;
  on.of.set_problem("no answer", on.now);  // still away
  on.of.expire(on.now);
  CHECK(on.of.take_events().empty());

  SECTION("it is back") {
    on.of.set_problem({}, on.now);
    on.now += 1s;
    on.of.expire(on.now);
    CHECK(on.of.take_events().empty());
    on.of.set_problem("away again", on.now);
    CHECK(on.of.next_expiry() == on.now + 10s);
  }
  SECTION("it is not") {
    on.now += 1s;
    on.of.expire(on.now);
    const auto events = on.of.take_events();
    REQUIRE(events.size() == 1);
    CHECK(events[0].id == 2);
    CHECK(events[0].last.reason == "unavailable");
    CHECK(events[0].last.detail == "no answer");
    CHECK(on.ask().desired == 1U);
    on.start(3);
    CHECK(on.of.next_expiry() <= on.now);
  }
}

TEST_CASE("a start's time is over") {
  auto on = desk().at_rest();
  on.start(1);
  CHECK(on.of.next_expiry() == on.now + 60s);
  SECTION("without an instance") {
    on.exchange({});
    on.now += 60s;
    on.of.expire(on.now);
    const auto events = on.of.take_events();
    REQUIRE(events.size() == 1);
    CHECK(events[0].last.reason == "timeout");
    CHECK(on.ask().desired == 0U);
  }
  SECTION("with a scaler that is away") {
    on.of.set_problem("connection refused", on.now + 55s);
    CHECK(on.of.next_expiry() == on.now + 60s);
    on.now += 60s;
    on.of.expire(on.now);
    const auto events = on.of.take_events();
    REQUIRE(events.size() == 1);
    CHECK(events[0].last.reason == "unavailable");
    CHECK(events[0].last.detail == "connection refused");
  }
  SECTION("with one that does not accept: it is removed first") {
    on.exchange({make("a", state::ready, 80)});
    on.of.not_yet(1, "connection refused");
    on.now += 60s;
    on.of.expire(on.now);
    auto events = on.of.take_events();
    REQUIRE(events.size() == 1);
    CHECK(events[0].what == kind::give_up);
    CHECK_FALSE(on.of.accepted(1));
    const auto asked = on.exchange({make("a", state::terminating, 80)});
    CHECK(asked.desired == 0U);
    CHECK(names(asked.remove) == std::vector<std::string>{"a"});
    SECTION("gone") {
      on.exchange({});
      REQUIRE(on.events.size() == 1);
    }
    SECTION("or not, which nobody waits for") {
      on.now += ledger::told_at_latest;
      on.of.expire(on.now);
      on.events = on.of.take_events();
      REQUIRE(on.events.size() == 1);
      CHECK(names(on.ask().remove) == std::vector<std::string>{"a"});
    }
    CHECK(on.events[0].last.reason == "timeout");
    CHECK_FALSE(on.events[0].last.was_asked);
    CHECK(on.events[0].last.detail == "a was not ready within start_timeout: connection refused");
  }
}

TEST_CASE("what is let go is kept for the next rouse") {
  auto on = desk().at_rest().with_ready(1, "a", 80);
  on.start(2);
  on.exchange({make("a", state::ready, 80)});
  on.of.let_go(1);
  on.of.let_go(2);
  const auto events = on.of.take_events();
  REQUIRE(events.size() == 2);
  for (const auto& each : events) {
    CHECK(each.last.reason == "kept");
    CHECK(each.last.was_asked);
  }
  CHECK_FALSE(on.of.has_news());
  CHECK(on.exchange({make("a", state::ready, 80), make("b", state::starting)}).desired == 2U);
  CHECK(on.events.empty());
  CHECK(on.ask().desired == 2U);
}

TEST_CASE("what is forgotten is wanted no more, and over when nothing is left of it") {
  desk on;
  on.exchange({make("a", state::ready, 80)});
  on.of.forget();
  CHECK(on.of.has_news());
  CHECK_FALSE(on.of.is_over());
  CHECK(on.exchange({make("a", state::terminating, 80), make("b", state::starting)}).desired == 0U);
  CHECK(on.events.empty());
  CHECK_FALSE(on.of.is_over());
  on.exchange({});
  CHECK(on.of.is_over());
}

TEST_CASE("a refusal ends who waits at once") {
  desk on;
  on.start(1);
  on.of.refused("refused", "401");
  const auto events = on.of.take_events();
  REQUIRE(events.size() == 1);
  CHECK(events[0].last.reason == "refused");
}
