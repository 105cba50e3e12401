// What stands on Kafka: buses on a topic, triggers of topics, dead letters to a topic, and the properties of clusters.
#include <catch2/catch.hpp>

#include "support.hpp"

using namespace config_test;

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

const std::string head =
    "functions: {bill: {command: [x]}}\n"
    "buses: {orders: {}, paid: {store: kafka, brokers: k1, topic: payments}}\n";

/// On line 3 a trigger `t` with `keys` from column 16.
std::string trigger(const std::string& keys) {
  return head + "triggers: {t: {" + keys + "}}\n";
}

/// On line 3 a trigger with `keys` of its `kafka` from column 40.
std::string of_kafka(const std::string& keys) {
  return trigger("function: bill, kafka: {" + keys + "}");
}

/// A right trigger of topics, with `keys` from column 70.
std::string right_and(const std::string& keys) {
  return of_kafka("brokers: k1, topics: [a, b]}, " + keys + ", schedule: [], retry: {");
}

}  // namespace

TEST_CASE("a bus on Kafka needs its brokers, and its topic has its name") {
  auto const got = right("buses: {orders: {store: kafka, brokers: \"k1\"}}\n");
  REQUIRE(got.buses.size() == 1);
  REQUIRE(got.buses[0].kafka);
  CHECK(got.buses[0].kafka->topic == "orders");
  CHECK(got.buses[0].kafka->cluster.brokers == std::vector<std::string>{"k1:9092"});
  CHECK(got.buses[0].kafka->cluster.properties.empty());
  CHECK_FALSE(right("buses: {orders: {store: embedded}}\n").buses[0].kafka);
}

TEST_CASE("every key of a bus on Kafka, in any order") {
  auto const result = load(R"(
buses:
  orders:
    properties: {security.protocol: sasl_ssl, sasl.password: "${PASSWORD}", socket.timeout.ms: 5000}
    topic: shop.orders_v-2
    brokers: [kafka-1, "10.0.0.1:19092", "[::1]:9093", "[::1]"]
    store: kafka
)",
                           {{"PASSWORD", "a b#"}});
  INFO(joined(problems(result)));
  REQUIRE(result.value);
  auto const& at = *result.value->buses.at(0).kafka;
  CHECK(at.topic == "shop.orders_v-2");
  CHECK(at.cluster.brokers == std::vector<std::string>{"kafka-1:9092", "10.0.0.1:19092", "[::1]:9093", "[::1]:9092"});
  using pairs = std::vector<std::pair<std::string, std::string>>;
  CHECK(at.cluster.properties ==
        pairs{{"security.protocol", "sasl_ssl"}, {"sasl.password", "a b#"}, {"socket.timeout.ms", "5000"}});
}

TEST_CASE("a trigger of topics") {
  auto const least = right(of_kafka("brokers: k1, topics: clicks")).triggers.at(0);
  auto const& source = std::get<config::kafka_source>(least.source);
  CHECK(source.cluster.brokers == std::vector<std::string>{"k1:9092"});
  CHECK(source.topics == std::vector<std::string>{"clicks"});
  CHECK(source.group == "rouse-t");
  CHECK(source.start == config::event_start::latest);
  CHECK(source.filter.parts.empty());
  auto const all =
      right(trigger("filter: {type: x}, dead_letter: {topic: dead}, order: partition, function: bill, "
                    "kafka: {properties: {a: b}, start: earliest, group: g 1, topics: [a, b], brokers: [x]}"))
          .triggers.at(0);
  auto const& more = std::get<config::kafka_source>(all.source);
  CHECK(more.topics == std::vector<std::string>{"a", "b"});
  CHECK(more.group == "g 1");
  CHECK(more.start == config::event_start::earliest);
  CHECK(more.cluster.properties.size() == 1);
  CHECK(more.filter.attribute == "type");
  CHECK(all.dead_letter.to == config::dead_letter_to::kind::topic);
  CHECK(all.dead_letter.topic == "dead");
}

TEST_CASE("a trigger of a bus on Kafka may give its dead letters to a topic") {
  auto const got = right(trigger("bus: paid, function: bill, dead_letter: {topic: dead}")).triggers.at(0);
  CHECK(got.dead_letter.to == config::dead_letter_to::kind::topic);
  CHECK(got.dead_letter.topic == "dead");
}

TEST_CASE("moving a bus to Kafka changes its line only") {
  std::string const trigger = "triggers: {t: {bus: b, start: earliest, filter: {type: x}, function: f, order: key}}\n";
  std::string const function = "functions: {f: {command: [x]}}\n";
  auto const before = right(function + "buses: {b: {store: embedded, retention: 7d}}\n" + trigger);
  auto const after = right(function + "buses: {b: {store: kafka, brokers: k, topic: b}}\n" + trigger);
  CHECK(before.triggers == after.triggers);
}

