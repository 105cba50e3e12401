#pragma once
// Stops everything below a reaper and lets it run again: SIGSTOP and SIGCONT to every descendant, whatever group or
// session it is in. Inside a reaper process, single-threaded; needs no rights and no cgroup of its own.

#include <sys/types.h>

#include <chrono>
#include <vector>

#include "activator/backend/process/descriptor.hpp"

namespace rouse::process {

/// What was stopped is remembered by pidfd, so that thawing reads no /proc and can signal no stranger whose pid was
/// used before. What had stopped itself before the freeze is left stopped by a thaw.
class freezer {
 public:
  /// Begins to freeze, or goes on: stops parents before their children, so that none is forked behind our back. True
  /// when all are seen stopped; false when some are not yet (a signal takes effect when the process next runs, which in
  /// uninterruptible sleep takes as long as that): then it must be called again, best after a moment.
  bool freeze();
  /// Lets all that freeze() stopped run again, children before their parents. A few microseconds for each.
  void thaw();

 private:
  struct member {
    pid_t pid = -1;
    descriptor handle;
    bool ours = false;  ///< stopped by us, so ours to continue
  };

  bool visit(pid_t pid, pid_t parent);
  [[nodiscard]] member* find(pid_t pid);
  [[nodiscard]] bool is_known(pid_t pid);
  bool stop(member& which);

  std::vector<member> members_;  ///< parents first, as far as they were found so
};

}  // namespace rouse::process
