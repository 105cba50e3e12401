#pragma once
// What stands in the world's place: a backend whose instances get ready after so long by the virtual clock and end at
// once when told, and a data plane without workers. One thread; both report from the simulation's loop, never from
// inside a call.

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "activator/backend/backend.hpp"
#include "activator/data_plane.hpp"
#include "activator/simulator/events.hpp"

namespace rouse::simulator {

/// Instances of one function, as the backend sees them.
struct running_count {
  unsigned starting = 0;
  unsigned all = 0;
  unsigned peak = 0;
  std::uint64_t became_ready = 0;
  std::uint64_t failed = 0;
  std::int64_t lived_ns = 0;  ///< of those that have ended

  void begun() noexcept {
    ++starting;
    if (++all > peak) peak = all;
  }
};

class virtual_backend final : public activator::backend {
 public:
  /// What is needed to start an instance: whose it is, and how long it takes.
  struct origin {
    std::uint32_t function = 0;
    std::int64_t start_ns = 0;
  };

  /// `find` tells of a spec; `count` has one entry a function and one more for all. Borrows everything.
  virtual_backend(event_heap& events, const std::int64_t& now, std::function<origin(const activator::start_spec&)> find,
                  std::vector<running_count>& count)
      : events_(events), now_(now), find_(std::move(find)), count_(count) {}

  void start(const activator::start_spec& spec) override;
  void stop(std::uint64_t id, std::chrono::milliseconds grace) override;
  [[nodiscard]] activator::backend_traits traits() const noexcept override { return {.can_freeze = true}; }

  // The simulation's loop, for the events that these added:
  /// event_kind::ready: true when it is so.
  [[nodiscard]] bool got_ready(std::uint64_t id);
  /// event_kind::gone: the report.
  [[nodiscard]] activator::exit_report ended(std::uint64_t id);

  /// Nanoseconds that instances of this function have lived until `now`, and of all.
  [[nodiscard]] std::vector<std::int64_t> lived(std::int64_t now) const;

 private:
  struct instance {
    std::uint32_t function;
    std::int64_t began;
    bool ready = false;
    bool asked = false;
  };
  event_heap& events_;
  const std::int64_t& now_;
  std::function<origin(const activator::start_spec&)> find_;
  std::vector<running_count>& count_;
  std::unordered_map<std::uint64_t, instance> instances_;
};

/// Without workers, everything is forgotten, quiescent and served at once; `then` is called in the loop's next turn.
class virtual_plane final : public activator::data_plane {
 public:
  void forget(router::instance&, std::function<void()> then) override { later_.push_back(std::move(then)); }
  void quiesce(std::function<void()> then) override { later_.push_back(std::move(then)); }
  void serve(std::shared_ptr<const activator::view>, std::function<void()> then) override {
    later_.push_back(std::move(then));
  }
  /// False when there was nothing.
  bool run() {
    if (later_.empty()) return false;
    running_.swap(later_);
    for (auto& then : running_) then();
    running_.clear();
    return true;
  }

 private:
  std::vector<std::function<void()>> later_;
  std::vector<std::function<void()>> running_;
};

}  // namespace rouse::simulator
