// What the backend adds to a fast start. The bound is a loose one, for machines that do other things as well; the
// figures are printed.

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <type_traits>

#include "activator/backend/process/cgroup.hpp"
#include "activator/backend/process/process_tree.hpp"
#include "tests/activator/process/bed.hpp"

using namespace rouse::process::test;

namespace {

std::string median_and_more(std::vector<double>& of) {
  std::sort(of.begin(), of.end());
  char text[100];
  std::snprintf(text, sizeof text, "p50 %.3f ms, p90 %.3f ms, max %.3f ms", of[of.size() / 2], of[of.size() * 9 / 10],
                of.back());
  return text;
}

/// A new connection, and its answer.
template <class Bed>
double answer_time(Bed& on, std::uint64_t id, bool thaw) {
  const auto begun = std::chrono::steady_clock::now();
  if (thaw) on.thaw(id);
  REQUIRE(rouse::activator::contract::get_status(rouse::activator::contract::dial(on.of(id).where)) == 200);
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count();
}

using by_signals = rouse::activator::contract::bench<signals_fixture>;

bool is_still(bed&, pid_t main) {
  std::ifstream own("/proc/" + std::to_string(main) + "/cgroup");
  std::ifstream mounts("/proc/self/mountinfo");
  using text = std::istreambuf_iterator<char>;
  const auto where = rouse::process::find_cgroup(std::string(text(own), text()), std::string(text(mounts), text()));
  std::ifstream events(where.value_or("") + "/cgroup.events");
  return std::string(text(events), text()).find("frozen 1") != std::string::npos;
}
bool is_still(by_signals&, pid_t main) {
  return rouse::process::is_stopped(main);
}

}  // namespace

TEMPLATE_TEST_CASE("a thaw adds next to nothing", "", bed, by_signals) {
  TestType on;
  if constexpr (std::is_same_v<TestType, bed>) {
    if (!has_cgroups(on)) return;
  }
  const auto id = on.start(spec_of({fast_function}));
  REQUIRE(on.ready(id));
  const pid_t main = rouse::process::children_of(rouse::process::children_of(on.fixture.keeper.pid()).at(0)).at(0);
  std::vector<double> warm, thawed;
  for (int i = 0; i < 200; ++i) {
    warm.push_back(answer_time(on, id, false));
    on.freeze(id);
    REQUIRE(wait_for([&] { return is_still(on, main); }));
    thawed.push_back(answer_time(on, id, true));
  }
  std::printf("%s\n", std::is_same_v<TestType, bed> ? "by cgroup" : "by signals");
  std::printf("connect and GET, warm: %s\n", median_and_more(warm).c_str());
  std::printf("thaw, connect and GET: %s\n", median_and_more(thawed).c_str());
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  CHECK(thawed[100] < 1000);
#else
  CHECK(thawed[100] - warm[100] < 20);
#endif
}

TEMPLATE_TEST_CASE("a function that is up in two milliseconds is ready soon after", "", bed, by_signals) {
  TestType on;
  std::vector<double> took;
  for (int i = 0; i < 200; ++i) {
    const auto begun = std::chrono::steady_clock::now();
    const auto id = on.start(spec_of({fast_function}));
    while (on.of(id).ready + on.of(id).exits == 0) {
      on.control.restart();
      on.control.run_one_for(std::chrono::seconds(5));
    }
    took.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count());
    REQUIRE(on.of(id).ready == 1);
    on.stop(id, std::chrono::milliseconds(0));
    REQUIRE(on.ended(id));
  }
  std::sort(took.begin(), took.end());
  std::printf("start() to on_ready(), 200 starts, %s: p50 %.2f ms, p90 %.2f ms, p99 %.2f ms, max %.2f ms\n",
              std::is_same_v<TestType, bed> ? "cgroup where there is one" : "signals", took[100], took[180], took[198],
              took[199]);
  // Beside other tests on two cores; what it takes on a quiet machine is measured by the cold-start bench.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  CHECK(took[100] < 1000);
#else
  CHECK(took[100] < 100);
#endif
}
