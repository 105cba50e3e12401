#include "activator/backend/process/reaper.hpp"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <utility>

#include "activator/backend/process/cgroup.hpp"
#include "activator/backend/process/freezer.hpp"
#include "activator/backend/process/process_tree.hpp"
#include "activator/backend/process/protocol.hpp"
#include "activator/backend/process/spawn.hpp"

namespace rouse::process {
namespace {

/// Tells the daemon that this instance is frozen by signals, and why not by cgroup.
void report(int socket, const cgroup_problem& why) {
  reaper_message message;
  message.kind = reaper_message::what::no_cgroup;
  message.error = why.error;
  message.cgroup = why.step;
  send(socket, &message, sizeof message);
}

class reaper {
 public:
  /// `cgroup` holds all of the instance, or does not exist: then it is frozen by signals.
  reaper(int socket, pid_t main, instance_cgroup cgroup) : socket_(socket), main_(main), cgroup_(std::move(cgroup)) {}

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

  /// After run(): nothing is left in it.
  void remove_cgroup() { cgroup_.remove(); }

 private:
  using clock = std::chrono::steady_clock;

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
          freeze();
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

  void freeze() {
    if (frozen_ || ending_) return;
    frozen_ = true;
    pause_ = shortest_pause;
    if (!cgroup_.exists()) return;
    frozen_since_ = clock::now();
    if (const auto problem = cgroup_.freeze()) use_signals(problem);
  }

  void thaw() {
    if (!std::exchange(frozen_, false)) return;
    freezer_.thaw();
    if (!cgroup_.exists()) return;
    if (const auto problem = cgroup_.thaw()) use_signals(problem);
  }

  /// For good, and the daemon is told why. What the cgroup has stopped already must not stay so.
  void use_signals(const cgroup_problem& why) {
    static_cast<void>(cgroup_.thaw());
    cgroup_.let_go();
    pause_ = shortest_pause;
    report(socket_, why);
  }

  /// Done at every turn while frozen, and of its own accord until all are stopped. Signals are also sent again for what
  /// a death among the frozen sets free (the kernel continues the group of an orphan); a cgroup holds what it holds.
  void keep_frozen() {
    if (!frozen_) return;
    bool settled = false;
    if (!cgroup_.exists()) {
      settled = freezer_.freeze();
    } else if (cgroup_.is_frozen()) {
      settled = true;
    } else if (clock::now() - frozen_since_ > longest_settling) {
      return use_signals({cgroup_step::settle, 0});
    }
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
    // The kernel says when all of a cgroup has stopped.
    const bool settles = frozen_ && pause_ != no_pause;
    std::array<pollfd, 2> p{pollfd{socket_, POLLIN, 0}, pollfd{cgroup_.events(), POLLPRI, 0}};
    const timespec pause{0, pause_.count()};
    ::ppoll(p.data(), settles ? 2 : 1, settles ? &pause : nullptr, &all_open);
  }

  static constexpr std::chrono::nanoseconds no_pause{0}, shortest_pause{500'000}, longest_pause{500'000'000},
      longest_await{1'000'000'000}, longest_settling{2'000'000'000};

  int socket_;
  pid_t main_;
  instance_cgroup cgroup_;
  freezer freezer_;  ///< where there is no cgroup
  clock::time_point frozen_since_;
  bool frozen_ = false;
  bool ending_ = false;                        ///< was asked to end
  std::chrono::nanoseconds pause_ = no_pause;  ///< until the next look at what is not yet stopped
};

}  // namespace

void run_reaper(const start_message& start, descriptor socket, descriptor spec, descriptor output, int cgroups) {
  ::prctl(PR_SET_NAME, "rouse-reaper");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  instance_cgroup cgroup;
  cgroup_problem refused;
  if (start.in_cgroup != 0 && cgroups >= 0) refused = cgroup.make(cgroups, start.id, start.attempt);
  const spawned started = spawn_main(spec.get(), output.get(), cgroup, refused);
  if (refused || started.pid < 0) cgroup.remove();
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
  if (refused) report(socket.get(), refused);
  reaper life(socket.get(), started.pid, std::move(cgroup));
  message.status = life.run();
  message.kind = reaper_message::what::ended;
  send(socket.get(), &message, sizeof message);
  life.remove_cgroup();
  ::_exit(0);
}

}  // namespace rouse::process
