#include <catch2/catch.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "gateway/cli.hpp"

using namespace rouse;

namespace {

struct folder {
  folder() {
    char name[] = "/tmp/rouse-simulate-XXXXXX";
    path = ::mkdtemp(name);
    write("rouse.yaml", "functions:\n  f: {command: [x], concurrency: 10}\n");
    write("trace.csv", "time,function,requests\n0,f,1\n60,f,600\n120,f,0\n");
  }
  ~folder() { std::filesystem::remove_all(path); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path / name) << text; }
  [[nodiscard]] std::string at(const std::string& name) const { return (path / name).string(); }
  std::filesystem::path path;
};

struct outcome {
  int code = -1;
  std::string out, err;
};

outcome simulate(const folder& in, std::vector<std::string> more = {}) {
  std::ostringstream out, err;
  gateway::cli_io io{out, err, [](const std::string&) { return std::nullopt; }};
  std::vector<std::string> arguments{"simulate", "-c", in.at("rouse.yaml"), "--trace", in.at("trace.csv")};
  arguments.insert(arguments.end(), more.begin(), more.end());
  outcome result;
  result.code = gateway::run_command_line(arguments, io, [](const auto&, const auto&) { return 99; });
  result.out = out.str();
  result.err = err.str();
  return result;
}

}  // namespace

TEST_CASE("simulate prints tables, or JSON") {
  const folder files;
  const auto text = simulate(files);
  CHECK(text.err.empty());
  CHECK(text.code == gateway::exit_done);
  CHECK(text.out.find("180 s, 601 requests, 1 functions") == 0);
  const auto json = simulate(files, {"--json", "--start", "2s", "--service-times", "fixed", "--arrivals", "even"});
  CHECK(json.code == gateway::exit_done);
  const auto parsed = nlohmann::json::parse(json.out);
  CHECK(parsed.at("all").at("requests") == 601);
  CHECK(parsed.at("functions").at(0).at("wait_ms").at("max") == 2000.0);
}

TEST_CASE("simulate writes the time series") {
  const folder files;
  CHECK(simulate(files, {"--csv", files.at("out.csv"), "--step", "30s"}).code == gateway::exit_done);
  std::ifstream in(files.at("out.csv"));
  std::string line;
  std::getline(in, line);
  CHECK(line == "time,function,requests,load,desired,ready,starting,parked");
  std::getline(in, line);
  CHECK(line.rfind("30,f,1,", 0) == 0);  // one request: at 0 to 60 s, the seed says when
  const auto nowhere = simulate(files, {"--csv", files.at("no/such/out.csv")});
  CHECK(nowhere.code == gateway::exit_failed);
  CHECK(nowhere.err.find("cannot be written") != std::string::npos);
}

TEST_CASE("simulate goes by the functions' table and the moment of the begin") {
  const folder files;
  files.write("functions.csv", "function,start_ms,service_ms\nf,500,10\n");
  const auto json = simulate(files, {"--json", "--functions", files.at("functions.csv")});
  CHECK(nlohmann::json::parse(json.out).at("functions").at(0).at("wait_ms").at("max") == 500.0);

  files.write("rouse.yaml",
              "functions:\n  f: {command: [x], scale: {schedule: [{from: \"08:00\", to: \"09:00\", timezone: UTC, min: "
              "3}]}}\n");
  const auto cold_starts = [&](const char* begin) {
    const auto run = simulate(files, {"--json", "--begin", begin});
    CHECK(run.err.empty());
    return nlohmann::json::parse(run.out).at("all").at("cold_starts").get<int>();
  };
  CHECK(cold_starts("2026-01-05") == 1);
  CHECK(cold_starts("2026-01-05T08:00:00Z") == 3);
  CHECK(cold_starts("2026-01-05T08:00:00+08:00") == 1);
  CHECK(cold_starts("2026-01-05T10:30:00+02:00") == 3);
}

TEST_CASE("simulate says what is wrong") {
  const folder files;
  const auto wrong = [&](std::vector<std::string> more, const char* words) {
    const auto run = simulate(files, std::move(more));
    CHECK(run.code == gateway::exit_usage);
    CHECK(run.out.empty());
    CAPTURE(run.err);
    CHECK(run.err.find(words) != std::string::npos);
  };
  wrong({"--start", "3"}, "--start is `3` without a unit");
  wrong({"--step", "0"}, "--step must be more than 0");
  wrong({"--interval", "0"}, "--interval must be more than 0");
  wrong({"--functions", files.at("none.csv")}, "none.csv: cannot be read");
  wrong({"--arrivals", "odd"}, "odd");
  for (const char* const moment : {"2026-02-30", "tomorrow", "2026-01-05T08:00:00", "2026-01-05T25:00:00Z",
                                   "2026-01-05 08:00:00Z", "2026-01-05T08:00:00+8"})
    wrong({"--begin", moment}, "is no moment: a date such as");
  files.write("trace.csv", "0,g,1\n");
  wrong({}, "trace.csv:1: the configuration has no function `g`");
  files.write("rouse.yaml", "functions:\n  f: {comand: [x]}\n");
  wrong({}, "comand");
}
