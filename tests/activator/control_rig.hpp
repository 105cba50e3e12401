#pragma once
// Functions with their revisions, rollouts and pools, everything around them faked, on a clock that the test moves:
// what the activator is, without its event loop. Include after catch.hpp.

#include <algorithm>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "activator/function_control.hpp"
#include "lifecycle_rig.hpp"

namespace rouse::test {

struct control_rig {
  using control = activator::function_control;

  explicit control_rig(std::vector<config::pool> pools_given = {a_pool("local")}) : pools(std::move(pools_given)) {
    the_time = &now;
    backends.use(activator::always(backend));
    around.make_room = [this](std::uint32_t pool) {
      return std::ranges::any_of(roll, [&](auto& one) { return one.life && one.life->end_one_frozen(pool, now); });
    };
    all.make_runtime = [this](auto function, const auto& config, std::uint32_t number) {
      return std::make_shared<activator::revision_runtime>(
          std::move(function), config, number, 1, [this](auto& which) { poked.push_back(which.number); }, fake_time);
    };
    all.new_number = [this] {
      roll.emplace_back();
      return static_cast<std::uint32_t>(roll.size() - 1);
    };
    all.enlist = [this](auto& life, auto& of) { roll[life.number()] = {&life, &of}; };
    all.strike_off = [this](std::uint32_t number) { roll[number] = {}; };
    all.poke = [this](std::uint32_t number) { poked.push_back(number); };
    all.publish = [this](control& of) { dirty.push_back(&of); };
    book.configure(pools, now, around.wall());
    backends.configure(pools, book);
  }
  ~control_rig() {
    callers.clear();
    around.alive.reset();
    functions.clear();
    plane.let_all();
  }
  control_rig(const control_rig&) = delete;
  control_rig& operator=(const control_rig&) = delete;

  /// The file names this function so.
  control& apply(config::function config) {
    auto& at = functions[config.name];
    const bool fresh = !at;
    if (fresh) at = std::make_unique<control>(all, std::make_shared<activator::function_runtime>(config.name, 1));
    at->apply(std::make_shared<const config::function>(std::move(config)), pools, now);
    if (fresh) at->begin(now);
    settle();
    return *at;
  }
  /// The file's pools, for what is applied next.
  void use_pools(std::vector<config::pool> next) {
    pools = std::move(next);
    book.configure(pools, now, around.wall());
    backends.configure(pools, book);
  }
  void leave(const std::string& name) {
    left.insert(name);
    functions.at(name)->leave();
    dirty.push_back(functions.at(name).get());
    settle();
  }

