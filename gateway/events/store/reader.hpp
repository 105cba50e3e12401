#pragma once
// The reader: one thread and a connection of its own, which sees what is committed and never waits for a commit.

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "gateway/events/store/dead_letter_table.hpp"
#include "gateway/events/store/sqlite.hpp"

namespace rouse::gateway::events {

/// What is asked of the file. Every call may throw sql_error.
class queries {
 public:
  explicit queries(const std::string& path);

  std::vector<record> read(stream_id stream, std::int64_t after, std::size_t max_count, std::size_t max_bytes);
  /// Adds meta and body.
  void fill(std::vector<taken_invocation>& invocations);
  /// Never says `running`, which the file does not know.
  store_result<invocation_status> look_up(const invocation_id& id);
  store_result<std::string> response(const invocation_id& id);
  std::vector<dead_letter> dead_letters(const std::string& owner, std::int64_t after, std::size_t max_count);
  store_result<dead_letter> show_dead_letter(std::int64_t id);
  std::vector<queue_due> due(wall_time now);
  store_usage usage();

 private:
  void add_streams(store_usage& out);
  void add_consumers(store_usage& out);
  std::int64_t settled_beyond(std::int64_t consumer);

  connection on_;
  dead_letter_ids ids_;
  std::unordered_map<std::int64_t, statement> events_;
  statement request_, invocation_, response_, letter_, content_, streams_, consumers_, settled_, functions_, due_,
      letters_;
};

class store_reader {
 public:
  using task = std::function<void(queries&)>;

  explicit store_reader(const std::string& path);
  /// Does what was submitted, and joins.
  ~store_reader();
  /// What the destructor does, while the object can still be used by completions. Once.
  void stop();
  store_reader(const store_reader&) = delete;
  store_reader& operator=(const store_reader&) = delete;

  /// Any thread. False when too many wait.
  bool submit(task what);

 private:
  void run();

  queries queries_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<task> waiting_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace rouse::gateway::events
