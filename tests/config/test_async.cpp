// `async` of functions, and the URLs that reach them.
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

/// A function `a` with `keys`, which begin in column 31.
std::string function_with(const std::string& keys) {
  return "functions: {a: {command: [x], " + keys + "}}\n";
}

}  // namespace

TEST_CASE("async: every key") {
  auto const got =
      right(function_with("async: {max_requests: 5, max_bytes: 1MiB, max_body: 2KiB, result_ttl: 1d, retry: "
                          "{attempts: 1, delay: 2s, max_delay: 2s}}"))
          .functions.at(0)
          .async;
  CHECK(got.max_requests == 5);
  CHECK(got.max_bytes == 1024 * 1024);
  CHECK(got.max_body == 2048);
  CHECK(got.result_ttl == std::chrono::hours(24));
  CHECK(got.retry.attempts == 1);
  CHECK(got.retry.delay == milliseconds(2000));
  CHECK(got.retry.max_delay == milliseconds(2000));
}

TEST_CASE("async: defaults, and their merge key by key") {
  auto const got = right(
      "defaults: {async: {max_requests: 7, retry: {delay: 3s}}}\n"
      "functions: {a: {command: [x]}, b: {command: [x], async: {retry: {max_delay: 4s}}}}\n");
  auto const& a = got.functions.at(0).async;
  CHECK(a.max_requests == 7);
  CHECK(a.max_bytes == 1024ull * 1024 * 1024);
  CHECK(a.max_body == 10ull * 1024 * 1024);
  CHECK(a.result_ttl == std::chrono::hours(1));
  CHECK(a.retry.attempts == 3);
  CHECK(a.retry.delay == milliseconds(3000));
  CHECK(a.retry.max_delay == milliseconds(60'000));
  auto const& b = got.functions.at(1).async;
  CHECK(b.max_requests == 7);
  CHECK(b.retry.delay == milliseconds(3000));
  CHECK(b.retry.max_delay == milliseconds(4000));
}

TEST_CASE("async: one body is never more than all; nobody has to say so") {
  CHECK(right(function_with("async: {max_bytes: 1MiB}")).functions.at(0).async.max_body == 1024 * 1024);
  check_all({
      {function_with("async: {max_bytes: 1MiB, max_body: 2MiB}"),
       {"1:66: `max_body` (2MiB) is more than `max_bytes` (1MiB), which is for all that waits: raise `max_bytes` or"}},
      {"defaults: {async: {max_body: 5MiB}}\n" + function_with("async: {max_bytes: 4MiB}"),
       {"2:50: `max_body` (5MiB) is more than `max_bytes` (4MiB)"}},
  });
}

TEST_CASE("expose") {
  auto const exposed = [](const std::string& keys) {
    auto const f = right(function_with(keys)).functions.at(0);
    return std::pair(f.expose_http, f.expose_async);
  };
  CHECK(exposed("concurrency: 1") == std::pair(true, true));
  CHECK(exposed("expose: [http]") == std::pair(true, false));
  CHECK(exposed("expose: [async]") == std::pair(false, true));
  CHECK(exposed("expose: [async, http]") == std::pair(true, true));
  CHECK(exposed("expose: []") == std::pair(false, false));
}

TEST_CASE("async: impossible keys and values") {
  check_all({
      {function_with("async: 3"), {"1:38: `async` must be a mapping"}},
      {function_with("async: {max_wait: 3s}"), {"1:39: unknown key `max_wait`: possible here are max_requests"}},
      {function_with("async: {attempts: 3}"), {"1:39: unknown key `attempts`: it belongs under `retry`"}},
      {function_with("async: {retry: {attempt: 3}}"), {"1:47: unknown key `attempt`: did you mean `attempts`?"}},
      {function_with("async: {retry: {backoff: linear}}"), {"1:47: unknown key `backoff`: possible here are attempts"}},
      {function_with("async: {max_requests: 0, max_bytes: 0, max_body: 0, result_ttl: 0}"),
       {"1:53: `max_requests` is `0`, but must be from 1", "1:67: `max_bytes` is `0`, but must be at least 1",
        "1:80: `max_body` is `0`, but must be from 1 to 512MiB", "1:95: `result_ttl` must be more than 0"}},
      {function_with("async: {max_body: 513MiB}"), {"1:49: `max_body` is `513MiB`, but must be from 1 to 512MiB"}},
      {function_with("async: {retry: {attempts: 0, delay: 0, max_delay: 0}}"),
       {"1:57: `attempts` is `0`, but must be from 1 to 100", "1:67: `delay` must be more than 0",
        "1:81: `max_delay` must be more than 0"}},
      {function_with("async: {retry: {delay: 2m}}"),
       {"1:54: `delay` (2m) is more than `max_delay` (1m): raise `max_delay` or lower `delay`"}},
      {function_with("async: {retry: {max_delay: 2s, delay: 3s}}"), {"1:58: `delay` (3s) is more than"}},
      {"defaults: {async: {retry: {delay: 3s}}}\n" + function_with("async: {retry: {max_delay: 2s}}"),
       {"2:58: `delay` (3s) is more than `max_delay` (2s)"}},
      {"defaults: {async: {retry: {delay: 2m}}}\nfunctions: {a: {command: [x]}, b: {command: [x]}}\n",
       {"1:35: `delay` (2m) is more than `max_delay` (1m)"}},
      {"functions: {a: {command: [x], revisions: {v1: {async: {}}}}}\n",
       {"1:48: `async` belongs to the function, not to one of its revisions: move it there"}},
  });
}
