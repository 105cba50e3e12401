#pragma once
// The process backend: instances are local processes under the keeper (keeper.hpp). Lives on the control thread;
// borrows the control context and the listener, which outlive it.

#include <unistd.h>
#include <boost/asio/io_context.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include "activator/backend/backend.hpp"
#include "activator/backend/process/environment.hpp"
#include "activator/backend/process/ports.hpp"

namespace rouse::process {

/// How instances are frozen.
enum class freezing {
  best,     ///< by cgroup where that works and the instance was started with `may_freeze`, else by signals
  signals,  ///< by signals
};

struct process_options {
  port_range ports = default_ports();           ///< what $PORT is chosen from
  std::uint32_t seed = std::random_device{}();  ///< where in that range to begin
  environment inherit = inherited(::environ);   ///< what every instance inherits
  freezing freeze_by = freezing::best;
  /// Told, on the control thread, how instances are frozen, once that is known; and once more, if it turns out that
  /// some cannot be frozen that way.
  std::function<void(const std::string&)> note = [](const std::string&) {};
};

/// Reasons in its exit reports: exited, signalled, timeout, spawn (the command could not be run), no-capacity (no
/// process or memory to be had of the machine, or no port is free), port (every port tried was taken by somebody else),
/// keeper (the keeper process is gone: nothing can be started until rouse is restarted).
///
/// The main process is the instance: when it ends, whatever it left running is killed, so a server must not daemonise.
class process_backend final : public activator::backend {
 public:
  /// `keeper_socket` is a keeper_handle's; it stays the handle's, but the backend ends its use when it is destroyed.
  /// Throws std::system_error when the socket cannot be used.
  process_backend(boost::asio::io_context& control, int keeper_socket, activator::backend_listener& listener,
                  process_options options = {});
  /// Ends the keeper's service: everything it runs is killed. The listener hears nothing any more. Not to be called
  /// from inside a call of the listener's.
  ~process_backend() override;

  void start(const activator::start_spec& spec) override;
  void stop(std::uint64_t id, std::chrono::milliseconds grace) override;
  [[nodiscard]] activator::backend_traits traits() const noexcept override { return {.can_freeze = true}; }
  void freeze(std::uint64_t id) override;
  void thaw(std::uint64_t id) override;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace rouse::process
