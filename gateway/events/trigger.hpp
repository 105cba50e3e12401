#pragma once
// One trigger at work: takes events from its source, keeps those that its filter lets through in the order that it asks
// for, delivers them to its function as slots are free, and sees to retries, replies and dead letters. Lives on one
// worker, shared by the service and by the coroutines that run it.
//
// It keeps one ticket in the function's queue, however many events wait: the next event is chosen, takes its turn for a
// slot, and only then the one after it is looked at.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <spdlog/logger.h>

#include "activator/stats.hpp"
#include "config/config.hpp"
#include "gateway/delivery.hpp"
#include "gateway/events/dispatch_queue.hpp"
#include "gateway/events/event_source.hpp"
#include "gateway/worker.hpp"

namespace rouse::gateway::events {

/// What people see of a trigger. Written by its worker, read by any thread.
struct trigger_counters {
  activator::counter delivered;  ///< events whose delivery the function accepted
  activator::counter retried;    ///< tries that failed and are made again
  activator::counter dead;       ///< events given up
  activator::counter filtered;   ///< events that the filter did not let through
  std::atomic<std::uint64_t> in_flight{0};
  std::atomic<std::uint64_t> waiting{0};        ///< for a slot, or behind others of their key; unread ones included
  std::atomic<std::uint64_t> runnable{0};       ///< of those, the ones that only wait for a slot
  std::atomic<std::uint64_t> waiting_retry{0};  ///< that wait for the time of their next try
};

/// Where a trigger puts events of its own: its reply, or a dead letter for a bus. Any thread; `then` comes on any.
class event_sink {
 public:
  virtual void append(const std::string& bus, std::vector<std::string> encoded,
                      std::function<void(std::string problem)> then) = 0;

 protected:
  ~event_sink() = default;
};

/// The functions and buses that a trigger's configuration means.
struct trigger_names {
  std::string function;
  std::string reply;          ///< a bus, or empty
  std::string dead_bus;       ///< where dead letters go, or empty
  std::string dead_function;  ///< or this, or empty
};

class trigger final : public worker_task, public std::enable_shared_from_this<trigger> {
 public:
  /// `concurrency_now` follows the trigger's schedule.
  trigger(worker& on, std::shared_ptr<const config::trigger> config, trigger_names names,
          std::unique_ptr<event_source> source, event_sink& sink, spdlog::logger& log,
          std::function<unsigned()> concurrency_now);
  ~trigger();

  // --- any thread
  /// Begins.
  void start();
  /// There may be more at the source, or a limit has changed.
  void poke();
  /// Begins nothing new; `then`, on its worker, once nothing is in flight. Once.
  void stop(std::function<void()> then);
  [[nodiscard]] const trigger_counters& counters() const noexcept { return counters_; }
  /// Why nothing is delivered at the moment; empty: nothing hinders.
  [[nodiscard]] std::string paused_because() const;

  // worker_task
  void drain() override;
  void close() override;

 private:
  struct flight;
  /// Of an event that waits.
  struct content {
    cloud_event event;
    std::optional<std::string> unreadable;  ///< why it is no event
  };
  using contents = std::unordered_map<std::uint64_t, content>;
  awaitable<void> run();
  awaitable<void> begin();
  awaitable<event_source::one> read_again(std::uint64_t number);
  awaitable<void> fly(std::shared_ptr<flight> one);
  awaitable<void> wait(std::optional<wall_time> until);
  awaitable<std::shared_ptr<flight>> prepare(std::uint64_t number);
  [[nodiscard]] bool bury_unreadable(const std::shared_ptr<flight>& one);
  void wake();
  void fetch_more();
  void take_in(event_source::batch batch);
  void take_in(event_source::item one);
  void hold(std::uint64_t number, content what);
  void set_aside(std::uint64_t number, content what);
  [[nodiscard]] std::optional<content> unhold(std::uint64_t number);
  void taken_back(std::function<void()> then);
  [[nodiscard]] bool is_taken_back(std::uint64_t number) const noexcept { return number <= taken_up_to_; }
  void skip(std::uint64_t number);
  void end_skip();
  [[nodiscard]] dispatch_queue::key key_of(const event_source::item& one) const;
  void conclude(const std::shared_ptr<flight>& one);
  void succeed(const std::shared_ptr<flight>& one);
  void fail(const std::shared_ptr<flight>& one, std::chrono::milliseconds retry_after, bool for_good);
  void give_up(const std::shared_ptr<flight>& one, const failure& why);
  void given_up(const std::shared_ptr<flight>& one, bool done);
  void settle(std::uint64_t number);
  void try_again(flight& one, const attempts_made& made);
  void put_back(flight& one);
  void put_back(std::uint64_t number);
  void leave(std::uint64_t number);
  void left(std::uint64_t number);
  void pause(const std::string& why, std::chrono::milliseconds time);
  void show();

  worker& worker_;
  const std::shared_ptr<const config::trigger> config_;
  const trigger_names names_;
  const std::unique_ptr<event_source> source_;
  event_sink& sink_;
  spdlog::logger& log_;
  const std::function<unsigned()> concurrency_now_;
  trigger_counters counters_;
  dispatch_queue queue_;
  contents held_;  ///< of some that may go
  std::size_t held_bytes_ = 0;
  contents aside_;  ///< of some that wait for others, or for their next try
  std::size_t aside_bytes_ = 0;
  std::uint64_t newest_ = 0;       ///< number that was taken in
  std::uint64_t taken_up_to_ = 0;  ///< all up to here were taken back
  std::size_t taken_in_flight_ = 0;
  std::vector<std::function<void()>> taken_then_;                   ///< to be called when those are over
  std::optional<std::pair<std::uint64_t, std::uint64_t>> skipped_;  ///< a range to settle in one
  timer timer_;
  delivery* acquiring_ = nullptr;  ///< has the ticket
  bool running_ = false;
  bool woken_ = false;
  bool stopping_ = false;
  bool fetching_ = false;
  bool more_ = true;
  std::optional<wall_time> paused_until_;
  std::optional<wall_time> fetch_again_at_;
  mutable std::mutex why_mutex_;
  std::string why_paused_;
  std::string told_;  ///< the reason that was logged last
  wall_time told_at_{};
  std::function<void()> then_;
};

}  // namespace rouse::gateway::events
