#include <catch2/catch.hpp>

#include <map>
#include <vector>

#include <nlohmann/json.hpp>

#include "support.hpp"

using namespace rouse;
using namespace rouse::simulator;
using namespace std::chrono_literals;

namespace {

/// Even arrivals and fixed times, so that results can be reckoned by hand.
options by_hand() {
  options out;
  out.arrivals = spread::even;
  out.services = service_times::fixed;
  return out;
}

/// Instances take 2 s to start, requests 100 ms.
report run(const std::string& yaml, const std::string& rows, const options& how = by_hand()) {
  const auto snapshot = test::configured(yaml);
  trace_defaults defaults;
  defaults.start = 2s;
  const auto trace = test::read(*snapshot, rows, defaults);
  for (const auto& one : trace.problems) FAIL(one);
  return simulate(snapshot, *trace.value, how);
}

double milliseconds(std::uint64_t ns) {
  return static_cast<double>(ns) / 1e6;
}

}  // namespace

TEST_CASE("one request: one cold start, which it waits for, and one idle time") {
  const auto found = run("functions:\n  f: {command: [x], concurrency: 10}\n", "0,f,1\n60,f,0\n120,f,0\n180,f,0\n");
  const auto& f = found.functions.at(0);
  CHECK(f.requests == 1);
  CHECK(f.lost() == 0);
  CHECK(f.cold_starts == 1);
  CHECK(f.waits.waited() == 1);
  CHECK(milliseconds(f.waits.max()) == Approx(2000));
  CHECK(f.peak_instances == 1);
  CHECK(f.peak_parked == 1);
  CHECK(f.instance_hours * 3600 == Approx(2 + 0.1 + 60));  // start, the request, idle
  CHECK(f.busy_hours * 3600 == Approx(0.1));
  CHECK(found.pools.at(0).cost * 3600 == Approx(62.1));
  CHECK(f.decisions_up == 1);
  CHECK(f.decisions_down == 1);
}

TEST_CASE("requests to a ready instance do not wait; those beyond its slots do, in order") {
  const std::string yaml = "functions:\n  f: {command: [x], concurrency: 1, scale: {min: 1, max: 1}}\n";
  // Ten a second, each 100 ms on one slot: just enough. The instance is ready after 2 s; until then 20 have come, and
  // that backlog stays: the wait of each is 2 s less what the first half distance gives.
  const auto found = run(yaml, "0,f,600\n60,f,0\n");
  const auto& f = found.functions.at(0);
  CHECK(f.cold_starts == 1);
  CHECK(f.lost() == 0);
  CHECK(milliseconds(f.waits.max()) == Approx(1950).epsilon(0.01));
  CHECK(milliseconds(f.waits.quantile(0.5)) == Approx(1950).epsilon(0.05));
  // With nine a second it catches up: the backlog of 18 shrinks by one a second.
  const auto slack = run(yaml, "0,f,540\n60,f,540\n");
  CHECK(milliseconds(slack.functions[0].waits.max()) == Approx(1950).epsilon(0.02));
  CHECK(slack.functions[0].waits.quantile(0.8) == 0);  // 18 s x 9 of 1080 waited
}

TEST_CASE("who waits longer than max_wait is lost, and so is who finds the queue full") {
  const std::string yaml =
      "functions:\n  f: {command: [x], concurrency: 1, queue: {max_requests: 5, max_wait: 500ms}, scale: {max: 1}}\n";
  // Ten even arrivals in one second, none ready for 2 s: from 50 ms on every 100 ms. Places are free again after 500
  // ms.
  trace_defaults defaults;
  const auto found = run(yaml, "0,f,10\n1,f,0\n100,f,0\n");
  const auto& f = found.functions.at(0);
  CHECK(f.requests == 10);
  CHECK(f.queue_full + f.timed_out == 10);
  CHECK(f.timed_out >= 9);
  CHECK(f.peak_parked == 5);
  CHECK(f.waits.total() == 0);
}

TEST_CASE("a start that takes longer than start_timeout fails") {
  const auto found = run("functions:\n  f: {command: [x], start_timeout: 1s}\n", "0,f,1\n60,f,0\n");
  CHECK(found.functions[0].start_failed == 1);
  CHECK(found.functions[0].cold_starts == 0);
  CHECK(found.functions[0].failed_starts >= 1);
}

