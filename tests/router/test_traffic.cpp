#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "router/traffic.hpp"

using namespace rouse;
using router::choose;
using router::cookie_value;
using router::traffic_split;

namespace {

using weights = std::vector<std::uint32_t>;
using fields = std::map<std::string, std::string, std::less<>>;

bool look_up(const void* all, std::string_view name, std::string& value) {
  const auto& known = *static_cast<const fields*>(all);
  const auto found = known.find(name);
  if (found == known.end()) return false;
  value = found->second;
  return true;
}

router::request_view request(const fields& with) {
  router::request_view made;
  made.method = "GET";
  made.target = "/";
  made.fields = &with;
  made.field = look_up;
  return made;
}

config::function function(std::vector<std::string> revisions) {
  config::function made;
  made.name = "echo";
  for (auto& name : revisions) made.revisions.emplace_back().name = std::move(name);
  made.weights.assign(made.revisions.size(), 1);
  return made;
}

std::string caller(int number) {
  return "user-" + std::to_string(number);
}

constexpr int callers = 20'000;

/// Where every caller sticks.
std::vector<std::uint32_t> places(const config::function& of, const weights& by) {
  std::vector<std::uint32_t> made;
  for (int i = 0; i < callers; ++i) made.push_back(router::stick(caller(i), of.revisions, by));
  return made;
}

double share(const std::vector<std::uint32_t>& of, std::uint32_t revision) {
  return static_cast<double>(std::count(of.begin(), of.end(), revision)) / callers;
}

}  // namespace

TEST_CASE("in any run of sum-of-weights choices each revision has exactly its weight") {
  for (const weights& by : {weights{90, 10}, weights{1, 1, 1}, weights{5, 1, 1}, weights{0, 3, 0, 7}, weights{0, 1}}) {
    traffic_split split;
    std::size_t sum = 0;
    for (const auto weight : by) sum += weight;
    std::vector<std::uint32_t> chosen;
    for (std::size_t i = 0; i < 4 * sum; ++i) chosen.push_back(split.next(by));
    for (std::size_t begin = 0; begin + sum <= chosen.size(); ++begin) {
      weights counted(by.size());
      for (std::size_t i = begin; i < begin + sum; ++i) ++counted[chosen[i]];
      REQUIRE(counted == by);
    }
  }
}

TEST_CASE("choices are spread, not in blocks") {
  traffic_split split;
  std::string order;
  for (int i = 0; i < 7; ++i) order += static_cast<char>('a' + split.next(weights{5, 1, 1}));
  CHECK(order == "aabacaa");  // as nginx documents it
}

TEST_CASE("other weights begin anew") {
  traffic_split split;
  for (int i = 0; i < 7; ++i) (void)split.next(weights{1, 9});
  weights counted(2);
  for (int i = 0; i < 4; ++i) ++counted[split.next(weights{3, 1})];
  CHECK(counted == weights{3, 1});
  counted.assign(3, 0);
  for (int i = 0; i < 6; ++i) ++counted[split.next(weights{1, 2, 3})];
  CHECK(counted == weights{1, 2, 3});
  CHECK(split.next(weights{0, 0}) == 0);
  CHECK(split.next(weights{}) == 0);
}

TEST_CASE("huge weights do not overflow") {
  traffic_split split;
  const weights by{UINT32_MAX, UINT32_MAX, 1};
  weights counted(3);
  for (int i = 0; i < 1000; ++i) ++counted[split.next(by)];
  CHECK(counted == weights{500, 500, 0});
}

TEST_CASE("callers stick, and their shares are the weights") {
  const auto of = function({"v1", "v2", "v3"});
  const auto at = places(of, {70, 20, 10});
  CHECK(share(at, 0) == Approx(0.7).margin(0.015));
  CHECK(share(at, 1) == Approx(0.2).margin(0.015));
  CHECK(share(at, 2) == Approx(0.1).margin(0.015));
  CHECK(at == places(of, {70, 20, 10}));
  CHECK(share(places(of, {0, 1, 0}), 1) == 1.0);
  CHECK(share(places(of, {0, 0, 0}), 0) == 1.0);
}

TEST_CASE("a change of weights moves only those whose share has moved") {
  const auto of = function({"v1", "v2"});
  const auto before = places(of, {90, 10});
  const auto after = places(of, {80, 20});
  int moved = 0;
  for (int i = 0; i < callers; ++i) {
    if (before[i] == after[i]) continue;
    ++moved;
    REQUIRE(before[i] == 0);
  }
  CHECK(moved == Approx(callers * 0.1).margin(callers * 0.015));
  CHECK(places(of, {9, 1}) == before);  // the same shares
}

