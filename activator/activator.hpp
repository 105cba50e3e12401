#pragma once
// The control thread's part of rouse: it decides how many instances each function has, starts and stops them through a
// backend, and publishes those that are ready to the functions' parking lots. Owns every instance. All of it runs on
// one control executor; what workers may touch is named in `function_runtime`.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <spdlog/logger.h>
#include <boost/asio/io_context.hpp>

#include "activator/backend/backend.hpp"
#include "activator/output_ring.hpp"
#include "activator/parking_lot.hpp"
#include "activator/stats.hpp"
#include "config/config.hpp"

namespace rouse::activator {

/// What workers and the control thread share about one function (in this version: of its only revision). Lives as long
/// as the activator.
class function_runtime {
 public:
  function_runtime(const config::function& config, std::uint32_t index, std::function<void()> demand);
  const config::function& config;
  const std::uint32_t index;  ///< into snapshot.functions
  park_budget budget;
  parking_lot lot;
  output_ring output;  ///< what its instances wrote lately; for `rouse logs`
};

/// What the activator asks of the data plane. Implemented by the gateway; called on the control thread; `then` is
/// called later on the control thread.
class data_plane {
 public:
  /// Every worker closes its idle connections to this instance and takes no new one; `then` once all have.
  virtual void forget(router::instance& which, std::function<void()> then) = 0;
  /// `then` once every worker has passed a quiescent point, so that nothing unpublished before is looked at any more.
  virtual void quiesce(std::function<void()> then) = 0;

 protected:
  ~data_plane() = default;
};

/// For the admin interface: plain values copied on the control thread.
struct instance_status {
  std::uint64_t id = 0;
  std::string name;
  std::string state;    ///< starting, ready, draining, stopping, ...
  std::string address;  ///< "127.0.0.1:20001"; empty while starting
  std::uint32_t in_flight = 0;
  std::chrono::milliseconds age{0};
};
struct decision_status {
  std::chrono::system_clock::time_point at;
  unsigned from = 0;
  unsigned to = 0;
  std::string reason;
};
struct function_status {
  std::string name;
  std::string revision;
  std::uint64_t parked = 0;
  std::uint64_t parked_bytes = 0;
  std::uint64_t in_flight = 0;
  unsigned desired = 0;
  std::vector<instance_status> instances;
  std::vector<decision_status> decisions;  ///< the last ten, newest first
  std::string failure;                     ///< why the last start failed; empty when none is in force
  std::uint64_t decisions_up = 0;
  std::uint64_t decisions_down = 0;
  std::map<std::string, std::uint64_t> start_failures;  ///< by reason word
  std::uint64_t cold_starts = 0;
  std::uint64_t cold_start_sum_ns = 0;
  std::vector<std::uint64_t> cold_start_buckets;  ///< as duration_histogram, not cumulative
};

class activator final : public backend_listener {
 public:
  /// Borrows everything; `snapshot`, `plane` and `log` outlive it. `workers` sizes the instances' ledgers.
  /// The backend is given by use_backend() because each needs the other.
  activator(boost::asio::io_context& control, const config::snapshot& snapshot, data_plane& plane, unsigned workers,
            spdlog::logger& log);
  /// When nobody waits and no slot is taken any more: the workers are joined by then.
  ~activator();

  void use_backend(backend& with) noexcept;
  /// Starts what `scale.min` asks for, and the tick.
  void start();

  /// Runtime of each function, by its index in the snapshot. Fixed from construction; any thread.
  [[nodiscard]] function_runtime& at(std::uint32_t function) noexcept;
  [[nodiscard]] function_runtime* find(std::string_view name) noexcept;
  [[nodiscard]] std::size_t size() const noexcept;

  /// Ends every instance: idle ones now, busy ones as their last slot is given back or, at `deadline`, by force; then
  /// `done`, once, on the control thread and never from inside. Work that is parked still gets its instance until then;
  /// what is parked at the deadline stays so, and is the caller's to answer. A polite stop may last a second beyond the
  /// deadline; a deadline that has passed kills. Call again with an earlier deadline to hurry; its `done`, if any,
  /// replaces the first.
  void shut_down(std::chrono::steady_clock::time_point deadline, std::function<void()> done);

  /// While set, shut_down() is not over although nothing runs: callers are still connected, and what they send gets its
  /// instance. Control thread.
  void expect_more(bool more);

  /// In the order of the snapshot. Control thread only.
  [[nodiscard]] std::vector<function_status> status() const;

  // backend_listener
  void on_ready(std::uint64_t id, ready_report report) override;
  void on_exit(std::uint64_t id, exit_report report) override;
  void on_output(std::uint64_t id, std::string line) override;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace rouse::activator
