// Buses and triggers: what they become, and every kind of wrong key and value with its place.
#include <catch2/catch.hpp>

#include "support.hpp"

using namespace config_test;
using std::chrono::milliseconds;

namespace {

config::snapshot right(const std::string& text) {
  auto result = load(text);
  INFO(text);
  INFO(joined(problems(result)));
  REQUIRE(result.value);
  return std::move(*result.value);
}

void check_all(const std::vector<wrong>& rows) {
  for (const wrong& row : rows) {
    std::string const found = mismatch(row, load(row.text));
    INFO(found);
    CHECK(found.empty());
  }
}

const std::string head = "functions: {bill: {command: [x]}, mail: {command: [x]}}\nbuses: {orders: {}, paid: {}}\n";

/// Functions `bill` and `mail`, buses `orders` and `paid`, and on line 3 a trigger `t` with `keys` from column 16.
std::string trigger(const std::string& keys) {
  return head + "triggers: {t: {" + keys + "}}\n";
}

/// A right trigger of a bus, with `keys` from column 43.
std::string of_bus(const std::string& keys) {
  return trigger("bus: orders, function: bill, " + keys);
}

/// A right trigger of cron, with `keys` from column 44.
std::string of_cron(const std::string& keys) {
  return trigger("cron: '@daily', function: bill, " + keys);
}

}  // namespace

