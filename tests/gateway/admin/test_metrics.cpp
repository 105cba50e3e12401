// The text that Prometheus scrapes: every line parses, and nothing is there before its first use.

#include <map>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "activator/runtime.hpp"
#include "gateway/admin/metrics.hpp"
#include "gateway/version.hpp"

using namespace rouse;
using activator::shed_reason;

namespace {

/// hello-1 of the function hello, as the activator shows it; served by `workers` workers.
activator::revision_status hello(unsigned workers) {
  activator::revision_status status;
  status.function = "hello";
  status.revision = "hello-1";
  status.pools = {"local"};
  if (workers == 0) return status;
  config::revision config;
  config.name = "hello-1";
  auto runtime =
      std::make_shared<activator::revision_runtime>(std::make_shared<activator::function_runtime>("hello", workers),
                                                    config, 0, workers, [](activator::revision_runtime&) {});
  status.runtimes.push_back(std::move(runtime));
  return status;
}

activator::revision_counters& counters(const activator::revision_status& of, unsigned worker) {
  // The test is the worker.
  return const_cast<activator::revision_runtime&>(*of.runtimes.front()).counters_of(worker);
}

gateway::status_list list_of(const activator::revision_status& revision) {
  gateway::status_list all;
  all.functions.resize(2);
  all.functions[0].name = "hello";
  all.functions[0].revisions = {revision};
  all.functions[1].name = "idle";
  all.functions[1].revisions.emplace_back().revision = "idle-1";
  return all;
}

/// Series (name and labels as written) to value. Fails on a line that is not in the text format.
std::map<std::string, double> parse(const std::string& text) {
  static const std::regex sample(
      R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{([a-z_]+="([^"\\\n]|\\.)*"(,[a-z_]+="([^"\\\n]|\\.)*")*)?\})? (\S+))re");
  std::map<std::string, double> series;
  std::set<std::string> typed;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("# TYPE ", 0) == 0) {
      CHECK(typed.insert(line.substr(7, line.find(' ', 7) - 7)).second);  // each family once
    } else if (line.rfind("# HELP ", 0) != 0) {
      std::smatch match;
      if (!std::regex_match(line, match, sample)) FAIL("not a sample: " << line);
      CHECK(series.emplace(match[1].str() + match[2].str(), std::stod(match[7])).second);
    }
  }
  return series;
}

std::set<std::string> names_of(const std::map<std::string, double>& series) {
  std::set<std::string> names;
  for (const auto& [key, value] : series) names.insert(key.substr(0, key.find('{')));
  return names;
}

}  // namespace

TEST_CASE("a function that was never used has no series") {
  gateway::worker_stats worker;
  const std::vector<const gateway::worker_stats*> workers{&worker};
  const auto status = list_of(hello(1));
  const auto series = parse(gateway::metrics_collector(workers, status).text());
  CHECK(names_of(series) == std::set<std::string>{"rouse_build_info", "rouse_connections"});
  CHECK(series.at("rouse_build_info{version=\"" + std::string(gateway::version()) + "\"}") == 1);
}

