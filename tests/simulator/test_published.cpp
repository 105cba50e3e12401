// Results that others have published, reproduced with our own scaling and pools.

#include <catch2/catch.hpp>

#include <cmath>
#include <string>

#include "support.hpp"

using namespace rouse;
using namespace rouse::simulator;
using namespace std::chrono_literals;

namespace {

report run(const std::string& yaml, const std::string& rows) {
  const auto snapshot = test::configured(yaml);
  trace_defaults defaults;
  defaults.start = 2s;
  defaults.service = 10s;
  const auto trace = test::read(*snapshot, rows, defaults);
  for (const auto& one : trace.problems) FAIL(one);
  options how;
  how.arrivals = spread::even;
  how.services = service_times::fixed;
  return simulate(snapshot, *trace.value, how);
}

double cost_of(const report& found) {
  double sum = 0;
  for (const auto& pool : found.pools) sum += pool.cost;
  return sum;
}

double hours_of(const report& found, const std::string& pool) {
  for (const auto& one : found.pools) {
    if (one.name == pool) return one.instance_hours;
  }
  return -1;
}

/// Two peaks of two hours, in which twenty instances are 60 % busy; 10 % otherwise. Requests take 10 s, so `busy`
/// requests at once are six times that per minute.
std::string two_peaks() {
  std::string rows;
  for (int minute = 0; minute < 24 * 60; ++minute) {
    const int hour = minute / 60;
    const bool peak = (hour >= 10 && hour < 12) || (hour >= 18 && hour < 20);
    const int busy = peak ? 120 : 20;
    rows += std::to_string(minute * 60) + ",f," + std::to_string(busy * 6) + "\n";
  }
  return rows;
}

}  // namespace

TEST_CASE("70 % owned and the rest rented at 1.5 C for four hours: 18.6 C in place of 24 C") {
  // Twenty instances of ten slots, of which six are to be busy: C is what the twenty cost in an hour.
  const std::string function =
      "functions:\n"
      "  f: {command: [x], concurrency: 10, pools: [own, rented], scale: {target: 6, max: 20}}\n";
  const auto owned =
      run("pools:\n  own: {reserved: 20, max_instances: 20}\n  rented: {cost: 1.5}\n" + function, two_peaks());
  const auto mixed =
      run("pools:\n  own: {reserved: 14, max_instances: 14}\n  rented: {cost: 1.5}\n" + function, two_peaks());
  const double hour = 20;  // C
  CHECK(cost_of(owned) / hour == Approx(24).epsilon(0.001));
  CHECK(hours_of(owned, "rented") == 0);
  CHECK(hours_of(mixed, "rented") == Approx(6 * 4).epsilon(0.02));  // a minute longer than each peak
  CHECK(cost_of(mixed) / hour == Approx(18.6).epsilon(0.005));
  CHECK(1 - cost_of(mixed) / cost_of(owned) == Approx(0.225).margin(0.004));
  CHECK(owned.functions[0].requests == mixed.functions[0].requests);
  CHECK(mixed.functions[0].lost() == 0);
  CHECK(owned.functions[0].lost() == 0);
}

TEST_CASE("min 4, target 100 x 0.7: a load that doubles and halves is followed, and nothing is lost") {
  std::string rows;
  int minute = 0;
  double most = 0;
  for (const int busy : {200, 400, 800, 1600, 3200, 1600, 800, 400, 200, 100, 200}) {
    for (int i = 0; i < 4; ++i) rows += std::to_string(minute++ * 60) + ",f," + std::to_string(busy * 6) + "\n";
    most = std::max<double>(most, busy);
  }
  const auto found =
      run("functions:\n  f: {command: [x], concurrency: 100, scale: {min: 4, max: 100, utilization: 0.7}}\n", rows);
  const auto& f = found.functions[0];
  CHECK(f.lost() == 0);
  CHECK(f.requests > 200'000);
  CHECK(f.peak_instances >= std::ceil(most / 70));      // what the highest load needs by its target
  CHECK(f.peak_instances <= 2 * std::ceil(most / 70));  // and no panic beyond reason
  // Never below min: the shortest possible bill is four instances all the time.
  CHECK(f.instance_hours >= Approx(4 * minute / 60.0).epsilon(0.01));
  // Nor far above the load: the sum of what each phase needs, and a window's worth of delay on the way down.
  CHECK(f.instance_hours < 2 * 13.5);
}