TEST_CASE("what is reserved is paid for, used or not; what is used costs its price") {
  const std::string yaml =
      "pools:\n"
      "  own: {backend: process, max_instances: 2, reserved: 2, cost: 1.0}\n"
      "  cloud: {backend: process, cost: 1.5}\n"
      "functions:\n"
      "  f: {command: [x], concurrency: 1, pools: [own, cloud], scale: {min: 3, max: 3}}\n";
  const auto found = run(yaml, "0,f,1\n1800,f,1\n");
  std::map<std::string, pool_report> pools;
  for (const auto& one : found.pools) pools[one.name] = one;
  CHECK(pools["own"].instance_hours == Approx(2));
  CHECK(pools["own"].cost == Approx(2));
  CHECK(pools["cloud"].instance_hours == Approx(1));
  CHECK(pools["cloud"].cost == Approx(1.5));
  // Without load, the reserved ones cost all the same.
  const auto idle = run("pools: {own: {backend: process, reserved: 4, cost: 2}}\nfunctions:\n  f: {command: [x]}\n",
                        "0,f,0\n1800,f,0\n");
  for (const auto& one : idle.pools) {
    if (one.name == "own") CHECK(one.cost == Approx(8));
  }
}

TEST_CASE("a schedule holds by the clock of the trace's begin") {
  const std::string yaml =
      "functions:\n  f: {command: [x], scale: {schedule: [{from: \"08:00\", to: \"10:00\", timezone: Asia/Shanghai, "
      "min: "
      "4}]}}\n";
  auto how = by_hand();  // begins at 00:00 UTC, which is 08:00 in Shanghai
  std::vector<sample> rows;
  how.step = 30min;
  how.on_sample = [&](const sample& row) {
    if (row.function == "f") rows.push_back(row);
  };
  const auto found = run(yaml, "0,f,0\n7200,f,0\n", how);
  CHECK(found.functions[0].cold_starts == 4);
  CHECK(found.functions[0].instance_hours == Approx(4 * 2.0).epsilon(0.02));
  REQUIRE(rows.size() >= 3);
  CHECK(rows[0].at == 30min);
  CHECK(rows[0].ready == 4);
  CHECK(rows[0].desired == 4);
}

TEST_CASE("the time series: load, instances and arrivals of each step, and of all together") {
  auto how = by_hand();
  std::vector<sample> rows;
  how.on_sample = [&](const sample& row) { rows.push_back(row); };
  // 10 a second for a second each: 10 in flight.
  run("functions:\n  f: {command: [x], concurrency: 20, scale: {min: 1}}\n  g: {command: [x]}\n",
      "0,f,0\n60,f,600,1000\n120,f,600,1000\n", how);
  REQUIRE(rows.size() == 6);  // f and *, for three minutes; nothing of g
  const auto& last = rows[4];
  CHECK(last.function == "f");
  CHECK(last.at == 180s);
  CHECK(last.requests == 600);
  CHECK(last.load == Approx(10).epsilon(0.02));
  CHECK(last.ready == 1);
  CHECK(last.desired == 1);
  CHECK(rows[5].function == "*");
  CHECK(rows[5].load == Approx(last.load));
}

