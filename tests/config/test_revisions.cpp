// Revisions, and what sends requests to one of them.
#include <catch2/catch.hpp>

#include "support.hpp"

using namespace config_test;
using std::chrono::milliseconds;

namespace {

config::function right(const std::string& text) {
  auto result = load(text);
  INFO(text);
  INFO(joined(problems(result)));
  REQUIRE(result.value);
  return std::move(result.value->functions.at(0));
}

void check_all(const std::vector<wrong>& rows) {
  for (const wrong& row : rows) {
    std::string const found = mismatch(row, load(row.text));
    INFO(found);
    CHECK(found.empty());
  }
}

/// A function `a` with a command and `keys`, on line 1 from column 31.
std::string function_with(const std::string& keys) {
  return "functions: {a: {command: [x], " + keys + "}}\n";
}

}  // namespace

TEST_CASE("a revision overrides keys of its function, in nested mappings and env as well") {
  auto const f = right(R"(
defaults: {scale: {spare: 1}, env: {ALL: "1", OWN: "1"}}
functions:
  a:
    traffic: {v2: 10, v1: 90}
    lanes: [{header: {X-Lane: Blue}, revision: v2}, {revision: v1, header: {x-lane: ""}}]
    revisions:
      v1: {command: [./v1]}
      v2:
        env: {REV: two, OWN: "3"}
        directory: /
        concurrency: 1
        timeout: 2s
        stream_idle_timeout: 3s
        max_duration: 4s
        ready: {path: /up}
        start_timeout: 5s
        stop_grace: 6s
        drain_max: 7s
        scale: {min: 2}
        retry: {attempts: 8}
        outlier: {failures: 9}
        pools: [other]
      v3: {}
    command: [./default]
    env: {OWN: "2"}
    scale: {max: 7}
    retry: {budget: 10%}
pools: {other: {}}
)");
  REQUIRE(f.revisions.size() == 3);
  CHECK(f.weights == std::vector<std::uint32_t>{90, 10, 0});
  auto const& v1 = f.revisions[0];
  CHECK(v1.name == "v1");
  CHECK(v1.command == std::vector<std::string>{"./v1"});
  CHECK(v1.env == std::map<std::string, std::string>{{"ALL", "1"}, {"OWN", "2"}});
  CHECK(v1.directory == fs::current_path().string());
  CHECK(v1.concurrency == 100);
  CHECK(v1.scale.min == 0);
  CHECK(v1.scale.max == 7);
  CHECK(v1.scale.spare == 1);
  CHECK(v1.pools.at(0).pool == 0);
  auto const& v2 = f.revisions[1];
  CHECK(v2.name == "v2");
  CHECK(v2.command == std::vector<std::string>{"./default"});
  CHECK(v2.env == std::map<std::string, std::string>{{"ALL", "1"}, {"OWN", "3"}, {"REV", "two"}});
  CHECK(v2.directory == "/");
  CHECK(v2.concurrency == 1);
  CHECK(v2.timeout == milliseconds(2000));
  CHECK(v2.stream_idle_timeout == milliseconds(3000));
  CHECK(v2.max_duration == milliseconds(4000));
  CHECK(v2.ready_path == "/up");
  CHECK(v2.start_timeout == milliseconds(5000));
  CHECK(v2.stop_grace == milliseconds(6000));
  CHECK(v2.drain_max == milliseconds(7000));
  CHECK(v2.scale.min == 2);
  CHECK(v2.scale.max == 7);
  CHECK(v2.scale.spare == 1);
  CHECK(v2.retry.attempts == 8);
  CHECK(v2.retry.budget == Approx(0.1));
  CHECK(v2.outlier.failures == 9);
  CHECK(v2.pools.at(0).pool == 1);
  CHECK(f.revisions[2].name == "v3");
  REQUIRE(f.lanes.size() == 2);
  CHECK(f.lanes[0].header == "x-lane");
  CHECK(f.lanes[0].value == "Blue");
  CHECK(f.lanes[0].revision == 1);
  CHECK(f.lanes[1].value.empty());
  CHECK(f.lanes[1].revision == 0);
}

TEST_CASE("the hash is of what is run; the name is another thing") {
  auto const named = right("functions: {a: {directory: /, command: [x, y], revisions: {v1: {env: {A: 1, B: 2}}}}}\n");
  auto const plain = right("functions: {a: {directory: /, command: [x, y], env: {A: 1, B: 2}}}\n");
  CHECK(named.revisions[0].name == "v1");
  CHECK(plain.revisions[0].name == "a-781dc712");
  CHECK(named.revisions[0].hash == 0x781dc712);
  CHECK(plain.revisions[0].hash == 0x781dc712);
  auto const twins = right(function_with("revisions: {v1: {}, v2: {}}, traffic: {v1: 1}"));
  CHECK(twins.revisions[0].hash == twins.revisions[1].hash);
  CHECK(twins.revisions[0].name != twins.revisions[1].name);
}

TEST_CASE("one revision needs no traffic; its function needs no command") {
  CHECK(right("functions: {a: {revisions: {v1: {command: [x]}}}}\n").weights == std::vector<std::uint32_t>{1});
  CHECK(right("functions: {a: {revisions: {v1: {command: [x]}}, traffic: {v1: 7}}}\n").weights ==
        std::vector<std::uint32_t>{7});
}

