#pragma once
// All that has to do with events in one daemon: the store, the buses, triggers, cron, queued invocations and dead
// letters. Owned by the daemon; made before the workers run, destroyed after they have ended and before they are
// destroyed.
//
// Requests come from workers (take()), configurations and questions on the admin thread.

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <spdlog/logger.h>

#include "activator/runtime.hpp"
#include "config/config.hpp"
#include "gateway/admin/actions.hpp"
#include "gateway/events/clusters.hpp"
#include "gateway/events/cron_clock.hpp"
#include "gateway/events/event_log.hpp"
#include "gateway/events/invoker.hpp"
#include "gateway/events/kafka/topic_numbers.hpp"
#include "gateway/events/store/store.hpp"
#include "gateway/events/trigger.hpp"
#include "gateway/intake.hpp"
#include "gateway/worker.hpp"

namespace rouse::gateway::events {

class service final : public intake, public event_sink, public actions_on_events {
 public:
  struct surroundings {
    asio::io_context& admin;
    spdlog::logger& log;
    std::string data_dir;
    std::function<std::vector<worker*>()> workers;
    std::function<std::shared_ptr<const activator::view>()> view;  ///< that workers serve by; any thread
  };
  explicit service(surroundings around);
  /// After the workers have ended.
  ~service();
  service(const service&) = delete;
  service& operator=(const service&) = delete;

  // Both return an error in words, or nothing, and wait for the disk, but for no broker. Before the workers run on the
  // main thread, then on the admin thread.
  /// Opens the store where this configuration, or what an earlier daemon left, needs it, the streams of its buses, and
  /// clients for those on Kafka.
  [[nodiscard]] std::string prepare(const config::snapshot& next);
  /// After prepare(), when the functions are there: triggers that are new or changed begin, others end as soon as
  /// nothing of them is in flight.
  [[nodiscard]] std::string apply(const config::snapshot& next);
  /// No new cron events; nothing is taken in lazily any more; what waits for a broker has a few seconds. Admin thread.
  void stop();

  // intake (intake.cpp)
  [[nodiscard]] std::uint64_t most_body(intake_request::kind what, std::string_view name) const override;
  void take(intake_request request, std::function<void(intake_reply)> done) override;
  // event_sink
  void append(const std::string& bus, std::vector<std::string> encoded,
              std::function<void(std::string problem)> then) override;

  // actions_on_events (desk.cpp)
  void numbers(actions::done then) override;
  void dead_letters(dead_letter_question which, actions::done then) override;
  void redrive(dead_letter_question which, actions::done then) override;
  void purge(dead_letter_question which, actions::done then) override;

 private:
  struct stream_entry {
    stream_id stream{};
    std::shared_ptr<std::atomic<std::int64_t>> newest = std::make_shared<std::atomic<std::int64_t>>(0);
    std::vector<std::weak_ptr<trigger>> triggers;  ///< to be poked; guarded
  };
  struct plan;
  /// A trigger at work. One on Kafka is two: what it takes from its topics, and what waits for it in the store.
  struct runner {
    std::shared_ptr<plan> what;
    std::shared_ptr<trigger> main;
    std::shared_ptr<trigger> stored;              ///< only beside a `main` on Kafka
    std::shared_ptr<const topic_numbers> topics;  ///< of that one
  };
  std::string open_store();
  std::string begin_invocations();
  std::string prepare_stream(const std::string& name, std::chrono::milliseconds retention);
  void set_logs(const config::snapshot& next, bool replace);
  void set_cron(const std::vector<plan>& wanted);
  [[nodiscard]] std::chrono::sys_seconds dealt_with(stream_id stream, std::int64_t newest, bool once);
  void on_growth(const std::string& stream, std::int64_t last);

  // runners.cpp
  std::string begin_runner(const plan& what);
  [[nodiscard]] store_result<std::unique_ptr<event_source>> stored_source(const plan& what, worker& on,
                                                                          std::shared_ptr<stream_entry>& entry);
  void end_runner(const std::string& name);
  void forget_others(const std::vector<plan>& wanted);
  void forget_place(const std::string& name);

  // intake.cpp
  void take_event(intake_request request, std::function<void(intake_reply)> done);
  void take_call(intake_request request, std::function<void(intake_reply)> done);
  void cancel(const invocation_id& id, std::function<void(intake_reply)> done);
  void take_question(const intake_request& request, std::function<void(intake_reply)> done);
  void enqueue(intake_request request, std::function<void(intake_reply)> done);
  [[nodiscard]] std::shared_ptr<event_log> find_log(const std::string& name) const;

  void poke_invoker(const std::string& function);
  void add_backlog();
  void ask_due();
  [[nodiscard]] event_numbers count(const store_usage& usage) const;
  void answer(actions::done then, action_result result);
  [[nodiscard]] worker& next_worker();

  const surroundings around_;
  client_threads threads_;  ///< outlives all that has a client of Kafka
  std::optional<store> store_;
  clusters clusters_;              ///< ends before the store
  std::atomic<bool> open_{false};  ///< store_ may be used by any thread
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<stream_entry>, std::less<>> streams_;  ///< by the stream's name; guarded
  std::map<std::string, std::shared_ptr<event_log>, std::less<>> logs_;        ///< by the name of the bus; guarded
  std::map<std::string, std::shared_ptr<invoker>, std::less<>> invokers_;      ///< guarded
  std::map<std::string, runner> triggers_;                                     ///< admin thread, as the next one
  std::set<std::string> ending_;                                               ///< whose old self is still in flight
  cron_clock cron_;
  timer backlog_timer_;
  wall_time prepared_at_{};
  std::vector<queue_due> due_;    ///< of queued invocations, as the store said last; admin thread
  bool due_asked_ = false;        ///< it has not answered yet
  std::set<std::string> waited_;  ///< functions that something waited for the last time it was looked
  std::atomic<std::size_t> turn_{0};
  bool stopped_ = false;
};

}  // namespace rouse::gateway::events
