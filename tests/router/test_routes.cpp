#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "router/normalise.hpp"
#include "router/routes.hpp"

using namespace rouse;
using router::route_error;

namespace {
std::atomic<std::size_t> allocations{0};
}

// Not inlined: g++ 12 otherwise takes the pair below for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

using fields = std::map<std::string, std::string, std::less<>>;

bool look_up(const void* all, std::string_view name, std::string& value) {
  const auto& known = *static_cast<const fields*>(all);
  const auto found = known.find(name);
  if (found == known.end()) return false;
  value = found->second;
  return true;
}

struct request {
  std::string method = "GET", host = "example.com", target = "/";
  fields headers = {};

  [[nodiscard]] router::request_view view() const { return {method, host, target, &headers, look_up}; }
};

config::function function(std::string name) {
  config::function made;
  made.revisions.emplace_back().name = name + "-0a1b2c";
  made.weights = {1};
  made.name = std::move(name);
  return made;
}

config::route route(std::string host, std::string path, std::string to) {
  config::route made;
  made.host = std::move(host);
  made.path = std::move(path);
  made.function = std::move(to);
  return made;
}

config::route rewriting(std::string path, std::string to, std::string rewrite) {
  config::route made = route("", std::move(path), std::move(to));
  made.rewrite = std::move(rewrite);
  return made;
}

/// A config and its table.
struct world {
  explicit world(std::vector<config::route> routes, bool function_urls = true) {
    for (const char* name : {"a", "b", "c", "echo"}) config.functions.push_back(function(name));
    config.functions.push_back(function("hidden"));
    config.functions.back().expose_http = false;
    config.routes = std::move(routes);
    config.server.function_urls = function_urls;
    table = std::make_unique<router::route_table>(config);
  }

  /// "FUNCTION TARGET", or what went wrong.
  std::string ask(const request& asked) {
    const router::route_match match = table->match(asked.view(), scratch);
    switch (match.error) {
      case route_error::none:
        return config.functions[match.function].name + " " + std::string(match.target);
      case route_error::no_route:
        return "no_route";
      case route_error::no_revision:
        return "no_revision " + config.functions[match.function].name;
      case route_error::bad_target:
        return "bad_target";
    }
    return "?";
  }
  std::string get(std::string target, std::string host = "example.com") {
    return ask({.host = std::move(host), .target = std::move(target)});
  }

  config::snapshot config;
  std::unique_ptr<router::route_table> table;
  std::string scratch;
};

// --- first match wins, the plain way
// ----------------------------------------------------------------------------------

bool plainly_takes(const config::route& route, const request& asked, const std::string& key) {
  std::string host = asked.host;
  std::ranges::transform(host, host.begin(), [](unsigned char c) { return std::tolower(c); });
  if (host.ends_with('.')) host.pop_back();
  if (route.host.starts_with("*.")) {
    const std::string suffix = route.host.substr(1);
    if (!host.ends_with(suffix) || host.size() == suffix.size()) return false;
  } else if (!route.host.empty() && route.host != host) {
    return false;
  }
  if (route.path.ends_with("/*")) {
    if (!key.starts_with(route.path.substr(0, route.path.size() - 1))) return false;
  } else if (!route.path.empty() && route.path != key) {
    return false;
  }
  if (!route.methods.empty() && std::ranges::find(route.methods, asked.method) == route.methods.end()) return false;
  return std::ranges::all_of(route.headers, [&](const auto& wanted) {
    const auto found = asked.headers.find(wanted.first);
    return found != asked.headers.end() && found->second == wanted.second;
  });
}

template <class T>
const T& any_of(std::mt19937& random, const std::vector<T>& values) {
  return values[random() % values.size()];
}

std::string random_path(std::mt19937& random) {
  static const std::vector<std::string> segments = {"a", "b", "", "long-segment-name"};
  std::string path;
  for (unsigned n = 1 + random() % 4; n > 0; --n) path += "/" + any_of(random, segments);
  return path;
}

