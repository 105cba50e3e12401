#include "gateway/events/store/checkpointer.hpp"

#include <sqlite3.h>

#include <limits>

#include "gateway/events/store/file.hpp"

namespace rouse::gateway::events {
namespace {

constexpr int rounds = 4;
constexpr std::chrono::seconds pause_after_failure{1};

}  // namespace

checkpointer::checkpointer(const std::string& path, int pages, gate& between_commits)
    : on_(path, false), pages_(pages), gate_(between_commits) {
  set_up(on_, 256);
  thread_ = std::thread([this] { run(); });
}

checkpointer::~checkpointer() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  work_.notify_one();
  thread_.join();
}

void checkpointer::log_has(int pages) {
  {
    const std::lock_guard lock(mutex_);
    in_log_ = pages;
    if (pages < pages_) return;
  }
  work_.notify_one();
}

void checkpointer::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [this] { return ending_ || in_log_ >= pages_; });
    if (ending_) return;
    in_log_ = 0;
    lock.unlock();
    checkpoint();
    lock.lock();
  }
}

void checkpointer::checkpoint() {
  // With less left than a quarter of what starts one, the writer waits a few milliseconds at most.
  int left = std::numeric_limits<int>::max();
  for (int round = 0; round < rounds && left > pages_ / 4; ++round) {
    left = move();
    if (left < 0) break;
  }
  if (left < 0) {
    // A full or failing disk: the log keeps everything, and commits say what is wrong themselves.
    std::unique_lock lock(mutex_);
    work_.wait_for(lock, pause_after_failure, [this] { return ending_; });
    return;
  }
  gate_.hold();
  move();
  gate_.release();
}

int checkpointer::move() {
  int in_log = 0;
  int moved = 0;
  const int code = sqlite3_wal_checkpoint_v2(on_.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);
  return code == SQLITE_OK ? in_log - moved : -1;
}

}  // namespace rouse::gateway::events
