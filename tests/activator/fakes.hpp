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
  std::function<void()> on_stop;

  void start(const activator::start_spec& spec) override { starts.push_back(spec); }
  void stop(std::uint64_t id, std::chrono::milliseconds grace) override {
    stops.push_back({id, grace});
    if (on_stop) on_stop();
  }
};

/// `then`s are kept until the test lets them happen.
struct fake_plane final : activator::data_plane {
  std::vector<std::uint64_t> forgotten;  ///< ids, in order
  std::vector<std::function<void()>> forgets;
  std::vector<std::function<void()>> quiesces;

  void forget(router::instance& which, std::function<void()> then) override {
    forgotten.push_back(which.id());
    forgets.push_back(std::move(then));
  }
  void quiesce(std::function<void()> then) override { quiesces.push_back(std::move(then)); }

  static void let(std::vector<std::function<void()>>& which) {
    for (const auto& then : std::exchange(which, {})) then();
  }
  void let_all() {
    while (!forgets.empty() || !quiesces.empty()) {
      let(forgets);
      let(quiesces);
    }
  }
};

/// One request: takes a slot or waits for one.
class caller {
 public:
  caller(activator::parking_lot& lot, activator::mailbox& box) : lot_(lot), waiter_(box, [this] { woken = true; }) {}

  /// Takes or parks.
  activator::parking_lot::park_result ask() {
    if (auto got = lot_.take(0)) {
      held = std::move(*got);
      return activator::parking_lot::park_result::parked;
    }
    return lot_.park(waiter_, 100);
  }
  [[nodiscard]] activator::waiter::outcome result() const { return waiter_.result(); }
  [[nodiscard]] std::shared_ptr<const activator::start_failure> failure() const { return waiter_.failure(); }
  /// After the mailbox delivered.
  bool served() {
    if (!held && woken && waiter_.result() == activator::waiter::outcome::granted) held = waiter_.take_slot();
    return static_cast<bool>(held);
  }
  [[nodiscard]] bool failed() const { return woken && waiter_.result() == activator::waiter::outcome::failed; }

  activator::slot held;
  bool woken = false;

 private:
  activator::parking_lot& lot_;
  activator::waiter waiter_;
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

inline config::function a_function(std::string name) {
  config::function out;
  out.revision = name + "-ab12cd34";
  out.name = std::move(name);
  out.command = {"./run"};
  out.directory = "/srv";
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
