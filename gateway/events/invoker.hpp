#pragma once
// The queued invocations of one function at work: takes them from the store in their order, calls the function as slots
// are free, and keeps what came of it. Lives on one worker; shared by the service and by the coroutines that run it. As
// a trigger, it keeps one ticket in the function's queue, so that functions take turns and none starves another.

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <spdlog/logger.h>

#include "gateway/delivery.hpp"
#include "gateway/events/store/store.hpp"
#include "gateway/memory_budget.hpp"
#include "gateway/worker.hpp"

namespace rouse::gateway::events {

class invoker final : public worker_task, public std::enable_shared_from_this<invoker> {
 public:
  invoker(worker& on, store& from, std::string function, spdlog::logger& log);
  ~invoker();

  // --- any thread
  void start();
  /// There may be more to take.
  void poke();
  /// Begins nothing new.
  void stop();
  [[nodiscard]] std::uint64_t in_flight() const noexcept { return in_flight_.load(std::memory_order_relaxed); }
  /// Why nothing is called at the moment; empty: nothing hinders.
  [[nodiscard]] std::string paused_because() const;

  // worker_task
  void drain() override;
  void close() override;

 private:
  struct flight;
  struct room;
  struct held {
    taken_invocation call;
    memory_share share;  ///< of its request
  };
  awaitable<void> run();
  awaitable<void> take_more();
  awaitable<void> fly(std::shared_ptr<flight> one);
  void return_taken();
  awaitable<void> wait(std::optional<wall_time> until);
  void wake();
  awaitable<void> conclude(flight& one);
  [[nodiscard]] const config::async* settings();
  void pause(const std::string& why, std::chrono::milliseconds time);

  worker& worker_;
  store& store_;
  const std::string function_;
  spdlog::logger& log_;
  timer timer_;
  std::deque<held> taken_;
  std::optional<wall_time> next_due_;
  std::optional<wall_time> paused_until_;
  std::atomic<std::uint64_t> in_flight_{0};
  delivery* acquiring_ = nullptr;
  bool running_ = false;
  bool woken_ = false;
  bool more_ = true;
  bool large_replies_ = false;  ///< the last one was
  bool stopping_ = false;
  mutable std::mutex why_mutex_;
  std::string why_paused_;
  std::string told_;  ///< the reason that was logged last
  wall_time told_at_{};
};

/// What an invocation's `meta` holds besides its head: the revision that its caller named.
[[nodiscard]] std::string encode_call(std::string_view revision, std::string_view head);

}  // namespace rouse::gateway::events
