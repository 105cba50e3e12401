#pragma once
// One function's lifecycle with everything around it faked, on a clock that the test moves. Include after catch.hpp.

#include <algorithm>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "activator/lifecycle.hpp"
#include "fakes.hpp"

namespace rouse::test {

using namespace std::chrono_literals;

struct lifecycle_rig {
  explicit lifecycle_rig(const std::function<void(config::function&)>& change = [](auto&) {}) {
    config.concurrency = 1;
    change(config);
    around.with = &backend;
    life = std::make_unique<activator::lifecycle>(around, runtime);
  }
  ~lifecycle_rig() {
    callers.clear();
    plane.let_all();
  }

  /// A request: takes a slot or parks; the demand that it makes is looked at as the daemon would.
  caller& request() {
    auto& one = callers.emplace_back(runtime.lot, box);
    last = one.ask();
    look_at_demand();
    return one;
  }
  void look_at_demand() {
    if (std::exchange(demanded, false)) life->evaluate(now);
    box.deliver();
  }
  /// The instance's clock is the real one; the test's is not.
  void give_back(caller& one) {
    auto& on = one.held.on();
    one.held.reset();
    on.touch(now.time_since_epoch().count());
    box.deliver();
  }
  void ready(std::uint64_t id) {
    life->on_ready(id, ready_on(20'000), now);
    box.deliver();
  }
  void exits(std::uint64_t id, std::string reason = "exited", std::vector<std::string> lines = {}) {
    activator::exit_report report;
    report.reason = std::move(reason);
    report.detail = "exited with status 3";
    report.last_lines = std::move(lines);
    report.was_asked = std::ranges::count(backend.stops, id, &fake_backend::stop_call::id) > 0;
    life->on_exit(id, std::move(report), now);
    box.deliver();
  }
  /// As the activator's timer: evaluates at each due time on the way.
  void advance(std::chrono::nanoseconds by) {
    const auto until = now + by;
    while (life->next_due() && *life->next_due() <= until) {
      REQUIRE(*life->next_due() > now);
      now = *life->next_due();
      life->evaluate(now);
      box.deliver();
      ++evaluations;
    }
    now = until;
  }
  std::string state(std::uint64_t id) {
    for (const auto& one : life->status(now).instances)
      if (one.id == id) return one.state;
    return "none";
  }
  std::size_t running() { return around.by_id.size(); }

  config::function config = a_function("f");
  activator::lifecycle::time_point now = std::chrono::steady_clock::now() + std::chrono::hours(1000);
  double random = 0.5;
  readable_log log;
  fake_backend backend;
  fake_plane plane;
  bool demanded = false;
  activator::mailbox box{[] {}};
  activator::function_runtime runtime{config, 7, [this] { demanded = true; }};
  activator::surroundings around{.plane = plane,
                                 .log = log.logger,
                                 .workers = 2,
                                 .random = [this] { return random; },
                                 .wall = [] { return std::chrono::system_clock::time_point(1000s); }};
  std::unique_ptr<activator::lifecycle> life;
  std::list<caller> callers;
  activator::parking_lot::park_result last{};
  int evaluations = 0;
};

}  // namespace rouse::test
