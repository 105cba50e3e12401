#include "activator/backend/process/freezer.hpp"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <ranges>
#include <utility>

#include "activator/backend/process/process_tree.hpp"

namespace rouse::process {
namespace {

/// signal 0: whether it exists, zombies included.
bool send_signal(const descriptor& handle, int number) {
  return ::syscall(SYS_pidfd_send_signal, handle.get(), number, nullptr, 0) == 0;
}

/// A descriptor for each descendant may be more than a daemon usually has. What runs already keeps its own limit.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

bool freezer::freeze() {
  if (members_.empty()) raise_descriptor_limit();
  std::erase_if(members_, [](const member& one) { return !send_signal(one.handle, 0); });
  bool settled = true;
  std::vector<std::pair<pid_t, pid_t>> todo;  // a process and its parent
  const auto add_children = [&todo](pid_t of) {
    for (const pid_t child : children_of(of)) todo.emplace_back(child, of);
  };
  add_children(::getpid());
  for (std::size_t i = 0; i < todo.size(); ++i) {
    const auto [pid, parent] = todo[i];
    if (!visit(pid, parent)) settled = false;
    // Listed after the parent was seen stopped, they are all there will be; otherwise we look again.
    add_children(pid);
  }
  return settled;
}

/// True when all threads of the process were seen stopped, and it was known before.
bool freezer::visit(pid_t pid, pid_t parent) {
  if (member* known = find(pid)) return is_stopped(pid) || !stop(*known);
  member added;
  added.pid = pid;
  added.handle.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  // Gone already, or its number belongs to somebody else by now: the handle is what the parent was read of only if it
  // still exists afterwards, and so does the parent.
  if (!added.handle || parent_of(pid) != parent || !is_known(parent) || !send_signal(added.handle, 0)) return false;
  if (!is_stopped(pid)) stop(added);
  members_.push_back(std::move(added));
  return false;
}

freezer::member* freezer::find(pid_t pid) {
  const auto found = std::ranges::find(members_, pid, &member::pid);
  return found == members_.end() || !send_signal(found->handle, 0) ? nullptr : &*found;
}

bool freezer::is_known(pid_t pid) {
  return pid == ::getpid() || find(pid) != nullptr;
}

/// False when the process may not be signalled (it changed its user), which no second try would mend.
bool freezer::stop(member& which) {
  which.ours = send_signal(which.handle, SIGSTOP);
  return which.ours;
}

void freezer::thaw() {
  for (const member& one : std::views::reverse(members_)) {
    if (one.ours) send_signal(one.handle, SIGCONT);
  }
  members_.clear();
}

}  // namespace rouse::process
