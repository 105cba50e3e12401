// How instances are run elsewhere than as processes: the keys of each backend, and what its pools need.

#include <catch2/catch.hpp>

#include "support.hpp"

using namespace config_test;

namespace {

config::snapshot loaded(const std::string& text) {
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

config::revision only(const config::snapshot& of) {
  return of.functions.at(0).revisions.at(0);
}

std::string pools_and(const std::string& function) {
  return "pools: {w: {backend: webhook, secret: s}, m: {backend: static}}\nfunctions: {a: {" + function + "}}\n";
}

}  // namespace

TEST_CASE("each backend's keys are read") {
  auto const docker =
      loaded("functions: {a: {pools: [docker], image: python:3, port: 9000, resources: {memory: 64MiB, cpu: 0.5}}}\n");
  CHECK(only(docker).image == "python:3");
  CHECK(only(docker).port == 9000);
  CHECK(only(docker).memory == 64ull * 1024 * 1024);
  CHECK(only(docker).cpu == 0.5);
  CHECK(only(docker).command.empty());
  REQUIRE(docker.pools.size() == 2);
  CHECK(docker.pools[1].name == "docker");
  CHECK(docker.pools[1].backend == config::pool_backend::docker);
  CHECK(only(docker).pools.at(0).pool == 1);

  auto const kubernetes = loaded("functions: {a: {pools: [kubernetes], deployment: thumb, port: http}}\n");
  CHECK(only(kubernetes).deployment == "thumb");
  CHECK(only(kubernetes).port == 0);
  CHECK(only(kubernetes).port_name == "http");
  REQUIRE(kubernetes.pools.size() == 2);
  CHECK(kubernetes.pools[1].backend == config::pool_backend::kubernetes);

  auto const both = loaded(pools_and("pools: [m, w], url: 'https://s.example/x', endpoints: ['[::1]:80', 'h:81']"));
  CHECK(only(both).url == "https://s.example/x");
  CHECK(only(both).endpoints == std::vector<std::string>{"[::1]:80", "h:81"});
  REQUIRE(both.pools.size() == 3);
  CHECK(both.pools[only(both).pools.at(0).pool].name == "m");
  CHECK(both.pools[only(both).pools.at(1).pool].name == "w");
  CHECK(both.pools[1].connection.secret == "s");
}

TEST_CASE("pools that need no definition are there only where they are used or named") {
  CHECK(loaded("functions: {a: {command: [x]}}\n").pools.size() == 1);
  auto const named = loaded("pools: {kubernetes: {namespace: n}}\nfunctions: {a: {command: [x]}}\n");
  REQUIRE(named.pools.size() == 2);
  CHECK(named.pools[1].connection.name_space == "n");
}

TEST_CASE("a connection's paths") {
  auto const made = loaded(
      "pools: {d: {backend: docker, socket: 'unix:///run/d.sock', network: n}, k: {backend: kubernetes, kubeconfig: "
      "kc, context: c}}\n"
      "functions: {a: {command: [x]}}\n");
  CHECK(made.pools.at(1).connection.socket == "/run/d.sock");
  CHECK(made.pools.at(1).connection.network == "n");
  CHECK(made.pools.at(2).connection.kubeconfig == std::filesystem::current_path().string() + "/kc");
  CHECK(made.pools.at(2).connection.context == "c");
}

TEST_CASE("what identifies a revision") {
  auto const hash = [](const std::string& keys) {
    return only(loaded("functions: {a: {pools: [local, docker, kubernetes], command: [x], image: i, deployment: d, " +
                       keys + "}}\n"))
        .hash;
  };
  CHECK(hash("port: 80") == hash("port: 80, timeout: 3s"));
  CHECK(hash("port: 80") != hash("port: 81"));
  CHECK(hash("port: 80") != hash("resources: {memory: 64MiB}"));
  CHECK(hash("resources: {memory: 64MiB}") != hash("resources: {memory: 65MiB}"));
  CHECK(hash("resources: {cpu: 1}") != hash("resources: {cpu: 2}"));
  CHECK(hash("url: 'http://h/a'") != hash("url: 'http://h/b'"));
  CHECK(hash("endpoints: ['h:1']") != hash("endpoints: ['h:2']"));
}

TEST_CASE("run keys: impossible values") {
  check_all({
      {"functions: {a: {image: i}}\n",
       {"1:13: function `a` has no `command`: add one, such as `command: [python3, app.py]`, or name the pool that "
        "runs "
        "images: `pools: [docker]`"}},
      {"functions: {a: {pools: [docker], command: [x]}}\n",
       {"1:13: function `a` has no `image`, which its pool `docker` (docker) needs: add one, such as `image: NAME`"}},
      {"functions: {a: {pools: [kubernetes], image: i}}\n", {"1:13: function `a` has no `deployment`, which its pool"}},
      {"functions: {a: {pools: [local, docker], image: i}}\n",
       {"1:13: function `a` has no `command`, which its pool `local`"}},
      {pools_and("pools: [w]"), {"2:13: function `a` has no `url`, which its pool `w` (webhook) needs"}},
      {pools_and("pools: [m]"), {"2:13: function `a` has no `endpoints`, which its pool `m` (static) needs"}},
      {pools_and("pools: [m], endpoints: ['h:1'], scale: {to_zero: freeze}"),
       {"2:13: function `a` has `to_zero: freeze`, but its pool `m` (static) cannot freeze instances"}},
      {pools_and("pools: [m], endpoints: ['h:1', 'h:2'], scale: {max: 1}"),
       {"2:40: `endpoints` has 2 items, but `scale.max` is 1: raise it, or some are never used"}},
      {pools_and("pools: [m], endpoints: ['h']"), {"2:41: `endpoints` must hold addresses such as"}},
      {pools_and("pools: [m], endpoints: ['h:1', 'h:1']"), {"2:48: `endpoints` has `h:1` twice: remove one"}},
      {pools_and("pools: [m], endpoints: ['::1:80']"), {"2:41: write an IPv6 address in brackets"}},
      {pools_and("pools: [m], endpoints: ['h:70000']"), {"2:41: whose port is none"}},
      {pools_and("pools: [w], url: 'ftp://x/'"), {"2:34: `url` must be such as"}},
      {pools_and("pools: [w], url: 'http://u:p@x/'"), {"2:34: `url` must not hold a user or a password"}},
      {"functions: {a: {pools: [docker], image: i, port: 0}}\n", {"1:50: `port` must be a number from 1 to 65535"}},
      {"functions: {a: {pools: [docker], image: i, port: web}}\n",
       {"1:50: `port` is a name, which means something only on Kubernetes, but the pool `docker` is docker: use a "
        "number"}},
      {"functions: {a: {command: [x], resources: {memory: 64MiB}}}\n",
       {"1:42: `resources` bounds containers, but the pool `local` is process: remove it"}},
      {"functions: {a: {pools: [docker], image: i, resources: {memory: 1MiB}}}\n",
       {"1:64: `memory` is `1MiB`, but must be at least 6MiB"}},
      {"functions: {a: {pools: [docker], image: 'a b'}}\n", {"1:41: `image` must be the name of an image"}},
      {"functions: {a: {pools: [kubernetes], deployment: A}}\n", {"1:50: must be the name of a Deployment"}},
      {"defaults: {deployment: d}\n", {"1:12: `deployment` cannot be a default: give each function its own"}},
      {"functions: {a: {pools: [kubernetes], deployment: d}, b: {pools: [kubernetes], deployment: d}}\n",
       {"1:54: function `b` would run in the Deployment `d` of the pool `kubernetes`, which function `a` runs in"}},
      {"functions: {a: {pools: [kubernetes], deployment: d, revisions: {v1: {}, v2: {port: 1}}, traffic: {v1: 1}}}\n",
       {"1:13: function `a@v2` would run in the Deployment `d` of the pool `kubernetes`, which function `a@v1` runs "
        "in"}},
      {"pools: {near: {backend: kubernetes}, k: {backend: kubernetes}}\nfunctions: {a: {pools: [near, k], deployment: "
       "d}}\n",
       {"2:13: function `a` would run in the Deployment `d` of the pool `k`, which function `a` runs in"}},
  });
}
