// `scale` with its schedule, and the smaller keys beside it.
#include <algorithm>
#include <catch2/catch.hpp>

#include "config/schedule.hpp"
#include "config/time_zones.hpp"
#include "support.hpp"

using namespace config_test;
using std::chrono::milliseconds;

namespace {

config::function right(const std::string& keys, const std::string& head = "") {
  auto result = load(head + "functions: {a: {command: [x], " + keys + "}}\n");
  INFO(keys);
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

/// A function whose `scale` has `keys`, on line 1 from column 39.
std::string scale_with(const std::string& keys) {
  return "functions: {a: {command: [x], scale: {" + keys + "}}}\n";
}

/// The same with one entry of `schedule`, on line 1 from column 51.
std::string entry_with(const std::string& keys) {
  return scale_with("schedule: [{" + keys + "}]");
}

std::string function_with(const std::string& keys) {
  return "functions: {a: {command: [x], " + keys + "}}\n";
}

}  // namespace

TEST_CASE("every key of scale") {
  auto const s = right(R"(scale: {min: 1, max: 200, metric: rps, target: 7.5, utilization: 1, window: 1h,
    panic_window: 3s, panic_threshold: 1.1, max_up_rate: 10, max_down_rate: 1.5, down_delay: 5m, idle: 0,
    to_zero: freeze, frozen_for: 2h, spare: 3,
    schedule: [{days: mon-fri, from: 02:00, to: "08:00", timezone: Asia/Shanghai, min: 10, max: 100},
               {from: "22:30", to: 24:00, max: 5}, {days: [sat, "fri,sun"], from: 22:00, to: 06:00, min: 2}]})")
                     .revisions.at(0)
                     .scale;
  CHECK(s.min == 1);
  CHECK(s.max == 200);
  CHECK(s.metric == config::scale_metric::rps);
  CHECK(s.target == 7.5);
  CHECK(s.utilization == 1.0);
  CHECK(s.window == milliseconds(3'600'000));
  CHECK(s.panic_window == milliseconds(3000));
  CHECK(s.panic_threshold == 1.1);
  CHECK(s.max_up_rate == 10);
  CHECK(s.max_down_rate == 1.5);
  CHECK(s.down_delay == milliseconds(300'000));
  CHECK(s.idle == milliseconds(0));
  CHECK(s.to_zero == config::to_zero::freeze);
  CHECK(s.frozen_for == milliseconds(7'200'000));
  CHECK(s.spare == 3);
  REQUIRE(s.schedule.size() == 3);
  CHECK(s.schedule[0].when.days == 0x1F);
  CHECK(s.schedule[0].when.from == 120);
  CHECK(s.schedule[0].when.to == 480);
  CHECK(s.schedule[0].when.timezone == "Asia/Shanghai");
  CHECK(s.schedule[0].min == 10);
  CHECK(s.schedule[0].max == 100);
  CHECK(s.schedule[1].when.days == 0x7F);
  CHECK(s.schedule[1].when.from == 22 * 60 + 30);
  CHECK(s.schedule[1].when.to == 1440);
  CHECK(s.schedule[1].when.timezone.empty());
  CHECK_FALSE(s.schedule[1].min);
  CHECK(s.schedule[1].max == 5);
  CHECK(s.schedule[2].when.days == 0x70);
  CHECK(s.schedule[2].when.to == 30 * 60);
}

TEST_CASE("a short window shortens a panic window that nobody set") {
  CHECK(right("scale: {window: 4s}").revisions[0].scale.panic_window == milliseconds(4000));
  CHECK(right("scale: {window: 7s}").revisions[0].scale.panic_window == milliseconds(6000));
  check_all({
      {scale_with("window: 4s, panic_window: 5s"), {"1:65: `panic_window` (5s) is longer than `window` (4s)"}},
      {"defaults: {scale: {panic_window: 5s}}\n" + scale_with("window: 4s"), {"2:47: `panic_window` (5s)"}},
      {"defaults: {scale: {window: 4s}}\n" + scale_with("panic_window: 5s"), {"2:53: `panic_window` (5s)"}},
  });
}

TEST_CASE("scale: impossible values") {
  check_all({
      {scale_with("metric: cpu"), {"1:47: `metric` must be `concurrency`, `rps` or `backlog`, not `cpu`"}},
      {scale_with("metric: rsp"), {"1:47: did you mean `rps`?"}},
      {scale_with("target: 0"), {"1:47: `target` is `0`, but must be from 0.01 to 1000000"}},
      {scale_with("target: 1e3"), {"1:47: `target` must be a number, from 0.01 to 1000000, not `1e3`"}},
      {scale_with("target: nan"), {"1:47: `target` must be a number"}},
      {scale_with("target: 1.2.3"), {"1:47: `target` must be a number"}},
      {scale_with("utilization: 0"), {"1:52: `utilization` is `0`, but must be more than 0, at most 1"}},
      {scale_with("utilization: 1.01"), {"1:52: `utilization` is `1.01`, but must be"}},
      {scale_with("utilization: 70%"), {"1:52: `utilization` must be a number, more than 0, at most 1, not `70%`"}},
      {scale_with("window: 0"), {"1:47: `window` must be more than 0"}},
      {scale_with("window: 2h"), {"1:47: `window` is `2h`, but must be at most 1h"}},
      {scale_with("panic_window: 0s"), {"1:53: `panic_window` must be more than 0"}},
      {scale_with("panic_threshold: 1"), {"1:56: `panic_threshold` is `1`, but must be more than 1"}},
      {scale_with("max_up_rate: 1"), {"1:52: `max_up_rate` is `1`, but must be more than 1"}},
      {scale_with("max_down_rate: 0.5"), {"1:54: `max_down_rate` is `0.5`, but must be more than 1"}},
      {scale_with("to_zero: freze"),
       {"1:48: `to_zero` must be `stop` or `freeze`, not `freze`: did you mean `freeze`?"}},
      {scale_with("spare: -1"), {"1:46: `spare` must be a whole number"}},
      {scale_with("schedule: {}"), {"1:49: `schedule` must be a list such as"}},
      {function_with("window: 3s"), {"1:31: unknown key `window`: it belongs under `scale`"}},
      {function_with("to_zer: stop"), {"1:31: unknown key `to_zer`"}},
  });
}

TEST_CASE("schedule: impossible entries") {
  std::string const time = "from: 01:00, to: 02:00";
  check_all({
      {entry_with(time), {"1:50: an entry of `schedule` needs a `min` or a `max`"}},
      {entry_with("min: 1"), {"1:50: an entry of `schedule` needs `from` and `to`, such as"}},
      {entry_with("from: 01:00, min: 1"), {"1:50: needs a `to`"}},
      {entry_with("to: 01:00, min: 1"), {"1:50: needs a `from`"}},
      {entry_with("from: 01:00, to: 01:00, min: 1"),
       {"1:68: `to` is the same time as `from`: write `00:00` and `24:00` for a whole day"}},
      {entry_with("from: 24:00, to: 01:00, min: 1"),
       {"1:57: `from` must be a time of the day such as `08:00`, not `24:00`: did you mean `00:00`?"}},
      {entry_with("from: 8:00, to: 8pm, min: 1"),
       {"1:57: `from` must be a time of the day such as `08:00`, not `8:00`: did you mean `08:00`?",
        "1:67: `to` must be a time of the day such as `20:00` or `24:00`, not `8pm`"}},
      {entry_with("from: 01:60, to: 24:01, min: 1"), {"1:57: `from` must be", "1:68: `to` must be"}},
      {entry_with("from: 01:00:00, to: 0x:00, min: 1"), {"1:57: `from` must be", "1:71: `to` must be"}},
      {entry_with(time + ", min: 3, max: 2"), {"1:88: `min` (3) is more than `max` (2)"}},
      {entry_with(time + ", min: 21"), {"1:80: `min` (21) is more than `max` (20): give this entry a `max`"}},
      {scale_with("min: 3, schedule: [{" + time + ", max: 2}]"), {"1:88: `max` (2) is less than `min` (3)"}},
      {entry_with(time + ", max: 0"), {"1:80: `max` is `0`, but must be from 1"}},
      {entry_with(time + ", mim: 1"),
       {"1:50: needs a `min` or a `max`", "1:75: unknown key `mim`: did you mean `min`?"}},
      {entry_with(time + ", min: 1, days: monday"),
       {"1:89: `days` is `monday`, but `monday` is no day: did you mean `mon`?"}},
      {entry_with(time + ", min: 1, days: Mon"), {"1:89: did you mean `mon`?"}},
      {entry_with(time + ", min: 1, days: mon-"), {"1:89: `days` is `mon-`, but `` is no day: use mon, tue"}},
      {entry_with(time + ", min: 1, days: \"mon,\""), {"1:89: `` is no day"}},
      {entry_with(time + ", min: 1, days: []"), {"1:89: `days` must not be empty"}},
      {entry_with(time + ", min: 1, days: [sat, 7]"), {"1:95: `7` is no day"}},
      {entry_with(time + ", min: 1, timezone: \"\""), {"1:93: `timezone` is empty"}},
      {entry_with(time + ", min: 1, timezone: asia/shangai"),
       {"1:93: `timezone` is `asia/shangai`, which is not in the tz database: did you mean `Asia/Shanghai`?"}},
      {entry_with(time + ", min: 1, timezone: Nowhere/Atall"),
       {"1:93: which is not in the tz database: write a name such as"}},
      {entry_with(time + ", min: 1, timezone: ../zoneinfo/UTC"), {"1:93: which is not in the tz database"}},
      {entry_with(time + ", min: 1, timezone: /usr/share/zoneinfo/UTC"), {"1:93: which is not in the tz database"}},
  });
}

TEST_CASE("an entry of a schedule may rely on another's bounds") {
  // Whether the two meet only shows when the time comes; what can never hold is refused above.
  CHECK(right("scale: {schedule: [{from: 01:00, to: 03:00, min: 30}, {from: 00:00, to: 24:00, max: 40}]}")
            .revisions[0]
            .scale.schedule.size() == 2);
}

TEST_CASE("days") {
  auto const days = [](std::string_view text) { return config::parse_days(text).value.value_or(0); };
  CHECK(days("mon") == 0x01);
  CHECK(days("sun") == 0x40);
  CHECK(days("mon-fri") == 0x1F);
  CHECK(days("mon-sun") == 0x7F);
  CHECK(days("fri-mon") == 0x71);
  CHECK(days("sun-mon") == 0x41);
  CHECK(days("wed-wed") == 0x04);
  CHECK(days("mon,wed,fri") == 0x15);
  CHECK(days("mon, wed - fri") == 0x1D);
  CHECK(days("") == 0);
  CHECK(days("mon,,tue") == 0);
  CHECK(days("mon-tue-wed") == 0);
}

TEST_CASE("names of time zones") {
  CHECK(config::known_timezone("Europe/Berlin"));
  CHECK(config::known_timezone("UTC"));
  CHECK(config::known_timezone("America/Argentina/Ushuaia"));
  for (const char* name :
       {"", "Europe", "Europe/", "/UTC", "../zoneinfo/UTC", "Europe/../UTC", "./UTC", "Europe//Berlin", "zone.tab",
        "tzdata.zi", "posix/UTC", "right/UTC", "localtime", "europe/berlin"}) {
    INFO(name);
    CHECK_FALSE(config::known_timezone(name));
  }
  auto const names = config::timezone_names();
  // What is suggested must be taken.
  CHECK(std::all_of(names.begin(), names.end(), [](const std::string& name) { return config::known_timezone(name); }));
  CHECK(names.size() > 300);
  CHECK(std::find(names.begin(), names.end(), "Asia/Shanghai") != names.end());
  CHECK(std::find(names.begin(), names.end(), "posix/UTC") == names.end());
}

TEST_CASE("retry, outlier, rate_limit, fallback, drain_max, sticky") {
  auto const f = right(R"(retry: {budget: 5%}, outlier: {failures: 0, eject: 1m}, rate_limit: {rps: 0.5, burst: 3},
    fallback: {status: 503, content_type: "application/json; x=y", body: '{"a":1}'}, drain_max: 0, sticky: {header: X-User})");
  auto const& r = f.revisions.at(0);
  CHECK(r.retry.attempts == 2);
  CHECK(r.retry.budget == Approx(0.05));
  CHECK(r.outlier.failures == 0);
  CHECK(r.outlier.eject == milliseconds(60'000));
  CHECK(r.drain_max == milliseconds(0));
  CHECK(f.rate_limit.rps == 0.5);
  CHECK(f.rate_limit.burst == 3);
  REQUIRE(f.fallback);
  CHECK(f.fallback->status == 503);
  CHECK(f.fallback->content_type == "application/json; x=y");
  CHECK(f.fallback->body == "{\"a\":1}");
  REQUIRE(f.sticky);
  CHECK(f.sticky->header == "x-user");
  CHECK(f.sticky->cookie.empty());
  CHECK(right("sticky: {cookie: Lane}").sticky->cookie == "Lane");
  CHECK(right("sticky: {cookie: Lane}").sticky->header.empty());
  CHECK(right("retry: {budget: 0.25}").revisions[0].retry.budget == 0.25);
  CHECK(right("retry: {budget: 100%}").revisions[0].retry.budget == 1);
  CHECK_FALSE(right("timeout: 3s").fallback);
  CHECK_FALSE(right("timeout: 3s").sticky);
}

TEST_CASE("they have defaults as well, merged key by key; sticky is one thing") {
  std::string const head =
      "defaults: {retry: {budget: 5%}, outlier: {eject: 3s}, rate_limit: {rps: 4}, fallback: {body: x}, drain_max: 3s, "
      "sticky: {header: x-a}, scale: {window: 9s, schedule: [{from: 01:00, to: 02:00, min: 1}]}}\n";
  auto const f = right(
      "retry: {attempts: 3}, outlier: {failures: 9}, rate_limit: {burst: 2}, fallback: {status: 201}, sticky: {cookie: "
      "b}, scale: {max: 7}",
      head);
  auto const& r = f.revisions.at(0);
  CHECK(r.retry.budget == Approx(0.05));
  CHECK(r.retry.attempts == 3);
  CHECK(r.outlier.eject == milliseconds(3000));
  CHECK(r.outlier.failures == 9);
  CHECK(r.drain_max == milliseconds(3000));
  CHECK(f.rate_limit.rps == 4);
  CHECK(f.rate_limit.burst == 2);
  CHECK(f.fallback->body == "x");
  CHECK(f.fallback->status == 201);
  CHECK(f.sticky->header.empty());
  CHECK(f.sticky->cookie == "b");
  CHECK(r.scale.window == milliseconds(9000));
  CHECK(r.scale.max == 7);
  CHECK(r.scale.schedule.size() == 1);
  CHECK(right("scale: {schedule: []}", head).revisions[0].scale.schedule.empty());
}

TEST_CASE("the smaller keys: impossible values") {
  check_all({
      {function_with("retry: {budget: 20}"),
       {"1:47: `budget` is `20`, but must be from 0 to 100%: did you mean `20%`?"}},
      {function_with("retry: {budget: 101%}"), {"1:47: `budget` is `101%`, but must be from 0 to 100%"}},
      {function_with("retry: {budget: few}"), {"1:47: `budget` must be a part such as `20%` or `0.2`, not `few`"}},
      {function_with("outlier: {failures: -1, eject: 0}"),
       {"1:51: `failures` must be a whole number", "1:62: `eject` must be more than 0"}},
      {function_with("outlier: {failure: 1}"), {"1:41: unknown key `failure`: did you mean `failures`?"}},
      {function_with("rate_limit: {rps: -1}"), {"1:49: `rps` must be a number"}},
      {function_with("rate_limit: {rps: 1, burst: 1.5}"), {"1:59: `burst` must be a whole number"}},
      {function_with("fallback: {status: 199}"), {"1:50: `status` is `199`, but must be from 200 to 599"}},
      {function_with("fallback: {status: 204, body: x}"),
       {"1:41: `fallback` has a `body`, which no answer with the status 204"}},
      {function_with("fallback: {content_type: \"a\\nb\"}"), {"1:56: `content_type` must be a media type"}},
      {function_with("fallback: {content_type: \"\"}"), {"1:56: `content_type` must be a media type"}},
      {function_with("fallback: x"), {"1:41: `fallback` must be a mapping"}},
      {function_with("sticky: {}"), {"1:39: `sticky` must have exactly one of `header` and `cookie`"}},
      {function_with("sticky: {header: a, cookie: b}"), {"1:39: `sticky` must have exactly one"}},
      {function_with("sticky: {header: \"a b\"}"), {"1:48: `header` is `a b`, which cannot be the name of a header"}},
      {function_with("sticky: {cookie: \"a=b\"}"), {"1:48: `cookie` is `a=b`, which cannot be the name of a cookie"}},
      {function_with("sticky: x-user"), {"1:39: `sticky` must be a mapping"}},
      {function_with("drain_max: forever"), {"1:42: `drain_max` must be a duration"}},
  });
}

TEST_CASE("the data folder is absolute, below the main file's") {
  folder const tmp;
  auto const data_dir = [&](const std::string& text) {
    auto const got = config::load(tmp.write("conf/rouse.yaml", text), env_of({}));
    INFO(joined(problems(got)));
    REQUIRE(got.value);
    return got.value->server.data_dir;
  };
  CHECK(data_dir("") == tmp.path("conf/rouse-data"));
  CHECK(data_dir("server: {workers: 1}\n") == tmp.path("conf/rouse-data"));
  CHECK(data_dir("server: {data_dir: ../kept/}\n") == tmp.path("kept"));
  CHECK(data_dir("server: {data_dir: /var/lib/rouse}\n") == "/var/lib/rouse");
  CHECK(load("").value->server.data_dir == fs::current_path().string() + "/rouse-data");
  check_all({
      {"server: {data_dir: \"\"}\n", {"1:20: `data_dir` is empty"}},
      {"server: {data_dir: /dev/null}\n", {"1:20: `data_dir` is `/dev/null`, which is not a directory"}},
  });
}