TEST_CASE("buses on Kafka: impossible keys and values") {
  check_all({
      {"buses: {b: {store: kafka}}\n",
       {"1:9: bus `b` with `store: kafka` needs `brokers`, such as `[\"kafka-1:9092\"]`"}},
      {"buses: {b: {brokers: k, topic: t, properties: {}}}\n",
       {"1:13: `brokers` belongs to a bus with `store: kafka`: add that, or remove `brokers`",
        "1:25: `topic` belongs to a bus with `store: kafka`", "1:35: `properties` belongs to a bus with"}},
      {"buses: {b: {store: kafka, brokers: k, retention: 7d}}\n",
       {"1:39: `retention` belongs to a bus with `store: embedded`: remove it; how long a topic keeps"}},
      {"buses: {b: {store: kafka, brokers: []}}\n", {"1:36: `brokers` is empty: write at least one `HOST:PORT`"}},
      {"buses: {b: {store: kafka, brokers: {a: b}}}\n", {"1:36: `brokers` must be a list such as"}},
      {"buses: {b: {store: kafka, brokers: }}\n", {"1:27: `brokers` has no value"}},
      {"buses: {b: {store: kafka, brokers: [\"\", \"a:b\", \"a:0\", \"a:65536\", \":1\", \"::1\", \"a,b\", "
       "\"PLAINTEXT://a:1\"]}}\n",
       {"1:37: `brokers` has an empty item",
        "1:41: `brokers` has `a:b`, whose port is none: write a number from 1 to 65535",
        "1:48: `brokers` has `a:0`, whose port", "1:55: `brokers` has `a:65536`, whose port",
        "1:66: `brokers` has `:1`, which has no host",
        "1:72: `brokers` has `::1`: write an IPv6 address in brackets, such as `[::1]:9092`",
        "1:79: `brokers` has `a,b`: write one `HOST:PORT` for each item of the list",
        "1:86: `brokers` has `PLAINTEXT://a:1`: write only `HOST:PORT`; `properties` says how"}},
      {"buses: {b: {store: kafka, brokers: k, topic: \"a b\"}}\n",
       {"1:46: `topic` is `a b`, which cannot be a topic's name: use 1 to 249 of"}},
      {"buses: {b: {store: kafka, brokers: k, topic: \"\"}}\n", {"1:46: `topic` is empty: write the name of a topic"}},
      {"buses: {b: {store: kafka, brokers: k, topic: ..}}\n", {"1:46: `topic` is `..`, which cannot be"}},
      {"buses: {b: {store: kafka, brokers: k, topic: [a]}}\n", {"1:46: `topic` must be a single value, not a list"}},
      {"buses: {b: {store: kafka, brokers: k, topic: " + std::string(250, 'a') + "}}\n", {"1:46: `topic` is"}},
      {"buses: {b: {store: kafka, brokers: k, properties: [a]}}\n", {"1:51: `properties` must be a mapping"}},
      {"buses: {b: {store: kafka, brokers: k, properties: {a: [b], \"\": c}}}\n",
       {"1:55: `a` must be a single value, not a list", "1:60: a property needs a name"}},
  });
}

TEST_CASE("triggers of topics: impossible keys and values") {
  check_all({
      {of_kafka(""),
       {"3:32: `kafka` needs `brokers`", "3:32: `kafka` needs `topics`, such as `{brokers: [\"kafka-1:9092\"]"}},
      {of_kafka("brokers: k, topics: []"), {"3:60: `topics` is empty: write at least one topic"}},
      {of_kafka("brokers: k, topics: [a, \"\", ^a.*, a]"),
       {"3:64: `topics` is empty: write the name", "3:68: `topics` is `^a.*`, which cannot be a topic's name",
        "3:74: `topics` has `a` twice: remove one"}},
      {of_kafka("brokers: k, topics: a, group: \"\""), {"3:70: `group` is empty: write a name, or leave it out"}},
      {of_kafka("brokers: k, topics: a, group: \"a\\tb\""), {"3:70: `group` is"}},
      {of_kafka("brokers: k, topics: a, start: newest"),
       {"3:70: `start` must be `latest` or `earliest`, not `newest`"}},
      {of_kafka("brokers: k, topic: a"),
       {"3:32: `kafka` needs `topics`", "3:52: unknown key `topic`: did you mean `topics`?"}},
      {of_kafka("broker: k, topics: a"),
       {"3:32: `kafka` needs `brokers`", "3:40: unknown key `broker`: did you mean `brokers`?"}},
      {trigger("kafka: k, function: bill"), {"3:23: `kafka` must be a mapping"}},
      {trigger("kafka: {brokers: k, topics: a}"), {"3:12: trigger `t` needs a `function`"}},
      {trigger("start: earliest, kafka: {brokers: k, topics: a}, function: bill"),
       {"3:16: `start` of a trigger with `kafka` belongs under `kafka`: move it there"}},
      {trigger("data: 1, kafka: {brokers: k, topics: a}, function: bill"),
       {"3:16: `data` belongs to a trigger with `cron`, but this one has `kafka`: remove it"}},
      {trigger("cron: '@daily', kafka: {brokers: k, topics: a}, function: bill, bus: orders"),
       {"3:32: a trigger has one source, but this one has `cron` and `kafka`"}},
      {trigger("cron: '@daily', filter: {type: x}, function: bill"),
       {"3:32: `filter` belongs to a trigger with `bus` or `kafka`, but this one has `cron`: remove it"}},
  });
}

