// Every kind of wrong key and value, with the exact place and what is said about it.
#include <catch2/catch.hpp>

#include "support.hpp"

using namespace config_test;

namespace {

void check_all(const std::vector<wrong>& rows) {
  for (const wrong& row : rows) {
    std::string const found = mismatch(row, load(row.text, {{"N", "abc"}, {"SECRET", "s3 cret"}, {"EMPTY", ""}}));
    INFO(found);
    CHECK(found.empty());
  }
}

/// A function `a` with `keys` in braces, on line 1 from column 16.
std::string function_with(const std::string& keys) {
  return "functions: {a: {command: [x], " + keys + "}}\n";
}

}  // namespace

TEST_CASE("unknown keys, with what was probably meant") {
  check_all({
      {"sever: {}\n", {"1:1: unknown key `sever`: did you mean `server`?"}},
      {"banana: {}\n",
       {"1:1: unknown key `banana`: possible here are include, defaults, server, pools, functions, routes, buses, "
        "triggers"}},
      {"listen: x\n", {"1:1: unknown key `listen`: it belongs under `server`"}},
      {"server: {lisen: x}\n", {"1:10: unknown key `lisen`: did you mean `listen`?"}},
      {"server: {Listen: x}\n", {"1:10: unknown key `Listen`: did you mean `listen`?"}},
      {"server: {body_bytes: 1}\n", {"1:10: unknown key `body_bytes`: it belongs under `limits`"}},
      {"server: {limits: {body_byte: 1}}\n", {"1:19: unknown key `body_byte`: did you mean `body_bytes`?"}},
      {"server: {routes: []}\n", {"1:10: unknown key `routes` here: it belongs at the top of the file"}},
      {function_with("concurency: 3"), {"1:31: unknown key `concurency`: did you mean `concurrency`?"}},
      {function_with("max: 3"), {"1:31: unknown key `max`: it belongs under `scale`"}},
      {function_with("path: /x"), {"1:31: unknown key `path`: it belongs under `ready`"}},
      {function_with("scale: {maxx: 3}"), {"1:39: unknown key `maxx`: did you mean `max`?"}},
      {function_with("ready: {url: /x}"), {"1:39: unknown key `url`: possible here are path"}},
      {function_with("queue: {max_request: 3}"), {"1:39: unknown key `max_request`: did you mean `max_requests`?"}},
      {function_with("retry: {attempt: 3}"), {"1:39: unknown key `attempt`: did you mean `attempts`?"}},
      {"defaults: {timeot: 3s}\n", {"1:12: unknown key `timeot`: did you mean `timeout`?"}},
      {"defaults: {idle: 3s}\n", {"1:12: unknown key `idle`: it belongs under `scale`"}},
      {"defaults: {command: [x]}\n", {"1:12: `command` cannot be a default"}},
      {"functions: {a: {command: [x]}}\nroutes: [{pth: /, host: h, function: a}]\n",
       {"2:11: unknown key `pth`: did you mean `path`?"}},
  });
}

TEST_CASE("keys of other versions are refused by name") {
  for (std::string const key : {"delay", "max_delay", "backoff"}) {
    INFO(key);
    CHECK(problems(load(function_with("retry: {" + key + ": 1s}"))) ==
          std::vector<std::string>{"1:39: `" + key + "` is not supported by this version of rouse: remove it"});
  }
  check_all({{"server: {tls: x}\n", {"1:10: `tls` is not supported by this version of rouse: remove it"}}});
}

