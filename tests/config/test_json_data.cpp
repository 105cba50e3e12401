// YAML values as JSON text.
#include "config/json_data.hpp"

#include <catch2/catch.hpp>

#include "support.hpp"

using namespace config_test;

namespace {

std::string json(const std::string& plain) {
  auto const made = config::plain_to_json(plain);
  return made.value ? *made.value : "! " + made.error;
}

/// `data` of a cron trigger, which begins in column 38 of line 2.
config::load_result with_data(const std::string& value, std::map<std::string, std::string> env = {}) {
  return load("functions: {f: {command: [x]}}\ntriggers: {t: {cron: '@daily', data: " + value + ", function: f}}\n",
              std::move(env));
}

std::string data(const std::string& value, std::map<std::string, std::string> env = {}) {
  auto const got = with_data(value, std::move(env));
  INFO(value);
  INFO(joined(problems(got)));
  REQUIRE(got.value);
  return std::get<config::cron_source>(got.value->triggers.at(0).source).data;
}

}  // namespace

TEST_CASE("scalars without quotes follow YAML's core schema") {
  std::vector<std::pair<std::string, std::string>> const rows{
      {"", "null"},
      {"~", "null"},
      {"null", "null"},
      {"NULL", "null"},
      {"nUll", "\"nUll\""},
      {"true", "true"},
      {"True", "true"},
      {"FALSE", "false"},
      {"yes", "\"yes\""},
      {"off", "\"off\""},
      {"0", "0"},
      {"-0", "-0"},
      {"42", "42"},
      {"+42", "42"},
      {"-42", "-42"},
      {"007", "7"},
      {"000", "0"},
      {"123456789012345678901234567890", "123456789012345678901234567890"},
      {"0x1F", "31"},
      {"0xffffffffffffffff", "18446744073709551615"},
      {"0o17", "15"},
      {"0o8", "\"0o8\""},
      {"0x", "\"0x\""},
      {"0x-1", "\"0x-1\""},
      {"-0x1", "\"-0x1\""},
      {"1.10", "1.10"},
      {".5", "0.5"},
      {"-.5", "-0.5"},
      {"5.", "5.0"},
      {"01.5", "1.5"},
      {"1e3", "1e3"},
      {"1.E+05", "1.0e+05"},
      {"2.5e-3", "2.5e-3"},
      {"1e-999", "1e-999"},
      {".", "\".\""},
      {"-", "\"-\""},
      {"+", "\"+\""},
      {"e5", "\"e5\""},
      {".e5", "\".e5\""},
      {"1e", "\"1e\""},
      {"1e+", "\"1e+\""},
      {"1.2.3", "\"1.2.3\""},
      {"--1", "\"--1\""},
      {"1_000", "\"1_000\""},
      {"12:30", "\"12:30\""},
      {"2024-01-31", "\"2024-01-31\""},
      {"1 2", "\"1 2\""},
      {"a\"b\\c", "\"a\\\"b\\\\c\""},
  };
  for (const auto& [plain, wanted] : rows) {
    INFO(plain);
    CHECK(json(plain) == wanted);
  }
}

TEST_CASE("numbers that JSON does not have are problems") {
  for (std::string const text : {".inf", "-.Inf", "+.INF", ".nan", ".NaN"}) {
    CHECK(json(text) == "! `" + text + "` is a number that JSON does not have: put it into quotes for a text");
  }
  CHECK(json("-.nan") == "\"-.nan\"");
  CHECK(json("1e999") == "! `1e999` is too large a number: put it into quotes for a text");
  CHECK(json("0x10000000000000000") == "! `0x10000000000000000` is too large a number: put it into quotes for a text");
}

