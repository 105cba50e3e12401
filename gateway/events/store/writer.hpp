#pragma once
// The writer: one thread, one connection, group commits. Whatever waits when a commit ends goes into the next one
// together, so that the cost of an fdatasync is shared by all who wait for it.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gateway/events/store/checkpointer.hpp"
#include "gateway/events/store/dead_letter_table.hpp"
#include "gateway/events/store/invocation_table.hpp"
#include "gateway/events/store/store.hpp"
#include "gateway/events/store/stream_table.hpp"

namespace rouse::gateway::events {

/// Everything on the writer's connection.
struct tables {
  explicit tables(connection& connection)
      : on(connection), streams(connection), dead_letters(connection), invocations(connection, dead_letters) {}

  connection& on;
  stream_table streams;
  dead_letter_table dead_letters;
  invocation_table invocations;
};

/// Something for the writer to do.
class operation {
 public:
  enum class kind {
    durable,  ///< in a transaction; finished after its commit
    note,     ///< changes memory only; the commit may come `lazy_flush` later
    look,     ///< reads or changes memory, at once and outside transactions
  };
  operation(kind what, std::size_t bytes) : what_(what), bytes_(bytes) {}
  virtual ~operation() = default;
  operation(const operation&) = delete;
  operation& operator=(const operation&) = delete;

  /// Throws sql_error, which undoes the whole group.
  virtual void apply(tables& on, wall_time now) = 0;
  /// Exactly once: done (null), or why not.
  virtual void finish(const store_error* error) = 0;
  [[nodiscard]] kind what() const { return what_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  const kind what_;
  const std::size_t bytes_;
};

class writer {
 public:
  writer(const std::string& path, const store_options& options);
  /// Does all that was submitted, and joins.
  ~writer();
  /// What the destructor does, while the object can still be used by completions. Once.
  void stop();
  writer(const writer&) = delete;
  writer& operator=(const writer&) = delete;

  /// Any thread. False (and the operation is still the caller's) when `bounded` and too much waits.
  bool submit(std::unique_ptr<operation>& what, bool bounded);
  /// Done when nothing is left to drop.
  void sweep(completion<void> done);
  [[nodiscard]] std::size_t waiting_bytes() const { return waiting_bytes_.load(std::memory_order_relaxed); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] wall_time now() const { return options_.clock(); }
  [[nodiscard]] bool is_running(std::int64_t invocation) const { return tables_.invocations.is_running(invocation); }
  [[nodiscard]] bool is_taken(std::int64_t invocation) const { return tables_.invocations.is_taken(invocation); }
  [[nodiscard]] bool begin(std::int64_t invocation) { return tables_.invocations.begin(invocation); }

 private:
  using steady = std::chrono::steady_clock;
  using group = std::vector<std::unique_ptr<operation>>;

  void run();
  /// Waits for work; what is to go together, empty when only the clock wants something. False: the end.
  bool next(group& out);
  void gather(std::unique_lock<std::mutex>& lock);
  void carve(group& out);
  void perform(group& work);
  void look(std::unique_ptr<operation>& what);
  /// One transaction; whether it was committed, and otherwise why not.
  std::optional<store_error> commit(const group& work);
  bool drop(wall_time now, bool alone);
  void dropped(const std::optional<store_error>& error);
  [[nodiscard]] steady::time_point alarm() const;

  const std::string path_;
  const store_options options_;
  gate gate_;
  connection on_;
  tables tables_;
  checkpointer checkpointer_;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::deque<std::unique_ptr<operation>> waiting_;
  std::vector<completion<void>> new_sweeps_;
  std::size_t urgent_ = 0;   ///< of `waiting_`, those that are not notes
  std::size_t wake_at_ = 1;  ///< urgent ones that the writer waits for
  bool asleep_ = false;
  bool ending_ = false;
  std::atomic<std::size_t> waiting_bytes_{0};

  // The thread's.
  std::vector<completion<void>> sweeps_;
  steady::time_point flush_at_ = steady::time_point::max();  ///< when notes have to be written
  steady::time_point maintain_at_;
  std::size_t last_group_ = 0;
  steady::duration usual_commit_{0};
  bool dropping_ = false;    ///< there may be more to drop
  bool last_round_ = false;  ///< `ending_`, as next() saw it
  std::thread thread_;
};

}  // namespace rouse::gateway::events
