// Which events a filter takes.
#include "gateway/events/cloudevents/filter.hpp"
#include "support.hpp"

using namespace events_test;

namespace {

using filter = rouse::config::event_filter;
using dialect = filter::dialect;

filter leaf(dialect what, const std::string& name, const std::string& value) {
  return {what, name, value, {}};
}
filter exact(const std::string& name, const std::string& value) {
  return leaf(dialect::exact, name, value);
}
filter prefix(const std::string& name, const std::string& value) {
  return leaf(dialect::prefix, name, value);
}
filter suffix(const std::string& name, const std::string& value) {
  return leaf(dialect::suffix, name, value);
}
filter all(std::vector<filter> parts) {
  return {dialect::all, {}, {}, std::move(parts)};
}
filter any(std::vector<filter> parts) {
  return {dialect::any, {}, {}, std::move(parts)};
}
filter none(std::vector<filter> parts) {
  return {dialect::none, {}, {}, std::move(parts)};
}

bool taken(const filter& by) {
  cloud_event event = plain_event();
  event.extensions["lane"] = {"blue"};
  event.extensions["n"] = {"5", extension_type::integer};
  event.extensions["empty"] = {""};
  return matches(by, event);
}

}  // namespace

TEST_CASE("the default takes every event") {
  CHECK(taken({}));
}

TEST_CASE("exact, prefix and suffix look at attributes and extensions") {
  CHECK(taken(exact("type", "com.shop.order.paid")));
  CHECK_FALSE(taken(exact("type", "com.shop.order")));
  CHECK_FALSE(taken(exact("type", "COM.shop.order.paid")));
  CHECK(taken(prefix("source", "/shop/")));
  CHECK(taken(prefix("source", "/shop/eu")));
  CHECK_FALSE(taken(prefix("source", "/shop/eu/")));
  CHECK(taken(suffix("type", ".paid")));
  CHECK_FALSE(taken(suffix("type", ".pai")));
  CHECK(taken(exact("lane", "blue")));
  CHECK(taken(exact("n", "5")));
  CHECK(taken(exact("specversion", "1.0")));
  CHECK(taken(exact("empty", "")));
}

TEST_CASE("what is not there matches nothing, so `not` of it holds") {
  for (auto make : {exact, prefix, suffix}) {
    CHECK_FALSE(taken(make("subject", "x")));
    CHECK_FALSE(taken(make("subject", "")));
    CHECK_FALSE(taken(make("nothing", "")));
    CHECK(taken(none({make("nothing", "")})));
  }
}

TEST_CASE("all, any and not, nested") {
  const filter yes = exact("id", "42");
  const filter no = exact("id", "43");
  CHECK(taken(all({yes, yes})));
  CHECK_FALSE(taken(all({yes, no})));
  CHECK(taken(any({no, yes})));
  CHECK_FALSE(taken(any({no, no})));
  CHECK_FALSE(taken(any({})));
  CHECK(taken(none({no})));
  CHECK_FALSE(taken(none({yes})));
  CHECK_FALSE(taken(none({no, yes})));
  CHECK(taken(all({yes, any({no, none({all({yes, no})})})})));
  CHECK_FALSE(taken(all({yes, none({any({no, none({no})})})})));
}
