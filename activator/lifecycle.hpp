#pragma once
// The life of one function's instances: when one is started, published, stopped, replaced and freed. It owns the
// instances and does no I/O of its own: time comes in as `now`, and what it wants done goes out through the backend,
// the data plane and the parking lot. The activator (activator.cpp) calls it and owns the one timer. Control thread
// only; lives as long as the activator.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "activator/activator.hpp"
#include "activator/backoff.hpp"
#include "activator/decide.hpp"

namespace rouse::activator {

class lifecycle;

/// What all functions' lifecycles share. Borrowed parts outlive it.
struct surroundings {
  backend* with = nullptr;  ///< set before the first start
  data_plane& plane;
  spdlog::logger& log;
  unsigned workers = 1;                                         ///< sizes the instances' ledgers
  std::function<double()> random;                               ///< uniform in [0, 1)
  std::function<std::chrono::system_clock::time_point()> wall;  ///< for what people read
  std::uint64_t next_id = 1;
  std::unordered_map<std::uint64_t, lifecycle*> by_id{};  ///< instances that have not exited
  /// Expires with the lifecycles; what the data plane calls back later looks at it first.
  std::shared_ptr<const char> alive = std::make_shared<const char>();
};

class lifecycle {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  /// A function with instances or parked work is looked at this often; sooner where `idle` is shorter.
  static constexpr std::chrono::milliseconds tick{1000};
  /// While shutting down (giving back the last slot calls nobody), and the shortest tick.
  static constexpr std::chrono::milliseconds poll{10};
  /// After the deadline of a shutdown, an instance that was told politely to end has this long before it is killed.
  static constexpr std::chrono::milliseconds last_grace{1000};

  lifecycle(surroundings& around, function_runtime& runtime);
  lifecycle(const lifecycle&) = delete;
  lifecycle& operator=(const lifecycle&) = delete;
  ~lifecycle();

  /// Looks at demand and instances and does what is due. Any moment is right for it.
  void evaluate(time_point now);
  /// When to call evaluate() next if nothing happens; nothing for a function at rest.
  [[nodiscard]] std::optional<time_point> next_due() const noexcept { return next_due_; }

  // What the backend reports (see backend_listener).
  void on_ready(std::uint64_t id, const ready_report& report, time_point now);
  void on_exit(std::uint64_t id, exit_report report, time_point now);
  void on_output(std::uint64_t id, std::string line);

  /// Ends every instance: idle ones now, others when their last slot is given back and, at `deadline`, by force. A
  /// deadline that has passed kills at once. Starts are made only for work that is parked, and none after the deadline.
  /// Called again with an earlier deadline it hurries; a later one changes nothing.
  void shut_down(time_point deadline, time_point now);

  [[nodiscard]] std::uint32_t function() const noexcept { return runtime_.index; }
  /// Plain values for the admin interface.
  [[nodiscard]] function_status status(time_point now) const;

  /// Instances that are kept: also those that exited and wait for their slots or for the workers.
  [[nodiscard]] std::size_t kept() const noexcept { return instances_.size(); }

 private:
  enum class phase : std::uint8_t { starting, ready, stopping, exited };
  struct tracked {
    std::unique_ptr<router::instance> self;
    time_point began;  ///< when its start was decided
    time_point ready_at{};
    time_point kill_at{};  ///< once told to stop: when its grace ends
    phase at = phase::starting;
    bool published = false;  ///< workers may know of it
    bool forgotten = false;  ///< every worker has closed its idle connections to it
    bool retiring = false;   ///< waits for the workers to pass a quiescent point
  };
  /// Made at the first start, so that a function that is never called stays small.
  struct history {
    std::vector<decision_status> decisions;  ///< newest first
    std::uint64_t up = 0;
    std::uint64_t down = 0;
    std::map<std::string, std::uint64_t> start_failures;
    std::uint64_t cold_starts = 0;
    duration_histogram cold_start_duration;
  };

  [[nodiscard]] tracked& find(std::uint64_t id);
  [[nodiscard]] scale_state count(time_point now) const;
  [[nodiscard]] static time_point idle_since(const tracked& one);
  [[nodiscard]] unsigned in_phase(phase which) const;
  [[nodiscard]] history& past();
  void set_desired(unsigned to, const std::string& reason);
  void schedule(time_point now);

  // lifecycle.cpp: up
  void evaluate_running(time_point now);
  void start_one(time_point now);
  void publish();
  void end_backoff(time_point now);
  void refuse_while_nothing_comes(time_point now);
  void release_slow_answers(time_point now);
  void start_failed(const tracked& one, exit_report& report, time_point now);
  void crashed(const tracked& one, exit_report& report, time_point now);
  void remember_failure(std::string reason, std::string detail, std::vector<std::string> last_lines);

  // lifecycle_stop.cpp: down
  void evaluate_ending(time_point now);
  unsigned stop_idle(unsigned most, time_point now);
  void stop(tracked& one, std::chrono::milliseconds grace, time_point now);
  void leave_workers(const std::vector<std::uint64_t>& ids);
  void retire();
  void erase(std::uint64_t id);
  void end_idle(time_point now);
  void end_by_force(time_point now);
  [[nodiscard]] std::chrono::milliseconds grace_left(time_point now) const;

  surroundings& around_;
  function_runtime& runtime_;
  std::vector<tracked> instances_;
  std::unique_ptr<history> history_;
  backoff backoff_;
  std::shared_ptr<const start_failure> failure_;  ///< while the back-off after it lasts
  std::optional<time_point> next_due_;
  std::optional<time_point> deadline_;  ///< set: shutting down
  time_point overdue_at_{};             ///< without a slot limit: when parked work need not await answers
  unsigned desired_ = 0;
  bool refusing_ = false;  ///< the lot refuses work with failure_
  bool at_once_ = false;   ///< the deadline had passed when it was set
};

}  // namespace rouse::activator
