// Pools, the functions that use them, and whether what must run fits.
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

/// Functions `a`, `b`, ... each with the keys of one of `keys`, below `head`.
std::string with(const std::string& head, const std::vector<std::string>& keys) {
  std::string out = head + "\nfunctions:\n";
  for (std::size_t i = 0; i < keys.size(); ++i) {
    out += std::string("  ") + static_cast<char>('a' + i) + ": {command: [x], " + keys[i] + "}\n";
  }
  return out;
}

}  // namespace

TEST_CASE("every key of a pool, in the order of the file after local") {
  auto const got = right(R"(
pools:
  idc: {backend: process, max_instances: 70, reserved: 60, cost: 0.5}
  local: {max_instances: 9}
  cloud: {cost: 1.5, schedule: [{days: [sat, sun], from: 20:00, to: "08:00", timezone: UTC, max_instances: 20}]}
)")
                       .pools;
  REQUIRE(got.size() == 3);
  CHECK(got[0].name == "local");
  CHECK(got[0].max_instances == 9);
  CHECK(got[0].cost == 1.0);
  CHECK(got[0].reserved == 0);
  CHECK(got[1].name == "idc");
  CHECK(got[1].backend == config::pool_backend::process);
  CHECK(got[1].max_instances == 70);
  CHECK(got[1].reserved == 60);
  CHECK(got[1].cost == Approx(0.5));
  CHECK(got[2].name == "cloud");
  CHECK_FALSE(got[2].max_instances);
  REQUIRE(got[2].schedule.size() == 1);
  auto const& entry = got[2].schedule[0];
  CHECK(entry.max_instances == 20);
  CHECK(entry.when.days == 0x60);
  CHECK(entry.when.from == 20 * 60);
  CHECK(entry.when.to == 32 * 60);
  CHECK(entry.when.timezone == "UTC");
}

TEST_CASE("a function's pools, in its order; the nearest list counts") {
  auto const got = right(R"(
defaults: {pools: [cloud]}
functions:
  a: {command: [x], pools: [{name: idc, max: 14}, cloud, local]}
  b: {command: [x]}
  c: {pools: [local], command: [x], revisions: {v1: {}, v2: {pools: [idc]}}, traffic: {v1: 1}}
pools: {idc: {}, cloud: {}}
)")
                       .functions;
  auto const& a = got.at(0).revisions.at(0).pools;
  REQUIRE(a.size() == 3);
  CHECK(a[0].pool == 1);
  CHECK(a[0].max == 14);
  CHECK(a[1].pool == 2);
  CHECK(a[1].max == 0);
  CHECK(a[2].pool == 0);
  CHECK(got.at(1).revisions.at(0).pools.at(0).pool == 2);
  CHECK(got.at(2).revisions.at(0).pools.at(0).pool == 0);
  CHECK(got.at(2).revisions.at(1).pools.at(0).pool == 1);
}

