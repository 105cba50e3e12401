#include "gateway/events/store/checkpointer.hpp"

#include <sqlite3.h>

#include <limits>

#include "gateway/events/store/file.hpp"

namespace rouse::gateway::events {
namespace {

constexpr int rounds = 6;
constexpr int patience = 8;  // lengths that start a checkpoint, until the writer has to wait for a long rest
constexpr std::chrono::seconds pause_after_failure{1};
constexpr std::chrono::milliseconds pause_after_delay{10};

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
    if (pages < moved_) moved_ = 0;  // it began again
    in_log_ = pages;
    if (!due()) return;
  }
  work_.notify_one();
}

void checkpointer::make_room() {
  {
    const std::lock_guard lock(mutex_);
    wanted_ = true;
  }
  work_.notify_one();
}

bool checkpointer::due() const {
  return wanted_ || in_log_ - moved_ >= pages_;
}

void checkpointer::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [this] { return ending_ || due(); });
    if (ending_) return;
    wanted_ = false;
    lock.unlock();
    const auto pause = checkpoint();
    lock.lock();
    if (pause.count() > 0) work_.wait_for(lock, pause, [this] { return ending_; });
  }
}

std::chrono::milliseconds checkpointer::checkpoint() {
  // Each round moves what came during the one before. What then comes during the last is moved at the cost of two
  // fdatasync of little.
  int left = std::numeric_limits<int>::max();
  for (int round = 0; round < rounds && left > pages_ / 16; ++round) {
    const int moved = move();
    const std::lock_guard lock(mutex_);
    if (moved < 0) {
      // A full or failing disk: the log keeps everything, and commits say themselves what is wrong.
      moved_ = in_log_;
      return pause_after_failure;
    }
    left = in_log_ - moved;
  }
  // Somebody reads for long, or the disk is slower than the commits.
  if (left > pages_ / 4 && left < patience * pages_) return pause_after_delay;
  gate_.hold();
  move();
  {
    const std::lock_guard lock(mutex_);
    moved_ = in_log_;
  }
  gate_.release();
  return {};
}

int checkpointer::move() {
  int in_log = 0;
  int moved = 0;
  const int code = sqlite3_wal_checkpoint_v2(on_.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);
  return code == SQLITE_OK ? moved : -1;
}

}  // namespace rouse::gateway::events