  /// What the loop would do now: pokes, evaluations, views to the workers. The workers answer at once, but while
  /// `workers_are_slow`.
  void settle() {
    for (int turns = 0;; ++turns) {
      REQUIRE(turns < 1000);
      box.deliver();
      if (move_callers()) continue;
      if (!poked.empty()) {
        const auto number = poked.front();
        poked.pop_front();
        evaluate(number);
      } else if (!dirty.empty() && !workers_are_slow) {
        const auto told = std::exchange(dirty, {});
        for (auto* one : told) one->shifted(one->version(), now);
        for (auto* one : told) one->progress(now);
      } else {
        break;
      }
    }
    for (const auto& [name, one] : functions) one->progress(now);
    if (!poked.empty() || (!dirty.empty() && !workers_are_slow)) settle();
  }
  void evaluate(std::uint32_t number) {
    if (!roll[number].life) return;
    roll[number].life->evaluate(now);
    if (roll[number].of) roll[number].of->progress(now);
  }
  /// Each lifecycle when it is due.
  void advance(std::chrono::nanoseconds by) {
    for (const auto until = now + by;;) {
      std::optional<std::uint32_t> next;
      const auto due = [&](std::uint32_t i) { return roll[i].life ? roll[i].life->next_due() : std::nullopt; };
      for (std::uint32_t i = 0; i < roll.size(); ++i) {
        if (due(i) && (!next || *due(i) < *due(*next))) next = i;
      }
      if (!next || *due(*next) > until) {
        now = std::max(now, until);
        return;
      }
      REQUIRE(++evaluations < 200'000);
      now = std::max(now, *due(*next));
      evaluate(*next);
      settle();
    }
  }

  void ready(std::uint64_t id) {
    REQUIRE(around.by_id.contains(id));
    around.by_id.at(id)->on_ready(id, ready_on(20'000), now);
    settle();
  }
  void exits(std::uint64_t id, std::string reason = "exited") {
    REQUIRE(around.by_id.contains(id));
    activator::exit_report report;
    report.reason = std::move(reason);
    report.detail = "exited with status 3";
    around.by_id.at(id)->on_exit(id, std::move(report), now);
    settle();
  }
  /// Everything that starts gets ready, and everything that was told to stop exits, until nothing does.
  void run_all() {
    for (bool changed = true; changed;) {
      changed = false;
      const auto running = around.by_id;
      for (const auto& [id, life] : running) {
        const auto is = state(id);
        if (is == "starting") ready(id);
        if (is == "stopping") exits(id);
        changed = changed || is == "starting" || is == "stopping";
      }
      plane.let_all();
      settle();
    }
  }

  /// A request for this revision; by default for the first one that has traffic.
  caller& request(const std::string& function, const std::string& revision = {}) {
    auto& one = callers.emplace_back(choose(function, revision), box, 0, fake_time);
    last = one.ask();
    settle();
    return one;
  }
  /// NAME@REVISION.
  caller& request_named(const std::string& function, const std::string& revision) {
    auto& one = callers.emplace_back(choose(function, revision), box, 0, fake_time, true);
    last = one.ask();
    settle();
    return one;
  }
  /// Its instance broke under it.
  void try_again(caller& one) {
    last = one.try_again();
    settle();
  }
  void give_back(caller& one) {
    one.end();
    settle();
  }
  [[nodiscard]] std::shared_ptr<activator::revision_runtime> choose(const std::string& function,
                                                                    const std::string& revision = {}) const {
    const auto& service = *functions.at(function)->current();
    if (!revision.empty()) return service.find(revision)->runtime;
    for (std::size_t i = 0; i < service.weights.size(); ++i) {
      if (service.weights[i] > 0) return service.targets[i].runtime;
    }
    return service.targets.at(0).runtime;
  }

  [[nodiscard]] activator::function_status status(const std::string& function) const {
    return functions.at(function)->status(now);
  }
  [[nodiscard]] std::string state(std::uint64_t id) const {
    for (const auto& [name, one] : functions) {
      for (const auto& revision : one->status(now).revisions) {
        for (const auto& instance : revision.instances)
          if (instance.id == id) return instance.state;
      }
    }
    return "none";
  }
  /// Of all instances of this revision.
  [[nodiscard]] std::size_t count(const std::string& function, const std::string& revision, const std::string& state) {
    std::size_t n = 0;
    for (const auto& one : status(function).revisions) {
      if (one.revision != revision) continue;
      for (const auto& instance : one.instances) n += instance.state == state ? 1 : 0;
    }
    return n;
  }
  [[nodiscard]] std::string role(const std::string& function, const std::string& revision) const {
    for (const auto& one : status(function).revisions)
      if (one.revision == revision) return one.role;
    return "none";
  }
  [[nodiscard]] unsigned used(std::string_view pool) const { return book.status(now).at(*book.find(pool)).instances; }

  struct enlisted {
    activator::lifecycle* life = nullptr;
    activator::function_control* of = nullptr;
  };

  std::vector<config::pool> pools;
  activator::lifecycle::time_point now = std::chrono::steady_clock::now() + std::chrono::hours(1000);
  readable_log log;
  fake_backend backend;
  fake_plane plane;
  activator::mailbox box{[] {}};
  std::deque<std::uint32_t> poked;
  std::vector<control*> dirty;
  bool workers_are_slow = false;
  activator::pool_book book{[this](std::uint32_t number) { poked.push_back(number); }};
  activator::backend_table backends;
  activator::surroundings around{.plane = plane,
                                 .log = log.logger,
                                 .pools = book,
                                 .backends = backends,
                                 .workers = 1,
                                 .random = [] { return 0.5; },
                                 .wall = [] { return std::chrono::system_clock::time_point(1000s); }};
  activator::fleet all{.around = around,
                       .make_runtime = {},
                       .new_number = {},
                       .enlist = {},
                       .strike_off = {},
                       .poke = {},
                       .publish = {}};
  std::deque<enlisted> roll;
  std::map<std::string, std::unique_ptr<control>> functions;
  std::list<caller> callers;
  activator::parking_lot::park_result last{};
  int evaluations = 0;

  std::vector<const caller*> moved_order;
  std::set<std::string> left;  ///< functions that the file does not name any more

 private:
  /// Whoever was told `moved` chooses anew, in the order of the wakes.
  bool move_callers() {
    bool any = false;
    for (auto& one : callers) {
      if (!one.moved()) continue;
      const auto& function = one.runtime()->function->name;
      const auto& service = *functions.at(function)->current();
      if (left.contains(function) || (one.named() && !service.find(one.runtime()->name))) {
        one.stay();
      } else {
        one.move_to(choose(function, one.named() ? one.runtime()->name : std::string()));
      }
      moved_order.push_back(&one);
      any = true;
    }
    return any;
  }
};

/// Function f, run by one revision of this name; one request for each instance.
inline config::function run_by(const std::string& revision, unsigned min = 0) {
  auto out = a_function("f");
  auto& one = out.revisions[0];
  one.name = revision;
  one.hash = static_cast<std::uint32_t>(std::hash<std::string>()(revision));
  one.concurrency = 1;
  one.scale.utilization = 1;
  one.scale.min = min;
  return out;
}

/// Instances of f that take work, of whichever revision.
inline std::size_t serving(control_rig& r) {
  std::size_t n = 0;
  for (const auto& revision : r.status("f").revisions) n += r.count("f", revision.revision, "ready");
  return n;
}

}  // namespace rouse::test
