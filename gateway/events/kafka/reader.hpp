#pragma once
// What a consumer does beside its polling: questions to the cluster, which wait for their answer, and records read
// again by a client of its own, which is no member of the group and is made when it is first needed. A thread of its
// own; owned by the consumer.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "gateway/events/kafka/record.hpp"
#include "gateway/events/kafka/topic_settings.hpp"

struct rd_kafka_s;

namespace rouse::gateway::events {

/// A record that was read again.
struct record_again {
  std::int64_t offset = 0;
  std::optional<std::string> key;
  record_event what;
};

struct records_again {
  /// From the one that was asked for on, as far as they were at hand; empty without a problem: it is gone.
  std::vector<record_again> found;
  std::string problem;
};

class reader {
 public:
  explicit reader(topic_settings settings);
  /// After stop().
  ~reader();
  reader(const reader&) = delete;
  reader& operator=(const reader&) = delete;

  /// Any thread. Runs it on the reader's, in turn; dropped after stop().
  void post(std::function<void()> job);
  /// On the reader's thread: blocks for `timeout` at most.
  [[nodiscard]] records_again read(const std::string& topic, std::int32_t partition, std::int64_t offset,
                                   std::chrono::milliseconds timeout);
  /// The job at work is the last. Waits for it.
  void stop();
  /// Whether stop() was called: a job that takes long looks at it.
  [[nodiscard]] bool stopping() const;
  /// On the reader's thread: waits for `time`, or until stop().
  void pause(std::chrono::milliseconds time);

 private:
  struct client;
  void run();
  std::string open();

  const topic_settings settings_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool stopping_ = false;
  std::unique_ptr<client> client_;  ///< the reader's thread
  std::thread thread_;
};

}  // namespace rouse::gateway::events
