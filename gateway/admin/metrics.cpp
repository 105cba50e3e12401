#include "gateway/admin/metrics.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>

#include <prometheus/text_serializer.h>

#include "gateway/version.hpp"

namespace rouse::gateway {
namespace {

using activator::duration_histogram;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

using labels = std::vector<ClientMetric::Label>;

/// Not cumulative, as duration_histogram; summed over workers.
struct histogram_sum {
  std::array<std::uint64_t, duration_histogram::bounds_ns.size() + 1> buckets{};
  std::uint64_t sum_ns = 0;

  void add(const duration_histogram& from) {
    for (std::size_t i = 0; i < buckets.size(); ++i) buckets[i] += from.bucket(i);
    sum_ns += from.sum_ns();
  }
};

/// One revision's counters, summed over the workers that have served it.
struct revision_sum {
  bool seen = false;
  std::array<std::uint64_t, 500> by_code{};
  histogram_sum request_duration;
  histogram_sum park_duration;
  std::uint64_t retries = 0;
  std::uint64_t in_flight = 0;
  std::array<std::uint64_t, static_cast<std::size_t>(activator::shed_reason::count_)> shed{};

  void add(const activator::revision_counters& from) {
    seen = true;
    for (std::size_t i = 0; i < by_code.size(); ++i) by_code[i] += from.by_code[i].get();
    request_duration.add(from.request_duration);
    park_duration.add(from.park_duration);
    retries += from.retries.get();
    in_flight += from.requests_in_flight.get();
    for (std::size_t i = 0; i < shed.size(); ++i) shed[i] += from.shed[i].get();
  }
};

class family {
 public:
  family(std::string name, std::string help, MetricType type) {
    made_.name = std::move(name);
    made_.help = std::move(help);
    made_.type = type;
  }

