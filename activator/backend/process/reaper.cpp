#include "activator/backend/process/reaper.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string>
#include <string_view>

#include "activator/backend/process/freezer.hpp"
#include "activator/backend/process/process_tree.hpp"
#include "activator/backend/process/protocol.hpp"

namespace rouse::process {
namespace {

struct outcome {
  pid_t pid = -1;
  start_step step = start_step::none;
  int error = 0;
};

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

outcome spawn_at(const char* path, launch_view& what, const spawn_options& options) {
  outcome result;
  result.error =
      ::posix_spawn(&result.pid, path, &options.actions, &options.attributes, what.argv.data(), what.env.data());
  if (result.error != 0) {
    result.pid = -1;
    result.step = result.error == EAGAIN || result.error == ENOMEM ? start_step::fork : start_step::exec;
  }
  return result;
}

/// As execvp(3) does it, but with the instance's own PATH: the first file that can be executed; where one was found
/// that may not be, EACCES says more than ENOENT. A script without a first line that names its interpreter is not
/// handed to a shell.
outcome spawn_from_path(launch_view& what, const spawn_options& options) {
  if (std::strchr(what.argv[0], '/') != nullptr) return spawn_at(what.argv[0], what, options);
  outcome result{-1, start_step::exec, ENOENT};
  std::string_view rest(what.search_path);
  for (;;) {
    const auto end = rest.find(':');
    std::string path(rest.substr(0, end));
    path += path.empty() ? "./" : "/";
    path += what.argv[0];
    struct stat file {};
    if (::access(path.c_str(), X_OK) == 0 && ::stat(path.c_str(), &file) == 0 && S_ISREG(file.st_mode))
      return spawn_at(path.c_str(), what, options);
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

outcome launch_main(int spec, int output) {
  const std::string_view bytes = map(spec);
  auto what = decode(bytes);
  outcome result{-1, start_step::spec, EBADMSG};
  if (what) {
    if (*what->directory != '\0' && ::chdir(what->directory) != 0) {
      result = {-1, start_step::directory, errno};
    } else {
      const spawn_options options(output);
      result = spawn_from_path(*what, options);
    }
  }
  if (!bytes.empty()) ::munmap(const_cast<char*>(bytes.data()), bytes.size());
  return result;
}

class reaper {
 public:
  reaper(int socket, pid_t main) : socket_(socket), main_(main) {}

  /// Returns when nothing of the instance is left, with the wait status of its main process.
  int run() {
    while (obey() && !main_ended()) {
      keep_frozen();
      wait();
    }
    signal_group(SIGKILL);
    int status = 0;
    end_children([&](pid_t pid, int with) {
      if (pid == main_) status = with;
    });
    return status;
  }

 private:
  /// Reaps what has ended, except for the main process.
  bool main_ended() {
    for (;;) {
      siginfo_t info{};
      if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return false;
      if (info.si_pid == main_) return true;
      ::waitpid(info.si_pid, nullptr, WNOHANG);
    }
  }

  /// False when the instance is to be killed: by command, or because the daemon is gone.
  bool obey() {
    for (;;) {
      const packet got = receive(socket_);
      if (got.size < 0) return errno == EAGAIN;
      if (got.size == 0) return false;
      if (got.size != 1) continue;
      switch (static_cast<command>(got.bytes[0])) {
        case command::kill:
          return false;
        case command::terminate:
          terminate();
          break;
        case command::freeze:
          frozen_ = !ending_;
          pause_ = shortest_pause;
          break;
        case command::thaw:
          thaw();
          break;
      }
    }
  }

  /// A stopped process acts on SIGTERM only once it runs. One that we froze is let run before it is told: the kernel
  /// gives a signal to the main thread, where Python's handlers wait, unless that thread has not yet got over being
  /// stopped; then any other gets it, and nobody acts on it.
  void terminate() {
    ending_ = true;
    if (frozen_) {
      thaw();
      await_sleep();
    }
    signal_group(SIGTERM);
    signal_group(SIGCONT);
  }

  /// Until the main process waits for something, as one without work does; at most a second, and no longer than nobody
  /// says anything.
  void await_sleep() const {
    pollfd p{socket_, POLLIN, 0};
    const timespec pause{0, shortest_pause.count()};
    for (auto left = longest_await / shortest_pause; left > 0 && !is_asleep(main_); --left) {
      if (::ppoll(&p, 1, &pause, nullptr) > 0) return;
    }
  }

  void thaw() {
    frozen_ = false;
    freezer_.thaw();
  }

  /// Done at every turn while frozen, for what a death among the frozen sets free (the kernel continues the group of an
  /// orphan), and of its own accord until all are stopped.
  void keep_frozen() {
    if (!frozen_) return;
    const bool settled = freezer_.freeze();
    pause_ = settled ? no_pause : std::clamp(2 * pause_, shortest_pause, longest_pause);
  }

  /// The main process, dead or alive, is not reaped before the end, so its pid and its group's number are its own. The
  /// group is empty only if the process has moved itself to another.
  void signal_group(int number) const {
    if (::kill(-main_, number) != 0) ::kill(main_, number);
  }

  void wait() const {
    sigset_t all_open;
    sigemptyset(&all_open);
    pollfd p{socket_, POLLIN, 0};
    const timespec pause{0, pause_.count()};
    ::ppoll(&p, 1, frozen_ && pause_ != no_pause ? &pause : nullptr, &all_open);
  }

  static constexpr std::chrono::nanoseconds no_pause{0}, shortest_pause{500'000}, longest_pause{500'000'000},
      longest_await{1'000'000'000};

  int socket_;
  pid_t main_;
  freezer freezer_;
  bool frozen_ = false;
  bool ending_ = false;                        ///< was asked to end
  std::chrono::nanoseconds pause_ = no_pause;  ///< until the next look at what is not yet stopped
};

}  // namespace

void run_reaper(descriptor socket, descriptor spec, descriptor output) {
  ::prctl(PR_SET_NAME, "rouse-reaper");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const outcome started = launch_main(spec.get(), output.get());
  spec.reset();
  output.reset();
  reaper_message message;
  if (started.pid < 0) {
    message.kind = reaper_message::what::failed;
    message.step = started.step;
    message.error = started.error;
    send(socket.get(), &message, sizeof message);
    ::_exit(0);
  }
  message.pid = started.pid;
  message.reaper = ::getpid();
  send(socket.get(), &message, sizeof message);
  message.status = reaper(socket.get(), started.pid).run();
  message.kind = reaper_message::what::ended;
  send(socket.get(), &message, sizeof message);
  ::_exit(0);
}

}  // namespace rouse::process