TEST_CASE("traffic is split by weight") {
  const std::string yaml =
      "functions:\n"
      "  f:\n"
      "    concurrency: 1\n"
      "    scale: {min: 1, max: 1}\n"
      "    revisions: {v1: {command: [x]}, v2: {command: [y]}}\n"
      "    traffic: {v1: 90, v2: 10}\n";
  // Twelve a second in all: 10.8 on v1 are more than its one slot can take (10), 1.2 on v2 are not.
  const auto found = run(yaml, "0,f,7200\n600,f,0\n");
  CHECK(found.functions[0].cold_starts == 2);
  CHECK(found.functions[0].waits.quantile(0.05) == 0);  // those of v2
  CHECK(milliseconds(found.functions[0].waits.max()) > 10'000);
}

TEST_CASE("the same seed gives the same result to the last digit; another one another") {
  const std::string yaml = "functions:\n  f: {command: [x], concurrency: 2}\n";
  const auto json = [&](std::uint64_t seed) {
    options how;
    how.seed = seed;
    std::ostringstream out;
    write_json(out, run(yaml, "0,f,500\n60,f,9000\n120,f,100\n600,f,50\n", how));
    return out.str();
  };
  CHECK(json(1) == json(1));
  CHECK(json(1) != json(2));
}

TEST_CASE("exponential service times have the mean that was given, and vary") {
  options how;
  how.services = service_times::exponential;
  const auto found = run("functions:\n  f: {command: [x], concurrency: 1, scale: {min: 1, max: 1}}\n",
                         "0,f,0\n60,f,300\n120,f,0\n180,f,0\n", how);
  // 300 of 100 ms; the mean of as many is off by 6 % (1 / sqrt(300)) at a time.
  CHECK(found.functions[0].busy_hours * 3600 == Approx(30).epsilon(0.2));
  CHECK(found.functions[0].busy_hours * 3600 != Approx(30).epsilon(0.0001));
}

TEST_CASE("every request is accounted for, whatever happens") {
  const std::string yaml =
      "pools: {small: {backend: process, max_instances: 4}}\n"
      "functions:\n"
      "  a: {command: [x], concurrency: 1, pools: [small], queue: {max_requests: 50, max_wait: 1s}}\n"
      "  b: {command: [x], concurrency: 3, pools: [small], scale: {idle: 1s, to_zero: freeze}}\n"
      "  c: {command: [x], concurrency: 0, scale: {idle: 5s, spare: 1, down_delay: 20s}}\n";
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    options how;
    how.seed = seed;
    const auto found = run(yaml,
                           "0,a,100\n60,a,5000\n120,a,5\n240,a,2000\n"
                           "0,b,10\n60,b,3000\n180,b,3\n240,b,20\n"
                           "0,c,1\n60,c,20000\n120,c,1\n",
                           how);
    std::uint64_t requests = 0;
    for (const auto& one : found.functions) {
      CHECK(one.requests == one.waits.total() + one.lost());
      requests += one.requests;
    }
    CHECK(requests == 30140);
    CHECK(found.all.requests == requests);
    CHECK(found.all.waits.total() + found.all.lost() == requests);
    CHECK(found.functions[0].peak_instances + 0 <= 4);
  }
}

TEST_CASE("what is written") {
  const auto found = run("functions:\n  f: {command: [x]}\n", "0,f,1\n60,f,0\n");
  std::ostringstream text;
  write_text(text, found);
  CHECK(text.str().find("120 s, 1 requests, 1 functions\n") == 0);
  CHECK(text.str().find("\nf ") != std::string::npos);
  CHECK(text.str().find("\nlocal ") != std::string::npos);
  std::ostringstream json;
  write_json(json, found);
  const auto parsed = nlohmann::json::parse(json.str());
  CHECK(parsed.at("functions").at(0).at("wait_ms").at("max").get<double>() == Approx(2000));
  CHECK(parsed.at("all").at("cold_starts") == 1);
  CHECK(parsed.at("pools").at(0).at("name") == "local");
  std::ostringstream csv;
  write_csv_head(csv);
  write_csv(csv, {90s, "f", 3, 1.5, 2, 1, 1, 7});
  CHECK(csv.str() == "time,function,requests,load,desired,ready,starting,parked\n90,f,3,1.500,2,1,1,7\n");
}

TEST_CASE("waits: quantiles of all, also of those that did not wait") {
  wait_histogram waits;
  for (int i = 0; i < 90; ++i) waits.add(0);
  for (std::uint64_t i = 1; i <= 10; ++i) waits.add(i * 1'000'000);
  CHECK(waits.total() == 100);
  CHECK(waits.waited() == 10);
  CHECK(waits.quantile(0.9) == 0);
  CHECK(milliseconds(waits.quantile(0.95)) == Approx(5).epsilon(0.04));
  CHECK(milliseconds(waits.quantile(1)) == Approx(10));
  CHECK(milliseconds(waits.max()) == Approx(10));
}