  void add(labels with, double value) {
    auto& metric = made_.metric.emplace_back();
    metric.label = std::move(with);
    (made_.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  }

  /// A histogram that has seen nothing yet is no series.
  void add(labels with, const histogram_sum& from) {
    ClientMetric metric;
    for (std::size_t i = 0; i < from.buckets.size(); ++i) {
      metric.histogram.sample_count += from.buckets[i];
      if (i == duration_histogram::bounds_ns.size()) break;  // the serialiser adds +Inf
      ClientMetric::Bucket bucket;
      bucket.cumulative_count = metric.histogram.sample_count;
      bucket.upper_bound = static_cast<double>(duration_histogram::bounds_ns[i]) / 1e9;
      metric.histogram.bucket.push_back(bucket);
    }
    if (!metric.histogram.sample_count) return;
    metric.histogram.sample_sum = static_cast<double>(from.sum_ns) / 1e9;
    metric.label = std::move(with);
    made_.metric.push_back(std::move(metric));
  }

  void move_to(std::vector<MetricFamily>& out) && {
    if (!made_.metric.empty()) out.push_back(std::move(made_));
  }

 private:
  MetricFamily made_;
};

struct families {
  family requests{"rouse_requests_total", "Requests answered, by status code.", MetricType::Counter};
  family request_duration{"rouse_request_duration_seconds",
                          "From the head of the request read until the exchange was closed, time parked included.",
                          MetricType::Histogram};
  family park_duration{"rouse_park_duration_seconds",
                       "Time that requests waited for a slot; only of those that waited.", MetricType::Histogram};
  family cold_start_duration{"rouse_cold_start_duration_seconds",
                             "From the decision to start an instance until it was ready.", MetricType::Histogram};
  family in_flight{"rouse_requests_in_flight", "Requests that hold a slot now.", MetricType::Gauge};
  family parked{"rouse_requests_parked", "Requests that wait for a slot now.", MetricType::Gauge};
  family instances{"rouse_instances", "Instances now, by state and pool.", MetricType::Gauge};
  family desired{"rouse_instances_desired", "Instances that the last scale decision asked for.", MetricType::Gauge};
  family decisions{"rouse_scale_decisions_total",
                   "Scale decisions that changed the number of instances, by direction and reason.",
                   MetricType::Counter};
  family ejections{"rouse_ejections_total", "Instances that got no work for a while because they kept failing.",
                   MetricType::Counter};
  family start_failures{"rouse_start_failures_total", "Instances that could not be started, by reason.",
                        MetricType::Counter};
  family retries{"rouse_retries_total", "Requests sent to an instance again after a failure.", MetricType::Counter};
  family shed{"rouse_shed_total", "Requests that rouse refused or gave up on by itself, by reason.",
              MetricType::Counter};
};

labels with(const labels& base, const char* name, std::string value) {
  labels all = base;
  all.push_back({name, std::move(value)});
  return all;
}

void add_workers(families& out, const labels& base, const revision_sum& sum) {
  for (std::size_t i = 0; i < sum.by_code.size(); ++i) {
    if (sum.by_code[i]) {
      out.requests.add(with(base, "code", std::to_string(i + 100)), static_cast<double>(sum.by_code[i]));
    }
  }
  out.request_duration.add(base, sum.request_duration);
  out.park_duration.add(base, sum.park_duration);
  out.in_flight.add(base, static_cast<double>(sum.in_flight));
  if (sum.retries) out.retries.add(base, static_cast<double>(sum.retries));
  for (std::size_t i = 0; i < sum.shed.size(); ++i) {
    if (!sum.shed[i]) continue;
    out.shed.add(with(base, "reason", activator::to_string(static_cast<activator::shed_reason>(i))),
                 static_cast<double>(sum.shed[i]));
  }
}

bool ever_scaled(const activator::revision_status& status) {
  return status.desired || !status.instances.empty() || !status.decision_counts.empty() || status.cold_starts ||
         !status.start_failures.empty();
}

void add_status(families& out, const labels& base, const activator::revision_status& status, bool seen) {
  if (seen || status.parked) out.parked.add(base, static_cast<double>(status.parked));
  if (!ever_scaled(status)) return;
  // A gauge that was seen once goes to 0 and does not vanish; the states that instances pass through are always said.
  std::map<std::pair<std::string, std::string>, unsigned> by_state;
  for (const auto* state : {"starting", "ready", "draining"}) {
    for (const auto& pool : status.pools) by_state[{state, pool}] = 0;
  }
  for (const auto& instance : status.instances) ++by_state[{instance.state, instance.pool}];
  for (const auto& [key, count] : by_state) {
    out.instances.add(with(with(base, "state", key.first), "pool", key.second), count);
  }
  out.desired.add(base, status.desired);
  for (const auto& [key, count] : status.decision_counts) {
    const auto& [up, cause] = key;
    out.decisions.add(with(with(base, "direction", up ? "up" : "down"), "reason", to_string(cause)),
                      static_cast<double>(count));
  }
  if (status.ejections) out.ejections.add(base, static_cast<double>(status.ejections));
  for (const auto& [reason, count] : status.start_failures) {
    if (count) out.start_failures.add(with(base, "reason", reason), static_cast<double>(count));
  }
  histogram_sum cold;
  cold.sum_ns = status.cold_start_sum_ns;
  std::copy_n(status.cold_start_buckets.begin(), std::min(cold.buckets.size(), status.cold_start_buckets.size()),
              cold.buckets.begin());
  out.cold_start_duration.add(base, cold);
}

}  // namespace

std::vector<MetricFamily> metrics_collector::Collect() const {
  families out;
  for (const auto& function : status_.functions) {
    for (const auto& revision : function.revisions) {
      const labels base{{"function", function.name}, {"revision", revision.revision}};
      revision_sum sum;
      for (const auto& runtime : revision.runtimes) {
        for (unsigned i = 0; i < runtime->workers(); ++i) {
          if (const auto* counters = runtime->peek(i)) sum.add(*counters);
        }
      }
      if (sum.seen) add_workers(out, base, sum);
      add_status(out, base, revision, sum.seen);
    }
  }
  family pool_instances("rouse_pool_instances", "Instances in the pool now, whatever their state.", MetricType::Gauge);
  family pool_reserved("rouse_pool_reserved", "Instances of the pool that are paid for, used or not.",
                       MetricType::Gauge);
  family pool_cost("rouse_pool_cost_total", "Instance-hours, at least the reserved ones, times cost.",
                   MetricType::Counter);
  for (const auto& pool : status_.pools) {
    const labels base{{"pool", pool.name}};
    pool_instances.add(base, pool.instances);
    if (pool.reserved) pool_reserved.add(base, pool.reserved);
    if (pool.cost_total > 0) pool_cost.add(base, pool.cost_total);
  }

  family events("rouse_events_total", "Events of a trigger, by what became of them.", MetricType::Counter);
  family oldest("rouse_event_oldest_seconds", "Age of the trigger's first event that is not settled.",
                MetricType::Gauge);
  family lag("rouse_event_lag",
             "Events of a trigger that are not settled, by where they wait: a stream of the store, or TOPIC/PARTITION.",
             MetricType::Gauge);
  family given_up("rouse_dead_letters_total", "Events of a trigger that were given up.", MetricType::Counter);
  family waiting("rouse_events_waiting", "Events of a trigger that wait: for a slot, or for their next try.",
                 MetricType::Gauge);
  const event_numbers none;
  const auto& numbers = events_ ? *events_ : none;
  for (const auto& one : numbers.triggers) {
    const labels base{{"trigger", one.name}};
    const std::pair<const char*, std::uint64_t> outcomes[] = {
        {"delivered", one.delivered}, {"retried", one.retried}, {"dead", one.dead}, {"filtered", one.filtered}};
    for (const auto& [outcome, count] : outcomes) {
      if (count) events.add(with(base, "outcome", outcome), static_cast<double>(count));
    }
    if (one.dead) given_up.add(base, static_cast<double>(one.dead));
    oldest.add(base, one.oldest ? static_cast<double>(one.oldest->count()) / 1e3 : 0);
    for (const auto& lane : one.lanes) lag.add(with(base, "partition", lane.name), static_cast<double>(lane.lag));
    waiting.add(with(base, "for", "slot"), static_cast<double>(one.waiting));
    waiting.add(with(base, "for", "retry"), static_cast<double>(one.waiting_retry));
  }
  family depth("rouse_queue_depth", "Queued invocations that are not over.", MetricType::Gauge);
  family bytes("rouse_queue_bytes", "Bytes of these.", MetricType::Gauge);
  for (const auto& one : numbers.queues) {
    depth.add({{"function", one.function}}, static_cast<double>(one.requests));
    bytes.add({{"function", one.function}}, static_cast<double>(one.bytes));
  }
  family dead("rouse_dead_letters_kept", "Dead letters in the store, by the trigger or function.", MetricType::Gauge);
  for (const auto& one : numbers.dead) dead.add({{"owner", one.owner}}, static_cast<double>(one.count));

  family connections("rouse_connections", "Open connections of callers.", MetricType::Gauge);
  family unmatched("rouse_unmatched_requests_total",
                   "Requests refused before their function was known: not valid, or no route.", MetricType::Counter);
  std::uint64_t open = 0, refused = 0;
  for (const auto* worker : workers_) {
    open += worker->connections.get();
    refused += worker->unmatched.get();
  }
  connections.add({}, static_cast<double>(open));
  if (refused) unmatched.add({}, static_cast<double>(refused));
  family control_wait("rouse_control_wait_seconds",
                      "Time that requests which parked waited for the control thread to look at their function.",
                      MetricType::Histogram);
  if (status_.control_wait) {
    histogram_sum waited;
    waited.add(*status_.control_wait);
    control_wait.add({}, waited);
  }
  family build("rouse_build_info", "Always 1; the version is in the label.", MetricType::Gauge);
  build.add({{"version", version()}}, 1);

  std::vector<MetricFamily> all;
  for (auto* each : {&out.requests,
                     &out.request_duration,
                     &out.park_duration,
                     &out.cold_start_duration,
                     &out.in_flight,
                     &out.parked,
                     &out.instances,
                     &out.desired,
                     &out.decisions,
                     &out.start_failures,
                     &out.retries,
                     &out.shed,
                     &out.ejections,
                     &pool_instances,
                     &pool_reserved,
                     &pool_cost,
                     &control_wait,
                     &events,
                     &oldest,
                     &lag,
                     &given_up,
                     &waiting,
                     &depth,
                     &bytes,
                     &dead,
                     &connections,
                     &unmatched,
                     &build}) {
    std::move(*each).move_to(all);
  }
  return all;
}

std::string metrics_collector::text() const {
  return prometheus::TextSerializer().Serialize(Collect());
}

}  // namespace rouse::gateway