TEST_CASE("the workers' counters are summed, each function and revision apart") {
  gateway::worker_stats first, second;
  const auto revision = hello(3);
  first.connections.add(2);
  second.connections.add(1);
  second.unmatched.add(4);
  auto& a = counters(revision, 0);
  auto& b = counters(revision, 2);
  a.by_code[200 - 100].add(5);
  b.by_code[200 - 100].add(2);
  b.by_code[503 - 100].add();
  a.request_duration.observe(400'000);         // 0.4 ms
  b.request_duration.observe(30'000'000);      // 30 ms
  b.request_duration.observe(90'000'000'000);  // beyond the last bound
  a.requests_in_flight.add(3);
  b.retries.add(6);
  b.shed[static_cast<std::size_t>(shed_reason::queue_full)].add(7);
  const std::vector<const gateway::worker_stats*> workers{&first, &second};
  const auto status = list_of(revision);
  const auto series = parse(gateway::metrics_collector(workers, status).text());

  const std::string who = "function=\"hello\",revision=\"hello-1\"";
  CHECK(series.at("rouse_requests_total{" + who + ",code=\"200\"}") == 7);
  CHECK(series.at("rouse_requests_total{" + who + ",code=\"503\"}") == 1);
  CHECK(series.at("rouse_requests_in_flight{" + who + "}") == 3);
  CHECK(series.at("rouse_retries_total{" + who + "}") == 6);
  CHECK(series.at("rouse_shed_total{" + who + ",reason=\"" + to_string(shed_reason::queue_full) + "\"}") == 7);
  CHECK(series.at("rouse_request_duration_seconds_count{" + who + "}") == 3);
  CHECK(series.at("rouse_request_duration_seconds_sum{" + who + "}") == Approx(90.0304));
  CHECK(series.at("rouse_request_duration_seconds_bucket{" + who + ",le=\"0.0005\"}") == 1);
  CHECK(series.at("rouse_request_duration_seconds_bucket{" + who + ",le=\"0.025\"}") == 1);
  CHECK(series.at("rouse_request_duration_seconds_bucket{" + who + ",le=\"0.05\"}") == 2);
  CHECK(series.at("rouse_request_duration_seconds_bucket{" + who + ",le=\"60\"}") == 2);
  CHECK(series.at("rouse_request_duration_seconds_bucket{" + who + ",le=\"+Inf\"}") == 3);
  CHECK(series.at("rouse_connections") == 3);
  CHECK(series.at("rouse_unmatched_requests_total") == 4);
  CHECK_FALSE(names_of(series).count("rouse_park_duration_seconds_count"));  // nobody parked
  for (const auto& [key, value] : series) CHECK(key.find("\"idle\"") == std::string::npos);
}

TEST_CASE("how long starts waited for the control thread has no label, and is there once one has waited") {
  auto status = list_of(hello(0));
  activator::duration_histogram wait;
  status.control_wait = &wait;
  const std::vector<const gateway::worker_stats*> workers;
  CHECK_FALSE(parse(gateway::metrics_collector(workers, status).text()).contains("rouse_control_wait_seconds_count"));
  wait.observe(200'000);
  wait.observe(700'000);
  const auto series = parse(gateway::metrics_collector(workers, status).text());
  CHECK(series.at("rouse_control_wait_seconds_count") == 2);
  CHECK(series.at("rouse_control_wait_seconds_bucket{le=\"0.0005\"}") == 1);
  CHECK(series.at("rouse_control_wait_seconds_bucket{le=\"0.001\"}") == 2);
}

TEST_CASE("what the activator knows of a function in use") {
  auto used = hello(0);
  used.parked = 9;
  used.desired = 2;
  used.instances.resize(3);
  used.instances[0].state = "ready";
  used.instances[1].state = "ready";
  used.instances[2].state = "stopping";
  for (auto& one : used.instances) one.pool = "local";
  used.decision_counts = {{{true, activator::scale_cause::demand}, 4}, {{false, activator::scale_cause::idle}, 3}};
  used.ejections = 5;
  used.start_failures = {{"exited", 2}, {"timeout", 1}};
  used.cold_starts = 2;
  used.cold_start_sum_ns = 1'500'000'000;
  used.cold_start_buckets.assign(activator::duration_histogram::bounds_ns.size() + 1, 0);
  used.cold_start_buckets[9] = 1;
  used.cold_start_buckets[10] = 1;
  const std::vector<const gateway::worker_stats*> workers;
  auto status = list_of(used);
  status.pools.resize(2);
  status.pools[0].name = "local";
  status.pools[0].instances = 3;
  status.pools[1].name = "cloud";
  status.pools[1].reserved = 7;
  status.pools[1].cost_total = 10.5;
  const auto series = parse(gateway::metrics_collector(workers, status).text());

  const std::string who = "function=\"hello\",revision=\"hello-1\"";
  CHECK(series.at("rouse_requests_parked{" + who + "}") == 9);
  CHECK(series.at("rouse_instances{" + who + ",state=\"ready\",pool=\"local\"}") == 2);
  CHECK(series.at("rouse_instances{" + who + ",state=\"stopping\",pool=\"local\"}") == 1);
  CHECK(series.at("rouse_instances{" + who + ",state=\"starting\",pool=\"local\"}") == 0);
  CHECK(series.at("rouse_instances_desired{" + who + "}") == 2);
  CHECK(series.at("rouse_scale_decisions_total{" + who + ",direction=\"up\",reason=\"" +
                  to_string(activator::scale_cause::demand) + "\"}") == 4);
  CHECK(series.at("rouse_scale_decisions_total{" + who + ",direction=\"down\",reason=\"" +
                  to_string(activator::scale_cause::idle) + "\"}") == 3);
  CHECK(series.at("rouse_ejections_total{" + who + "}") == 5);
  CHECK(series.at("rouse_pool_instances{pool=\"local\"}") == 3);
  CHECK(series.at("rouse_pool_instances{pool=\"cloud\"}") == 0);
  CHECK(series.at("rouse_pool_reserved{pool=\"cloud\"}") == 7);
  CHECK(series.at("rouse_pool_cost_total{pool=\"cloud\"}") == 10.5);
  CHECK(series.at("rouse_start_failures_total{" + who + ",reason=\"exited\"}") == 2);
  CHECK(series.at("rouse_start_failures_total{" + who + ",reason=\"timeout\"}") == 1);
  CHECK(series.at("rouse_cold_start_duration_seconds_count{" + who + "}") == 2);
  CHECK(series.at("rouse_cold_start_duration_seconds_sum{" + who + "}") == Approx(1.5));
  CHECK(series.at("rouse_cold_start_duration_seconds_bucket{" + who + ",le=\"0.5\"}") == 1);
  CHECK(series.at("rouse_cold_start_duration_seconds_bucket{" + who + ",le=\"1\"}") == 2);
}