TEST_CASE("pools: impossible keys and values") {
  check_all({
      {"pools: 3\n", {"1:8: `pools` must be a mapping"}},
      {"pools: {idc: 3}\n", {"1:14: `idc` must be a mapping"}},
      {"pools: {Idc_1: {}}\n",
       {"1:9: `Idc_1` cannot be a pool's name: use 1 to 63 of a-z, 0-9 and `-`, not beginning or "
        "ending with `-`; did you mean `idc-1`?"}},
      {"pools: {x: {max_instance: 3}}\n", {"1:13: unknown key `max_instance`: did you mean `max_instances`?"}},
      {"pools: {x: {namespace: f, context: c}}\n",
       {"1:13: `namespace` is a key of pools whose `backend` is `kubernetes`, but that of `x` is `process`: remove it",
        "1:27: `context` is a key of pools"}},
      {"pools: {x: {backend: docker, poll_interval: 1s}}\n", {"1:30: `poll_interval` is a key of pools whose"}},
      {"pools: {docker: {secret: s}}\n", {"1:18: `secret` is a key of pools whose `backend` is `webhook`"}},
      {"pools: {x: {backend: webhook}}\n", {"1:9: the pool `x` needs a `secret`"}},
      {"pools: {x: {backend: webhook, secret: ''}}\n", {"1:39: `secret` is empty"}},
      {"pools: {x: {backend: docker, socket: tcp://h:2375}}\n", {"1:38: `socket` must be a path such as"}},
      {"pools: {x: {backend: kubernetes, namespace: A_b}}\n", {"1:45: `namespace` must be the name of a namespace"}},
      {"pools: {x: {backend: static, check_interval: 0s}}\n", {"1:46: `check_interval` "}},
      {"pools: {x: {backend: proces}}\n",
       {"1:22: `process`, `docker`, `kubernetes`, `webhook` or `static`, not `proces`: "
        "did you mean `process`?"}},
      {"pools: {x: {backend: local}}\n",
       {"1:22: `process`, `docker`, `kubernetes`, `webhook` or `static`, not `local`"}},
      {"pools: {x: {max_instances: -1, reserved: 5}}\n", {"1:28: `max_instances` must be a whole number from 0"}},
      {"pools: {x: {max_instances: 5, reserved: 6}}\n",
       {"1:41: `reserved` is 6, but the pool has room for 5 instances: raise `max_instances` or lower `reserved`"}},
      {"pools: {x: {max_instances: 0}}\n", {"1:28: the pool `x` has room for 0 instances at all times"}},
      {"pools: {x: {schedule: [{from: 01:00, to: 02:00, max_instances: 0}]}}\n", {"1:9: the pool `x` has room for 0"}},
      {"pools: {x: {cost: -1}}\n", {"1:19: `cost` must be a number, from 0 to 1000000000, not `-1`"}},
      {"pools: {x: {schedule: [{from: 01:00, to: 02:00}]}}\n",
       {
           "1:24: an entry of `schedule` needs `max_instances`",
       }},
      {"pools: {x: {schedule: [{from: 01:00, to: 02:00, max_instances: 1, min: 3}]}}\n", {"1:67: unknown key `min`"}},
      {"pools: {x: {schedule: {from: 01:00}}}\n", {"1:23: `schedule` must be a list such as"}},
      {"pools: {x: {schedule: [3]}}\n", {"1:24: an entry of `schedule` must be a mapping such as"}},
  });
}

TEST_CASE("a function's pools: impossible values") {
  std::string const pools = "pools: {idc: {}, cloud: {}}";
  check_all({
      {with(pools, {"pools: [icd]"}), {"3:29: there is no pool `icd`: did you mean `idc`?"}},
      {with(pools, {"pools: [elsewhere]"}), {"3:29: there is no pool `elsewhere`: define it under `pools`"}},
      {with(pools, {"pools: [idc, cloud, idc]"}), {"3:41: the pool `idc` is named twice: remove one"}},
      {with(pools, {"pools: [idc, {name: idc, max: 3}]"}), {"3:41: the pool `idc` is named twice"}},
      {with(pools, {"pools: []"}), {"3:28: `pools` must name at least one pool"}},
      {with(pools, {"pools: idc"}), {"3:28: `pools` must be a list such as `[{name: idc, max: 14}, cloud]`"}},
      {with(pools, {"pools: [[idc]]"}), {"3:29: an item of `pools` must be the name of a pool, or a mapping"}},
      {with(pools, {"pools: [{max: 3}]"}), {"3:29: an item of `pools` needs a `name`"}},
      {with(pools, {"pools: [{name: idc, max: 0}]"}), {"3:46: `max` is `0`, but must be from 1 to 10000"}},
      {with(pools, {"pools: [{name: idc, min: 1}]"}), {"3:41: unknown key `min`"}},
      {with(pools, {"pools: [{name: idc, max: 3}], scale: {min: 4}"}),
       {"3:28: `min` (4) is more than all that `pools` allows (3)"}},
      {"defaults: {pools: [nowhere]}\n", {"1:20: there is no pool `nowhere`"}},
      // A pool with a problem of its own, or that cannot be told, is not missing as well.
      {with("pools: {Idc: {}}", {"pools: [Idc]"}), {"1:9: `Idc` cannot be a pool's name"}},
      {with("pools: 3", {"pools: [idc]"}), {"1:8: `pools` must be a mapping"}},
      {with("pools: {idc: {backend: docker}}", {"pools: [idc]"}),
       {"3:3: function `a` has no `image`, which its pool `idc` (docker) needs"}},
  });
}

