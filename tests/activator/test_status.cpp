// What people see of a function whose revisions are in motion.

#include <catch2/catch.hpp>

#include "control_rig.hpp"

using namespace rouse;
using namespace std::chrono_literals;
using activator::function_status;
using activator::revision_status;
using activator::scale_cause;
using test::run_by;
using rig = test::control_rig;

namespace {

revision_status shown(const std::string& role, unsigned factor) {
  revision_status out;
  out.function = "f";
  out.revision = "v1";
  out.role = role;
  out.weight = role == "serving" ? 100 : 0;
  out.parked = 1 * factor;
  out.in_flight = 2 * factor;
  out.desired = 3 * factor;
  out.max = role == "serving" ? 7 : 5;
  out.instances.resize(factor);
  out.runtimes.resize(1);
  for (unsigned i = 0; i < 6; ++i) {
    activator::decision_status decision;
    decision.at = std::chrono::system_clock::time_point(std::chrono::seconds(100 - 10 * i + factor));
    decision.to = factor;
    out.decisions.push_back(decision);
  }
  out.failure = role == "serving" ? "" : "exited";
  out.decision_counts[{true, scale_cause::stable}] = 4 * factor;
  out.start_failures["exited"] = factor;
  out.ejections = 5 * factor;
  out.thaws = 6 * factor;
  out.cold_starts = 7 * factor;
  out.cold_start_sum_ns = 8 * factor;
  out.cold_start_buckets = {factor, 2 * factor};
  return out;
}

}  // namespace

TEST_CASE("two lives of one revision are shown as one: their sums, and the words of the one that serves") {
  function_status all;
  const bool serving_first = GENERATE(true, false);
  all.add(serving_first ? shown("serving", 1) : shown("leaving", 10));
  all.add(serving_first ? shown("leaving", 10) : shown("serving", 1));
  CHECK(all.parked == 11);
  CHECK(all.in_flight == 22);
  REQUIRE(all.revisions.size() == 1);
  const auto& one = all.revisions[0];
  CHECK(one.role == "serving");
  CHECK(one.weight == 100);
  CHECK(one.max == 7);
  CHECK(one.parked == 11);
  CHECK(one.in_flight == 22);
  CHECK(one.desired == 33);
  CHECK(one.instances.size() == 11);
  CHECK(one.runtimes.size() == 2);  // a scrape sums the counters of both
  CHECK(one.failure == "exited");
  CHECK(one.decision_counts.at({true, scale_cause::stable}) == 44);
  CHECK(one.start_failures.at("exited") == 11);
  CHECK(one.ejections == 55);
  CHECK(one.thaws == 66);
  CHECK(one.cold_starts == 77);
  CHECK(one.cold_start_sum_ns == 88);
  CHECK(one.cold_start_buckets == std::vector<std::uint64_t>{11, 22});
  REQUIRE(one.decisions.size() == 10);
  for (std::size_t i = 1; i < 10; ++i) CHECK(one.decisions[i - 1].at >= one.decisions[i].at);
  CHECK(one.decisions[0].to == 10);
}

TEST_CASE("a revision that came back while its first life still drains is one in the status") {
  rig r;
  r.apply(run_by("f-1", 1));
  r.run_all();
  auto& stream = r.request("f");
  REQUIRE(stream.served());
  r.apply(run_by("f-2", 1));
  r.run_all();
  r.apply(run_by("f-1", 1));
  r.run_all();
  const auto all = r.status("f");
  REQUIRE(all.revisions.size() == 1);
  const auto& one = all.revisions[0];
  CHECK(one.role == "serving");
  CHECK(one.weight == 100);
  CHECK(one.in_flight == 1);
  CHECK(one.runtimes.size() == 2);
  CHECK(one.runtimes[0] != one.runtimes[1]);
  CHECK(one.cold_starts == 2);
  CHECK(one.instances.size() == 2);
}
