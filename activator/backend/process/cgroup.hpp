#pragma once
// The cgroups (v2) in which instances are frozen: one directory for each rouse below the cgroup in which rouse itself
// runs, and in it one for each instance that may be frozen. No controller is enabled in them, so they change nothing
// but who can be frozen. The keeper owns the first, reapers theirs; see README.md beside this file.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "activator/backend/process/descriptor.hpp"

namespace rouse::process {

/// What could not be done with a cgroup.
enum class cgroup_step : std::uint8_t { none, find, make, join, freeze, settle };
struct cgroup_problem {
  cgroup_step step = cgroup_step::none;
  std::int32_t error = 0;  ///< errno; 0: it says nothing
  explicit operator bool() const noexcept { return step != cgroup_step::none; }
};
/// "cannot make a cgroup below /sys/fs/cgroup/x: Permission denied". Looks up where the calling process's own cgroup
/// is.
[[nodiscard]] std::string describe(const cgroup_problem& problem);

/// The directory of the v2 cgroup that `cgroup` (the text of /proc/self/cgroup) names, by what `mountinfo` (that of
/// /proc/self/mountinfo) says is mounted where. Nothing where no cgroup2 is mounted that shows it.
[[nodiscard]] std::optional<std::string> find_cgroup(std::string_view cgroup, std::string_view mountinfo);

/// A rouse's own directory, `rouse.PID` below the cgroup of the calling process. Held by an exclusive flock(2), which
/// its keeper and all reapers share, so that it ends with the last of them: what can be locked belongs to nobody.
class cgroup_tree {
 public:
  /// Makes the directory, tries that a process can be forked into a cgroup there, and removes what rouses that are gone
  /// have left empty. Less than a millisecond. Nothing is left where it fails.
  [[nodiscard]] cgroup_problem open();
  /// Directory descriptor; -1 when there is none.
  [[nodiscard]] int get() const noexcept { return directory_.get(); }
  /// Removes the cgroup of an instance of which nothing is left. Harmless where there is none.
  void remove(std::uint64_t id, std::uint32_t attempt) const;
  /// Removes all of it that is empty.
  void close();

 private:
  [[nodiscard]] cgroup_problem make(int parent);
  [[nodiscard]] cgroup_problem try_out() const;

  descriptor parent_;
  descriptor directory_;
  std::string name_;
};

/// The cgroup of one instance; inside its reaper, which stays outside.
class instance_cgroup {
 public:
  /// Below the tree's directory. Its processes are forked into it (spawn.hpp), never moved: a move waits for the whole
  /// machine to settle, some 10 ms.
  [[nodiscard]] cgroup_problem make(int tree, std::uint64_t id, std::uint32_t attempt);
  [[nodiscard]] bool exists() const noexcept { return static_cast<bool>(directory_); }
  [[nodiscard]] int get() const noexcept { return directory_.get(); }

  /// Orders all of it to stop, which takes the kernel a moment, or to go on, which it does at once.
  [[nodiscard]] cgroup_problem freeze();
  [[nodiscard]] cgroup_problem thaw();
  /// Whether all of it has stopped.
  [[nodiscard]] bool is_frozen();
  /// To poll with POLLPRI for a change of is_frozen(); -1 before the first freeze().
  [[nodiscard]] int events() const noexcept { return events_.get(); }
  /// Uses it no more, though its processes stay in it: exists() is false from here on. It is still there to be removed.
  void let_go() noexcept;
  /// Once nothing of it runs. Waits a moment for the kernel to think so too. Harmless where none was made.
  void remove();

 private:
  [[nodiscard]] cgroup_problem write(char what);

  int tree_ = -1;
  std::string name_;  ///< empty: nothing to remove
  descriptor directory_, freeze_, events_;
};

}  // namespace rouse::process