TEST_CASE("revisions: impossible keys and values") {
  check_all({
      {"functions: {a: {revisions: {v1: {command: [x]}, v2: {}}, traffic: {v1: 1}}}\n",
       {"1:49: revision `v2` of function `a` has no `command`: add one, such as"}},
      {function_with("revisions: {}"), {"1:42: `revisions` must name at least one revision"}},
      {function_with("revisions: []"), {"1:42: `revisions` must be a mapping"}},
      {function_with("revisions: {v1: }"), {"1:43: `v1` has no value"}},
      {function_with("revisions: {V_1: {}}"), {"1:43: `V_1` cannot be a revision's name: use 1 to 63 of a-z"}},
      {function_with("revisions: {v1: {timeot: 3s}}"), {"1:48: unknown key `timeot`: did you mean `timeout`?"}},
      {function_with("revisions: {v1: {max: 3}}"), {"1:48: unknown key `max`: it belongs under `scale`"}},
      {function_with("revisions: {v1: {timeout: 0}}"), {"1:57: `timeout` must be more than 0"}},
      {function_with("revisions: {v1: {scale: {min: 30}}}"), {"1:61: `min` (30) is more than `max` (20)"}},
      {function_with("scale: {max: 3}, revisions: {v1: {scale: {min: 4}}}"),
       {"1:78: `min` (4) is more than `max` (3)"}},
      {function_with("scale: {min: 4, max: 3}, revisions: {v1: {}, v2: {}}, traffic: {v1: 1}"),
       {"1:52: `min` (4) is more than `max` (3)"}},
  });
  for (std::string const key :
       {"expose", "queue", "rate_limit", "fallback", "sticky", "lanes", "traffic", "revisions"}) {
    INFO(key);
    CHECK(problems(load(function_with("revisions: {v1: {" + key + ": {}}}"))) ==
          std::vector<std::string>{"1:48: `" + key +
                                   "` belongs to the function, not to one of its revisions: move it there"});
  }
  for (std::string const key : {"command", "lanes", "traffic", "revisions"}) {
    INFO(key);
    CHECK(problems(load("defaults: {" + key + ": {}}\n")) ==
          std::vector<std::string>{"1:12: `" + key + "` cannot be a default: give each function its own"});
  }
}

TEST_CASE("traffic: impossible values") {
  auto const two = [](const std::string& keys) { return function_with("revisions: {v1: {}, v2: {}}" + keys); };
  check_all({
      {two(""), {"1:31: `revisions` has several, but nothing says how much traffic each gets: add `traffic`"}},
      {two(", traffic: {v1: 0, v2: 0}"), {"1:69: `traffic` sends nothing to any revision"}},
      {two(", traffic: {}"), {"1:69: `traffic` sends nothing to any revision"}},
      {two(", traffic: {v3: 1}"), {"1:70: there is no revision `v3`: did you mean `v1`?"}},
      {two(", traffic: {green: 1}"), {"1:70: there is no revision `green`: define it under `revisions`"}},
      {two(", traffic: {v1: 1.5}"), {"1:74: `v1` must be a whole number from 0 to 1000000, not `1.5`"}},
      {two(", traffic: {v1: 90%}"), {"1:74: `v1` must be a whole number"}},
      {two(", traffic: {v1: 1000001}"), {"1:74: `v1` is `1000001`, but must be from 0 to 1000000"}},
      {two(", traffic: [v1]"), {"1:69: `traffic` must be a mapping"}},
      {function_with("traffic: {v1: 1}"), {"1:31: `traffic` needs `revisions`, between which it chooses"}},
      {function_with("revisions: 3, traffic: {v1: 1}"), {"1:42: `revisions` must be a mapping"}},
      {function_with("revisions: {V: {}}, traffic: {V: 1}"), {"1:43: `V` cannot be a revision's name"}},
  });
}

TEST_CASE("lanes: impossible values") {
  auto const lanes = [](const std::string& text) { return function_with("revisions: {v1: {}}, lanes: " + text); };
  check_all({
      {lanes("[{header: {x-lane: blue}, revision: v2}]"), {"1:95: there is no revision `v2`: did you mean `v1`?"}},
      {lanes("[{header: {x-lane: blue}}]"), {"1:60: a lane needs a `revision`"}},
      {lanes("[{revision: v1}]"), {"1:60: a lane needs a `header`"}},
      {lanes("[{header: {a: b, c: d}, revision: v1}]"), {"1:69: `header` must be exactly one header"}},
      {lanes("[{header: {}, revision: v1}]"), {"1:69: `header` must be exactly one header"}},
      {lanes("[{header: {\"a b\": c}, revision: v1}]"), {"1:70: `a b` cannot be the name of a header"}},
      {lanes("[{header: {a: \"b\\n\"}, revision: v1}]"), {"1:73: `a` holds a control character"}},
      {lanes("[{headers: {a: b}, revision: v1}]"),
       {"1:60: a lane needs a `header`", "1:61: unknown key `headers`: did you mean `header`?"}},
      {lanes("[{header: {a: b}, revision: v1}, {header: {A: b}, revision: v1}]"),
       {"1:101: `header` has the same value in a lane above"}},
      {lanes("{header: {a: b}, revision: v1}"), {"1:59: `lanes` must be a list such as"}},
      {lanes("[v1]"), {"1:60: a lane must be a mapping such as"}},
      {function_with("lanes: [{header: {a: b}, revision: v1}]"), {"1:31: `lanes` needs `revisions`"}},
  });
}
