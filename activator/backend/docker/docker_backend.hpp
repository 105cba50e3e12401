#pragma once
// The Docker backend: instances are containers of one Docker Engine, reached over its socket. Belongs to the thread of
// its io_context; borrows that and the listener, which outlive it.

#include <boost/asio/io_context.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "activator/backend/backend.hpp"

namespace rouse::docker {

struct docker_settings {
  std::string pool;  ///< whose backend it is
  std::string socket = "/var/run/docker.sock";
  std::string network;  ///< that containers are attached to; empty: the engine's own bridge
  std::string owner;    ///< of this rouse alone, over its restarts; containers without it are nobody's business here
  std::uint32_t seed = std::random_device{}();  ///< of names and pauses
  /// Names of the containers that backends of this rouse work with. Those of a pool that is reached in a new way since
  /// a reload share it, so that the new one does not take what the old one still has. Of the backends' thread.
  std::shared_ptr<std::set<std::string>> in_use = std::make_shared<std::set<std::string>>();
  /// Told what concerns all containers, in a sentence.
  std::function<void(const std::string&)> note = [](const std::string&) {};
};

/// Reasons in its exit reports: exited, signalled, timeout, image (not there, and not to be pulled), network (there is
/// none of that name, or it gives no addresses), spawn (the engine cannot make or start the container), no-capacity
/// (its machine has no room, memory or address left), removed (by somebody else), unavailable (the engine does not
/// answer), gone (what was to be taken over is not there any more), kept.
class docker_backend final : public activator::backend {
 public:
  /// Never fails: an engine that is not there is a state with a problem, and is looked for until it is.
  docker_backend(boost::asio::io_context& io, activator::backend_listener& listener, docker_settings settings);
  /// Lets go of everything; containers run on, to be found by the next rouse.
  ~docker_backend() override;

  void serve(const activator::run_spec& spec) override;
  void forget(std::uint32_t key) override;
  void all_served() override;
  void start(const activator::start_spec& spec) override;
  void stop(std::uint64_t id, std::chrono::milliseconds grace) override;
  void let_go(std::uint64_t id, std::chrono::milliseconds grace) override;
  [[nodiscard]] activator::backend_traits traits() const noexcept override { return {.can_freeze = true}; }
  void freeze(std::uint64_t id) override;
  void thaw(std::uint64_t id) override;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace rouse::docker
