// The filter of a trigger. Read on its own: its place in the file comes with triggers.
#include <catch2/catch.hpp>

#include "config/readers.hpp"
#include "config/yaml_tree.hpp"
#include "support.hpp"

using namespace config_test;
using filter = config::event_filter;
using dialect = filter::dialect;

namespace {

struct outcome {
  filter value;
  std::vector<std::string> problems;  ///< `LINE:COLUMN: message`
};

/// Reads `filter: TEXT`.
outcome read(const std::string& text) {
  outcome out;
  const std::string file = "t.yaml";
  const std::string folder = "/";
  config::problem_list found;
  config::findings seen;
  auto const tree = config::parse_yaml("filter: " + text, file, env_of({}), found);
  if (tree.root != nullptr) config::read_filter({file, folder, found, seen}, tree.root->members.at(0), out.value);
  for (const auto& one : found.take()) out.problems.push_back(one.to_string().substr(file.size() + 1));
  return out;
}

/// A filter as text, to compare.
std::string story(const filter& f) {
  if (f.what >= dialect::exact) {
    const char* const word = f.what == dialect::exact ? " = " : f.what == dialect::prefix ? " begins " : " ends ";
    return f.attribute + word + f.value;
  }
  std::string out = f.what == dialect::all ? "all(" : f.what == dialect::any ? "any(" : "not(";
  for (std::size_t i = 0; i < f.parts.size(); ++i) out += (i == 0 ? "" : ", ") + story(f.parts[i]);
  return out + ")";
}

std::string right(const std::string& text) {
  auto const made = read(text);
  INFO(joined(made.problems));
  REQUIRE(made.problems.empty());
  return story(made.value);
}

}  // namespace

TEST_CASE("all entries of a filter must hold") {
  CHECK(right("{type: com.shop.order.paid, source: {prefix: /eu/}}") ==
        "all(type = com.shop.order.paid, source begins /eu/)");
  CHECK(right("{type: a}") == "type = a");
  CHECK(right("{}") == "all()");
  CHECK(right("{count: 5, flag: true, x: \"007\"}") == "all(count = 5, flag = true, x = 007)");
  CHECK(right("{source: {prefix: /eu/, suffix: .x, exact: y}}") ==
        "all(source begins /eu/, source ends .x, source = y)");
}

TEST_CASE("any, all and not") {
  CHECK(right("{any: [{type: a}, {type: {suffix: .b}, source: /}]}") == "any(type = a, all(type ends .b, source = /))");
  CHECK(right("{all: [{type: a}, {type: {prefix: a}}], lane: blue}") ==
        "all(all(type = a, type begins a), lane = blue)");
  CHECK(right("{not: {type: a, source: b}}") == "not(all(type = a, source = b))");
  CHECK(right("{not: {any: [{a: b}, {not: {c: d}}]}}") == "not(any(a = b, not(c = d)))");
  CHECK(right("{any: [{a: b}]}") == "any(a = b)");
}

TEST_CASE("what is wrong with a filter is told with its place") {
  struct row {
    std::string text;
    std::vector<std::string> expected;
  };
  const std::string deep_name(65, 'x');
  const std::vector<row> rows{
      {"type", {"1:9: `filter` must be a mapping"}},
      {"[{type: a}]", {"1:9: `filter` must be a mapping"}},
      {"", {"1:1: `filter` has no value"}},
      {"{type: }", {"1:10: `type` has no value"}},
      {"{type: \"\"}", {"1:16: `type` is empty"}},
      {"{type: [a, b]}",
       {"1:16: `type` must be a value or a mapping such as `{prefix: /eu/}`, not a list: for one of "
        "several write `any: [{type: ...}, {type: ...}]`"}},
      {"{type: {}}", {"1:16: `type` says nothing"}},
      {"{type: {prefx: a}}", {"1:17: unknown key `prefx`: did you mean `prefix`?"}},
      {"{type: {regexp: a}}", {"1:17: unknown key `regexp`: possible here are `exact`, `prefix` and `suffix`"}},
      {"{type: {prefix: \"\"}}", {"1:25: `prefix` is empty"}},
      {"{type: {prefix: [a]}}", {"1:25: `prefix` must be a single value, not a list"}},
      {"{prefix: {source: /eu/}}",
       {"1:19: unknown key `source`: the attribute stands outside, as in `{source: {prefix: ...}}`"}},
      {"{data: x}", {"1:10: `data` cannot be looked at"}},
      {"{Type: x}",
       {"1:10: `Type` cannot be the name of an attribute, which is made of a-z and 0-9, at most 64: did "
        "you mean `type`?"}},
      {"{ce-type: x}",
       {"1:10: `ce-type` cannot be the name of an attribute, which is made of a-z and 0-9, at most 64: "
        "did you mean `type`?"}},
      {"{\"-\": x}", {"1:10: `-` cannot be the name"}},
      {"{" + deep_name + ": x}", {"1:10: `xxx"}},
      {"{any: {type: a}}", {"1:15: `any` must be a list such as"}},
      {"{any: []}", {"1:15: `any` must have at least one filter"}},
      {"{all: []}", {"1:15: `all` must have at least one filter"}},
      {"{any: [a]}", {"1:16: a filter must be a mapping such as `{type: com.shop.order.paid}`"}},
      {"{any: [{}]}", {"1:16: `any` holds a filter that says nothing"}},
      {"{not: {}}", {"1:15: `not` holds a filter that says nothing"}},
      {"{not: [{type: a}]}", {"1:15: `not` must be a mapping"}},
      {"{not: {not: {A: x}}, any: [{type: }, {b: {c: d}}]}",
       {"1:22: `A` cannot be", "1:37: `type` has no value", "1:51: unknown key `c`"}},
  };
  for (const row& one : rows) {
    auto const made = read(one.text);
    INFO(one.text << "\n" << joined(made.problems));
    REQUIRE(made.problems.size() == one.expected.size());
    for (std::size_t i = 0; i < one.expected.size(); ++i) {
      CHECK(made.problems[i].substr(0, one.expected[i].size()) == one.expected[i]);
    }
  }
}
