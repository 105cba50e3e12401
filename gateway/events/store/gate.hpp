#pragma once
// Lets the checkpointer hold the writer between two commits. A mutex would not do: the writer takes it again at once,
// and the checkpointer would starve.

#include <condition_variable>
#include <mutex>

namespace rouse::gateway::events {

class gate {
 public:
  /// The writer's, around a transaction.
  void enter() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !held_; });
    inside_ = true;
  }
  void leave() {
    {
      const std::lock_guard lock(mutex_);
      inside_ = false;
    }
    changed_.notify_all();
  }
  /// The checkpointer's.
  void hold() {
    std::unique_lock lock(mutex_);
    held_ = true;
    changed_.wait(lock, [this] { return !inside_; });
  }
  void release() {
    {
      const std::lock_guard lock(mutex_);
      held_ = false;
    }
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool inside_ = false;
  bool held_ = false;
};

}  // namespace rouse::gateway::events
