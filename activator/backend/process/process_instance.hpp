#pragma once
// The life of one instance of the process backend, from start() to its exit report, over more than one process where a
// port was lost to somebody else. Control thread; owned by the backend, and by its own handlers while they run.

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "activator/backend/backend.hpp"
#include "activator/backend/process/descriptor.hpp"
#include "activator/backend/process/environment.hpp"
#include "activator/backend/process/http_probe.hpp"
#include "activator/backend/process/output_pipe.hpp"
#include "activator/backend/process/ports.hpp"
#include "activator/backend/process/protocol.hpp"
#include "activator/backend/process/ready_check.hpp"

namespace rouse::process {

/// What an instance needs of its backend.
class instance_host {
 public:
  virtual boost::asio::io_context& control() = 0;
  virtual activator::backend_listener& listener() = 0;
  virtual port_chooser& ports() = 0;
  [[nodiscard]] virtual const environment& inherit() const = 0;
  /// Hands a start to the keeper, now or as soon as it takes more. False when the keeper is gone.
  virtual bool request(const start_message& message, descriptor reaper, descriptor spec, descriptor output) = 0;
  [[nodiscard]] virtual bool keeper_alive() const = 0;
  /// How many instances are being polled at the moment.
  virtual std::size_t& polled() = 0;
  /// Whether to ask for a cgroup for what may be frozen.
  [[nodiscard]] virtual bool uses_cgroups() const = 0;
  /// One that asked has none, or none that works.
  virtual void on_no_cgroup(const std::string& instance, const cgroup_problem& why) = 0;
  /// The instance has said its last word to the listener.
  virtual void finished(std::uint64_t id) = 0;

 protected:
  ~instance_host() = default;
};

class process_instance : public std::enable_shared_from_this<process_instance> {
 public:
  process_instance(instance_host& host, activator::start_spec spec);
  /// Lets go of the reaper, which then kills what runs.
  ~process_instance();
  process_instance(const process_instance&) = delete;
  process_instance& operator=(const process_instance&) = delete;

  /// Once, and not from inside backend::start(): what goes wrong here is reported before it returns.
  void begin();
  void stop(std::chrono::milliseconds grace);
  void freeze();
  void thaw();
  /// The keeper says that this instance's reaper died and all that it ran has been killed.
  void on_reaper_lost(std::uint32_t attempt);
  /// The keeper is gone: the instance is ended, and says why.
  void on_keeper_gone();

 private:
  using clock = std::chrono::steady_clock;
  /// Why the instance is being ended by the backend itself.
  enum class verdict { none, timeout, port_lost, keeper_gone };

  // How a process is made (process_instance.cpp).
  void attempt();
  std::string launch_process();
  void await_reaper();
  void on_reaper_readable();
  void hear(const reaper_message& message);
  bool tell(command what);
  void end(verdict why);

  // Readiness (process_instance_ready.cpp).
  void begin_polling();
  void end_polling();
  void schedule_poll();
  void poll();
  void probe(ready_check found);
  void on_probe(http_probe::answer with, const router::address& where);
  void become_ready(const router::address& where, descriptor connection);
  void on_start_timeout();
  [[nodiscard]] std::string timeout_detail() const;

  // The end (process_instance_end.cpp).
  void on_gone();
  void conclude();
  bool try_elsewhere();
  void report();
  [[nodiscard]] std::string exit_detail() const;

  instance_host& host_;
  const activator::start_spec spec_;
  launch launch_;
  std::uint16_t port_ = 0;
  unsigned attempts_ = 0;
  std::optional<boost::asio::posix::stream_descriptor> reaper_;  ///< socket to the reaper; unset between processes
  std::optional<output_pipe> output_;
  std::vector<std::string> last_lines_;
  boost::asio::steady_timer deadline_;  ///< start_timeout, then a stop's grace
  boost::asio::steady_timer next_poll_;
  std::shared_ptr<http_probe> probe_;
  clock::time_point begun_;
  clock::time_point kill_at_ = clock::time_point::max();
  pid_t reaper_pid_ = -1;
  bool polling_ = false;
  std::uint64_t foreign_inode_ = 0;  ///< who held the port at the last look
  std::string last_probe_;           ///< what `ready.path` answered last, for the time-out's report

  bool ready_ = false;
  bool asked_ = false;
  bool frozen_ = false;
  bool killed_ = false;  ///< SIGKILL was ordered
  bool gone_ = false;    ///< nothing of the current process runs any more
  verdict verdict_ = verdict::none;
  std::string timeout_detail_;
  std::string failure_;  ///< why the process could not be made; empty: it was
  std::string_view failure_word_ = "spawn";
  std::optional<int> status_;
};

}  // namespace rouse::process
