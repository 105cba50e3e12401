#pragma once
// One revision's lifecycle with everything around it faked, on a clock that the test moves. Include after catch.hpp.

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

/// The time of the rig that was made last; what the lot and the meters date by.
inline const activator::lifecycle::time_point* the_time = nullptr;
inline std::int64_t fake_time() noexcept {
  return std::chrono::nanoseconds(the_time->time_since_epoch()).count();
}

struct lifecycle_rig {
  explicit lifecycle_rig(
      const std::function<void(config::revision&)>& change = [](auto&) {},
      std::vector<config::pool> pools_given = {a_pool("local")}, caller::clock clock = fake_time)
      : time(clock) {
    the_time = &now;
    config.concurrency = 1;
    config.scale.utilization = 1;  // a request for each instance: numbers that can be read
    change(config);
    backends.use([this](const config::pool& of) {
      return activator::always(of.connection.network == "other" ? other : backend)(of);
    });
    pools = std::move(pools_given);
    book.configure(pools, now, around.wall());
    backends.configure(pools, book);
    runtime = std::make_shared<activator::revision_runtime>(
        function, config, 0, 2, [this](auto&) { demanded = true; }, clock);
    life = std::make_unique<activator::lifecycle>(around, 0, runtime);
    reconfigure();
    life->set_share(1);
  }
  ~lifecycle_rig() {
    callers.clear();
    plane.let_all();
  }
  lifecycle_rig(const lifecycle_rig&) = delete;
  lifecycle_rig& operator=(const lifecycle_rig&) = delete;

  /// `config` as it is now holds.
  void reconfigure() { life->configure(std::make_shared<const config::revision>(config), pools); }

  /// A request: takes a slot or parks; the demand that it makes is looked at as the daemon would.
  caller& request() {
    auto& one = callers.emplace_back(runtime, box, 0, time);
    last = one.ask();
    look_at_demand();
    return one;
  }
  /// Instances 1 to n, ready, with `each` requests on every one of them. For a rig in which nothing has run yet.
  void fill(unsigned n, unsigned each) {
    life->set_bounds(n, n);
    evaluate();
    for (unsigned id = 1; id <= n; ++id) ready(id);
    for (unsigned i = 0; i < n * each; ++i) REQUIRE(request().held);
  }
  /// Ends requests on this instance until so many are left.
  void leave_on(std::uint64_t id, std::uint32_t left) {
    for (auto& one : callers) {
      if (one.held && one.held.on().id() == id && one.held.on().slots_taken() > left) give_back(one);
    }
  }
  /// Bounds of the number of instances, at once.
  void bound(unsigned min, unsigned max) {
    life->set_bounds(min, max);
    evaluate();
  }
  void look_at_demand() {
    while (std::exchange(demanded, false)) life->evaluate(now);
    box.deliver();
  }
  /// The answer is complete.
  void give_back(caller& one) {
    one.end();
    box.deliver();
  }
  void ready(std::uint64_t id) {
    REQUIRE(around.by_id.contains(id));
    life->on_ready(id, ready_on(20'000), now);
    box.deliver();
  }
  void exits(std::uint64_t id, std::string reason = "exited", std::vector<std::string> lines = {}) {
    REQUIRE(around.by_id.contains(id));
    activator::exit_report report;
    report.reason = std::move(reason);
    report.detail = "exited with status 3";
    report.last_lines = std::move(lines);
    report.was_asked = asked_to_stop(id);
    life->on_exit(id, std::move(report), now);
    look_at_demand();
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
  void evaluate() {
    life->evaluate(now);
    box.deliver();
  }
  std::string state(std::uint64_t id) {
    for (const auto& one : life->status(now).instances)
      if (one.id == id) return one.state;
    return "none";
  }
  [[nodiscard]] bool asked_to_stop(std::uint64_t id) const {
    return std::ranges::count(backend.stops, id, &fake_backend::stop_call::id) > 0;
  }
  std::size_t running() { return around.by_id.size(); }
  /// How often the number went up (or down), whatever the cause.
  std::uint64_t decisions(bool up) {
    std::uint64_t sum = 0;
    for (const auto& [key, count] : life->status(now).decision_counts) sum += key.first == up ? count : 0;
    return sum;
  }

  config::revision config = a_revision("f-ab12cd34");
  std::vector<config::pool> pools;
  const caller::clock time;
  activator::lifecycle::time_point now = std::chrono::steady_clock::now() + std::chrono::hours(1000);
  double random = 0.5;
  readable_log log;
  fake_backend backend;
  fake_backend other;  ///< of pools on the network `other`
  fake_plane plane;
  bool demanded = false;
  activator::mailbox box{[] {}};
  activator::pool_book book{[this](std::uint32_t) { demanded = true; }};
  std::shared_ptr<activator::function_runtime> function = std::make_shared<activator::function_runtime>("f", 2);
  std::shared_ptr<activator::revision_runtime> runtime;
  activator::backend_table backends;
  activator::surroundings around{.plane = plane,
                                 .log = log.logger,
                                 .pools = book,
                                 .backends = backends,
                                 .workers = 2,
                                 .random = [this] { return random; },
                                 .wall = [] { return std::chrono::system_clock::time_point(1000s); }};
  std::unique_ptr<activator::lifecycle> life;
  std::list<caller> callers;
  activator::parking_lot::park_result last{};
  int evaluations = 0;
};

}  // namespace rouse::test
