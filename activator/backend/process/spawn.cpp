#include "activator/backend/process/spawn.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace rouse::process {
namespace {

/// What the child is given: its own process group, default signals, the null device as standard input, the pipe as
/// standard output and error, and no other descriptor.
class spawn_options {
 public:
  explicit spawn_options(int output) {
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes);
    sigset_t signals;
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  }
  spawn_options(const spawn_options&) = delete;
  spawn_options& operator=(const spawn_options&) = delete;
  ~spawn_options() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

struct spawn_plan {
  const spawn_options& options;
  int output;
  const instance_cgroup& cgroup;
  cgroup_problem& refused;
};

/// Forks into a cgroup, as vfork does it: memory is shared, but for a stack of its own, and the caller waits until
/// `run` has executed a program or returned, which ends the child. The child's pid, or an errno below zero. glibc has
/// no way to this before 2.39 (posix_spawnattr_setcgroup_np), and a fork that copies costs a start 0.2 ms.
[[gnu::noinline]] long clone_into(int cgroup, int (*run)(void*), void* with) {
#ifdef __x86_64__
  alignas(16) static std::array<std::byte, 32 * 1024> stack;
  clone_args how{};
  how.flags = CLONE_INTO_CGROUP | CLONE_VM | CLONE_VFORK;
  how.exit_signal = SIGCHLD;
  how.stack = reinterpret_cast<std::uint64_t>(stack.data());
  how.stack_size = stack.size();
  how.cgroup = static_cast<std::uint64_t>(cgroup);
  long result = SYS_clone3;
  // The system call keeps all registers but three, in the child as well, where nothing of this frame's stack is seen.
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "mov %[with], %%rdi\n\t"
      "call *%[run]\n\t"
      "mov %%eax, %%edi\n\t"
      "mov %[exit], %%eax\n\t"
      "syscall\n\t"
      "hlt\n"
      "1:"
      : "+a"(result)
      : "D"(&how), "S"(sizeof how), [run] "r"(run), [with] "r"(with), [exit] "i"(SYS_exit_group)
      : "rcx", "r11", "memory", "cc");
  return result;
#else
  static_cast<void>(cgroup), static_cast<void>(run), static_cast<void>(with);
  return -ENOSYS;
#endif
}

struct child_plan {
  const char* path;
  char* const* argv;
  char* const* env;
  int output;
  int error = 0;
};

/// In a child that shares its parent's memory: bare system calls and nothing else, for library calls may keep notes
/// about the process (sanitizers do), and these would be about the parent.
[[gnu::no_sanitize("address", "thread", "undefined")]] int run_child(void* with) {
  auto& plan = *static_cast<child_plan*>(with);
  const long by_default[4] = {};  // the kernel's sigaction: SIG_DFL, no flags, no mask
  for (long number = 1; number <= 64; ++number) ::syscall(SYS_rt_sigaction, number, by_default, nullptr, 8L);
  const std::uint64_t none = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, 8L);
  ::syscall(SYS_setpgid, 0L, 0L);
  const long null = ::syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC, 0L);
  if (null >= 0 && ::syscall(SYS_dup3, null, STDIN_FILENO, 0L) >= 0 &&
      ::syscall(SYS_dup3, plan.output, STDOUT_FILENO, 0L) >= 0 &&
      ::syscall(SYS_dup3, plan.output, STDERR_FILENO, 0L) >= 0 &&
      ::syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0L) == 0)
    ::syscall(SYS_execve, plan.path, plan.argv, plan.env);
  plan.error = errno;
  return 127;
}

start_step step_of(int error) {
  return error == EAGAIN || error == ENOMEM ? start_step::fork : start_step::exec;
}

/// Tries `cgroup` first, where there is one; if the fork into it fails, whatever the reason, it says why in `refused`
/// and forks as without it, so that a start fails for want of a cgroup never, and of processes as ever.
spawned spawn_at(const char* path, launch_view& what, const spawn_plan& how) {
  spawned result;
  if (how.cgroup.exists() && !how.refused) {
    child_plan plan{path, what.argv.data(), what.env.data(), how.output};
    const long pid = clone_into(how.cgroup.get(), run_child, &plan);
    if (pid > 0 && plan.error == 0) return {static_cast<pid_t>(pid), start_step::none, 0};
    if (pid > 0) {
      ::waitpid(static_cast<pid_t>(pid), nullptr, 0);
      return {-1, step_of(plan.error), plan.error};
    }
    how.refused = {cgroup_step::join, static_cast<int>(-pid)};
  }
  result.error = ::posix_spawn(&result.pid, path, &how.options.actions, &how.options.attributes, what.argv.data(),
                               what.env.data());
  if (result.error != 0) {
    result.pid = -1;
    result.step = step_of(result.error);
  }
  return result;
}

/// As execvp(3) does it, but with the instance's own PATH: the first file that can be executed; where one was found
/// that may not be, EACCES says more than ENOENT. A script without a first line that names its interpreter is not
/// handed to a shell.
spawned spawn_from_path(launch_view& what, const spawn_plan& how) {
  if (std::strchr(what.argv[0], '/') != nullptr) return spawn_at(what.argv[0], what, how);
  spawned result{-1, start_step::exec, ENOENT};
  std::string_view rest(what.search_path);
  for (;;) {
    const auto end = rest.find(':');
    std::string path(rest.substr(0, end));
    path += path.empty() ? "./" : "/";
    path += what.argv[0];
    struct stat file {};
    if (::access(path.c_str(), X_OK) == 0 && ::stat(path.c_str(), &file) == 0 && S_ISREG(file.st_mode))
      return spawn_at(path.c_str(), what, how);
    if (errno == EACCES && ::access(path.c_str(), F_OK) == 0) result.error = EACCES;
    if (end == std::string_view::npos) return result;
    rest.remove_prefix(end + 1);
  }
}

/// The bytes of the memfd; they stay mapped until the reaper exits.
std::string_view map(int spec) {
  struct stat file {};
  if (::fstat(spec, &file) != 0 || file.st_size <= 0) return {};
  const auto size = static_cast<std::size_t>(file.st_size);
  void* bytes = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, spec, 0);
  return bytes == MAP_FAILED ? std::string_view() : std::string_view(static_cast<const char*>(bytes), size);
}

}  // namespace

spawned spawn_main(int spec, int output, const instance_cgroup& cgroup, cgroup_problem& refused) {
  const std::string_view bytes = map(spec);
  auto what = decode(bytes);
  spawned result{-1, start_step::spec, EBADMSG};
  if (what) {
    if (*what->directory != '\0' && ::chdir(what->directory) != 0) {
      result = {-1, start_step::directory, errno};
    } else {
      const spawn_options options(output);
      result = spawn_from_path(*what, spawn_plan{options, output, cgroup, refused});
    }
  }
  if (!bytes.empty()) ::munmap(const_cast<char*>(bytes.data()), bytes.size());
  return result;
}

}  // namespace rouse::process
