#include "activator/backend/process/keeper.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>

#include "activator/backend/process/process_tree.hpp"
#include "activator/backend/process/reaper.hpp"

namespace rouse::process {
namespace {

constexpr int socket_number = 3;

/// Signals that a terminal, a service manager or a stranger sends to rouse as a whole are rouse's to handle; the keeper
/// and the reapers (which inherit this) end when their sockets close. SIGCHLD is delivered only inside ppoll.
void prepare_signals() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGTSTP, SIGTTOU})
    ::signal(number, SIG_IGN);
  struct sigaction note {};
  note.sa_handler = [](int) {};
  sigemptyset(&note.sa_mask);
  ::sigaction(SIGCHLD, &note, nullptr);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
}

/// Keeps standard error (the sanitizers' only way to speak) and the socket, and nothing else of the daemon's.
void keep_only(int socket) {
  if (socket != socket_number) ::dup3(socket, socket_number, O_CLOEXEC);
  ::close_range(socket_number + 1, ~0U, 0);
  const descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null) {
    ::dup2(null.get(), STDIN_FILENO);
    ::dup2(null.get(), STDOUT_FILENO);
  }
}

}  // namespace

keeper_handle& keeper_handle::operator=(keeper_handle&& other) noexcept {
  if (this != &other) {
    end(std::chrono::seconds(5));
    socket_ = std::move(other.socket_);
    pid_ = std::exchange(other.pid_, -1);
  }
  return *this;
}

keeper_handle::~keeper_handle() {
  end(std::chrono::seconds(5));
}

bool keeper_handle::end(std::chrono::milliseconds patience) {
  socket_.reset();
  if (pid_ <= 0) return true;
  // Waiting on a pidfd has a time-out, which waitpid has not; without one (an old kernel) the wait is not bounded.
  const descriptor child(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (child) {
    pollfd p{child.get(), POLLIN, 0};
    int ready = 0;
    do ready = ::poll(&p, 1, static_cast<int>(patience.count()));
    while (ready < 0 && errno == EINTR);
    if (ready <= 0) return false;
  }
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return true;
}

keeper_handle keeper::fork_keeper() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot make a socket pair for the keeper process");
  descriptor ours(ends[0]);
  descriptor theirs(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "cannot fork the keeper process");
  if (pid == 0) main(theirs.release());
  return {std::move(ours), pid};
}

void keeper::main(int socket) {
  // A session of its own: a ^C in rouse's terminal is for rouse, which drains, and not for its instances.
  ::setsid();
  ::prctl(PR_SET_NAME, "rouse-keeper");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  prepare_signals();
  keep_only(socket);
  keeper(descriptor(socket_number)).run();
  ::_exit(0);
}

void keeper::run() {
  cgroup_message freezing;
  freezing.why_not = cgroups_.open();
  send(socket_.get(), &freezing, sizeof freezing);
  while (serve()) {
    reap();
    sweep();
    wait();
  }
  end_children([](pid_t, int) {});
  cgroups_.close();
}

/// Takes all requests that wait. False once the daemon is gone.
bool keeper::serve() {
  for (;;) {
    packet got = receive(socket_.get());
    if (got.size < 0) return errno == EAGAIN;
    if (got.size == 0) return false;
    start_message message;
    if (static_cast<std::size_t>(got.size) != sizeof message) continue;
    std::memcpy(&message, got.bytes.data(), sizeof message);
    if (message.magic != protocol_magic) continue;
    if (got.descriptors.size() == 3) {
      start(message, std::move(got.descriptors));
    } else {
      lost_.push_back(message);  // cut short for want of descriptors: nothing runs, and the daemon must hear of it
    }
  }
}

void keeper::start(const start_message& message, std::vector<descriptor> with) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    socket_.reset();
    run_reaper(message, std::move(with[0]), std::move(with[1]), std::move(with[2]), cgroups_.get());
  }
  if (pid < 0) {
    reaper_message failed;
    failed.kind = reaper_message::what::failed;
    failed.step = start_step::fork;
    failed.error = errno;
    send(with[0].get(), &failed, sizeof failed);
    return;
  }
  reapers_.emplace(pid, message);
}

void keeper::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    const auto found = reapers_.find(pid);
    if (found == reapers_.end()) continue;
    // A reaper exits with 0 only when nothing of its instance is left.
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) lost_.push_back(found->second);
    reapers_.erase(found);
  }
}

/// The keeper's own children are reapers; whatever else is found under it was orphaned by the death of one.
void keeper::sweep() {
  if (lost_.empty()) return;
  bool strays = false;
  for (const pid_t pid : children_of(::getpid())) {
    if (reapers_.contains(pid)) continue;
    ::kill(pid, SIGKILL);
    strays = true;
  }
  if (strays) return;
  std::erase_if(lost_, [this](const start_message& of) {
    if (of.in_cgroup != 0) cgroups_.remove(of.id, of.attempt);
    lost_message message;
    message.id = of.id;
    message.attempt = of.attempt;
    return send(socket_.get(), &message, sizeof message) || errno != EAGAIN;
  });
}

void keeper::wait() {
  sigset_t all_open;
  sigemptyset(&all_open);
  pollfd p{socket_.get(), POLLIN, 0};
  // While something is being swept, or the daemon is too slow to hear of it, look again without being told.
  const timespec pause{0, 20'000'000};
  ::ppoll(&p, 1, lost_.empty() ? nullptr : &pause, &all_open);
}

}  // namespace rouse::process