TEST_CASE("wrong types") {
  check_all({
      {"server: 1\n", {"1:9: `server` must be a mapping (`key: value`), not a single value"}},
      {"server: []\n", {"1:9: `server` must be a mapping (`key: value`), not a list"}},
      {"functions: [a]\n", {"1:12: `functions` must be a mapping"}},
      {"functions: {a: x}\n", {"1:16: `a` must be a mapping"}},
      {"defaults: x\n", {"1:11: `defaults` must be a mapping"}},
      {"routes: {}\n", {"1:9: `routes` must be a list such as"}},
      {"routes: [x]\n", {"1:10: a route must be a mapping such as"}},
      {"include: {a: b}\n", {"1:10: `include` must be a list such as"}},
      {"include: [[a]]\n", {"1:11: each item of `include` must be text, but this one is a list"}},
      {"server: {workers: [1]}\n", {"1:19: `workers` must be a single value, not a list"}},
      {"server: {workers: {}}\n", {"1:19: `workers` must be a single value, not a mapping"}},
      {"server: {workers: ~}\n", {"1:10: `workers` has no value"}},
      {"server: {limits: 3}\n", {"1:18: `limits` must be a mapping"}},
      {"server: {trusted_proxies: 10.0.0.0/8}\n", {"1:27: `trusted_proxies` must be a list such as `[10.0.0.0/8]`"}},
      {function_with("scale: 3"), {"1:38: `scale` must be a mapping"}},
      {function_with("ready: /healthz"), {"1:38: `ready` must be a mapping"}},
      {function_with("expose: http"), {"1:39: `expose` must be a list such as `[http, async]`"}},
      {function_with("env: [A=1]"), {"1:36: `env` must be a mapping"}},
      {function_with("env: {A: [1]}"), {"1:40: `A` must be a single value, not a list"}},
      {function_with("env: {A: }"), {"1:37: `A` has no value: write `\"\"` for an empty text"}},
      {"functions: {a: {command: python3 app.py}}\n", {"1:26: `command` must be a list, because no shell splits it"}},
      {"functions: {a: {command: [[x]]}}\n", {"1:27: each item of `command` must be text"}},
      {"functions: {a: {command: {x: y}}}\n", {"1:26: `command` must be a list such as"}},
  });
}

TEST_CASE("server: impossible values") {
  check_all({
      {"server: {listen: 8080}\n", {"1:18: `listen` is only a port: write `0.0.0.0:8080`"}},
      {"server:\n  listen:\n    - 0.0.0.0:8080\n    - host:1\n    - x\n",
       {"4:7: `listen` is `host:1`", "5:7: `listen` is `x`, which has no port: write `x:8080`"}},
      {"server: {listen: []}\n", {"1:18: `listen` must have at least one address"}},
      {"server: {listen: [\":80\", \"127.0.0.1:80\"]}\n",
       {"1:26: `listen` has `127.0.0.1:80` and `0.0.0.0:80`, which cannot both be bound"}},
      {"server: {listen: \":9080\"}\n",
       {"1:18: `admin` (127.0.0.1:9080) and `listen` (0.0.0.0:9080) want the same port"}},
      {"server: {admin: \"127.0.0.1:8080\"}\n",
       {"1:17: `admin` (127.0.0.1:8080) and `listen` (0.0.0.0:8080) want the same port"}},
      {"server: {admin: nowhere}\n", {"1:17: `admin` is `nowhere`, which has no port"}},
      {"server: {admin: \"0.0.0.0:9080\"}\n",
       {"1:17: `admin` (0.0.0.0:9080) can be reached from other machines: set a non-empty"}},
      {"server: {admin: \":9080\", admin_token: \"${T:-}\"}\n", {"1:39: `admin` (0.0.0.0:9080) can be reached"}},
      {"server: {admin: \"[::]:9080\", admin_token: \"\"}\n", {"1:43: `admin` ([::]:9080) can be reached"}},
      {"server: {admin_token: \"a b\"}\n", {"1:23: `admin_token` holds a space"}},
      {"server: {workers: -1}\n", {"1:19: `workers` must be a whole number from 0 to 1024, not `-1`"}},
      {"server: {workers: 1025}\n", {"1:19: `workers` is `1025`, but must be from 0 to 1024"}},
      {"server: {workers: 99999999999999999999999}\n", {"1:19: `workers` is"}},
      {"server: {workers: \"${N}\"}\n", {"1:19: `workers` must be a whole number from 0 to 1024, not `abc`"}},
      {"server: {workers: \"${EMPTY}\"}\n", {"1:19: `workers` must be a whole number"}},
      {"server: {drain_delay: 5}\n", {"1:23: `drain_delay` is `5` without a unit: write `5s`"}},
      {"server: {drain_timeout: soon}\n", {"1:25: `drain_timeout` must be a duration"}},
      {"server: {function_urls: yes}\n",
       {"1:25: `function_urls` must be `true` or `false`, not `yes`: did you mean `true`?"}},
      {"server: {expose_errors: maybe}\n", {"1:25: `expose_errors` must be `auto`, `true` or `false`, not `maybe`"}},
      {"server: {access_log: jsn}\n",
       {"1:22: `access_log` must be `off`, `json` or `combined`, not `jsn`: did you mean `json`?"}},
      {"server: {access_log: false}\n", {"1:22: `access_log` must be"}},
      {"server: {trusted_proxies: [10.0.0.1/8, x]}\n",
       {"1:28: `trusted_proxies` is `10.0.0.1/8`", "1:40: `trusted_proxies` must be an address"}},
      {"server: {limits: {header_bytes: 64KB}}\n",
       {"1:33: `header_bytes` is `64KB`, which is not a size: did you mean `64KiB`?"}},
      {"server: {limits: {header_bytes: 0}}\n", {"1:33: `header_bytes` is `0`, but must be from 1KiB to 16MiB"}},
      {"server: {limits: {header_timeout: 0}}\n", {"1:35: `header_timeout` must be more than 0"}},
      {"server: {limits: {idle_timeout: 0s}}\n", {"1:33: `idle_timeout` must be more than 0"}},
      {"server: {limits: {body_bytes: 99999999TiB}}\n", {"1:31: `body_bytes` is `99999999TiB`, which is too large"}},
      {"server: {limits: {connections: many}}\n", {"1:32: `connections` must be a whole number"}},
  });
}

