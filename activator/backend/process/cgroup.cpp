#include "activator/backend/process/cgroup.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

namespace rouse::process {
namespace {

constexpr std::string_view prefix = "rouse.";

struct close_directory {
  void operator()(DIR* dir) const noexcept { ::closedir(dir); }
};

std::string read_all(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string_view take(std::string_view& rest, char end) {
  const auto at = std::min(rest.find(end), rest.size());
  const auto part = rest.substr(0, at);
  rest.remove_prefix(std::min(at + 1, rest.size()));
  return part;
}

/// Octal escapes stand for blanks and the like in mountinfo.
std::string unescape(std::string_view text) {
  std::string out;
  const auto octal = [&](std::size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '7'; };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

/// What of `path` is below `root`; nothing where it is elsewhere. Both begin with a slash.
std::optional<std::string_view> below(std::string_view path, std::string_view root) {
  if (root == "/") return path == "/" ? std::string_view() : path;
  if (!path.starts_with(root)) return std::nullopt;
  path.remove_prefix(root.size());
  if (!path.empty() && path.front() != '/') return std::nullopt;
  return path;
}

std::optional<std::string> own_cgroup() {
  return find_cgroup(read_all("/proc/self/cgroup"), read_all("/proc/self/mountinfo"));
}

descriptor open_directory(int at, const char* path) {
  return descriptor(::openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

std::string name_of(std::uint64_t id, std::uint32_t attempt) {
  return std::to_string(id) + "." + std::to_string(attempt);
}

std::vector<std::string> directories_in(int directory) {
  std::vector<std::string> found;
  descriptor copy = open_directory(directory, ".");
  const std::unique_ptr<DIR, close_directory> dir(copy ? ::fdopendir(copy.get()) : nullptr);
  if (!dir) return found;
  static_cast<void>(copy.release());
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') found.emplace_back(entry->d_name);
  }
  return found;
}

/// Below `parent`, with all that is empty in it.
void remove_tree(int parent, const std::string& name) {
  if (const descriptor inside = open_directory(parent, name.c_str())) {
    for (const auto& one : directories_in(inside.get())) ::unlinkat(inside.get(), one.c_str(), AT_REMOVEDIR);
  }
  ::unlinkat(parent, name.c_str(), AT_REMOVEDIR);
}

/// What rouses that are gone have left, and where nothing runs any more.
void remove_left(int parent) {
  for (const auto& name : directories_in(parent)) {
    if (!name.starts_with(prefix)) continue;
    const descriptor theirs = open_directory(parent, name.c_str());
    if (theirs && ::flock(theirs.get(), LOCK_EX | LOCK_NB) == 0) remove_tree(parent, name);
  }
}

/// Removes an empty cgroup. The kernel may count a process for a moment longer than its parent can see it.
void remove_soon(int parent, const std::string& name) {
  for (int i = 0; i < 200 && ::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno == EBUSY; ++i) ::usleep(500);
}

bool frozen_by(int events) {
  std::array<char, 256> text;
  const ssize_t size = ::pread(events, text.data(), text.size(), 0);
  return size > 0 &&
         std::string_view(text.data(), static_cast<std::size_t>(size)).find("frozen 1") != std::string::npos;
}

}  // namespace

std::optional<std::string> find_cgroup(std::string_view cgroup, std::string_view mountinfo) {
  std::optional<std::string_view> own;
  while (!cgroup.empty()) {
    const auto line = take(cgroup, '\n');
    if (line.starts_with("0::/")) own = line.substr(3);
  }
  if (!own) return std::nullopt;
  std::optional<std::string> found;
  while (!mountinfo.empty()) {
    auto line = take(mountinfo, '\n');
    const auto dash = line.find(" - ");
    if (dash == std::string_view::npos || !line.substr(dash + 3).starts_with("cgroup2 ")) continue;
    for (int i = 0; i < 3; ++i) take(line, ' ');  // mount, its parent, device
    const std::string root = unescape(take(line, ' '));
    const std::string where = unescape(take(line, ' '));
    // A later mount at the same place hides an earlier one; of several places any will do.
    if (const auto rest = below(*own, root)) found = where + std::string(*rest);
  }
  return found;
}

std::string describe(const cgroup_problem& problem) {
  if (problem.step == cgroup_step::find)
    return "no cgroup2 file system is mounted that shows the cgroup in which rouse runs";
  const std::string where = own_cgroup().value_or("rouse's own cgroup");
  std::string text;
  switch (problem.step) {
    case cgroup_step::make:
      text = "cannot make a cgroup below " + where;
      break;
    case cgroup_step::join:
      text = "cannot fork a process into a cgroup below " + where;
      break;
    case cgroup_step::freeze:
      text = "cannot write cgroup.freeze below " + where;
      break;
    default:
      text = "what was frozen by cgroup.freeze below " + where + " did not stop in time";
  }
  if (problem.error == 0) return text;
  std::array<char, 128> scratch{};
  text += std::string(": ") + ::strerror_r(problem.error, scratch.data(), scratch.size());
  if (problem.step == cgroup_step::join && problem.error == ENOSYS)
    text += " (clone3 is needed; systemd's RestrictNamespaces and the seccomp profiles of containers take it away)";
  return text;
}

cgroup_problem cgroup_tree::open() {
  const auto where = own_cgroup();
  if (!where) return {cgroup_step::find, 0};
  parent_ = open_directory(AT_FDCWD, where->c_str());
  if (!parent_) return {cgroup_step::make, errno};
  remove_left(parent_.get());
  auto problem = make(parent_.get());
  if (!problem) problem = try_out();
  if (problem) close();
  return problem;
}

/// Another rouse may see the directory before it is locked and take it for left over; then it is made again.
cgroup_problem cgroup_tree::make(int parent) {
  for (int i = 0; i < 10; ++i) {
    name_ = std::string(prefix) + std::to_string(::getppid()) + (i > 0 ? "." + std::to_string(i) : "");
    if (::mkdirat(parent, name_.c_str(), 0755) != 0) {
      if (errno == EEXIST) continue;
      return {cgroup_step::make, errno};
    }
    directory_ = open_directory(parent, name_.c_str());
    if (!directory_ || ::flock(directory_.get(), LOCK_EX | LOCK_NB) != 0) continue;
    if (::faccessat(directory_.get(), "cgroup.freeze", W_OK, 0) == 0) return {};
    if (::faccessat(parent, name_.c_str(), F_OK, 0) == 0) return {cgroup_step::freeze, errno};
  }
  return {cgroup_step::make, EEXIST};
}

/// With a process that ends at once: nobody waits long for this, though the first start may come meanwhile.
cgroup_problem cgroup_tree::try_out() const {
  instance_cgroup trial;
  auto problem = trial.make(get(), 0, 0);
  if (!problem) problem = trial.thaw();
  if (!problem) {
    clone_args how{};
    how.flags = CLONE_INTO_CGROUP;
    how.exit_signal = SIGCHLD;
    how.cgroup = static_cast<std::uint64_t>(trial.get());
    const long pid = ::syscall(SYS_clone3, &how, sizeof how);
    if (pid == 0) ::syscall(SYS_exit_group, 0);
    if (pid < 0) problem = {cgroup_step::join, errno};
    while (pid > 0 && ::waitpid(static_cast<pid_t>(pid), nullptr, 0) < 0 && errno == EINTR) continue;
  }
  trial.remove();
  return problem;
}

void cgroup_tree::remove(std::uint64_t id, std::uint32_t attempt) const {
  if (directory_) remove_soon(directory_.get(), name_of(id, attempt));
}

void cgroup_tree::close() {
  if (directory_) {
    for (const auto& one : directories_in(directory_.get())) remove_soon(directory_.get(), one);
    remove_soon(parent_.get(), name_);
  }
  directory_.reset();
  parent_.reset();
}

cgroup_problem instance_cgroup::make(int tree, std::uint64_t id, std::uint32_t attempt) {
  const std::string name = name_of(id, attempt);
  if (::mkdirat(tree, name.c_str(), 0755) != 0) return {cgroup_step::make, errno};
  tree_ = tree;
  name_ = name;
  directory_ = open_directory(tree, name.c_str());
  if (!directory_) return {cgroup_step::make, errno};
  return {};
}

cgroup_problem instance_cgroup::write(char what) {
  if (!freeze_) freeze_.reset(::openat(directory_.get(), "cgroup.freeze", O_WRONLY | O_CLOEXEC));
  if (!events_) events_.reset(::openat(directory_.get(), "cgroup.events", O_RDONLY | O_CLOEXEC));
  if (!freeze_ || !events_ || ::pwrite(freeze_.get(), &what, 1, 0) != 1) return {cgroup_step::freeze, errno};
  return {};
}

cgroup_problem instance_cgroup::freeze() {
  return write('1');
}

cgroup_problem instance_cgroup::thaw() {
  return write('0');
}

bool instance_cgroup::is_frozen() {
  return events_ && frozen_by(events_.get());
}

void instance_cgroup::let_go() noexcept {
  directory_.reset();
  freeze_.reset();
  events_.reset();
}

void instance_cgroup::remove() {
  let_go();
  if (!name_.empty()) remove_soon(tree_, name_);
  name_.clear();
}

}  // namespace rouse::process