TEST_CASE("a bus and a trigger need next to nothing") {
  auto const got = right("functions: {f: {command: [x]}}\nbuses: {b: {}}\ntriggers: {t: {bus: b, function: f}}\n");
  REQUIRE(got.buses.size() == 1);
  CHECK(got.buses[0].name == "b");
  CHECK(got.buses[0].retention == std::chrono::hours(7 * 24));
  REQUIRE(got.triggers.size() == 1);
  auto const& t = got.triggers[0];
  CHECK(t.name == "t");
  auto const& source = std::get<config::bus_source>(t.source);
  CHECK(source.bus == 0);
  CHECK(source.start == config::event_start::latest);
  CHECK(source.filter.parts.empty());
  CHECK(t.function == 0);
  CHECK_FALSE(t.reply);
  CHECK(t.order == config::event_order::none);
  CHECK(t.concurrency == 100);
  CHECK(t.schedule.empty());
  CHECK(t.delivery == config::event_delivery::binary);
  CHECK(t.retry.attempts == 10);
  CHECK(t.retry.backoff == config::backoff::exponential);
  CHECK(t.retry.delay == milliseconds(1000));
  CHECK(t.retry.max_delay == milliseconds(300'000));
  CHECK(t.dead_letter.to == config::dead_letter_to::kind::store);
}

TEST_CASE("every key of buses and triggers; buses, functions and triggers are sorted, and found by index") {
  auto const got = right(R"(
triggers:
  z-bill:
    bus: orders
    start: earliest
    filter: {type: com.shop.order.paid, source: {prefix: /eu/}}
    function: billing
    reply: {bus: paid}
    order: key
    concurrency: 3
    schedule: [{days: sat, from: "22:00", to: "06:00", timezone: UTC, concurrency: 30}]
    delivery: structured
    retry: {attempts: 1, backoff: linear, delay: 2s, max_delay: 2s}
    dead_letter: {bus: failed}
  nightly: {cron: "0 2 * * *", timezone: Asia/Shanghai, missed: once, data: {full: true}, function: report, order: partition}
  a-first: {cron: "@hourly", function: report, dead_letter: {function: billing}}
buses:
  paid: {retention: 1h}
  orders: {store: embedded}
  failed: {}
functions:
  report: {command: [x]}
  billing: {command: [x]}
)");
  REQUIRE(got.buses.size() == 3);
  CHECK(got.buses[0].name == "failed");
  CHECK(got.buses[1].name == "orders");
  CHECK(got.buses[2].name == "paid");
  CHECK(got.buses[2].retention == std::chrono::hours(1));
  REQUIRE(got.triggers.size() == 3);
  auto const& bill = got.triggers[2];
  CHECK(bill.name == "z-bill");
  auto const& bus = std::get<config::bus_source>(bill.source);
  CHECK(bus.bus == 1);
  CHECK(bus.start == config::event_start::earliest);
  REQUIRE(bus.filter.parts.size() == 2);
  CHECK(bus.filter.parts[0].attribute == "type");
  CHECK(got.functions.at(bill.function).name == "billing");
  CHECK(bill.function == 0);
  CHECK(bill.reply == 2U);
  CHECK(bill.order == config::event_order::key);
  CHECK(bill.concurrency == 3);
  REQUIRE(bill.schedule.size() == 1);
  CHECK(bill.schedule[0].concurrency == 30);
  CHECK(bill.schedule[0].when.days == 0x20);
  CHECK(bill.schedule[0].when.from == 22 * 60);
  CHECK(bill.schedule[0].when.to == 30 * 60);
  CHECK(bill.schedule[0].when.timezone == "UTC");
  CHECK(bill.delivery == config::event_delivery::structured);
  CHECK(bill.retry.attempts == 1);
  CHECK(bill.retry.backoff == config::backoff::linear);
  CHECK(bill.retry.delay == milliseconds(2000));
  CHECK(bill.retry.max_delay == milliseconds(2000));
  CHECK(bill.dead_letter.to == config::dead_letter_to::kind::bus);
  CHECK(bill.dead_letter.index == 0);
  auto const& nightly = got.triggers[1];
  CHECK(nightly.name == "nightly");
  auto const& cron = std::get<config::cron_source>(nightly.source);
  CHECK(cron.when == *config::parse_cron("0 2 * * *").value);
  CHECK(cron.timezone == "Asia/Shanghai");
  CHECK(cron.missed == config::missed_runs::once);
  CHECK(cron.data == R"({"full":true})");
  CHECK(nightly.function == 1);
  CHECK(nightly.order == config::event_order::partition);
  auto const& first = got.triggers[0];
  CHECK(first.name == "a-first");
  CHECK(std::get<config::cron_source>(first.source).timezone.empty());
  CHECK(std::get<config::cron_source>(first.source).missed == config::missed_runs::skip);
  CHECK(std::get<config::cron_source>(first.source).data.empty());
  CHECK(first.dead_letter.to == config::dead_letter_to::kind::function);
  CHECK(first.dead_letter.index == 0);
}

TEST_CASE("the order of keys does not matter") {
  auto const t = right(trigger("start: earliest, function: mail, filter: {type: x}, bus: paid")).triggers.at(0);
  CHECK(std::get<config::bus_source>(t.source).bus == 1);
  CHECK(std::get<config::bus_source>(t.source).start == config::event_start::earliest);
  auto const c = right(trigger("data: 1, function: mail, cron: '@daily'")).triggers.at(0);
  CHECK(std::get<config::cron_source>(c.source).data == "1");
}

TEST_CASE("buses: impossible keys and values") {
  check_all({
      {"buses: 3\n", {"1:8: `buses` must be a mapping"}},
      {"buses: {b: }\n", {"1:9: `b` has no value"}},
      {"buses: {B_1: {}}\n",
       {"1:9: `B_1` cannot be a bus's name: use 1 to 63 of a-z, 0-9 and `-`, not beginning or ending with `-`; did you "
        "mean `b-1`?"}},
      {"buses: {b: {retain: 1h}}\n",
       {"1:13: unknown key `retain`: possible here are store, retention, brokers, topic, properties"}},
      {"buses: {b: {retention: 0}}\n", {"1:24: `retention` must be more than 0"}},
      {"buses: {b: {retention: 7}}\n", {"1:24: `retention` is `7` without a unit"}},
      {"buses: {b: {store: memory}}\n", {"1:20: `store` must be `embedded` or `kafka`, not `memory`"}},
      {"buses: {b: {store: kafak, brokers: [k], topic: t}}\n",
       {"1:20: `store` must be `embedded` or `kafka`, not `kafak`: did you mean `kafka`?"}},
  });
}

TEST_CASE("triggers: exactly one source, and nothing of another") {
  check_all({
      {trigger("function: bill"),
       {"3:12: trigger `t` has no source: add the `bus` that it takes events from, `kafka` with its topics, or when "
        "it is due, such as `cron: \"0 2 * * *\"`"}},
      {of_bus("cron: '@daily'"),
       {"3:45: a trigger has one source, but this one has `bus` and `cron`: remove one, or make two triggers of it"}},
      {of_cron("bus: orders"), {"3:48: a trigger has one source, but this one has `cron` and `bus`"}},
      {of_bus("timezone: UTC, missed: skip, data: 1"),
       {"3:45: `timezone` belongs to a trigger with `cron`, but this one has `bus`: remove it",
        "3:60: `missed` belongs to a trigger with `cron`", "3:74: `data` belongs to a trigger with `cron`"}},
      {of_cron("start: latest, filter: {type: x}"),
       {"3:48: `start` belongs to a trigger with `bus`, but this one has `cron`: remove it",
        "3:63: `filter` belongs to a trigger with `bus`"}},
      {of_bus("kafka: {brokers: k, topics: t}"),
       {"3:45: a trigger has one source, but this one has `bus` and `kafka`: remove one"}},
      {trigger("bus: , function: bill"), {"3:16: `bus` has no value"}},
      {trigger("cron: , function: bill"), {"3:16: `cron` has no value"}},
  });
}

TEST_CASE("triggers: names that nothing has") {
  check_all({
      {trigger("bus: order, function: bill"), {"3:21: there is no bus `order`: did you mean `orders`?"}},
      {trigger("bus: elsewhere, function: bill"), {"3:21: there is no bus `elsewhere`: define it under `buses`"}},
      {trigger("bus: orders, function: bil"), {"3:39: there is no function `bil`: did you mean `bill`?"}},
      {trigger("bus: orders"), {"3:12: trigger `t` needs a `function`, the name of the one that it calls"}},
      {trigger("bus: \"\", function: \"\""),
       {"3:21: `bus` is empty: write the name of a bus", "3:35: `function` is empty: write the name of a function"}},
      {trigger("bus: [orders], function: {a: b}"),
       {"3:21: `bus` must be a single value, not a list", "3:41: `function` must be a single value"}},
      {of_bus("reply: {bus: payed}"), {"3:58: there is no bus `payed`: did you mean `paid`?"}},
      {of_bus("dead_letter: {bus: payed}"), {"3:64: there is no bus `payed`: did you mean `paid`?"}},
      {of_bus("dead_letter: {function: male}"), {"3:69: there is no function `male`: did you mean `mail`?"}},
      // What has problems of its own, or could not be read, is not missing as well.
      {"functions: {F: {command: [x]}}\nbuses: {B: {}}\ntriggers: {t: {bus: B, function: F}}\n",
       {"1:13: `F` cannot be a function's name", "2:9: `B` cannot be a bus's name"}},
      {"functions: {f: {command: x}}\nbuses: {b: {store: x}}\ntriggers: {t: {bus: b, function: f}}\n",
       {"1:26: `command` must be a list", "2:20: `store` must be"}},
      {"buses: 3\ntriggers: {t: {bus: b, function: f}}\n", {"1:8: `buses` must be a mapping"}},
      {head + "triggers: [t]\n", {"3:11: `triggers` must be a mapping"}},
      {head + "triggers: {t: x}\n", {"3:15: `t` must be a mapping"}},
      {head + "triggers: {T: {bus: orders, function: bill}}\n", {"3:12: `T` cannot be a trigger's name"}},
  });
}

TEST_CASE("triggers: impossible keys and values") {
  check_all({
      {of_bus("concurency: 3"), {"3:45: unknown key `concurency`: did you mean `concurrency`?"}},
      {of_bus("attempts: 3"), {"3:45: unknown key `attempts`: it belongs under `retry`"}},
      {of_bus("start: newest"), {"3:52: `start` must be `latest` or `earliest`, not `newest`"}},
      {of_bus("order: keys"), {"3:52: `order` must be `none`, `key` or `partition`, not `keys`: did you mean `key`?"}},
      {of_bus("delivery: batch"), {"3:55: `delivery` must be `binary` or `structured`, not `batch`"}},
      {of_bus("concurrency: 0"), {"3:58: `concurrency` is `0`, but must be from 1 to 100000"}},
      {of_bus("filter: [x]"), {"3:53: `filter` must be a mapping"}},
      {of_bus("schedule: {from: 01:00}"), {"3:55: `schedule` must be a list such as"}},
      {of_bus("schedule: [{from: 01:00, to: 02:00}]"),
       {"3:56: an entry of `schedule` needs `concurrency`: what holds during that time"}},
      {of_bus("schedule: [{concurrency: 3}]"), {"3:56: an entry of `schedule` needs `from` and `to`"}},
      {of_bus("schedule: [{from: 01:00, to: 02:00, concurrency: 0, max: 1}]"),
       {"3:94: `concurrency` is `0`, but must be from 1", "3:97: unknown key `max`: possible here are days"}},
      {of_bus("retry: {attempts: 0, backoff: expo, delay: 0, max_delay: 0}"),
       {"3:63: `attempts` is `0`, but must be from 1 to 100000", "3:75: `backoff` must be `exponential` or `linear`",
        "3:88: `delay` must be more than 0", "3:102: `max_delay` must be more than 0"}},
      {of_bus("retry: {delay: 10m}"),
       {"3:60: `delay` (10m) is more than `max_delay` (5m): raise `max_delay` or lower `delay`"}},
      {of_bus("retry: {delay: 2s, max_delay: 1s}"), {"3:75: `delay` (2s) is more than `max_delay` (1s)"}},
      {of_bus("retry: {budget: 3}"), {"3:53: unknown key `budget`: possible here are attempts"}},
      {of_bus("reply: {}"), {"3:52: `reply` needs a `bus`, for the events with which the function answers"}},
      {of_bus("reply: {topic: x}"), {"3:53: unknown key `topic`: possible here are bus"}},
      {of_bus("reply: paid"), {"3:52: `reply` must be a mapping"}},
      {of_cron("cron: '@weekly'"), {"3:48: `cron` is given twice"}},
      {of_cron("missed: always"), {"3:56: `missed` must be `skip` or `once`, not `always`"}},
      {of_cron("timezone: asia/shanghai"), {"3:58: did you mean `Asia/Shanghai`?"}},
      {trigger("cron: 0 2 * *, function: bill"), {"3:22: `cron` is `0 2 * *`, which has 4 fields"}},
      {trigger("cron: 0 24 * * *, function: bill"), {"3:22: `cron` is `0 24 * * *`, but its hour `24`"}},
  });
}

TEST_CASE("triggers: dead letters") {
  check_all({
      {of_bus("dead_letter: {}"),
       {"3:58: `dead_letter` must have exactly one of `bus`, `topic` and `function`, such as `{bus: NAME}`"}},
      {of_bus("dead_letter: {bus: paid, function: mail}"), {"3:58: `dead_letter` must have exactly one of"}},
      {of_bus("dead_letter: {topic: x}"),
       {"3:66: `topic` is for triggers whose events come from Kafka: name a `bus`, which may be on a topic, or "
        "remove"}},
      {of_cron("dead_letter: {topic: x}"), {"3:69: `topic` is for triggers whose events come from Kafka"}},
      {of_bus("dead_letter: {buss: x}"), {"3:59: unknown key `buss`: did you mean `bus`?"}},
      {of_bus("dead_letter: {bus: orders}"),
       {"3:64: dead letters would come back to this trigger, which takes every event of the bus `orders`, and circle"}},
      {of_bus("filter: {}, dead_letter: {bus: orders}"), {"3:76: dead letters would come back to this trigger"}},
      {of_bus("dead_letter: {function: bill}"), {"3:69: this is the function that failed: name another one"}},
      {of_cron("dead_letter: {function: bill}"), {"3:72: this is the function that failed: name another one"}},
  });
  CHECK(load(of_bus("dead_letter: {bus: paid}")).value);
  CHECK(load(of_bus("filter: {type: x}, dead_letter: {bus: orders}")).value);
  CHECK(load(of_bus("reply: {bus: orders}")).value);
  CHECK(load(of_cron("dead_letter: {bus: orders}")).value);
  // A function may have the name of a bus.
  CHECK(load("functions: {x: {command: [x]}, y: {command: [x]}}\nbuses: {x: {}}\ntriggers: {t: {bus: x, function: y, "
             "dead_letter: {function: x}}, u: {cron: '@daily', function: x, dead_letter: {bus: x}}}\n")
            .value);
}

TEST_CASE("included files add buses and triggers, which may name what stands elsewhere") {
  folder const tmp;
  tmp.write("rouse.yaml", "include: [a.yaml, b.yaml]\nbuses: {main: {}}\ntriggers: {m: {bus: other, function: f}}\n");
  tmp.write("a.yaml", "buses: {other: {}}\ntriggers: {a: {bus: main, function: f}}\n");
  tmp.write("b.yaml", "functions: {f: {command: [x]}}\n");
  auto const got = config::load(tmp.path("rouse.yaml"), env_of({}));
  INFO(joined(problems(got)));
  REQUIRE(got.value);
  REQUIRE(got.value->triggers.size() == 2);
  CHECK(got.value->triggers[0].name == "a");
  CHECK(std::get<config::bus_source>(got.value->triggers[0].source).bus == 0);
  CHECK(std::get<config::bus_source>(got.value->triggers[1].source).bus == 1);
  tmp.write("b.yaml", "functions: {f: {command: [x]}}\nbuses: {main: {}}\ntriggers:\n  m: {bus: main, function: f}\n");
  auto const twice = problems(config::load(tmp.path("rouse.yaml"), env_of({})));
  REQUIRE(twice.size() == 2);
  CHECK_THAT(twice[0], Catch::Contains("b.yaml:2:9: the bus `main` is defined twice: here and at ") &&
                           Catch::Contains("rouse.yaml:2:9"));
  CHECK_THAT(twice[1], Catch::Contains("b.yaml:4:3: the trigger `m` is defined twice: here and at ") &&
                           Catch::Contains("rouse.yaml:3:12"));
}
