// What a right file becomes: every key, defaults and their merge, revisions.
#include <unistd.h>

#include <catch2/catch.hpp>

#include "support.hpp"

using namespace config_test;
using std::chrono::milliseconds;

namespace {

config::snapshot right(std::string_view text, std::map<std::string, std::string> env = {}) {
  auto result = load(text, std::move(env));
  INFO(joined(problems(result)));
  REQUIRE(result.value);
  REQUIRE(result.problems.empty());
  return std::move(*result.value);
}

}  // namespace

TEST_CASE("the smallest config is a function with a command") {
  auto const got = right("functions:\n  hello:\n    command: [python3, app.py]\n");
  REQUIRE(got.functions.size() == 1);
  auto const& f = got.functions[0];
  CHECK(f.name == "hello");
  CHECK(f.expose_http);
  REQUIRE(f.revisions.size() == 1);
  CHECK(f.weights == std::vector<std::uint32_t>{1});
  auto const& r = f.revisions[0];
  CHECK(r.command == std::vector<std::string>{"python3", "app.py"});
  CHECK(r.directory == fs::current_path().string());
  CHECK(r.concurrency == 100);
  CHECK(r.timeout == milliseconds(60'000));
  CHECK(r.scale.max == 20);
  CHECK_FALSE(r.ready_path);
  REQUIRE(r.pools.size() == 1);
  CHECK(r.pools[0].pool == 0);
  CHECK(r.pools[0].max == 0);
  REQUIRE(got.pools.size() == 1);
  CHECK(got.pools[0].name == "local");
  CHECK_FALSE(got.pools[0].max_instances);
  CHECK(got.server.listen == std::vector<config::listen_address>{{"0.0.0.0", 8080}});
}

TEST_CASE("every key of server") {
  auto const s = right(R"(
server:
  listen: ["127.0.0.1:1", "[::1]:2", ":3", "localhost:4"]
  admin: 0.0.0.0:9
  admin_token: ${T}
  workers: ${N}
  drain_delay: 5s
  drain_timeout: 1m
  function_urls: false
  expose_errors: true
  trusted_proxies: [10.0.0.0/8, "::1"]
  limits: {header_bytes: 32KiB, header_timeout: 1s, idle_timeout: 2s, body_bytes: 10MiB, connections: 5}
  access_log: json
)",
                       {{"T", "secret"}, {"N", "3"}})
                     .server;
  CHECK(s.listen ==
        std::vector<config::listen_address>{{"127.0.0.1", 1}, {"::1", 2}, {"0.0.0.0", 3}, {"127.0.0.1", 4}});
  CHECK(s.admin == config::listen_address{"0.0.0.0", 9});
  CHECK(s.admin_token == "secret");
  CHECK(s.workers == 3);
  CHECK(s.drain_delay == milliseconds(5000));
  CHECK(s.drain_timeout == milliseconds(60'000));
  CHECK_FALSE(s.function_urls);
  CHECK(s.expose_errors == config::expose_errors::always);
  REQUIRE(s.trusted_proxies.size() == 2);
  CHECK(s.trusted_proxies[0].prefix == 104);
  CHECK(s.limits.header_bytes == 32 * 1024);
  CHECK(s.limits.header_timeout == milliseconds(1000));
  CHECK(s.limits.idle_timeout == milliseconds(2000));
  CHECK(s.limits.body_bytes == 10 * 1024 * 1024);
  CHECK(s.limits.connections == 5);
  CHECK(s.access_log == config::access_log::json);
  CHECK(right("server: {access_log: off, expose_errors: false}").server.expose_errors == config::expose_errors::never);
  CHECK(right("server: {access_log: combined, expose_errors: auto}").server.access_log == config::access_log::combined);
}

TEST_CASE("every key of a function") {
  auto const function = right(R"(
functions:
  a:
    command: [sh, -c, 'echo "$${HOME}" ${X:-d} 5', 5, true]
    env: {LEVEL: 3, EMPTY: "", REF: "${X:-d}", "odd name": "a\nb", FLAG: yes, VERSION: 1.10}
    directory: /
    concurrency: 0
    timeout: 1s
    stream_idle_timeout: 0
    max_duration: 2h
    ready: {path: "/ready?deep=1"}
    start_timeout: 3s
    stop_grace: 0s
    expose: []
    scale: {min: 1, max: 2, idle: 0}
    queue: {max_requests: 5, max_bytes: 1KiB, max_wait: 6s}
    retry: {attempts: 1}
)")
                            .functions.at(0);
  auto const& f = function.revisions.at(0);
  CHECK(f.command == std::vector<std::string>{"sh", "-c", "echo \"${HOME}\" d 5", "5", "true"});
  CHECK(f.env ==
        std::map<std::string, std::string>{
            {"LEVEL", "3"}, {"EMPTY", ""}, {"REF", "d"}, {"odd name", "a\nb"}, {"FLAG", "yes"}, {"VERSION", "1.10"}});
  CHECK(f.directory == "/");
  CHECK(f.concurrency == 0);
  CHECK(f.timeout == milliseconds(1000));
  CHECK(f.stream_idle_timeout == milliseconds(0));
  CHECK(f.max_duration == milliseconds(7'200'000));
  CHECK(f.ready_path == "/ready?deep=1");
  CHECK(f.start_timeout == milliseconds(3000));
  CHECK(f.stop_grace == milliseconds(0));
  CHECK_FALSE(function.expose_http);
  CHECK_FALSE(function.expose_async);
  CHECK(f.scale.min == 1);
  CHECK(f.scale.max == 2);
  CHECK(f.scale.idle == milliseconds(0));
  CHECK(function.queue.max_requests == 5);
  CHECK(function.queue.max_bytes == 1024);
  CHECK(function.queue.max_wait == milliseconds(6000));
  CHECK(f.retry.attempts == 1);
}

TEST_CASE("every key of a route, in the order of the file; functions by name") {
  auto const got = right(R"(
functions: {b: {command: [x]}, a: {command: [x]}}
routes:
  - {host: "*.Example.COM", path: /thumb/*, methods: [POST, M-SEARCH], headers: {X-Tier: "Gold x", x-none: ""}, function: b, rewrite: /}
  - {path: /exact//a%2Fb, function: a, rewrite: /other}
  - {host: API.example.com, function: a}
  - {path: /*, function: b}
)");
  REQUIRE(got.functions.size() == 2);
  CHECK(got.functions[0].name == "a");
  CHECK(got.functions[1].name == "b");
  REQUIRE(got.routes.size() == 4);
  auto const& r = got.routes[0];
  CHECK(r.host == "*.example.com");
  CHECK(r.path == "/thumb/*");
  CHECK(r.methods == std::vector<std::string>{"POST", "M-SEARCH"});
  CHECK(r.headers == std::vector<std::pair<std::string, std::string>>{{"x-tier", "Gold x"}, {"x-none", ""}});
  CHECK(r.function == "b");
  CHECK(r.rewrite == "/");
  CHECK(got.routes[1].path == "/exact//a%2Fb");
  CHECK(got.routes[1].rewrite == "/other");
  CHECK(got.routes[2].host == "api.example.com");
  CHECK(got.routes[2].path.empty());
  CHECK_FALSE(got.routes[2].rewrite);
  CHECK(got.routes[3].path == "/*");
}

TEST_CASE("defaults are merged key by key, and what a function says wins") {
  auto const got = right(R"(
functions:
  own: {command: [x], timeout: 5s, env: {B: own, C: own}, scale: {max: 7}, queue: {max_wait: 9s}, expose: [http], directory: /usr}
  plain: {command: [y]}
defaults:
  timeout: 30s
  env: {A: all, B: all}
  scale: {min: 2, idle: 3s}
  queue: {max_requests: 11}
  retry: {attempts: 4}
  ready: {path: /up}
  expose: []
  directory: /
)");
  auto const& own_function = got.functions.at(0);
  auto const& own = own_function.revisions.at(0);
  CHECK(own.timeout == milliseconds(5000));
  CHECK(own.env == std::map<std::string, std::string>{{"A", "all"}, {"B", "own"}, {"C", "own"}});
  CHECK(own.scale.min == 2);
  CHECK(own.scale.max == 7);
  CHECK(own.scale.idle == milliseconds(3000));
  CHECK(own_function.queue.max_requests == 11);
  CHECK(own_function.queue.max_wait == milliseconds(9000));
  CHECK(own.retry.attempts == 4);
  CHECK(own.ready_path == "/up");
  CHECK(own_function.expose_http);
  CHECK(own.directory == "/usr");
  auto const& plain = got.functions.at(1).revisions.at(0);
  CHECK(plain.timeout == milliseconds(30'000));
  CHECK(plain.env == std::map<std::string, std::string>{{"A", "all"}, {"B", "all"}});
  CHECK(plain.scale.max == 20);
  CHECK_FALSE(got.functions.at(1).expose_http);
  CHECK(plain.directory == "/");
}

TEST_CASE("what a variable holds is not YAML and not a reference") {
  auto const got =
      right("functions:\n  a:\n    command: [\"${X}\"]\n    env: {Y: \"${X}\"}\n", {{"X", "{a: [b}: ${Y}\n- \"c"}});
  CHECK(got.functions.at(0).revisions.at(0).command == std::vector<std::string>{"{a: [b}: ${Y}\n- \"c"});
  CHECK(got.functions.at(0).revisions.at(0).env.at("Y") == "{a: [b}: ${Y}\n- \"c");
  // Keys are taken as they are written.
  CHECK(right("functions: {a: {command: [x], env: {\"${X}\": 1}}}\n", {{"X", "Z"}})
            .functions.at(0)
            .revisions.at(0)
            .env.contains("${X}"));
}

TEST_CASE("a revision's name depends on how the function is run, and on nothing else") {
  auto const revision = [](const std::string& keys) {
    return right("functions: {a: {directory: /, " + keys + "}}\n").functions.at(0).revisions.at(0).name;
  };
  std::string const base = revision("command: [x, y], env: {A: 1, B: 2}");
  // The hash is part of what people see and store: it must not change from one version of rouse to the next.
  CHECK(base == "a-781dc712");
  CHECK(right("functions: {a: {directory: /, command: [x, y], env: {A: 1, B: 2}}}\n")
            .functions.at(0)
            .revisions.at(0)
            .hash == 0x781dc712);
  CHECK(base == revision("timeout: 3s, scale: {max: 3}, env: {B: 2, A: 1}, command: [x, y]"));
  for (const char* other : {"command: [x], env: {A: 1, B: 2}", "command: [xy], env: {A: 1, B: 2}",
                            "command: [x, y, \"\"], env: {A: 1, B: 2}", "command: [x, \"\", y], env: {A: 1, B: 2}",
                            "command: [x, y], env: {A: 12, B: \"\"}", "command: [x, y], env: {A: 1}",
                            "command: [x, y], env: {A: 1, B: 2, C: \"\"}"}) {
    INFO(other);
    CHECK(revision(other) != base);
  }
  CHECK(right("functions: {a: {command: [x, y], env: {A: 1, B: 2}, directory: /usr}}\n")
            .functions.at(0)
            .revisions.at(0)
            .name != base);
}

TEST_CASE("relative directories start at the file's folder") {
  folder const tmp;
  fs::create_directories(tmp.path("conf/app"));
  std::string const file =
      tmp.write("conf/rouse.yaml",
                "functions:\n  a: {command: [x], directory: app/}\n  b: {command: [x], directory: ../conf/./app}\n"
                "  c: {command: [x]}\n  d: {command: [x], directory: .}\n");
  auto const got = config::load(file, env_of({}));
  INFO(joined(problems(got)));
  REQUIRE(got.value);
  CHECK(got.value->functions.at(0).revisions.at(0).directory == tmp.path("conf/app"));
  CHECK(got.value->functions.at(1).revisions.at(0).directory == tmp.path("conf/app"));
  CHECK(got.value->functions.at(2).revisions.at(0).directory == tmp.path("conf"));
  CHECK(got.value->functions.at(3).revisions.at(0).directory == tmp.path("conf"));
  CHECK(got.value->functions.at(2).revisions.at(0).name.substr(2) ==
        got.value->functions.at(3).revisions.at(0).name.substr(2));
}

TEST_CASE("the process's environment") {
  ::setenv("ROUSE_CONFIG_TEST", "here", 1);
  ::unsetenv("ROUSE_CONFIG_TEST_NOT");
  CHECK(config::process_environment()("ROUSE_CONFIG_TEST") == "here");
  CHECK_FALSE(config::process_environment()("ROUSE_CONFIG_TEST_NOT"));
}
