#pragma once
// The reaper: one small process per instance, between the keeper and the instance's main process. It is a subreaper, so
// everything the instance ever forks stays below it, whatever groups and sessions it makes for itself; when the main
// process ends, or the daemon says so or is gone, it kills all of it, and only then reports the end.

#include "activator/backend/process/descriptor.hpp"
#include "activator/backend/process/protocol.hpp"

namespace rouse::process {

/// The life of a reaper, in the process just forked for it by the keeper: `socket` to the daemon, `spec` a memfd with
/// an encoded `launch`, `output` the pipe's write end, `cgroups` the directory of the keeper's cgroup_tree or -1, which
/// stays open. Exits with 0 once nothing of the instance is left.
[[noreturn]] void run_reaper(const start_message& start, descriptor socket, descriptor spec, descriptor output,
                             int cgroups);

}  // namespace rouse::process
