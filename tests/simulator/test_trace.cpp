#include <catch2/catch.hpp>

#include "support.hpp"

using namespace rouse;
using namespace rouse::simulator;
using namespace std::chrono_literals;

namespace {

const auto two = test::configured("functions:\n  a: {command: [x]}\n  b: {command: [x]}\n");

std::string only_problem(const std::string& rows, const std::string& table = {}) {
  const auto result = test::read(*two, rows, {}, table);
  CHECK_FALSE(result.value);
  REQUIRE(result.problems.size() == 1);
  return result.problems.front();
}

}  // namespace

TEST_CASE("a trace: rows in any order, comments, a head, blanks") {
  const auto result = test::read(*two,
                                 "# made by hand\n"
                                 "time, function, requests, service_ms\n"
                                 "60,a,30\n"
                                 "\n"
                                 "0,a,10,250\r\n"
                                 " 90 , b , 5 , \n"
                                 "120,a,0\n");
  REQUIRE(result.problems.empty());
  const auto& trace = result.value.value();
  CHECK(trace.requests == 45);
  CHECK(trace.interval == 30s);  // the smallest difference of two times
  CHECK(trace.end == 150s);
  REQUIRE(trace.functions.size() == 2);
  const auto& a = trace.functions[0].rows;
  REQUIRE(a.size() == 2);
  CHECK(a[0].at == 0s);
  CHECK(a[0].service == 250ms);
  CHECK(a[1].at == 60s);
  CHECK(a[1].requests == 30);
  CHECK(a[1].service < 0s);
  CHECK(trace.functions[1].rows[0].at == 90s);
}

TEST_CASE("one time alone is a minute, and --interval overrides") {
  CHECK(test::read(*two, "0,a,1\n").value->interval == 1min);
  trace_defaults defaults;
  defaults.interval = 5s;
  CHECK(test::read(*two, "0,a,1\n60,a,1\n", defaults).value->interval == 5s);
}

TEST_CASE("the functions' table, and what holds without it") {
  trace_defaults defaults;
  defaults.start = 3s;
  const auto trace = test::read(*two, "0,a,1\n", defaults, "function,start_ms,service_ms\na,800,12.5\n").value.value();
  CHECK(trace.functions[0].start == 800ms);
  CHECK(trace.functions[0].service == 12500us);
  CHECK(trace.functions[1].start == 3s);
  CHECK(trace.functions[1].service == 100ms);
}

TEST_CASE("what is wrong is said with file and line") {
  CHECK(only_problem("0,a,1\n0,c,1\n") == "trace.csv:2: the configuration has no function `c`");
  CHECK(only_problem("0,a\n").starts_with("trace.csv:1: expected time,function,requests or"));
  CHECK(only_problem("time,function,requests\nnoon,a,1\n") ==
        "trace.csv:2: `noon` is no time: seconds since the begin, such as 60 or 0.5");
  CHECK(only_problem("-1,a,1\n").find("is no time") != std::string::npos);
  CHECK(only_problem("nan,a,1\n").find("is no time") != std::string::npos);
  CHECK(only_problem("1e300,a,1\n").find("is no time") != std::string::npos);
  CHECK(only_problem("0,a,1.5\n") == "trace.csv:1: `1.5` is no number of requests: a whole number, such as 250");
  CHECK(only_problem("0,a,-3\n").find("is no number of requests") != std::string::npos);
  CHECK(only_problem("0,a,99999999999999999999\n").find("is no number of requests") != std::string::npos);
  CHECK(only_problem("0,a,1,soon\n").find("is no service_ms") != std::string::npos);
  CHECK(only_problem("# nothing\n").find("there is no row") != std::string::npos);
  CHECK(only_problem("0,a,1\n0,a,2\n60,a,1\n") ==
        "trace.csv: function a has rows for 0 and 0 seconds, which is less than the interval of 60 seconds: add them "
        "up, or give a shorter --interval");
  CHECK(only_problem("0,a,1\n", "c,1,1\n") == "functions.csv:1: the configuration has no function `c`");
  CHECK(only_problem("0,a,1\n", "a,fast,1\n") ==
        "functions.csv:1: `fast` is no start_ms: milliseconds, such as 120 or 0.5");
}

TEST_CASE("no more than twenty problems") {
  std::string rows;
  for (int i = 0; i < 1000; ++i) rows += "x,c,y\n";
  CHECK(test::read(*two, rows).problems.size() == 20);
}
