#pragma once
// What the activator's tests put in place of the world: a backend that only records, a data plane whose answers are
// given by hand, callers who wait for a slot, and a log that can be read.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <spdlog/logger.h>
#include <spdlog/sinks/ostream_sink.h>

#include "activator/activator.hpp"

namespace rouse::test {

struct fake_backend final : activator::backend {
  struct stop_call {
    std::uint64_t id;
    std::chrono::milliseconds grace;
    friend bool operator==(const stop_call&, const stop_call&) = default;
  };
  std::vector<activator::start_spec> starts;
  std::vector<stop_call> stops;
  bool freezes = true;                ///< traits().can_freeze
  bool shared = false;                ///< traits().may_be_standby
  bool apart = false;                 ///< traits().apart
  std::vector<std::uint64_t> frozen;  ///< ids, in order
  std::vector<std::uint64_t> thawed;
  std::function<void()> on_stop;
  std::vector<activator::run_spec> served;
  std::vector<std::uint32_t> forgot;  ///< keys, in order
  int told_all = 0;
  bool keeps = false;  ///< instances may outlive it
  std::vector<std::uint64_t> let_go_of;

  void serve(const activator::run_spec& spec) override { served.push_back(spec); }
  void forget(std::uint32_t key) override { forgot.push_back(key); }
  void all_served() override { ++told_all; }
  void let_go(std::uint64_t id, std::chrono::milliseconds grace) override {
    if (!keeps) return stop(id, grace);
    let_go_of.push_back(id);
  }
  void start(const activator::start_spec& spec) override { starts.push_back(spec); }
  void stop(std::uint64_t id, std::chrono::milliseconds grace) override {
    stops.push_back({id, grace});
    if (on_stop) on_stop();
  }
  [[nodiscard]] activator::backend_traits traits() const noexcept override {
    return {.can_freeze = freezes, .may_be_standby = shared, .apart = apart};
  }
  void freeze(std::uint64_t id) override { frozen.push_back(id); }
  void thaw(std::uint64_t id) override { thawed.push_back(id); }
};

/// `then`s are kept until the test lets them happen.
struct fake_plane final : activator::data_plane {
  std::vector<std::uint64_t> forgotten;  ///< ids, in order
  std::vector<std::function<void()>> forgets;
  std::vector<std::function<void()>> quiesces;
  std::vector<std::function<void()>> serves;
  std::shared_ptr<const activator::view> served;  ///< the last one

  void forget(router::instance& which, std::function<void()> then) override {
    forgotten.push_back(which.id());
    forgets.push_back(std::move(then));
  }
  void quiesce(std::function<void()> then) override { quiesces.push_back(std::move(then)); }
  void serve(std::shared_ptr<const activator::view> next, std::function<void()> then) override {
    served = std::move(next);
    serves.push_back(std::move(then));
  }

  static void let(std::vector<std::function<void()>>& which) {
    for (const auto& then : std::exchange(which, {})) then();
  }
  void let_all() {
    while (!forgets.empty() || !quiesces.empty() || !serves.empty()) {
      let(serves);
      let(forgets);
      let(quiesces);
    }
  }
};

/// One request, as a worker has it: it is metered, and takes a slot or waits for one.
class caller {
 public:
  using clock = std::int64_t (*)() noexcept;

  /// `named`: it asked for this very revision.
  caller(std::shared_ptr<activator::revision_runtime> runtime, activator::mailbox& box, unsigned worker = 0,
         clock now = router::instance::steady_now, bool named = false)
      : runtime_(std::move(runtime)), box_(box), now_(now), worker_(worker), named_(named) {
    meter().enter(now_());
  }
  caller(const caller&) = delete;
  caller& operator=(const caller&) = delete;
  ~caller() { end(); }