TEST_CASE("pools stand in the main file only") {
  folder const tmp;
  tmp.write("rouse.yaml", "include: [f.yaml]\npools: {idc: {}}\n");
  tmp.write("f.yaml", "pools: {x: {}}\nfunctions: {a: {command: [x], pools: [idc]}}\n");
  auto const got = problems(config::load(tmp.path("rouse.yaml"), env_of({})));
  REQUIRE(got.size() == 1);
  CHECK_THAT(got[0], Catch::Contains("f.yaml:1:1: `pools` can stand only in the main file"));
}

TEST_CASE("what must run has to fit") {
  std::string const one = "pools: {idc: {max_instances: 5}, other: {max_instances: 3}, open: {}}";
  std::string const at = "1:30: ";
  CHECK(load(with(one, {"pools: [idc], scale: {min: 2}", "pools: [idc], scale: {min: 3}"})).value);
  check_all({
      {with(one, {"pools: [idc], scale: {min: 2}", "pools: [idc], scale: {min: 4}"}),
       {at +
        "the pool `idc` has room for 5 instances, but the `min` of what can run only there add up to 6 (`a` 2, `b` "
        "4): raise `max_instances`, lower a `min`, or name another pool for it"}},
      {with(one, {"pools: [idc], scale: {min: 2}", "pools: [idc], scale: {min: 2}", "pools: [idc], scale: {min: 2}",
                  "pools: [idc], scale: {min: 2}"}),
       {at + "add up to 8 (`a` 2, `b` 2, `c` 2 and 1 more)"}},
      {with("pools: {local: {max_instances: 1}}", {"scale: {min: 2}"}), {"1:32: the pool `local` has room for 1"}},
      // Together: each alone would fit.
      {with(one, {"pools: [idc], scale: {min: 5}", "pools: [idc, other], scale: {min: 4}"}),
       {at +
        "the pools `idc`, `other` have room for 8 instances together, but the `min` of what can run only there add "
        "up to 9 (among them `b` 4)"}},
      // Found beside problems elsewhere; a function with problems of its own does not count.
      {with(one, {"pools: [idc], scale: {min: 6}", "pools: [idc], timeout: 0"}),
       {at + "add up to 6 (`a` 6)", "4:44: `timeout` must be more than 0"}},
      {with(one, {"pools: [idc], scale: {min: 6}, timeout: 0"}), {"3:61: `timeout`"}},
      {with(one, {"revisions: {v1: {pools: [idc], scale: {min: 6}}, v2: {}}, traffic: {v1: 1}"}),
       {at + "add up to 6 (`a@v1` 6)"}},
  });
  // Room elsewhere, no traffic, or a larger size at some time.
  CHECK(load(with(one, {"pools: [idc, open], scale: {min: 9}"})).value);
  CHECK(load(with(one, {"pools: [idc, other], scale: {min: 8}"})).value);
  CHECK(load(with(one, {"revisions: {v1: {pools: [idc], scale: {min: 6}}, v2: {}}, traffic: {v2: 1}"})).value);
  CHECK(load(with("pools: {x: {max_instances: 1, reserved: 5, schedule: [{from: 01:00, to: 02:00, max_instances: 5}]}}",
                  {"pools: [x], scale: {min: 5}"}))
            .value);
}
