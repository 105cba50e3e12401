#include "activator/backend/process/process_backend.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>

#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

#include "activator/backend/process/process_instance.hpp"
#include "activator/backend/process/protocol.hpp"

namespace rouse::process {
namespace asio = boost::asio;
using boost::system::error_code;

struct process_backend::impl final : instance_host {
  impl(asio::io_context& control, int keeper_socket, activator::backend_listener& listener, process_options options)
      : control_(control),
        listener_(listener),
        options_(std::move(options)),
        ports_(options_.ports, options_.seed),
        keeper_(control) {
    const int own = ::fcntl(keeper_socket, F_DUPFD_CLOEXEC, 3);
    if (own < 0) throw std::system_error(errno, std::generic_category(), "cannot use the keeper's socket");
    keeper_.assign(own);
    await_keeper();
  }
  ~impl() {
    instances_.clear();
    // The keeper sees the end of its stream, though the handle still holds the socket.
    ::shutdown(keeper_.native_handle(), SHUT_RDWR);
  }
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;

  void await_keeper();
  void on_keeper_readable();
  void hear(const packet& got);
  void on_keeper_gone();
  void flush();

  asio::io_context& control() override { return control_; }
  activator::backend_listener& listener() override { return listener_; }
  port_chooser& ports() override { return ports_; }
  const environment& inherit() const override { return options_.inherit; }
  bool request(const start_message& message, descriptor reaper, descriptor spec, descriptor output) override;
  bool keeper_alive() const override { return keeper_alive_; }
  std::size_t& polled() override { return polled_; }
  bool uses_cgroups() const override { return options_.freeze_by == freezing::best && cgroups_; }
  void on_no_cgroup(const std::string& instance, const cgroup_problem& why) override;
  void finished(std::uint64_t id) override { instances_.erase(id); }

  struct pending {
    start_message message;
    descriptor reaper;
    descriptor spec;
    descriptor output;
  };

  asio::io_context& control_;
  activator::backend_listener& listener_;
  const process_options options_;
  port_chooser ports_;
  asio::posix::stream_descriptor keeper_;
  bool keeper_alive_ = true;
  bool cgroups_ = true;  ///< until the keeper says otherwise, which it does before it starts anything
  bool refused_ = false;
  std::size_t polled_ = 0;
  std::deque<pending> pending_;  ///< starts that the keeper's socket had no room for
  std::map<std::uint64_t, std::shared_ptr<process_instance>> instances_;
  /// Handlers hold it weakly; they outlive the backend in the context's queue.
  std::shared_ptr<impl*> alive_ = std::make_shared<impl*>(this);
};

void process_backend::impl::await_keeper() {
  keeper_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [weak = std::weak_ptr<impl*>(alive_)](const error_code& error) {
                       if (const auto self = weak.lock(); self && !error) (*self)->on_keeper_readable();
                     });
}

void process_backend::impl::on_keeper_readable() {
  for (;;) {
    const packet got = receive(keeper_.native_handle());
    if (got.size < 0 && errno == EAGAIN) return await_keeper();
    if (got.size <= 0) return on_keeper_gone();
    hear(got);
  }
}

void process_backend::impl::hear(const packet& got) {
  lost_message lost;
  cgroup_message cgroups;
  static_assert(sizeof lost != sizeof cgroups);
  if (static_cast<std::size_t>(got.size) == sizeof lost) {
    std::memcpy(&lost, got.bytes.data(), sizeof lost);
    const auto found = instances_.find(lost.id);
    if (lost.magic != protocol_magic || found == instances_.end()) return;
    const auto instance = found->second;
    instance->on_reaper_lost(lost.attempt);
  } else if (static_cast<std::size_t>(got.size) == sizeof cgroups) {
    std::memcpy(&cgroups, got.bytes.data(), sizeof cgroups);
    if (cgroups.magic != protocol_magic || options_.freeze_by != freezing::best) return;
    cgroups_ = !cgroups.why_not;
    options_.note(cgroups_ ? "instances are frozen by cgroup"
                           : "instances are frozen by signals: " + describe(cgroups.why_not));
  }
}

/// Said of the first one only: what is wrong with one cgroup is likely to be wrong with many.
void process_backend::impl::on_no_cgroup(const std::string& instance, const cgroup_problem& why) {
  if (std::exchange(refused_, true)) return;
  options_.note(instance + " is frozen by signals, though others are by cgroup: " + describe(why) +
                "; not told of others");
}

void process_backend::impl::on_keeper_gone() {
  keeper_alive_ = false;
  pending_.clear();
  std::vector<std::shared_ptr<process_instance>> all;
  for (const auto& [id, instance] : instances_) all.push_back(instance);
  for (const auto& instance : all) instance->on_keeper_gone();
}

bool process_backend::impl::request(const start_message& message, descriptor reaper, descriptor spec,
                                    descriptor output) {
  if (!keeper_alive_) return false;
  pending one;
  one.message = message;
  one.reaper = std::move(reaper);
  one.spec = std::move(spec);
  one.output = std::move(output);
  pending_.push_back(std::move(one));
  if (pending_.size() == 1) flush();
  return true;
}

/// A keeper that is gone is noticed by the wait on its socket, which tells every instance; nothing to do for it here.
void process_backend::impl::flush() {
  while (!pending_.empty()) {
    const pending& next = pending_.front();
    if (!send(keeper_.native_handle(), &next.message, sizeof next.message,
              {next.reaper.get(), next.spec.get(), next.output.get()})) {
      if (errno != EAGAIN && errno != ETOOMANYREFS) return;
      keeper_.async_wait(asio::posix::stream_descriptor::wait_write,
                         [weak = std::weak_ptr<impl*>(alive_)](const error_code& error) {
                           if (const auto self = weak.lock(); self && !error) (*self)->flush();
                         });
      return;
    }
    pending_.pop_front();
  }
}

process_backend::process_backend(asio::io_context& control, int keeper_socket, activator::backend_listener& listener,
                                 process_options options)
    : impl_(std::make_unique<impl>(control, keeper_socket, listener, std::move(options))) {}

process_backend::~process_backend() = default;

void process_backend::start(const activator::start_spec& spec) {
  auto instance = std::make_shared<process_instance>(*impl_, spec);
  impl_->instances_[spec.id] = instance;
  // Later, because a start that fails at once must not be reported from inside this call.
  asio::post(impl_->control_, [weak = std::weak_ptr<process_instance>(instance)] {
    if (const auto self = weak.lock()) self->begin();
  });
}

void process_backend::stop(std::uint64_t id, std::chrono::milliseconds grace) {
  const auto found = impl_->instances_.find(id);
  if (found != impl_->instances_.end()) found->second->stop(grace);
}

void process_backend::freeze(std::uint64_t id) {
  const auto found = impl_->instances_.find(id);
  if (found != impl_->instances_.end()) found->second->freeze();
}

void process_backend::thaw(std::uint64_t id) {
  const auto found = impl_->instances_.find(id);
  if (found != impl_->instances_.end()) found->second->thaw();
}

}  // namespace rouse::process
