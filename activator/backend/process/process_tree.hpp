#pragma once
// Who descends from whom, as /proc tells it. Stateless; any thread or process.

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <vector>

namespace rouse::process {

/// The children of every thread of `pid`, zombies included; empty when it has none or is gone. Reads
/// /proc/PID/task/*/children, and where the kernel was built without that, the parents of all processes.
/// A process that forks or ends meanwhile may be missed: callers that need all of them ask again.
[[nodiscard]] std::vector<pid_t> children_of(pid_t pid);

/// The same by reading the parent of every process of the machine, which costs some 10 us for each of them.
[[nodiscard]] std::vector<pid_t> children_by_parent(pid_t pid);

/// The parent of `pid`; 0 when it is gone.
[[nodiscard]] pid_t parent_of(pid_t pid);

/// Whether no thread of `pid` can run until it is continued: stopped by a signal or a tracer, or dead already. True for
/// a pid that is gone.
[[nodiscard]] bool is_stopped(pid_t pid);

/// Whether the main thread of `pid` waits for something (also one that has ended), and so has done with what woke it.
[[nodiscard]] bool is_asleep(pid_t pid);

/// Calls `visit` with every descendant of `root` (not with `root`), parents first, until it returns false. Looks at no
/// more than `most` processes.
void visit_descendants(pid_t root, const std::function<bool(pid_t)>& visit, std::size_t most = 4096);

/// Sends SIGKILL to every child of the calling process and reaps it, until there is none: for a subreaper, that is all
/// of its descendants, since orphans become its children. Only children are signalled, never a grandchild: a child's
/// pid cannot be used anew before it is reaped, so no stranger is ever hit. `reaped` is told of each with its wait
/// status. SIGCHLD must be blocked. Blocks until all are gone; a process in uninterruptible sleep delays it.
void end_children(const std::function<void(pid_t, int)>& reaped);

}  // namespace rouse::process
