#pragma once
// What people see of a consumer of topics: written by its poll thread, read by any. Shared by those two.

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rouse::gateway::events {

/// One partition that the cluster has assigned to this consumer.
struct lane_numbers {
  std::string topic;
  std::int32_t partition = 0;
  std::uint64_t lag = 0;  ///< records not settled yet, about: holes in the offsets count as records
  std::optional<std::chrono::sys_time<std::chrono::milliseconds>>
      oldest;           ///< timestamp of the oldest record that was read and is not settled
  std::string held_by;  ///< why nothing more of it is read for now; empty: nothing hinders
};

class topic_numbers {
 public:
  /// By topic and partition.
  [[nodiscard]] std::vector<lane_numbers> lanes() const {
    const std::lock_guard lock(mutex_);
    return lanes_;
  }
  /// Why the topics cannot be read at the moment, in words for people; empty: they can.
  [[nodiscard]] std::string problem() const {
    const std::lock_guard lock(mutex_);
    return problem_;
  }

  // --- the consumer
  void set_lanes(std::vector<lane_numbers> lanes) {
    const std::lock_guard lock(mutex_);
    lanes_ = std::move(lanes);
  }
  void set_problem(std::string problem) {
    const std::lock_guard lock(mutex_);
    problem_ = std::move(problem);
  }

 private:
  mutable std::mutex mutex_;
  std::vector<lane_numbers> lanes_;
  std::string problem_;
};

}  // namespace rouse::gateway::events