TEST_CASE("a revision that comes, goes or changes places moves nobody else") {
  const auto before = places(function({"v1", "v2"}), {1, 1});
  const auto after = places(function({"v3", "v2", "v1"}), {1, 1, 1});
  int moved = 0;
  for (int i = 0; i < callers; ++i) {
    const std::uint32_t same = before[i] == 0 ? 2 : 1;
    if (after[i] == same) continue;
    ++moved;
    REQUIRE(after[i] == 0);
  }
  CHECK(moved == Approx(callers / 3.0).margin(callers * 0.015));
}

TEST_CASE("cookies are found by their exact name") {
  CHECK(cookie_value("sid=42", "sid") == "42");
  CHECK(cookie_value("a=1; sid=42; b=2", "sid") == "42");
  CHECK(cookie_value("a=1; sid=42, b=2", "b") == "2");
  CHECK(cookie_value("a=1, sid=42; b=2", "sid") == "42");
  CHECK(cookie_value("a=1;sid=42", "sid") == "42");
  CHECK(cookie_value("sid=\"42\"", "sid") == "42");
  CHECK(cookie_value("sid=a=b==", "sid") == "a=b==");
  CHECK(cookie_value("sid=a,b; x=1", "sid") == "a,b");
  CHECK(cookie_value("sid=first; sid=second", "sid") == "first");
  CHECK(cookie_value("sid=", "sid") == "");
  CHECK(cookie_value("sid=\"", "sid") == "\"");
  CHECK_FALSE(cookie_value("SID=42", "sid"));
  CHECK_FALSE(cookie_value("xsid=42; sidx=1", "sid"));
  CHECK_FALSE(cookie_value("sid", "sid"));
  CHECK_FALSE(cookie_value("a=sid=42", "sid"));
  CHECK_FALSE(cookie_value("", "sid"));
  CHECK_FALSE(cookie_value(";; ;, ,=", "sid"));
}

TEST_CASE("a lane wins over stickiness, stickiness over weights") {
  auto of = function({"v1", "v2", "v3"});
  of.lanes = {{"x-lane", "blue", 2}, {"x-lane", "green", 1}, {"x-other", "blue", 1}};
  of.sticky.emplace().header = "x-user";
  const weights by{1, 1, 0};
  traffic_split split;
  const auto ask = [&](const fields& with) { return choose(of, by, request(with), split); };

  CHECK(ask({{"x-lane", "blue"}}) == 2);
  CHECK(ask({{"x-lane", "green"}, {"x-other", "blue"}}) == 1);
  CHECK(ask({{"x-other", "blue"}, {"x-lane", "blue"}}) == 2);
  CHECK(ask({{"x-lane", "blue"}, {"x-user", "me"}}) == 2);
  const auto place = router::stick("me", of.revisions, by);
  for (int i = 0; i < 4; ++i) CHECK(ask({{"x-user", "me"}, {"x-lane", "Blue"}}) == place);
  for (int i = 0; i < 2; ++i) {
    CHECK(ask({}) == 0);
    CHECK(ask({{"x-user", ""}, {"x-lane", ""}}) == 1);
  }
  CHECK(choose(of, by, {}, split) == 0);
}

TEST_CASE("a cookie sticks as a header does") {
  auto of = function({"v1", "v2"});
  of.sticky.emplace().cookie = "sid";
  traffic_split split;
  int on[2] = {};
  for (int i = 0; i < 100; ++i) {
    const fields with{{"cookie", "a=b; sid=" + caller(i)}};
    const auto place = choose(of, of.weights, request(with), split);
    CHECK(place == router::stick(caller(i), of.revisions, of.weights));
    ++on[place];
  }
  CHECK(on[0] > 25);
  CHECK(on[1] > 25);
  CHECK(choose(of, of.weights, request({{"cookie", "a=b"}}), split) == 0);
  CHECK(choose(of, of.weights, request({{"cookie", "sid="}}), split) == 1);
}

TEST_CASE("one revision is chosen whatever the request says") {
  auto of = function({"v1"});
  of.sticky.emplace().header = "x-user";
  traffic_split split;
  CHECK(choose(of, of.weights, request({{"x-user", "me"}}), split) == 0);
}
