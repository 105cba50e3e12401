#include "activator/backend/process/process_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "activator/backend/process/descriptor.hpp"

namespace rouse::process {
namespace {

struct close_directory {
  void operator()(DIR* dir) const noexcept { ::closedir(dir); }
};
using directory = std::unique_ptr<DIR, close_directory>;

/// 0 for names that are not a number.
pid_t number(const char* name) {
  const std::string_view text(name);
  pid_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() ? value : 0;
}

bool read_file(const std::string& path, std::string& into) {
  into.clear();
  const descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return false;
  std::array<char, 4096> part;
  for (;;) {
    const ssize_t n = ::read(file.get(), part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) return true;
    into.append(part.data(), static_cast<std::size_t>(n));
  }
}

void add_numbers(std::string_view text, std::vector<pid_t>& to) {
  while (!text.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    pid_t pid = 0;
    std::from_chars(text.data(), text.data() + end, pid);
    if (pid > 0) to.push_back(pid);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

/// A stat file of /proc from its third field on, state and parent; the second, a name in parentheses, may contain
/// anything. Empty when there is none.
std::string_view read_stat(const std::string& path, std::string& scratch) {
  if (!read_file(path, scratch)) return {};
  const auto close = scratch.rfind(')');
  if (close == std::string::npos || close + 4 >= scratch.size()) return {};
  return std::string_view(scratch).substr(close + 2);
}

pid_t parent_of(pid_t pid, std::string& scratch) {
  const std::string_view fields = read_stat("/proc/" + std::to_string(pid) + "/stat", scratch);
  if (fields.empty()) return 0;
  pid_t parent = 0;
  std::from_chars(fields.data() + 2, fields.data() + fields.size(), parent);
  return parent;
}

}  // namespace

std::vector<pid_t> children_by_parent(pid_t pid) {
  std::vector<pid_t> found;
  std::string scratch;
  const directory proc(::opendir("/proc"));
  if (!proc) return found;
  while (const dirent* entry = ::readdir(proc.get())) {
    const pid_t candidate = number(entry->d_name);
    if (candidate > 0 && parent_of(candidate, scratch) == pid) found.push_back(candidate);
  }
  return found;
}

pid_t parent_of(pid_t pid) {
  std::string scratch;
  return parent_of(pid, scratch);
}

bool is_stopped(pid_t pid) {
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  const directory dir(::opendir(tasks.c_str()));
  if (!dir) return true;
  std::string text;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (number(entry->d_name) == 0) continue;
    const std::string_view fields = read_stat(tasks + "/" + entry->d_name + "/stat", text);
    if (!fields.empty() && std::string_view("TtZXx").find(fields.front()) == std::string_view::npos) return false;
  }
  return true;
}

bool is_asleep(pid_t pid) {
  std::string text;
  const std::string_view fields = read_stat("/proc/" + std::to_string(pid) + "/stat", text);
  return fields.empty() || std::string_view("SDIZXx").find(fields.front()) != std::string_view::npos;
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> found;
  std::string text;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  const directory dir(::opendir(tasks.c_str()));
  if (!dir) return found;
  bool readable = false;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (number(entry->d_name) == 0) continue;
    if (!read_file(tasks + "/" + entry->d_name + "/children", text)) continue;
    readable = true;
    add_numbers(text, found);
  }
  return readable ? found : children_by_parent(pid);
}

void visit_descendants(pid_t root, const std::function<bool(pid_t)>& visit, std::size_t most) {
  std::vector<pid_t> todo = children_of(root);
  for (std::size_t i = 0; i < todo.size() && i < most; ++i) {
    if (!visit(todo[i])) return;
    const auto more = children_of(todo[i]);
    todo.insert(todo.end(), more.begin(), more.end());
  }
}

void end_children(const std::function<void(pid_t, int)>& reaped) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  for (;;) {
    for (const pid_t pid : children_of(::getpid())) ::kill(pid, SIGKILL);
    for (;;) {
      int status = 0;
      const pid_t pid = ::waitpid(-1, &status, WNOHANG);
      if (pid < 0 && errno == ECHILD) return;
      if (pid <= 0) break;
      reaped(pid, status);
    }
    // Each death tells us, and hands us its orphans; the time-out is there for a list of children that was read halfway
    // through a change.
    const timespec pause{0, 20'000'000};
    ::sigtimedwait(&child, nullptr, &pause);
  }
}

}  // namespace rouse::process