TEST_CASE("functions: impossible values") {
  check_all({
      {"functions: {a: {}}\n", {"1:13: function `a` has no `command`"}},
      {"functions: {a: {command: []}}\n", {"1:26: `command` must not be empty"}},
      {"functions: {a: {command: [\"\"]}}\n", {"1:27: the first item of `command` names the program, but is empty"}},
      {"functions: {Thumb_Nail: {command: [x]}}\n",
       {
           "1:13: `Thumb_Nail` cannot be a function's name",
       }},
      {"functions: {-a: {command: [x]}, a-: {command: [x]}, a.b: {command: [x]}}\n",
       {"1:13: `-a` cannot be", "1:33: `a-` cannot be", "1:53: `a.b` cannot be"}},
      {"functions: {" + std::string(64, 'a') + ": {command: [x]}}\n", {"1:13: `aaaa"}},
      {"functions: {\"\": {command: [x]}}\n", {"1:13: `` cannot be a function's name"}},
      {function_with("env: {\"A=B\": 1, \"\": 2}"), {"1:37: `A=B` cannot be the name", "1:47: `` cannot be the name"}},
      {function_with("env: {PORT: 1, K_SERVICE: x, K_REVISION: x, K_CONFIGURATION: x}"),
       {"1:37: `PORT` is set by rouse", "1:46: `K_SERVICE` is set", "1:60: `K_REVISION` is set",
        "1:75: `K_CONFIGURATION` is set"}},
      {"functions:\n  a: {command: [x], env: {A: \"${MISSING}\"}}\n",
       {"2:30: the environment variable `MISSING` is not set: set it, or give a default with `${MISSING:-default}`"}},
      {function_with("directory: /no/such/folder"), {"1:42: `directory` is `/no/such/folder`, which does not exist"}},
      {function_with("directory: /dev/null"), {"1:42: `directory` is `/dev/null`, which is not a directory"}},
      {function_with("directory: \"\""), {"1:42: `directory` is empty"}},
      {function_with("concurrency: 1000001"), {"1:44: `concurrency` is `1000001`, but must be from 0 to 1000000"}},
      {function_with("timeout: 0"), {"1:40: `timeout` must be more than 0"}},
      {function_with("timeout: 30"), {"1:40: `timeout` is `30` without a unit: write `30s` for seconds or `30ms`"}},
      {function_with("stream_idle_timeout: 30sec"),
       {"1:52: `stream_idle_timeout` is `30sec`, which is not a duration: did you mean `30s`?"}},
      {function_with("max_duration: forever"), {"1:45: `max_duration` must be a duration"}},
      {function_with("start_timeout: 0"), {"1:46: `start_timeout` must be more than 0"}},
      {function_with("stop_grace: 99999999999d"),
       {"1:43: `stop_grace` is `99999999999d`, which is too large: at most 3650d"}},
      {function_with("ready: {path: healthz}"), {"1:45: `path` must be a path that begins with `/`"}},
      {function_with("ready: {path: \"/a b\"}"), {"1:45: `path` must be a path"}},
      {function_with("ready: {path: \"/a\\r\\nX: y\"}"), {"1:45: `path` must be a path"}},
      {function_with("ready: {path: \"/a#b\"}"), {"1:45: `path` must be a path"}},
      {function_with("expose: [htp]"), {"1:40: `expose` can hold `http` and `async`, or be `[]`, but not `htp`"}},
      {function_with("scale: {max: 0}"), {"1:44: `max` is `0`, but must be from 1 to 10000"}},
      {function_with("scale: {min: 21}"), {"1:44: `min` (21) is more than `max` (20)"}},
      {function_with("scale: {min: 3, max: 2}"), {"1:52: `min` (3) is more than `max` (2)"}},
      {"defaults: {scale: {min: 3}}\n" + function_with("scale: {max: 2}"), {"2:44: `min` (3) is more than `max` (2)"}},
      {"defaults: {scale: {max: 3}}\n" + function_with("scale: {min: 4}"), {"2:44: `min` (4) is more than `max` (3)"}},
      {"defaults: {scale: {min: 4, max: 3}}\nfunctions: {a: {command: [x]}, b: {command: [x]}}\n",
       {"1:33: `min` (4) is more than `max` (3)"}},
      {function_with("scale: {idle: 1w}"), {"1:45: `idle` is `1w`, which is not a duration"}},
      {function_with("queue: {max_requests: 0, max_bytes: 0, max_wait: 0}"),
       {"1:53: `max_requests` is `0`, but must be from 1", "1:67: `max_bytes` is `0`, but must be at least 1",
        "1:80: `max_wait` must be more than 0"}},
      {function_with("retry: {attempts: 0}"), {"1:49: `attempts` is `0`, but must be from 1 to 100"}},
      {"defaults: {timeout: 1, scale: {max: x}}\n",
       {"1:21: `timeout` is `1` without", "1:37: `max` must be a whole number"}},
  });
}

