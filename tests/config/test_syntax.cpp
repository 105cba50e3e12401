// YAML itself: what cannot be parsed, what yaml-cpp would silently accept, aliases, encodings.
#include <catch2/catch.hpp>

#include "support.hpp"

using namespace config_test;

namespace {

std::string const good = "functions: {a: {command: [x]}}\n";

void check_all(const std::vector<wrong>& rows) {
  for (const wrong& row : rows) {
    std::string const found = mismatch(row, load(row.text, {{"HOME", "/h"}, {"N", "4"}}));
    INFO(found);
    CHECK(found.empty());
  }
}

}  // namespace

TEST_CASE("a syntax error stands alone, where it is, in words that help") {
  check_all({
      {"server: {listen: [1, 2}\n", {"1:23: this bracket closes nothing that is open"}},
      {"server:\n  workers: 1\n listen: x\n", {"3:2: does not belong to the mapping above it"}},
      {"a: b: c\n", {"1:5: a `:` is not possible here"}},
      {"server: {workers: 1\nroutes: []\n", {"2:7: a `{` is not closed"}},
      {"a: }\n", {"1:4: closes nothing that is open"}},
      {"a: @x\n", {"1:4: put the text in quotes"}},
      {"a: \"\\q\"\n", {"1:7: this is not valid YAML: unknown escape character: q"}},
      {"routes: [{host: *.example.com, function: a}]\n", {"1:17: text that begins with `*` must be in quotes"}},
      {"- a\nb: 1\n", {"2:1: does not belong to what stands above it"}},
      {"a\nb: 1\n", {"2:2: a `:` is not possible here"}},
      // Other problems of the file are not shown with it.
      {"nonsense: 1\nserver: {x: 1}\nfunctions: [\n", {"4:1: a `[` is not closed"}},
      {"server: {workers: 1, workers: 2}\nfunctions: }\n", {"2:12: closes nothing"}},
  });
}

TEST_CASE("an unquoted reference inside braces or brackets is explained") {
  check_all({
      {"server: {admin_token: ${T:-y}}\n", {"1:23: a reference must be in quotes: \"${T:-y}\""}},
      {"server: {listen: ${T}, workers: 1}\n", {"1:18: a reference must be in quotes: \"${T}\""}},
      {"server:\n  listen: [${T}]\n", {"2:12: a reference must be in quotes: \"${T}\""}},
      {"server: {\n  workers: ${N:-2},\n  admin: x}\n", {"2:12: a reference must be in quotes: \"${N:-2}\""}},
      {"server: {admin: \"${T:-}\", admin_token: ${T:-y}}\n", {"1:40: a reference must be in quotes: \"${T:-y}\""}},
  });
  CHECK(load("server: {workers: \"${N:-2}\"}\n").value->server.workers == 2);
  CHECK(load("server:\n  workers: ${N:-2}\n").value->server.workers == 2);
}

TEST_CASE("an unquoted IPv6 address is explained") {
  check_all(
      {{"server:\n  listen: [::1]:8080\n", {"2:16: must be in quotes, because `[` begins a list: \"[::1]:8080\""}}});
  CHECK(load("server: {listen: \"[::1]:8080\"}\n").value->server.listen.at(0).host == "::1");
}

TEST_CASE("tabs") {
  check_all({
      {"\tserver: {}\n", {"1:1: a tab cannot indent"}},
      {"server:\n\tworkers: 1\n", {"2:1: a tab cannot indent"}},
      {"server:\n  workers: 1\n\tadmin: x\n", {"3:1: a tab cannot indent"}},
  });
  CHECK(load("server:\t{workers:\t3}\t# fine\n").value->server.workers == 3);
}

TEST_CASE("what yaml-cpp accepts silently is a problem") {
  check_all({
      {good + "---\n" + good, {"2:1: a second document begins here"}},
      {good + "---\n", {"2:1: a second document begins here"}},
      {" server: {}\nroutes: []\n", {"2:1: does not belong to what stands above it"}},
      {good + ",\n", {"2:1: "}},
      {",\n", {"1:1: does not belong to what stands above it"}},
      {"server: {}\nroutes: []\nserver: {}\n", {"3:1: `server` is given twice: it stands in line 1 already"}},
      {"server:\n  workers: 1\n  \"workers\": 2\n  workers: 3\n",
       {"3:3: `workers` is given twice: it stands in line 2", "4:3: `workers` is given twice"}},
      {"functions:\n  a: {command: [x], env: {A: 1, A: 2}}\n", {"2:33: `A` is given twice"}},
      {"functions:\n  a: {command: [x]}\n  a: {command: [y]}\n", {"3:3: `a` is given twice: it stands in line 2"}},
      {"server: {admin_token: 'x}\n", {"1:23: this quote is never closed"}},
      {"functions:\n  a: {command: [\"x]}\n# \\\"\nroutes: []\n", {"2:17: this quote is never closed"}},
      {"server: &s \"x\n", {"1:9: this quote is never closed"}},
  });
  CHECK(load("---\n" + good + "...\n").value);
  CHECK(load("# only\n--- # a comment\n" + good).value);
  CHECK(load("functions: {a: {command: ['it''s', \"a \\\"b\\\" \\\\\", \"\", '']}}")
            .value->functions[0]
            .revisions[0]
            .command.size() == 4);
}

