#pragma once
// A consumer at work on its thread, and what came out of it.

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <spdlog/logger.h>
#include <spdlog/sinks/ostream_sink.h>

#include "gateway/events/kafka/consumer.hpp"
#include "mock_cluster.hpp"

namespace kafka_test {

using namespace rouse::gateway::events;

/// A log that can be read while it is written.
class kept_log {
 public:
  kept_log() : logger("test", std::make_shared<sink>(*this)) { logger.set_level(spdlog::level::debug); }
  [[nodiscard]] bool has(const std::string& text) const {
    const std::lock_guard lock(mutex_);
    return text_.find(text) != std::string::npos;
  }
  [[nodiscard]] std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  class sink final : public spdlog::sinks::base_sink<std::mutex> {
   public:
    explicit sink(kept_log& to) : to_(to) {}

   private:
    void sink_it_(const spdlog::details::log_msg& message) override {
      const std::lock_guard lock(to_.mutex_);
      to_.text_.append(message.payload.data(), message.payload.size()).push_back('\n');
    }
    void flush_() override {}
    kept_log& to_;
  };
  mutable std::mutex mutex_;
  std::string text_;

 public:
  spdlog::logger logger;
};

inline topic_settings settings_of(const mock_cluster& cluster, std::vector<std::string> topics,
                                  const std::string& group) {
  topic_settings out;
  out.cluster.brokers = {cluster.brokers_text()};
  out.cluster.properties = {{"session.timeout.ms", "6000"}, {"heartbeat.interval.ms", "200"}};
  out.topics = std::move(topics);
  out.group = group;
  out.start = rouse::config::event_start::earliest;
  out.trigger = "t";
  return out;
}

inline topic_limits quick_limits() {
  topic_limits out;
  out.commit_every = 50ms;
  return out;
}

class running_consumer {
 public:
  explicit running_consumer(topic_settings settings, topic_limits limits = quick_limits())
      : it(std::move(settings), limits, numbers, {[this] { ++grown; }, [this] { ++taken_back; }}, log.logger),
        thread_([this] { it.run(); }) {}
  ~running_consumer() {
    if (thread_.joinable()) stop();
  }
  running_consumer(const running_consumer&) = delete;
  running_consumer& operator=(const running_consumer&) = delete;

  /// As a daemon ends, but for the waiting.
  void stop() {
    it.stop();
    thread_.join();
  }
  /// At least `count` records, as they come.
  std::vector<arrived_record> take(std::size_t count, std::chrono::milliseconds within = patience) {
    std::vector<arrived_record> out;
    const auto deadline = steady::now() + within;
    while (out.size() < count && steady::now() < deadline) {
      bool more = false;
      auto some = it.take(count - out.size(), more);
      for (auto& one : some) out.push_back(std::move(one));
      if (some.empty()) std::this_thread::sleep_for(2ms);
    }
    return out;
  }
  /// The same, settled.
  std::vector<std::string> deliver(std::size_t count) {
    std::vector<std::string> out;
    for (auto& one : take(count)) {
      out.push_back(one.what.event.data);
      it.settle(one.at);
    }
    return out;
  }
  std::size_t lanes() const { return numbers->lanes().size(); }

  kept_log log;
  std::shared_ptr<topic_numbers> numbers = std::make_shared<topic_numbers>();
  std::atomic<int> grown{0};
  std::atomic<int> taken_back{0};
  consumer it;

 private:
  std::thread thread_;
};

inline std::vector<std::string> values(int from, int count) {
  std::vector<std::string> out;
  for (int i = from; i < from + count; ++i) out.push_back(std::to_string(i));
  return out;
}

}  // namespace kafka_test
