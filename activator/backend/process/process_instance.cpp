#include "activator/backend/process/process_instance.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace rouse::process {
namespace {

std::string no_descriptor(const char* what) {
  const int error = errno;
  std::array<char, 128> scratch{};
  std::string text = std::string("cannot make ") + what + ": " + ::strerror_r(error, scratch.data(), scratch.size());
  if (error == EMFILE) text += "; raise rouse's limit of open files (ulimit -n, or LimitNOFILE of the service)";
  return text;
}

bool write_all(int fd, const std::string& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  return true;
}

}  // namespace

process_instance::process_instance(instance_host& host, activator::start_spec spec)
    : host_(host), spec_(std::move(spec)), deadline_(host.control()), next_poll_(host.control()) {}

process_instance::~process_instance() {
  end_polling();
  if (port_ != 0) host_.ports().give_back(port_);
}

void process_instance::begin() {
  begun_ = clock::now();
  if (!asked_) {
    deadline_.expires_at(begun_ + spec_.start_timeout);
    deadline_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      if (const auto self = weak.lock(); self && !error) self->on_start_timeout();
    });
  }
  attempt();
}

/// Makes a process, or concludes that there is none to be had.
void process_instance::attempt() {
  ++attempts_;
  gone_ = false;
  if (asked_) {
    failure_ = "was stopped before its process was made";
    failure_word_ = "exited";
  } else {
    failure_ = launch_process();
  }
  if (!failure_.empty()) on_gone();
}

/// Empty when a start is on its way to the keeper, else what went wrong.
std::string process_instance::launch_process() {
  failure_word_ = "spawn";
  if (!host_.keeper_alive()) {
    failure_word_ = "keeper";
    return "cannot be started: rouse's keeper process has ended; restart rouse";
  }
  const auto port = host_.ports().take();
  if (!port) {
    failure_word_ = "no-capacity";
    return "cannot be started: no free port was found for it among several hundred; the ports beside "
           "net.ipv4.ip_local_port_range are in use";
  }
  if (port_ != 0) host_.ports().give_back(port_);
  port_ = *port;
  launch_ = compose(spec_, host_.inherit(), port_);
  const auto encoded = encode(launch_);
  if (!encoded) return "cannot run its command: it is empty, or an argument or variable contains a NUL character";

  descriptor spec(::memfd_create("rouse-spec", MFD_CLOEXEC));
  if (!spec || !write_all(spec.get(), *encoded)) return no_descriptor("a memory file");
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return no_descriptor("a pipe for its output");
  descriptor read_end(ends[0]);
  descriptor write_end(ends[1]);
  ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
  // More room for bursts; refused where the user's pipes have reached their limit, which is no reason not to start.
  ::fcntl(read_end.get(), F_SETPIPE_SZ, output_pipe::pipe_size);
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0)
    return no_descriptor("a socket pair");
  descriptor ours(ends[0]);
  descriptor theirs(ends[1]);
  start_message message;
  message.id = spec_.id;
  message.attempt = attempts_;
  message.in_cgroup = spec_.may_freeze && host_.uses_cgroups() ? 1 : 0;
  if (!host_.request(message, std::move(theirs), std::move(spec), std::move(write_end))) {
    failure_word_ = "keeper";
    return "cannot be started: rouse's keeper process has ended; restart rouse";
  }
  reaper_.emplace(host_.control(), ours.release());
  output_.emplace(host_.control(), std::move(read_end),
                  [this](std::string line) { host_.listener().on_output(spec_.id, std::move(line)); });
  await_reaper();
  return {};
}

void process_instance::await_reaper() {
  reaper_->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                      [weak = weak_from_this()](const boost::system::error_code& error) {
                        if (const auto self = weak.lock(); self && !error) self->on_reaper_readable();
                      });
}

void process_instance::on_reaper_readable() {
  for (;;) {
    if (gone_ || !reaper_) return;
    const packet got = receive(reaper_->native_handle());
    if (got.size < 0 && errno == EAGAIN) return await_reaper();
    if (got.size <= 0) {
      // The reaper has died. What it left is the keeper's to kill, and it will say so; without a keeper nobody will.
      reaper_.reset();
      end_polling();
      if (!host_.keeper_alive()) on_gone();
      return;
    }
    reaper_message message;
    if (static_cast<std::size_t>(got.size) != sizeof message) continue;
    std::memcpy(&message, got.bytes.data(), sizeof message);
    hear(message);
  }
}

void process_instance::hear(const reaper_message& message) {
  switch (message.kind) {
    case reaper_message::what::spawned:
      reaper_pid_ = message.reaper;
      if (!asked_ && verdict_ == verdict::none) begin_polling();
      return;
    case reaper_message::what::failed:
      failure_ = describe_failure(message.step, message.error, launch_);
      if (message.step == start_step::fork && (message.error == EAGAIN || message.error == ENOMEM))
        failure_word_ = "no-capacity";
      return on_gone();
    case reaper_message::what::no_cgroup:
      return host_.on_no_cgroup(spec_.instance, cgroup_problem{message.cgroup, message.error});
    case reaper_message::what::ended:
      status_ = message.status;
      return on_gone();
  }
}

bool process_instance::tell(command what) {
  return reaper_ && send(reaper_->native_handle(), &what, sizeof what);
}

void process_instance::stop(std::chrono::milliseconds grace) {
  const bool first = !std::exchange(asked_, true);
  end_polling();
  if (verdict_ == verdict::port_lost) verdict_ = verdict::none;  // no other port is tried any more
  const auto at = clock::now() + std::max(grace, std::chrono::milliseconds(0));
  if (gone_ || killed_ || at >= kill_at_) return;
  kill_at_ = at;
  if (grace.count() <= 0) {
    killed_ = true;
    deadline_.cancel();
    tell(command::kill);
    return;
  }
  if (first) tell(command::terminate);
  frozen_ = false;
  deadline_.expires_at(at);
  deadline_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!self || error) return;
    self->killed_ = true;
    self->tell(command::kill);
  });
}

void process_instance::freeze() {
  if (!ready_ || asked_ || gone_ || killed_ || std::exchange(frozen_, true)) return;
  tell(command::freeze);
}

void process_instance::thaw() {
  if (std::exchange(frozen_, false)) tell(command::thaw);
}

/// Kills the process for a reason of the backend's own.
void process_instance::end(verdict why) {
  if (verdict_ == verdict::none || why == verdict::keeper_gone) verdict_ = why;
  end_polling();
  killed_ = true;
  tell(command::kill);
}

void process_instance::on_reaper_lost(std::uint32_t attempt) {
  if (attempt != attempts_ || gone_) return;
  reaper_.reset();
  on_gone();
}

void process_instance::on_keeper_gone() {
  if (gone_) return;
  end(verdict::keeper_gone);
  // The reaper outlives the keeper and reports the end as always; where it has died as well, nobody is left to.
  if (!reaper_) on_gone();
}

}  // namespace rouse::process