config::route random_route(std::mt19937& random, const std::vector<config::function>& functions) {
  static const std::vector<std::string> hosts = {"",          "",          "a.com",        "b.a.com",
                                                 "*.a.com",   "*.b.a.com", "*.c.b.a.com",  "[::1]",
                                                 "localhost", "*.com",     "*.d.c.b.a.com"};
  config::route made = route(any_of(random, hosts), "", any_of(random, functions).name);
  const unsigned kind = random() % 8;
  if (kind > 0) made.path = random_path(random);
  if (kind > 4) made.path += made.path.ends_with('/') ? "*" : "/*";
  if (random() % 4 == 0) made.methods = {any_of<std::string>(random, {"GET", "POST"})};
  if (random() % 4 == 0) made.headers.emplace_back("x-tier", any_of<std::string>(random, {"gold", "tin"}));
  if (random() % 8 == 0) made.headers.emplace_back("x-lane", "blue");
  return made;
}

request random_request(std::mt19937& random) {
  static const std::vector<std::string> hosts = {"",
                                                 "a.com",
                                                 "A.com.",
                                                 "b.a.com",
                                                 "x.b.a.com",
                                                 "c.B.a.com",
                                                 "d.c.b.a.com",
                                                 "e.d.c.b.a.com",
                                                 "[::1]",
                                                 "LOCALHOST",
                                                 ".a.com",
                                                 "com",
                                                 "x.com",
                                                 "other.org",
                                                 "xa.com",
                                                 "..a.com",
                                                 "very.long.name.that.is.below.a.com"};
  request made{.method = any_of<std::string>(random, {"GET", "POST", "HEAD"}),
               .host = any_of(random, hosts),
               .target = random_path(random)};
  if (random() % 2 == 0) made.headers["x-tier"] = any_of<std::string>(random, {"gold", "tin", "Gold"});
  if (random() % 2 == 0) made.headers["x-lane"] = "blue";
  return made;
}

