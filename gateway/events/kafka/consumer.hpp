#pragma once
// A member of a consumer group: owns one client of librdkafka and what is polled of it. Its poll thread never waits for
// anything else, so the membership lasts however long a function takes: records go into a buffer with bounds, and when
// that is full they stay in librdkafka's queue, which has its own. What the worker has to say (settled, to be tried
// again) is collected and taken up by the poll thread, which keeps a ledger of each partition and commits.
//
// Records are read from a queue apart from the one that tells of the group, so that the one can wait while the other is
// served, and no partition needs to be paused for that: librdkafka drops what it has prefetched of a paused one.
//
// Shared by its source and by the thread that runs it (client_threads).

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <spdlog/logger.h>

#include "gateway/events/kafka/offset_ledger.hpp"
#include "gateway/events/kafka/reader.hpp"
#include "gateway/events/kafka/record.hpp"
#include "gateway/events/kafka/topic_numbers.hpp"
#include "gateway/events/kafka/topic_settings.hpp"

namespace rouse::gateway::events {

/// A partition as people call it.
struct lane_name {
  std::string topic;
  std::int32_t partition = 0;
  std::string text;  ///< TOPIC/PARTITION
};

/// Names a record for as long as its partition is assigned: a partition that comes back has another lane.
struct record_place {
  std::uint32_t lane = 0;
  std::int64_t offset = 0;
};

struct arrived_record {
  record_place at;
  std::shared_ptr<const lane_name> lane;
  std::optional<std::string> key;
  record_tries tries;
  record_event what;
};

/// What it counts as in a buffer, in bytes.
[[nodiscard]] inline std::size_t size_of(const arrived_record& record) {
  return 256 + record.what.event.data.size() + (record.key ? record.key->size() : 0);
}

class consumer {
 public:
  /// On the poll thread, and never from inside a call.
  struct listener {
    std::function<void()> grown;  ///< after a take() that found less than it wanted
    /// All partitions go to others: what was taken is to be dealt with, and given_back() called.
    std::function<void()> taken_back;
  };

  consumer(topic_settings settings, topic_limits limits, std::shared_ptr<topic_numbers> numbers, listener tell,
           spdlog::logger& log);
  ~consumer();
  consumer(const consumer&) = delete;
  consumer& operator=(const consumer&) = delete;

  /// The poll thread's body; returns some time after stop(), within topic_limits::close_wait or little more.
  void run();

  // --- any thread
  /// Up to `count` records; `more`: there are others at hand.
  [[nodiscard]] std::vector<arrived_record> take(std::size_t count, bool& more);
  /// Late ones, of a partition that was taken back, do nothing.
  void settle(record_place what);
  void retry(record_place what, const record_tries& tries);
  /// After listener::taken_back: nothing of what was taken is in flight any more.
  void given_back();
  /// `then` comes on the reader's thread; not after stop().
  void read_again(std::shared_ptr<const lane_name> lane, std::int64_t offset, std::function<void(records_again)> then);
  /// Records of the assigned partitions that were not taken yet, about.
  [[nodiscard]] std::uint64_t not_taken() const noexcept;
  /// Nothing is told to the listener after this returns. What was settled is committed, and the group left.
  void stop();

 private:
  struct operation {
    record_place at;
    std::optional<record_tries> tries;  ///< nothing: settled
  };
  class session;

  void wake() const;

  const topic_settings settings_;
  const topic_limits limits_;
  const std::shared_ptr<topic_numbers> numbers_;
  spdlog::logger& log_;
  int wake_fd_ = -1;
  reader reader_;

  mutable std::mutex mutex_;
  std::condition_variable pause_;
  listener tell_;
  std::deque<arrived_record> buffer_;
  std::size_t buffered_bytes_ = 0;
  std::vector<operation> operations_;
  std::vector<std::function<void(session&)>> tasks_;  ///< for the poll thread
  bool wanted_ = false;                               ///< take() found less than it was asked for
  bool stalled_ = false;                              ///< the poll thread waits for room in the buffer
  bool urgent_ = false;                               ///< it waits for operations
  bool given_back_ = false;
  bool stopping_ = false;
  std::atomic<std::uint64_t> ahead_{0};     ///< records that are not read yet
  std::atomic<std::uint64_t> buffered_{0};  ///< those in buffer_
};

}  // namespace rouse::gateway::events
