#include <catch2/catch.hpp>

#include "config/addresses.hpp"
#include "config/route_path.hpp"
#include "config/substitute.hpp"
#include "config/text.hpp"
#include "config/units.hpp"
#include "support.hpp"

using namespace rouse::config;
using std::chrono::milliseconds;

TEST_CASE("durations") {
  struct row {
    const char* text;
    long long ms;
  };
  for (auto const& r : std::vector<row>{{"250ms", 250},
                                        {"30s", 30'000},
                                        {"5m", 300'000},
                                        {"1h", 3'600'000},
                                        {"7d", 604'800'000},
                                        {"0", 0},
                                        {"0s", 0},
                                        {"00", 0},
                                        {"3650d", 315'360'000'000LL}}) {
    INFO(r.text);
    auto const got = parse_duration(r.text);
    REQUIRE(got.value);
    CHECK(got.value->count() == r.ms);
  }
  struct bad {
    const char* text;
    const char* says;
  };
  for (auto const& r : std::vector<bad>{{"30", "without a unit: write `30s`"},
                                        {"30sec", "did you mean `30s`?"},
                                        {"30 s", "did you mean `30s`?"},
                                        {"5min", "did you mean `5m`?"},
                                        {"1H", "write a whole number and one of ms, s, m, h, d"},
                                        {"2 hours", "did you mean `2h`?"},
                                        {"1.5s", "write a whole number and one of"},
                                        {"1h30m", "write a whole number and one of"},
                                        {"-1s", "must be a duration"},
                                        {"", "must be a duration"},
                                        {"s", "must be a duration"},
                                        {"3651d", "too large: at most 3650d"},
                                        {"99999999999999999999999999s", "too large"},
                                        {"18446744073709551615d", "too large"},
                                        {"18446744073709551616ms", "too large"}}) {
    INFO(r.text);
    auto const got = parse_duration(r.text);
    CHECK_FALSE(got.value);
    CHECK_THAT(got.error, Catch::Contains(r.says));
  }
}

TEST_CASE("sizes") {
  CHECK(parse_size("64KiB").value == 65'536U);
  CHECK(parse_size("16MiB").value == 16'777'216U);
  CHECK(parse_size("1GiB").value == 1'073'741'824U);
  CHECK(parse_size("2TiB").value == 2'199'023'255'552U);
  CHECK(parse_size("1500").value == 1500U);
  CHECK(parse_size("0").value == 0U);
  CHECK_THAT(parse_size("64KB").error, Catch::Contains("did you mean `64KiB`?"));
  CHECK_THAT(parse_size("64k").error, Catch::Contains("did you mean `64KiB`?"));
  CHECK_THAT(parse_size("16 MiB").error, Catch::Contains("did you mean `16MiB`?"));
  CHECK_THAT(parse_size("10B").error, Catch::Contains("did you mean `10`?"));
  CHECK_THAT(parse_size("1.5MiB").error, Catch::Contains("write a whole number and one of KiB"));
  CHECK_THAT(parse_size("-1").error, Catch::Contains("must be a size"));
  CHECK_THAT(parse_size("18446744073709551616").error, Catch::Contains("too large"));
  CHECK_THAT(parse_size("99999999999TiB").error, Catch::Contains("too large"));
}

TEST_CASE("whole numbers and booleans") {
  CHECK(parse_whole("007", 0, 10).value == 7U);
  for (const char* bad : {"", "-1", "+1", "1.0", "0x10", "1e3", "ten", " 1"}) {
    INFO(bad);
    CHECK_THAT(parse_whole(bad, 0, 10).error, Catch::Contains("must be a whole number from 0 to 10"));
  }
  CHECK_THAT(parse_whole("11", 0, 10).error, Catch::Contains("must be from 0 to 10"));
  CHECK_THAT(parse_whole("99999999999999999999999", 0, 10).error, Catch::Contains("must be from 0 to 10"));
  CHECK(parse_boolean("true").value == true);
  CHECK(parse_boolean("FALSE").value == false);
  CHECK_THAT(parse_boolean("yes").error, Catch::Contains("did you mean `true`?"));
  CHECK_THAT(parse_boolean("off").error, Catch::Contains("did you mean `false`?"));
}

TEST_CASE("what a person wrote is written back in the largest unit") {
  CHECK(format_duration(milliseconds(0)) == "0");
  CHECK(format_duration(milliseconds(90'000)) == "90s");
  CHECK(format_duration(milliseconds(86'400'000)) == "1d");
  CHECK(format_duration(milliseconds(1)) == "1ms");
  CHECK(format_size(65'536) == "64KiB");
  CHECK(format_size(1500) == "1500");
}

TEST_CASE("listen addresses") {
  struct row {
    const char* text;
    const char* host;
    int port;
  };
  for (auto const& r : std::vector<row>{{"0.0.0.0:8080", "0.0.0.0", 8080},
                                        {"[::1]:8080", "::1", 8080},
                                        {"[0:0::0:1]:1", "::1", 1},
                                        {"localhost:0", "127.0.0.1", 0},
                                        {":65535", "0.0.0.0", 65535}}) {
    INFO(r.text);
    auto const got = parse_listen(r.text);
    REQUIRE(got.value);
    CHECK(got.value->host == r.host);
    CHECK(got.value->port == r.port);
  }
  struct bad {
    const char* text;
    const char* says;
  };
  for (auto const& r : std::vector<bad>{{"", "is empty"},
                                        {"8080", "write `0.0.0.0:8080`"},
                                        {"0.0.0.0", "write `0.0.0.0:8080`"},
                                        {"::1", "in brackets"},
                                        {"fe80::1:8080", "in brackets"},
                                        {"a:b:1", "in brackets"},
                                        {"[::1]", "has no port"},
                                        {"[::1", "`]` is missing"},
                                        {"[127.0.0.1]:80", "not an IPv6 address"},
                                        {"[]:80", "not an IPv6 address"},
                                        {"example.com:80", "not a numeric address"},
                                        {"256.0.0.1:80", "not a numeric address"},
                                        {"127.1:80", "not a numeric address"},
                                        {"0.0.0.0:65536", "a number from 0 to 65535"},
                                        {"0.0.0.0:", "a number from 0 to 65535"},
                                        {"0.0.0.0:http", "a number from 0 to 65535"},
                                        {"0.0.0.0:-1", "a number from 0 to 65535"}}) {
    INFO(r.text);
    auto const got = parse_listen(r.text);
    CHECK_FALSE(got.value);
    CHECK_THAT(got.error, Catch::Contains(r.says));
  }
}

TEST_CASE("loopback and addresses that cannot both be bound") {
  CHECK(is_loopback({"127.0.0.1", 1}));
  CHECK(is_loopback({"127.9.9.9", 1}));
  CHECK(is_loopback({"::1", 1}));
  CHECK(is_loopback({"::ffff:127.0.0.1", 1}));
  CHECK_FALSE(is_loopback({"0.0.0.0", 1}));
  CHECK_FALSE(is_loopback({"::", 1}));
  CHECK_FALSE(is_loopback({"10.0.0.1", 1}));
  CHECK(collide({"0.0.0.0", 80}, {"127.0.0.1", 80}));
  CHECK(collide({"::1", 80}, {"::1", 80}));
  CHECK_FALSE(collide({"::1", 80}, {"127.0.0.1", 80}));
  CHECK_FALSE(collide({"127.0.0.1", 0}, {"127.0.0.1", 0}));
  CHECK_FALSE(collide({"127.0.0.1", 80}, {"127.0.0.2", 80}));
}

TEST_CASE("networks are kept as IPv6") {
  auto const ten = parse_network("10.0.0.0/8");
  REQUIRE(ten.value);
  CHECK(ten.value->prefix == 104);
  CHECK(ten.value->address == std::array<std::uint8_t, 16>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 10, 0, 0, 0});
  auto const one = parse_network("192.0.2.1");
  REQUIRE(one.value);
  CHECK(one.value->prefix == 128);
  CHECK(one.value->address[15] == 1);
  auto const six = parse_network("fd00::/8");
  REQUIRE(six.value);
  CHECK(six.value->prefix == 8);
  CHECK(six.value->address[0] == 0xFD);
  CHECK(parse_network("0.0.0.0/0").value->prefix == 96);
  CHECK(parse_network("::/0").value->prefix == 0);
  CHECK_THAT(parse_network("10.0.0.1/8").error, Catch::Contains("did you mean `10.0.0.0/8` or `10.0.0.1`?"));
  CHECK_THAT(parse_network("10.0.0.0/33").error, Catch::Contains("a number from 0 to 32"));
  CHECK_THAT(parse_network("::/129").error, Catch::Contains("a number from 0 to 128"));
  CHECK_THAT(parse_network("10.0.0.0/").error, Catch::Contains("a number from 0 to 32"));
  CHECK_THAT(parse_network("proxy").error, Catch::Contains("must be an address or a network"));
}

TEST_CASE("substitution") {
  auto const env = config_test::env_of({{"A", "1"}, {"EMPTY", ""}, {"REF", "${A}"}, {"_x9", "u"}});
  struct row {
    const char* text;
    const char* becomes;
  };
  for (auto const& r : std::vector<row>{{"", ""},
                                        {"plain $A $$ {A}", "plain $A $$ {A}"},
                                        {"${A}", "1"},
                                        {"<${A}${A}>", "<11>"},
                                        {"${NONE:-y}", "y"},
                                        {"${NONE:-}", ""},
                                        {"${EMPTY:-y}", "y"},
                                        {"${EMPTY}", ""},
                                        {"${A:-y}", "1"},
                                        {"${NONE:-a:-b}", "a:-b"},
                                        {"$${A}", "${A}"},
                                        {"$$${A}", "$${A}"},
                                        {"${REF}", "${A}"},
                                        {"${_x9}", "u"}}) {
    INFO(r.text);
    auto const got = substitute(r.text, env);
    REQUIRE(got.value);
    CHECK(*got.value == r.becomes);
  }
  CHECK_THAT(substitute("${NONE}", env).error,
             Catch::Contains("`NONE` is not set") && Catch::Contains("`${NONE:-default}`"));
  for (const char* bad : {"${}", "${A-B}", "${9}", "${A:=x}", "${ A }", "${A B:-x}"}) {
    INFO(bad);
    CHECK_THAT(substitute(bad, env).error, Catch::Contains("is not a reference to a variable"));
  }
  CHECK_THAT(substitute("a ${A", env).error, Catch::Contains("has no `}`"));
  CHECK_THAT(substitute("${NONE:-${A}}", env).error, Catch::Contains("another `${`"));
}

TEST_CASE("text in messages cannot harm a terminal") {
  CHECK(shown("a\x1b[31m\n\t\x7f") == "`a\\x1b[31m\\n\\t\\x7f`");
  CHECK(shown("\xc2\x9b") == "`\\xc2\\x9b`");
  CHECK(shown("\xff gr\xc3\xbc\xc3\x9f") == "`\\xff gr\xc3\xbc\xc3\x9f`");
  CHECK(shown(std::string(100, 'x')) == "`" + std::string(60, 'x') + "...`");
}

TEST_CASE("edit distance and the closest key") {
  CHECK(edit_distance("", "abc", 9) == 3);
  CHECK(edit_distance("kitten", "sitting", 9) == 3);
  CHECK(edit_distance("timeuot", "timeout", 9) == 1);
  CHECK(edit_distance("abcdef", "ghijkl", 2) == 3);
  std::vector<std::string_view> const keys{"min", "max", "idle", "concurrency", "timeout"};
  CHECK(closest("concurency", keys) == "concurrency");
  CHECK(closest("Timeout", keys) == "timeout");
  CHECK(closest("mix", keys) == "min");
  CHECK(closest("banana", keys).empty());
  CHECK(closest("", keys).empty());
}

TEST_CASE("UTF-8") {
  CHECK(first_invalid_utf8("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80") == std::string::npos);
  for (const char* bad :
       {"\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5"}) {
    CHECK(first_invalid_utf8(bad) == 0);
  }
}

TEST_CASE("paths in normal form") {
  struct row {
    const char* path;
    const char* normal;
  };
  for (auto const& r : std::vector<row>{{"/", "/"},
                                        {"/a/b", "/a/b"},
                                        {"/a//b/", "/a//b/"},
                                        {"/a/./b", "/a/b"},
                                        {"/a/../b", "/b"},
                                        {"/a/..", "/"},
                                        {"/a/b/..", "/a/"},
                                        {"/a/.", "/a/"},
                                        {"/%41%7e", "/A~"},
                                        {"/a%2fb", "/a%2Fb"},
                                        {"/a/%2e%2E/b", "/b"},
                                        {"/%e2%82%ac", "/%E2%82%AC"},
                                        {"/a//../b", "/a/b"},
                                        {"/a%25b", "/a%25b"},
                                        {"/..a/.b", "/..a/.b"},
                                        {"/a/...", "/a/..."}}) {
    INFO(r.path);
    auto const got = normal_path(r.path);
    REQUIRE(got.value);
    CHECK(*got.value == r.normal);
  }
  CHECK_THAT(normal_path("/..").error, Catch::Contains("climbs above"));
  CHECK_THAT(normal_path("/a/../../b").error, Catch::Contains("climbs above"));
  CHECK_THAT(normal_path("/%4").error, Catch::Contains("two hex digits"));
  CHECK_THAT(normal_path("/%").error, Catch::Contains("two hex digits"));
  CHECK_THAT(normal_path("/%zz").error, Catch::Contains("two hex digits"));
  CHECK_THAT(normal_path("/%00").error, Catch::Contains("%00"));
}