TEST_CASE("a name that is nearly right is put right") {
  CHECK_THAT(problems(load("functions: {Thumb_Nail: {command: [x]}}\n")).at(0),
             Catch::Contains("did you mean `thumb-nail`?"));
}

TEST_CASE("routes: impossible values") {
  std::string const head = "functions: {thumbnail: {command: [x]}}\nroutes:\n";
  auto const route = [&](const std::string& keys) { return head + "- {function: thumbnail, " + keys + "}\n"; };
  check_all({
      {head + "- {path: /}\n", {"3:3: a route needs a `function`"}},
      {head + "- {function: thumbnail}\n", {"3:3: a route needs a `path` or a `host`"}},
      {head + "- {}\n", {"3:3: a route needs a `function`", "3:3: a route needs a `path` or a `host`"}},
      {head + "- {path: /, function: thumbnial}\n",
       {"3:23: there is no function `thumbnial`: did you mean `thumbnail`?"}},
      {head + "- {path: /, function: other}\n", {"3:23: there is no function `other`: define it under `functions`"}},
      {head + "- {path: /, function: \"\"}\n", {"3:23: `function` is empty"}},
      {route("path: thumb"), {"3:31: `path` must begin with `/`, not be `thumb`"}},
      {route("path: \"\""), {"3:31: `path` must begin with `/`"}},
      {route("path: /a*"), {"3:31: `path` is `/a*`, but a `*` is possible only at the end"}},
      {route("path: /*/b"), {"3:31: `path` is `/*/b`, but a `*` is possible only at the end"}},
      {route("path: /a/../b"),
       {"3:31: `path` is `/a/../b`, which no request matches, because their paths are normalised first: write `/b`"}},
      {route("path: /%41/*"), {"3:31: write `/A/*`"}},
      {route("path: /a%2fb"), {"3:31: write `/a%2Fb`"}},
      {route("path: /../x"), {"3:31: `path` is `/../x`, which climbs above `/`"}},
      {route("path: /a/..;x/b"),
       {"3:31: `path` is `/a/..;x/b`, which has the segment `..;x`, which some servers read as"}},
      {route("path: /a%2F..%5Cb/*"), {"3:31: which has the segment `a%2F..%5Cb`"}},
      {route("path: /.%3B"), {"3:31: which has the segment `.%3B`"}},
      {route("path: /100%"), {"3:31: `path` is `/100%`, which has a `%` that is not followed by two hex digits"}},
      {route("path: \"/a?b=1\""), {"3:31: but a query cannot be matched"}},
      {route("path: \"/a b\""), {"3:31: write `%20`"}},
      {route("path: \"/a#b\""), {"3:31: a `#` never reaches a server"}},
      {route("path: /gr\xc3\xbc\xc3\x9f"), {"3:31: only visible ASCII"}},
      {route("host: example.com:80"), {"3:31: `host` is `example.com:80`, but must not have a port"}},
      {route("host: \"http://example.com/\""), {"3:31: must be only a host name, without scheme"}},
      {route("host: \"[::1]\""), {"3:31: an IPv6 address cannot be matched"}},
      {route("host: \"*\""), {"3:31: leave out `host` for any host"}},
      {route("host: \"\""), {"3:31: `host` is empty"}},
      {route("host: \"a.*.com\""), {"3:31: a `*` is possible only at the front"}},
      {route("host: \"*.*.com\""), {"3:31: a `*` is possible only at the front"}},
      {route("host: \"*.\""), {"3:31: must not end with a dot"}},
      {route("host: example.com."), {"3:31: must not end with a dot"}},
      {route("host: a..b"), {"3:31: each part between dots"}},
      {route("host: \"a b\""), {"3:31: holds only letters, digits"}},
      {route("path: /, methods: GET"), {"3:43: `methods` must be a list such as `[GET, POST]`"}},
      {route("path: /, methods: []"), {"3:43: `methods` must not be empty"}},
      {route("path: /, methods: [GET, post, \"G T\"]"),
       {"3:49: `methods` holds `post`, but methods are in upper case: did you mean `POST`?",
        "3:55: `methods` holds `G T`, which is not a method"}},
      {route("path: /, headers: {\"x y\": a}"), {"3:44: `x y` cannot be the name of a header"}},
      {route("path: /, headers: {X-Tier: a, x-tier: b}"), {"3:55: the header `x-tier` is given twice"}},
      {route("path: /, headers: {x-tier: \" a\"}"), {"3:52: `x-tier` begins or ends with a blank"}},
      {route("path: /, headers: {x-tier: \"a\\nb\"}"), {"3:52: `x-tier` holds a control character"}},
      {route("path: /, headers: {x-tier: }"), {"3:44: `x-tier` has no value"}},
      {route("host: h, rewrite: /"), {"3:34: `rewrite` needs a `path`"}},
      {route("path: /a/*, rewrite: x"), {"3:46: `rewrite` must begin with `/`, not be `x`"}},
      {route("path: /a/*, rewrite: /x/*"), {"3:46: must not hold a `*`"}},
      {route("path: /a/*, rewrite: /x"),
       {"3:46: `rewrite` is `/x`, but must end with `/` when `path` ends with `/*`: write `/x/`"}},
      {route("path: /a/*, rewrite: /./"), {"3:46: `rewrite` is `/./`, which is not in normal form: write `/`"}},
      {route("path: /a, rewrite: \"/x?y\""), {"3:44: a query cannot be matched"}},
  });
}

