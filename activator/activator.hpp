#pragma once
// The control thread's part of rouse: it decides how many instances each revision has, starts and stops them through a
// backend, publishes those that are ready to the parking lots, and moves traffic between revisions. Owns every
// instance. All of it runs on one control executor; what workers may touch comes to them in a view (runtime.hpp).

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <spdlog/logger.h>
#include <boost/asio/io_context.hpp>

#include "activator/backend/backend.hpp"
#include "activator/backend_table.hpp"
#include "activator/data_plane.hpp"
#include "activator/function_control.hpp"
#include "activator/pools.hpp"
#include "activator/runtime.hpp"
#include "activator/stats.hpp"
#include "activator/status.hpp"
#include "config/config.hpp"

namespace rouse::activator {

/// What was set by hand and outlives the daemon.
struct kept_settings {
  std::map<std::string, overrides> functions;
  std::set<std::string> cordoned;  ///< pools
};

class activator final : public backend_listener {
 public:
  /// Borrows the rest, which outlives it. `workers` sizes counters and ledgers. Backends are given by use_backends()
  /// because each needs the other. `kept` is what an earlier daemon left.
  activator(boost::asio::io_context& control, std::shared_ptr<const config::snapshot> snapshot, data_plane& plane,
            unsigned workers, spdlog::logger& log, kept_settings kept = {});
  /// When nobody waits and no slot is taken any more: the workers are joined by then.
  ~activator();

  /// Before start().
  void use_backends(backend_factory make);
  /// What has happened lately; may be read on any thread.
  [[nodiscard]] std::shared_ptr<const chronicle> story() const;
  /// Told, on the control thread, whether this rouse is a standby in one of its pools: soon after start(), once that is
  /// known of all of them, and whenever it changes. Never from inside a call.
  void on_standby(std::function<void(bool)> then);
  /// Starts what `scale.min` and schedules ask for, and the tick.
  void start();

  /// What the workers begin with; before they run. Later ones come through data_plane::serve().
  [[nodiscard]] std::shared_ptr<const view> first_view() const;

  // --- control thread; what returns text returns an error in words, or nothing ---------------------------------------
  /// Replaces the configuration: live keys at once, revisions by rollout. `routes` is built from `snapshot`.
  void reload(std::shared_ptr<const config::snapshot> snapshot, std::shared_ptr<const router::route_table> routes);
  /// nullptr: no such function.
  [[nodiscard]] function_control* find(std::string_view function) noexcept;
  [[nodiscard]] std::string set_traffic(function_control& of, const std::map<std::string, std::uint32_t>& weights);
  [[nodiscard]] std::string set_scale(function_control& of, std::optional<unsigned> min, std::optional<unsigned> max);
  void restart(function_control& of);
  /// False: no such pool.
  [[nodiscard]] bool cordon(std::string_view pool, bool on);
  /// What is to be kept over a restart of the daemon.
  [[nodiscard]] kept_settings kept() const;

  /// Ends every instance: idle ones now, busy ones as their last slot is given back or, at `deadline`, by force; then
  /// `done`, once, on the control thread and never from inside. Work that is parked still gets its instance until then;
  /// what is parked at the deadline stays so, and is the caller's to answer. A polite stop may last a second beyond the
  /// deadline; a deadline that has passed kills. Call again with an earlier deadline to hurry; its `done`, if any,
  /// replaces the first.
  void shut_down(std::chrono::steady_clock::time_point deadline, std::function<void()> done);

  /// While set, shut_down() is not over although nothing runs: callers are still connected, and what they send gets its
  /// instance.
  void expect_more(bool more);

  /// In the order of the configuration; functions that it does not name any more, but that still have instances, last.
  [[nodiscard]] std::vector<function_status> status() const;
  /// The same in pieces: appends those that follow, for about `slice`. True when all are there; begins anew when
  /// functions came or went in between.
  struct partial_status {
    std::vector<function_status> functions;
    std::size_t next = 0;          ///< where to go on
    std::uint64_t generation = 0;  ///< of the list of functions
  };
  bool add_status(partial_status& out, std::chrono::microseconds slice) const;
  [[nodiscard]] std::vector<pool_status> pools() const;
  /// How long requests that parked waited for the control thread to look at them, on top of what they wait for. Any
  /// thread; lives as long as the activator.
  [[nodiscard]] const duration_histogram& control_wait() const noexcept;

  // backend_listener
  void on_ready(std::uint64_t id, ready_report report) override;
  void on_exit(std::uint64_t id, exit_report report) override;
  void on_output(std::uint64_t id, std::string line) override;
  void on_progress(std::uint64_t id, std::string text) override;
  void on_leaving(std::uint64_t id, std::string detail) override;
  void on_found(const std::string& pool, std::uint32_t key, std::string name) override;
  void on_standing(const std::string& pool, std::uint32_t key, unsigned count) override;
  void on_state(const std::string& pool, backend_state state) override;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace rouse::activator