/// The same path in another spelling.
std::string respelled(std::mt19937& random, const std::string& path) {
  std::string out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (c == '/') {
      out += '/';
      while (random() % 4 == 0) out += any_of<std::string>(random, {"./", "%2e/", "x/../", "y/z/%2E./.%2e/"});
    } else if (random() % 3 == 0) {
      char escape[4];
      std::snprintf(escape, sizeof escape, random() % 2 == 0 ? "%%%02x" : "%%%02X", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

TEST_CASE("hosts") {
  world w({route("example.com", "", "a"), route("*.example.com", "", "b"), route("[::1]", "", "c"),
           route("*.deep.test", "", "a")});
  CHECK(w.get("/", "example.com") == "a /");
  CHECK(w.get("/", "EXAMPLE.Com.") == "a /");
  CHECK(w.get("/", "x.example.com") == "b /");
  CHECK(w.get("/", "X.y.Example.COM.") == "b /");
  CHECK(w.get("/", ".example.com") == "no_route");
  CHECK(w.get("/", "xexample.com") == "no_route");
  CHECK(w.get("/", "example.com.evil.test") == "no_route");
  CHECK(w.get("/", "example.com..") == "no_route");
  CHECK(w.get("/", "[::1]") == "c /");
  CHECK(w.get("/", "deep.test") == "no_route");
  CHECK(w.get("/", "") == "no_route");
  CHECK(w.get("/", ".") == "no_route");
}

TEST_CASE("paths") {
  world w({route("", "/exact", "a"), route("", "/thumb/*", "b"), route("", "/dir/", "c"), route("", "/user:me", "c")});
  CHECK(w.get("/exact") == "a /exact");
  CHECK(w.get("/exact?x=/y") == "a /exact?x=/y");
  CHECK(w.get("/exact/") == "no_route");
  CHECK(w.get("/Exact") == "no_route");
  CHECK(w.get("/thumb/") == "b /thumb/");
  CHECK(w.get("/thumb/x/y?z") == "b /thumb/x/y?z");
  CHECK(w.get("/thumb//x") == "b /thumb//x");
  CHECK(w.get("/thumb") == "no_route");
  CHECK(w.get("/thumb?x") == "no_route");
  CHECK(w.get("/thumbs/x") == "no_route");
  CHECK(w.get("/thumb%2Fx") == "no_route");
  CHECK(w.get("/dir/") == "c /dir/");
  CHECK(w.get("/dir") == "no_route");
  CHECK(w.get("/user%3ame") == "c /user%3ame");
  CHECK(w.get("//thumb/x") == "no_route");
}

TEST_CASE("first match wins, however specific a later one is") {
  world w({route("", "/a/*", "a"), route("example.com", "/a/b", "b"), route("", "", "c")});
  CHECK(w.get("/a/b") == "a /a/b");
  CHECK(w.get("/x") == "c /x");
  world other({route("example.com", "/a/b", "b"), route("*.com", "/a/*", "c"), route("", "/a/*", "a")});
  CHECK(other.get("/a/b") == "b /a/b");
  CHECK(other.get("/a/c") == "c /a/c");
  CHECK(other.get("/a/c", "x.org") == "a /a/c");
}

TEST_CASE("methods and headers") {
  config::route post = route("", "/x", "a");
  post.methods = {"POST", "PUT"};
  config::route gold = route("", "/x", "b");
  gold.headers = {{"x-tier", "gold"}, {"x-lane", ""}};
  world w({post, gold, route("", "/x", "c")});
  CHECK(w.ask({.method = "POST", .target = "/x"}) == "a /x");
  CHECK(w.ask({.method = "PUT", .target = "/x"}) == "a /x");
  CHECK(w.ask({.method = "post", .target = "/x"}) == "c /x");
  CHECK(w.ask({.target = "/x", .headers = {{"x-tier", "gold"}, {"x-lane", ""}}}) == "b /x");
  CHECK(w.ask({.target = "/x", .headers = {{"x-tier", "gold"}}}) == "c /x");
  CHECK(w.ask({.target = "/x", .headers = {{"x-tier", "gold "}, {"x-lane", ""}}}) == "c /x");
  CHECK(w.ask({.target = "/x", .headers = {{"x-tier", "gold, gold"}, {"x-lane", ""}}}) == "c /x");

  request no_callback{.target = "/x"};
  router::request_view view = no_callback.view();
  view.field = nullptr;
  CHECK(w.config.functions[w.table->match(view, w.scratch).function].name == "c");
}

TEST_CASE("rewrite replaces what stands before the star, and keeps the query") {
  world w({rewriting("/thumb/*", "a", "/"), rewriting("/v1/api/*", "b", "/api/v1/"), rewriting("/old", "c", "/new/one"),
           rewriting("/glue/*", "a", "/x")});
  CHECK(w.get("/thumb/") == "a /");
  CHECK(w.get("/thumb/x/y?q=%2e%2e/") == "a /x/y?q=%2e%2e/");
  CHECK(w.get("/thumb//x") == "a //x");
  CHECK(w.get("/v1/api/x") == "b /api/v1/x");
  CHECK(w.get("/old?x=1") == "c /new/one?x=1");
  CHECK(w.get("/old") == "c /new/one");
  CHECK(w.get("/glue/y") == "a /xy");
  CHECK(w.get("/thumb?x=1") == "no_route");
}

TEST_CASE("what follows a rewrite is the normalised path: nobody climbs above it") {
  world w({rewriting("/thumb/*", "a", "/in/"), route("", "/*", "b")});
  CHECK(w.get("/thumb/x/../y") == "a /in/y");
  CHECK(w.get("/thumb/x/%2e%2e/%2E/y?z") == "a /in/y?z");
  CHECK(w.get("/thumb/../y") == "b /thumb/../y");
  CHECK(w.get("/q/../thumb/y") == "a /in/y");
  CHECK(w.get("/thumb/../../y") == "bad_target");
  CHECK(w.get("/thumb/..%2fy") == "bad_target");
  CHECK(w.get("/thumb/..;/y") == "bad_target");
  CHECK(w.get("/thumb//../y") == "bad_target");
  CHECK(w.get("/%74humb/a%3bb%2fc") == "a /in/a%3Bb%2Fc");  // the function's to decode
  CHECK(w.get("/thumb/caf\xc3\xa9|") == "a /in/caf%C3%A9%7C");
  CHECK(w.get("/thu%6db/" + std::string(500, 'x') + "%3a") == "a /in/" + std::string(500, 'x') + "%3A");
}

TEST_CASE("no spelling gets round a route") {
  world w({route("", "/admin/*", "hidden"), route("", "/admin", "hidden"), route("", "/*", "a")});
  for (const std::string target : {"/admin/x", "/admin", "/%61dmin/x", "/%61%64%6D%69%6e", "/./admin/x", "/%2e/admin/x",
                                   "/a/../admin/x", "/a/%2e%2E/admin/x", "/a/b/../../admin/x", "/admin/./x", "/admin/",
                                   "/admin?x", "/admin/..a", "/a/..?/../admin"}) {
    const bool expected = target != "/a/..?/../admin";
    CAPTURE(target);
    CHECK((w.get(target) == "hidden " + target) == expected);
  }
  for (const std::string target : {"/a/..;/admin/x", "/a/..%2fadmin", "/a/..%5cadmin", "/a/..\\admin", "/a//../admin",
                                   "/../admin", "/admin#", "/admin%00", "/admin%", "/a;/..%2f../admin"})
    CHECK(w.get(target) == "bad_target");
}

TEST_CASE("a route sends on what the caller sent, byte by byte") {
  world w({route("", "/*", "a")});
  for (const std::string target : {"/%61%2e/./x/../y?%zz", "/caf\xc3\xa9", "/a%2fb", "/?", "/??", "//"}) {
    const request asked{.target = target};
    const router::request_view view = asked.view();
    const router::route_match match = w.table->match(view, w.scratch);
    CHECK(match.error == route_error::none);
    CHECK(match.target.data() == view.target.data());
    CHECK(match.target == target);
  }
}

TEST_CASE("OPTIONS * is taken by routes without a path only") {
  world w({route("", "/*", "a"), rewriting("/x/*", "a", "/"), route("example.com", "", "b")});
  CHECK(w.ask({.method = "OPTIONS", .target = "*"}) == "b *");
  CHECK(w.ask({.method = "OPTIONS", .host = "other.com", .target = "*"}) == "no_route");
  CHECK(w.ask({.method = "GET", .target = "*"}) == "bad_target");
  CHECK(w.ask({.method = "OPTIONS", .target = "*x"}) == "bad_target");
}

TEST_CASE("built-in URLs come before all routes") {
  world w({route("", "/*", "a"), route("", "", "b")});
  CHECK(w.get("/function/echo") == "echo /");
  CHECK(w.get("/function/echo/") == "echo /");
  CHECK(w.get("/function/echo?x=1") == "echo /?x=1");
  CHECK(w.get("/function/echo/?x=1") == "echo /?x=1");
  CHECK(w.get("/function/echo/a/b?x=/1") == "echo /a/b?x=/1");
  CHECK(w.get("/function/echo//a") == "echo //a");
  CHECK(w.get("/function/echo@echo-0a1b2c/x") == "echo /x");
  CHECK(w.get("/function/echo%40echo-0a1b2c/x") == "echo /x");
  CHECK(w.get("/function/echo@other/x") == "no_revision echo");
  CHECK(w.get("/function/echo@/x") == "no_revision echo");
  CHECK(w.get("/function/echo@a@echo-0a1b2c") == "no_revision echo");
  CHECK(w.get("/function/Echo") == "no_route");
  CHECK(w.get("/function/nobody/x") == "no_route");
  CHECK(w.get("/function/") == "no_route");
  CHECK(w.get("/function//echo") == "no_route");
  CHECK(w.get("/function/@echo-0a1b2c") == "no_route");
  CHECK(w.get("/function/hidden/x") == "no_route");
  CHECK(w.get("/function/hidden@other/x") == "no_route");
  CHECK(w.get("/function") == "a /function");
  CHECK(w.get("/functions/echo") == "a /functions/echo");
  CHECK(w.get("//function/echo") == "a //function/echo");
  world off({route("", "/*", "a")}, false);
  CHECK(off.get("/function/echo/x") == "a /function/echo/x");
}

TEST_CASE("a revision can be named in the URL, also one without traffic") {
  config::snapshot config;
  config.functions = {function("a"), function("echo")};
  auto& echo = config.functions[1];
  echo.revisions.front().name = "v1";
  echo.revisions.emplace_back().name = "v2";
  echo.revisions.emplace_back().name = "v2-long";
  echo.weights = {1, 0, 0};
  config.routes = {route("", "/v2/*", "echo")};
  const router::route_table table(config);
  std::string scratch;
  const auto ask = [&](std::string target) {
    return table.match(request{.target = std::move(target)}.view(), scratch).revision;
  };
  CHECK(ask("/function/echo@v1/x") == 0);
  CHECK(ask("/function/echo@v2/x") == 1);
  CHECK(ask("/function/echo@v2?x=@v1") == 1);
  CHECK(ask("/function/echo@v2-long") == 2);
  CHECK(ask("/function/echo%40v2/%2e/") == 1);
  CHECK(ask("/function/echo/@v2") == router::route_match::not_named);
  CHECK(ask("/function/echo") == router::route_match::not_named);
  CHECK(ask("/v2/echo") == router::route_match::not_named);
  const auto unknown = table.match(request{.target = "/function/echo@v3"}.view(), scratch);
  CHECK(unknown.error == route_error::no_revision);
  CHECK(unknown.function == 1);
  CHECK(unknown.revision == router::route_match::not_named);
  CHECK(table.match(request{.target = "/function/a@v1"}.view(), scratch).error == route_error::no_revision);
}

TEST_CASE("built-in URLs are found under every spelling, and pass the rest on as sent") {
  world w({route("", "/*", "a")});
  CHECK(w.get("/function/echo/a/../b%2f%61") == "echo /a/../b%2f%61");  // stays below the name: the caller's own affair
  CHECK(w.get("/function/echo/.") == "echo /.");
  CHECK(w.get("/f%75nction/%65cho/%61?b") == "echo /%61?b");
  CHECK(w.get("/f%75nction/%65cho?b") == "echo /?b");
  CHECK(w.get("/function/a/../b/x%61") == "b /xa");
  CHECK(w.get("/function/a/../b?q") == "b /?q");
  CHECK(w.get("/function/a/../b/x/../y/?q") == "b /y/?q");
  CHECK(w.get("/function/a/x/../../b/c") == "b /c");
  CHECK(w.get("/./function/b/%2e/c") == "b /c");
  CHECK(w.get("/function/./b/c") == "b /c");
  CHECK(w.get("/x/../function/b/c:%3a") == "b /c:%3A");
  CHECK(w.get("/function/a/..") == "no_route");
  CHECK(w.get("/function/a/../../x") == "a /function/a/../../x");
  CHECK(w.get("/function/a/../../../x") == "bad_target");
  CHECK(w.get("/function/hidden/../b/x") == "b /x");
  CHECK(w.get("/function/b/../hidden/x") == "no_route");
  CHECK(w.get("/function/b%2f..%2fhidden/x") == "bad_target");
}

TEST_CASE("what could never work is refused with a reason") {
  const auto reason = [](const config::route& made) -> std::string {
    try {
      world w({route("", "/", "a"), made});
    } catch (const std::invalid_argument& problem) {
      return problem.what();
    }
    return "accepted";
  };
  CHECK(reason(route("", "/x", "nobody")) == "routes[1]: there is no function \"nobody\"");
  for (const std::string path : {"x", "/../x", "/%zz", "/a?b", "/a#", "*", "/a b/*"})
    CHECK(reason(route("", path, "a")).find("can never match") != std::string::npos);
  CHECK(reason(rewriting("", "a", "/")).find("needs a `path`") != std::string::npos);
  for (const std::string rewrite : {"", "x/", "/x?y"})
    CHECK(reason(rewriting("/x/*", "a", rewrite)).find("is not a path") != std::string::npos);
}

TEST_CASE("route paths are normalised too") {
  world w({route("Example.COM.", "/%61/./b/*", "a"), route("*.Example.com", "/user%3Ax", "b")});
  CHECK(w.get("/a/b/c") == "a /a/b/c");
  CHECK(w.get("/user:x", "www.example.com") == "b /user:x");
}

TEST_CASE("the index agrees with a walk through the list, on random configs and requests") {
  std::mt19937 random(11);
  unsigned found = 0, missed = 0;
  for (int round = 0; round < 400; ++round) {
    config::snapshot config;
    for (int i = 0; i < 80; ++i) config.functions.push_back(function("f" + std::to_string(i)));
    const unsigned count = 1 + random() % 80;
    for (unsigned i = 0; i < count; ++i) {
      config.routes.push_back(random_route(random, config.functions));
      config.routes.back().function = "f" + std::to_string(i);  // which route it was
    }
    const router::route_table table(config);
    std::string scratch;
    for (int i = 0; i < 100; ++i) {
      request asked = random_request(random);
      const std::string key = asked.target;
      if (random() % 2 == 0) asked.target = respelled(random, key);
      const auto expected =
          std::ranges::find_if(config.routes, [&](const auto& r) { return plainly_takes(r, asked, key); });
      const router::route_match match = table.match(asked.view(), scratch);
      const bool same =
          expected == config.routes.end()
              ? match.error == route_error::no_route
              : match.error == route_error::none && config.functions[match.function].name == expected->function;
      if (!same) FAIL(asked.method << " " << asked.host << " " << asked.target << ": function " << match.function);
      ++(match.error == route_error::none ? found : missed);
    }
  }
  CHECK(found > 5'000);
  CHECK(missed > 1'000);
}

TEST_CASE("requests that need no rewriting allocate nothing") {
  config::route tier = route("*.example.com", "/tier/*", "b");
  tier.headers = {{"x-tier", "gold"}};
  tier.methods = {"GET"};
  world w({tier, route("example.com", "/exact", "a"), route("", "/*", "c")});
  w.scratch = std::string();
  for (const std::string target :
       {"/exact", "/tier/some/long/path/that/does/not/fit/into/a/short/string?with=a&query",
        "/.well-known/a%2Fb/caf%C3%A9/x", "/function/echo/some/long/path/that/does/not/fit/into/a/short/string",
        "/function/echo", "/nothing#", "//a//b//"}) {
    for (const std::string host : {"example.com", "a.name.much.longer.than.a.short.string.EXAMPLE.com."}) {
      const request asked{.host = host, .target = target, .headers = {{"x-tier", "gold"}}};
      const router::request_view view = asked.view();
      const std::size_t before = allocations;
      const router::route_match match = w.table->match(view, w.scratch);
      const std::size_t after = allocations;
      CAPTURE(target, host);
      CHECK(after == before);
      CHECK((match.error == route_error::none || target == "/nothing#"));
    }
  }
  // The counter counts.
  const std::size_t before = allocations;
  CHECK(w.get("/function/a/../echo/" + std::string(100, 'x')).starts_with("echo /x"));
  CHECK(allocations > before);
}

TEST_CASE("hostile requests stay cheap against a big table") {
  config::snapshot config;
  config.functions.push_back(function("a"));
  for (int i = 0; i < 10'000; ++i) {
    const std::string n = std::to_string(i);
    const std::string deep = i % 3 == 0 ? "/x/*" : i % 3 == 1 ? "/*" : "";
    config.routes.push_back(route(i % 2 == 0 ? "*.h" + n + ".test" : "", "/p" + n + deep, "a"));
  }
  config.routes.push_back(route("*.a.a.a", "/a/a/a/a/*", "a"));
  const router::route_table table(config);
  std::string slashes(30'000, '/'), segments, escapes = "/", labels;
  while (segments.size() < 65'536) segments += "/a";
  while (escapes.size() < 65'536) escapes += "%3a";
  for (int i = 0; i < 200; ++i) labels += "a.";
  std::string scratch;
  const std::clock_t begin = std::clock();
  int runs = 0;
  for (const std::string& host : {labels, std::string(65'536, '.'), std::string(65'536, 'a')}) {
    for (const std::string& target : {slashes, segments, escapes, "/" + std::string(65'536, 'a'), "/a?" + slashes}) {
      const request asked{.host = host, .target = target};
      const router::request_view view = asked.view();
      for (int i = 0; i < 10; ++i, ++runs) (void)table.match(view, scratch);
    }
  }
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;  // of CPU: others may be busy
  CHECK(seconds / runs < 0.02);  // under a millisecond each without sanitizers
  CHECK(scratch.capacity() < 1'000'000);
}