TEST_CASE("keys that are not text, tags and merge keys") {
  check_all({
      {"? {a: b}\n: c\n", {"1:3: a key must be plain text, not a mapping"}},
      {"? [a]\n: c\n", {"1:3: a key must be plain text, not a list"}},
      {"~: 1\n", {"1:1: a key must be plain text, not nothing"}},
      {": 1\n", {"1:1: a key must be plain text, not nothing"}},
      {"server: &a {}\n*a : 1\n", {"2:1: a key must be plain text, not"}},
      {"server: !secret {}\n", {"1:9: tags such as `!secret` are not supported"}},
      {"server: {workers: !!int 3}\n", {"1:19: tags such as `tag:yaml.org,2002:int` are not supported"}},
      {"server: {<<: {workers: 1}}\n", {"1:10: merge keys (`<<`) are not supported"}},
  });
  CHECK(load("server: !!map {admin_token: !!str 3}\n").value->server.admin_token == "3");
}

TEST_CASE("anchors and aliases") {
  auto const both =
      load("functions:\n  a: &a {command: [x], scale: &s {max: 3}}\n  b: {command: [y], scale: *s}\n  c: *a\n");
  REQUIRE(both.value);
  CHECK(both.value->functions.at(1).revisions[0].scale.max == 3);
  CHECK(both.value->functions.at(2).revisions[0].command == std::vector<std::string>{"x"});
  check_all({
      {"server: &a [*a]\n", {"1:13: refers to a value that holds the alias itself"}},
      {"server: *nowhere\n", {"1:9: there is no anchor of this name"}},
      // The same wrong value through two aliases is one problem, where it stands.
      {"functions:\n  a: &a {command: [x], timeout: 1}\n  b: *a\n  c: *a\n", {"2:33: `timeout` is `1` without a unit"}},
  });
}

TEST_CASE("a file that expands without end is refused at once") {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 30; ++i) {
    std::string const before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 9; ++k) bomb += before + ",";
    bomb += before + "]\n";
  }
  auto const found = problems(load(bomb));
  REQUIRE(found.size() == 1);
  CHECK_THAT(found[0], Catch::Contains("expand to too many values"));
}

TEST_CASE("deep nesting is refused without recursion") {
  for (std::string const unit : {"[", "{a: ", "- ", "? ", "{? ", "[{a: "}) {
    std::string text;
    for (int i = 0; i < 20'000; ++i) text += unit;
    INFO(unit);
    auto const found = problems(load(text));
    REQUIRE(found.size() == 1);
    CHECK_THAT(found[0], Catch::Contains("nested too deeply") || Catch::Contains("not possible here"));
  }
}

TEST_CASE("encodings") {
  auto const bom = load("\xEF\xBB\xBFserver: {workers: x}\n");
  REQUIRE(problems(bom).size() == 1);
  CHECK_THAT(problems(bom)[0], Catch::StartsWith("1:19: `workers`"));
  check_all({
      {std::string("\xFF\xFE"
                   "a\0:\0",
                   6),
       {"1:1: UTF-16 or UTF-32: save it as UTF-8"}},
      {std::string("server: {}\n\x04\n", 13), {"2:1: a control character (`\\x04`)"}},
      {std::string("a: \0\n", 5), {"1:4: a control character"}},
      {"server: {}\n# gr\xfc\xdf\n", {"2:5: the byte `\\xfc` is not UTF-8"}},
      {"server: {admin_token: \"a\\0b\"}\n", {"1:23: holds a NUL character"}},
  });
  CHECK(load("functions:\r\n  a:\r\n    command: [x]\r\n").value->functions.at(0).revisions[0].command.at(0) == "x");
  CHECK(
      load("functions: {a: {command: [\"gr\xc3\xbc\xc3\x9f\"]}}\n").value->functions.at(0).revisions[0].command.at(0) ==
      "gr\xc3\xbc\xc3\x9f");
}

TEST_CASE("empty values and empty files") {
  for (const char* text : {"", "\n", "# nothing\n", "---\n", "{}\n", "~\n", "\xEF\xBB\xBF"}) {
    INFO(text);
    auto const result = load(text);
    REQUIRE(result.value);
    CHECK(result.value->functions.empty());
    CHECK(result.value->server.listen.at(0).port == 8080);
  }
  check_all({
      {"[]\n", {"1:1: the file must be a mapping"}},
      {"hello\n", {"1:1: the file must be a mapping"}},
      // yaml-cpp marks an empty value where the next thing stands; the key is what a person looks for.
      {"functions:\nserver:\n  workers:\n\n\n# end\n",
       {"1:1: `functions` has no value", "3:3: `workers` has no value"}},
      {"functions:\n  a:\n  b: {command: [x]}\n", {"2:3: function `a` is empty"}},
      {"functions:\n  a:\n    command:\n      - x\n      -\n      # a comment\n\n  b: {command: [y]}\n",
       {"5:7: each item of `command` must be text, but this one is empty"}},
      {"functions: {a: {command: [x, , y]}}\n", {"1:30: each item of `command`"}},
      {"functions: {a: {command: [x, ~]}}\n", {"1:30: each item of `command`"}},
      {"routes:\n  -\n  - x\n", {"2:3: a route must be a mapping", "3:5: a route must be a mapping"}},
  });
}