  /// Takes or parks.
  activator::parking_lot::park_result ask() {
    if (auto got = runtime_->lot.take(0)) {
      held = std::move(*got);
      return activator::parking_lot::park_result::parked;
    }
    const auto result = park(activator::parking_lot::turn::newcomer);
    if (result != activator::parking_lot::park_result::parked) end();
    return result;
  }
  /// Its instance broke: it gives the slot back and takes or parks once more.
  activator::parking_lot::park_result try_again() {
    held.reset();
    waiter_.reset();
    woken = false;
    if (auto got = runtime_->lot.take(0)) {
      held = std::move(*got);
      return activator::parking_lot::park_result::parked;
    }
    const auto result = park(activator::parking_lot::turn::retry);
    turned_away_ = result == activator::parking_lot::park_result::moved;
    return result;
  }
  /// Was told `moved`, and there is nothing else to choose.
  activator::parking_lot::park_result stay() {
    waiter_.reset();
    woken = turned_away_ = false;
    return park(activator::parking_lot::turn::moved, true);
  }
  /// Was told `moved`, and has chosen anew.
  activator::parking_lot::park_result move_to(std::shared_ptr<activator::revision_runtime> next) {
    waiter_.reset();
    woken = turned_away_ = false;
    meter().leave(now_());
    runtime_ = std::move(next);
    meter().enter(now_());
    return park(activator::parking_lot::turn::moved);
  }
  /// Answered, or the caller has left.
  void end() {
    held.reset();
    waiter_.reset();
    leave();
  }
  [[nodiscard]] const std::shared_ptr<activator::revision_runtime>& runtime() const { return runtime_; }
  [[nodiscard]] activator::waiter::outcome result() const { return waiter_->result(); }
  [[nodiscard]] std::shared_ptr<const activator::start_failure> failure() const { return waiter_->failure(); }
  /// After the mailbox delivered.
  bool served() {
    if (!held && woken && result() == activator::waiter::outcome::granted) {
      held = waiter_->take_slot();
      woken = false;
    }
    return static_cast<bool>(held);
  }
  [[nodiscard]] bool failed() const { return woken && result() == activator::waiter::outcome::failed; }
  [[nodiscard]] bool moved() const {
    return turned_away_ || (woken && waiter_ && result() == activator::waiter::outcome::moved);
  }
  [[nodiscard]] bool named() const { return named_; }

  activator::slot held;
  bool woken = false;

 private:
  [[nodiscard]] activator::load_meter& meter() { return runtime_->counters_of(worker_).load; }
  void leave() {
    if (std::exchange(metered_, false)) meter().leave(now_());
  }
  activator::parking_lot::park_result park(activator::parking_lot::turn as, bool last_resort = false) {
    waiter_ = std::make_unique<activator::waiter>(box_, [this] {
      woken = true;
      if (failed()) leave();  // it is answered
    });
    return runtime_->lot.park(*waiter_, 100, as, named_, last_resort);
  }

  std::shared_ptr<activator::revision_runtime> runtime_;
  activator::mailbox& box_;
  clock now_;
  unsigned worker_;
  bool named_;
  bool turned_away_ = false;
  bool metered_ = true;
  std::unique_ptr<activator::waiter> waiter_;
};

struct readable_log {
  std::ostringstream text;
  spdlog::logger logger{"test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text)};
  readable_log() { logger.set_pattern("%l %v"); }
  [[nodiscard]] bool has(const std::string& what) const { return text.str().find(what) != std::string::npos; }
  [[nodiscard]] std::size_t count(const std::string& what) const {
    const auto all = text.str();
    std::size_t n = 0;
    for (auto at = all.find(what); at != std::string::npos; at = all.find(what, at + 1)) ++n;
    return n;
  }
};

inline config::revision a_revision(std::string name) {
  config::revision out;
  out.name = std::move(name);
  out.hash = 0xab12cd34;
  out.command = {"./run"};
  out.directory = "/srv";
  out.pools = {config::pool_use{}};
  return out;
}

/// With one revision, NAME-ab12cd34, that has all traffic.
inline config::function a_function(std::string name) {
  config::function out;
  out.revisions = {a_revision(name + "-ab12cd34")};
  out.weights = {100};
  out.name = std::move(name);
  return out;
}

inline config::pool a_pool(std::string name, std::optional<unsigned> max_instances = std::nullopt) {
  config::pool out;
  out.name = std::move(name);
  out.max_instances = max_instances;
  return out;
}

inline activator::ready_report ready_on(std::uint16_t port, int probe_socket = -1) {
  activator::ready_report report;
  report.where.bytes = {127, 0, 0, 1};
  report.where.port = port;
  report.probe_socket = probe_socket;
  return report;
}

}  // namespace rouse::test