TEST_CASE("data of a cron trigger is any value as JSON") {
  CHECK(data("{full: true, levels: [1, '1', ~], more: {}, none: [], empty: }") ==
        R"({"full":true,"levels":[1,"1",null],"more":{},"none":[],"empty":null})");
  CHECK(data("5") == "5");
  CHECK(data("\"5\"") == "\"5\"");
  CHECK(data("'true'") == "\"true\"");
  CHECK(data("!!str 5") == "\"5\"");
  CHECK(data("\"\"") == "\"\"");
  CHECK(data("[]") == "[]");
  CHECK(data("{}") == "{}");
  CHECK(data(R"("tab\t, line\n, bell\a, \"quoted\", \\, 世界")") ==
        R"("tab\t, line\n, bell\u0007, \"quoted\", \\, 世界")");
  CHECK(data("{'a\"b': 1, 5: 2, true: 3}") == R"({"a\"b":1,"5":2,"true":3})");
  CHECK(data("{a: &x [1], b: *x}") == R"({"a":[1],"b":[1]})");
  auto const block = load(
      "functions: {f: {command: [x]}}\ntriggers:\n  t:\n    cron: '@daily'\n    function: f\n"
      "    data: |\n      12\n      13\n");
  REQUIRE(block.value);
  CHECK(std::get<config::cron_source>(block.value->triggers.at(0).source).data == "\"12\\n13\\n\"");
}

TEST_CASE("data: what comes from the environment is read as if it stood there") {
  auto const got = load(
      "functions: {f: {command: [x]}}\ntriggers:\n  t:\n    cron: '@daily'\n    function: f\n    data:\n"
      "      - ${N}\n      - \"${N}\"\n      - x${N}\n      - ${EMPTY:-}\n      - ${YES}\n      - ${TEXT}\n",
      {{"N", "5"}, {"YES", "true"}, {"TEXT", "{a: \"b\"}"}});
  REQUIRE(got.value);
  CHECK(std::get<config::cron_source>(got.value->triggers.at(0).source).data ==
        R"([5,"5","x5",null,true,"{a: \"b\"}"])");
}

TEST_CASE("data: impossible values") {
  std::vector<std::pair<std::string, std::vector<std::string>>> const rows{
      {"~", {"2:32: `data` has no value: give it one, or remove the key `data`"}},
      {"[.inf, 1, {a: 1e999}]",
       {"2:39: `.inf` is a number that JSON does not have", "2:52: `1e999` is too large a number"}},
      {"\"${BAD}\"", {"2:38: the text holds bytes that are not UTF-8, which JSON cannot hold"}},
      {"\"${NOT}\"", {"2:38: the environment variable `NOT`"}},
      {"!!binary aGVsbG8=", {"2:38: tags such as"}},
      {std::string(300'000, 'a'), {"2:38: `data` is more than 256KiB as JSON"}},
      {"[&a \"" + std::string(60'000, 'a') + "\", *a, *a, *a, *a, *a]", {"2:38: `data` is more than 256KiB as JSON"}},
  };
  for (const auto& [value, wanted] : rows) {
    auto const got = with_data(value, {{"BAD", "\xff"}});
    wrong const row{value.substr(0, 100), wanted};
    std::string const found = mismatch(row, got);
    INFO(found);
    CHECK(found.empty());
  }
}

TEST_CASE("data: aliases do not make it deeper or larger than a file may be") {
  std::string deep = "[&a0 [1]";
  for (int i = 1; i < 200; ++i) deep += ", &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + "]";
  auto const got = problems(with_data(deep + "]"));
  REQUIRE(got.size() == 1);
  CHECK_THAT(got[0], Catch::Contains("this is nested too deeply"));
  std::string wide = "[&a0 [x, x, x, x, x, x, x, x, x, x]";
  for (int i = 1; i < 5; ++i) {
    wide += ", &a" + std::to_string(i) + " [";
    for (int k = 0; k < 10; ++k) wide += (k == 0 ? "*a" : ", *a") + std::to_string(i - 1);
    wide += "]";
  }
  auto const large = problems(with_data(wide + "]"));
  REQUIRE(large.size() == 1);
  CHECK_THAT(large[0], Catch::StartsWith("2:38: `data` is more than 256KiB as JSON"));
}
