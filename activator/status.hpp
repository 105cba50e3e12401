#pragma once
// What the admin interface shows of functions and instances: plain values copied on the control thread.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "activator/autoscaler.hpp"
#include "activator/runtime.hpp"

namespace rouse::activator {

struct instance_status {
  std::uint64_t id = 0;
  std::string name;
  std::string pool;
  std::string state;     ///< starting, ready, ejected, frozen, draining, stopping, ...
  std::string address;   ///< "127.0.0.1:20001"; empty while starting
  std::string progress;  ///< of its start, in words, where the backend tells
  std::uint32_t in_flight = 0;
  std::chrono::milliseconds age{0};
};

struct decision_status {
  std::chrono::system_clock::time_point at;
  unsigned from = 0;
  unsigned to = 0;
  scale_cause cause{};
  std::string reason;
};

struct revision_status {
  std::string function;
  std::string revision;
  std::string role = "serving";  ///< serving; coming (being made ready by a rollout); leaving
  std::uint32_t weight = 0;
  std::uint64_t parked = 0;
  std::uint64_t in_flight = 0;
  unsigned min = 0;  ///< in force now
  unsigned max = 0;
  unsigned desired = 0;
  std::string why;                 ///< what keeps it from what it wants, in words; empty when nothing does
  std::vector<std::string> pools;  ///< that it may use, in order
  /// For the workers' counters; several where one of the same name takes the other's place.
  std::vector<std::shared_ptr<const revision_runtime>> runtimes;
  std::vector<instance_status> instances;
  std::vector<decision_status> decisions;  ///< the last ten, newest first
  std::string failure;                     ///< why the last start failed; empty when none is in force
  std::map<std::pair<bool, scale_cause>, std::uint64_t> decision_counts;  ///< by up (or down) and cause
  std::map<std::string, std::uint64_t> start_failures;                    ///< by reason word
  std::uint64_t ejections = 0;
  std::uint64_t thaws = 0;
  std::uint64_t cold_starts = 0;
  std::uint64_t cold_start_sum_ns = 0;
  std::vector<std::uint64_t> cold_start_buckets;  ///< as duration_histogram, not cumulative
};

struct function_status {
  std::string name;
  std::uint64_t parked = 0;  ///< of all revisions, as everything here
  std::uint64_t parked_bytes = 0;
  std::uint64_t in_flight = 0;
  std::string rollout;              ///< what is going on between revisions, in words; empty when nothing is
  std::optional<unsigned> set_min;  ///< by `rouse scale`, in place of the file's
  std::optional<unsigned> set_max;
  bool set_traffic = false;  ///< by `rouse traffic`, in place of the file's
  std::vector<revision_status> revisions;

  /// Counts a revision in; one of a name that is there already becomes part of that.
  void add(revision_status more);
};

}  // namespace rouse::activator
