#pragma once
// How a reaper makes the main process of its instance. Inside a reaper process, single-threaded.

#include <sys/types.h>

#include "activator/backend/process/cgroup.hpp"
#include "activator/backend/process/protocol.hpp"

namespace rouse::process {

struct spawned {
  pid_t pid = -1;
  start_step step = start_step::none;
  int error = 0;
};

/// Runs what the memfd `spec` says: in its own process group, with default signals, the null device as standard input,
/// `output` as standard output and error, and no other descriptor. Where `cgroup` exists the process is born in it; if
/// that is refused, beside it, with the reason in `refused`. Changes the calling process's directory.
[[nodiscard]] spawned spawn_main(int spec, int output, const instance_cgroup& cgroup, cgroup_problem& refused);

}  // namespace rouse::process
