#pragma once
// Moves what commits wrote to the log into the file, on a thread and connection of its own. The log starts again from
// its beginning only when all of it was moved, which commits that go on would prevent for ever: so most is moved beside
// them, and the little that came meanwhile while the gate holds the writer.

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "gateway/events/store/gate.hpp"
#include "gateway/events/store/sqlite.hpp"

namespace rouse::gateway::events {

class checkpointer {
 public:
  checkpointer(const std::string& path, int pages, gate& between_commits);
  /// Ends a checkpoint in progress at its next step, and joins. The log is emptied by whoever closes the file last.
  ~checkpointer();
  checkpointer(const checkpointer&) = delete;
  checkpointer& operator=(const checkpointer&) = delete;

  /// The log has this many pages now; the writer's thread.
  void log_has(int pages);
  /// Begin one now: the disk is full, and what was moved leaves room in the log.
  void make_room();

 private:
  void run();
  /// How long to wait before the next.
  std::chrono::milliseconds checkpoint();
  [[nodiscard]] bool due() const;
  /// Moves what it can without waiting for anybody; how far into the log it is then, or -1.
  int move();

  connection on_;
  const int pages_;
  gate& gate_;
  std::mutex mutex_;
  std::condition_variable work_;
  int in_log_ = 0;
  int moved_ = 0;        ///< pages of the log that the last checkpoint left behind it
  bool wanted_ = false;  ///< whatever the log has
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace rouse::gateway::events