TEST_CASE("all problems are shown at once, in the order of the file") {
  check_all(
      {{"server: {workers: x, lisen: y}\nroutes:\n  - {path: a, function: f}\nfunctions:\n  f: {timeout: 3}\n  g:\n    "
        "command: x\ndefaults:\n  timeout: 0\n",
        {"1:19: `workers`", "1:22: unknown key `lisen`", "3:12: `path`", "5:3: function `f` has no `command`",
         "5:16: `timeout`", "7:14: `command`", "9:12: `timeout` must be more than 0"}}});
}

TEST_CASE("a function with problems of its own is not missing for a route") {
  check_all(
      {{"functions: {a: {command: x}, B: {command: [x]}}\nroutes: [{path: /, function: a}, {path: /b, function: B}]\n",
        {"1:26: `command` must be a list", "1:30: `B` cannot be a function's name"}}});
}

TEST_CASE("a secret is never shown") {
  auto const found = joined(problems(load("server: {admin_token: \"${SECRET}\"}\n", {{"SECRET", "s3 cret"}})));
  CHECK_THAT(found, Catch::Contains("`admin_token` holds a space") && !Catch::Contains("cret"));
}

TEST_CASE("a problem is FILE:LINE:COLUMN: message") {
  CHECK(config::problem{"rouse.yaml", 3, 14, "no"}.to_string() == "rouse.yaml:3:14: no");
  CHECK(config::problem{"rouse.yaml", 0, 0, "no"}.to_string() == "rouse.yaml: no");
}
