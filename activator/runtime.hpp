#pragma once
// What workers and the control thread share about a function and its revisions, and how workers come to know of it.
// Runtimes are held by shared pointers, because who uses them last is not known: the control thread lets go of a
// retired revision while an exchange that chose it may still be there. They come to workers inside an immutable
// `service`, and services inside a `view`, which each worker replaces by post and each exchange holds on to.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "activator/counters.hpp"
#include "activator/output_ring.hpp"
#include "activator/parking_lot.hpp"
#include "config/config.hpp"
#include "router/routes.hpp"
#include "router/token_bucket.hpp"
#include "router/traffic.hpp"

namespace rouse::activator {

/// One function, as long as the configuration names it. What is set through it holds at once for every worker.
class function_runtime {
 public:
  function_runtime(std::string function_name, unsigned workers);
  /// Limits of the queue and the rate. Control thread.
  void configure(const config::function& config);

  /// Of one worker; only that worker's thread.
  [[nodiscard]] router::traffic_split& split_of(unsigned worker) noexcept { return splits_[worker]; }

  const std::string name;
  park_budget budget;
  router::token_bucket rate;
  std::atomic<std::uint64_t> events_waiting{0};  ///< at their sources, for the autoscaler; written by the admin thread
  output_ring output;                            ///< what its instances wrote lately; for `rouse logs`

 private:
  std::vector<router::traffic_split> splits_;
};

/// One revision of a function.
class revision_runtime {
 public:
  /// `wake` asks the control thread to look at the revision now: work parked (see parking_lot), or an instance failed
  /// as often in a row as `outlier.failures` says. Called from any worker; must not block. `number_given` is its
  /// lifecycle's.
  revision_runtime(std::shared_ptr<function_runtime> of, const config::revision& config, std::uint32_t number_given,
                   unsigned workers, std::function<void(revision_runtime&)> wake,
                   std::int64_t (*clock)() noexcept = router::instance::steady_now);
  ~revision_runtime();
  revision_runtime(const revision_runtime&) = delete;
  revision_runtime& operator=(const revision_runtime&) = delete;

  /// Made at the first call. That worker's thread.
  [[nodiscard]] revision_counters& counters_of(unsigned worker);
  /// Any thread; nullptr when that worker has not served the revision.
  [[nodiscard]] const revision_counters* peek(unsigned worker) const noexcept;
  [[nodiscard]] unsigned workers() const noexcept { return static_cast<unsigned>(counters_.size()); }

  const std::shared_ptr<function_runtime> function;
  const std::string name;
  const std::uint32_t hash;    ///< of what identifies it (config::revision::hash)
  const std::uint32_t number;  ///< its lifecycle's
  const std::function<void(revision_runtime&)> wake;
  /// No instance is there or coming, because no pool has room for one.
  std::atomic<bool> no_room{false};
  std::atomic<bool> posted{false};  ///< an evaluation is on its way to the control thread
  parking_lot lot;

 private:
  std::vector<std::atomic<revision_counters*>> counters_;
};

/// How one function is served at the moment. Immutable.
struct service {
  struct target {
    std::shared_ptr<revision_runtime> runtime;
    std::shared_ptr<const config::revision> config;  ///< keeps its snapshot
  };
  std::shared_ptr<function_runtime> function;
  std::shared_ptr<const config::function> config;  ///< keeps its snapshot; lanes and stickiness are taken from it
  /// By the index of config->revisions; behind them revisions that are being made ready, reachable by name only.
  std::vector<target> targets;
  std::vector<std::uint32_t> weights;  ///< in force, by the index of config->revisions

  /// nullptr when there is none of that name. Where a revision is being replaced by one of the same name: the old one.
  [[nodiscard]] const target* find(std::string_view revision) const noexcept;
};

/// What a worker serves by: the configuration, its routes, and the services by index into snapshot->functions.
struct view {
  std::shared_ptr<const config::snapshot> snapshot;
  std::shared_ptr<const router::route_table> routes;
  std::vector<std::shared_ptr<const service>> services;
};

}  // namespace rouse::activator
