#pragma once
// What Prometheus scrapes. The workers' counters and the activator's status become metric families at the moment of a
// scrape; nothing is registered beforehand, so a function that was never used costs nothing and has no series. Admin
// thread.

#include <string>
#include <vector>

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include "gateway/admin/admin_server.hpp"
#include "gateway/stats.hpp"

namespace rouse::gateway {

class metrics_collector final : public prometheus::Collectable {
 public:
  /// Borrows everything for as long as it lives; made anew for each scrape.
  metrics_collector(const std::vector<const worker_stats*>& workers, const status_list& status,
                    const event_numbers* events = nullptr)
      : workers_(workers), status_(status), events_(events) {}

  /// Families without any series are left out.
  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override;

  /// Collect() in the text format, version 0.0.4.
  [[nodiscard]] std::string text() const;

 private:
  const std::vector<const worker_stats*>& workers_;
  const status_list& status_;
  const event_numbers* events_;  ///< may be nullptr
};

}  // namespace rouse::gateway