TEST_CASE("dead letters do not come back to the topic where they failed") {
  check_all({
      {right_and("dead_letter: {topic: b}"),
       {"3:91: dead letters would come back to this trigger, which takes every record of the topic `b`, and circle"}},
      {trigger("bus: paid, function: bill, dead_letter: {topic: payments}"),
       {"3:64: dead letters would come back to this trigger, which takes every record of the topic `payments`"}},
      // By way of a bus that is on that very topic.
      {trigger("kafka: {brokers: \"k1:9092\", topics: payments}, function: bill, dead_letter: {bus: paid}"),
       {"3:98: dead letters would come back to this trigger"}},
      {right_and("dead_letter: {topic: \"a/b\"}"), {"3:91: `topic` is `a/b`, which cannot be a topic's name"}},
      {right_and("dead_letter: {topic: c, bus: orders}"), {"3:83: `dead_letter` must have exactly one of"}},
  });
  CHECK(load(right_and("dead_letter: {topic: c}")).value);
  right(right_and("filter: {type: x}, dead_letter: {topic: b}"));
  CHECK(load(trigger("kafka: {brokers: k2, topics: payments}, function: bill, dead_letter: {bus: paid}")).value);
}

TEST_CASE("two triggers have no group in common, on one cluster") {
  auto const two = [](const std::string& first, const std::string& second) {
    return head + "triggers:\n  one: {function: bill, " + first + "}\n  two: {function: bill, " + second + "}\n";
  };
  check_all({
      {two("kafka: {brokers: [a, b], topics: x, group: g}", "kafka: {group: g, brokers: [\"b:9092\", a], topics: y}"),
       {"5:40: the group `g` is that of the trigger `one` as well, so that each would get a part of the records"}},
      {two("bus: paid", "kafka: {brokers: k1, topics: y, group: rouse-one}"),
       {"5:64: the group `rouse-one` is that of"}},
  });
  CHECK(load(two("kafka: {brokers: a, topics: x, group: g}", "kafka: {brokers: b, topics: x, group: g}")).value);
  CHECK(load(two("bus: paid", "bus: paid")).value);
  CHECK(load(two("kafka: {brokers: a, topics: x}", "kafka: {brokers: a, topics: x}")).value);
  CHECK(load(two("bus: orders", "kafka: {brokers: a, topics: x, group: rouse-one}")).value);
}

TEST_CASE("properties are judged where they stand, and then all together") {
  struct asked {
    std::size_t properties = 0;
    bool writes = false;
    bool whole = false;
  };
  std::vector<asked> questions;
  config::kafka_check const check = [&](const config::kafka_cluster& cluster, bool writes, bool whole) -> std::string {
    questions.push_back({cluster.properties.size(), writes, whole});
    CHECK(cluster.brokers == std::vector<std::string>{"k:9092"});
    for (const auto& [name, value] : cluster.properties) {
      if (name == "bad") return "property `bad`: " + value;
    }
    return whole && cluster.properties.size() > 1 ? "they do not fit" : "";
  };
  auto const judged = [&](const std::string& text) {
    questions.clear();
    return problems(config::load_text(text, "t.yaml", env_of({}), check));
  };
  std::string const function = "functions: {f: {command: [x]}}\n";

  CHECK(judged("buses: {b: {store: kafka, properties: {a: 1, bad: 2, c: 3}, brokers: k}}\n") ==
        std::vector<std::string>{"1:46: property `bad`: 2"});
  REQUIRE(questions.size() == 3);
  CHECK(questions[0].writes);
  CHECK_FALSE(questions[0].whole);

  CHECK(judged("buses: {b: {store: kafka, properties: {a: 1, c: 3}, brokers: k}}\n") ==
        std::vector<std::string>{"1:27: they do not fit"});
  REQUIRE(questions.size() == 3);
  CHECK(questions[2].whole);
  CHECK(questions[2].properties == 2);

  std::string const topics = "kafka: {brokers: k, topics: a, properties: {x: y}}, function: f";
  CHECK(judged(function + "triggers: {t: {" + topics + "}}\n").empty());
  REQUIRE(questions.size() == 2);
  CHECK_FALSE(questions[1].writes);
  CHECK(judged(function + "triggers: {t: {" + topics + ", dead_letter: {topic: d}}}\n").empty());
  CHECK(questions.at(1).writes);
  // What is not there, or belongs to no cluster, is not asked about.
  CHECK(judged(function + "buses: {b: {store: kafka, brokers: k}, c: {}}\n").empty());
  CHECK(questions.empty());
}
