#pragma once
// The seam behind which instances are started and stopped. A backend is told what should run and reports what happened;
// it decides nothing. Everything here happens on the control thread. A new backend is a folder beside this file, a line
// in the table of built-ins (gateway/main.cpp), and a run of the contract test (tests/activator/backend_contract.hpp).

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "router/address.hpp"

namespace rouse::activator {

/// How to run one instance. `id` is chosen by the activator, never used twice, and names the instance in every later
/// call.
struct start_spec {
  std::uint64_t id = 0;
  std::string function;
  std::string revision;
  std::string instance;  ///< its name in logs and status: REVISION-ID
  std::vector<std::string> command;
  std::map<std::string, std::string> env;
  std::string directory;
  std::optional<std::string> ready_path;
  std::chrono::milliseconds start_timeout{60'000};
  /// freeze() is to be expected, so that a backend prepares for it where that costs something; one that comes without
  /// is obeyed as well.
  bool may_freeze = false;
};

/// Where an instance can be reached, and the connection that proved it, if the backend has one to give away.
struct ready_report {
  router::address where;
  int probe_socket = -1;  ///< a connected, non-blocking descriptor; the receiver owns it
};

/// The end of an instance, asked for or not.
struct exit_report {
  bool was_ready = false;  ///< on_ready was reported before
  bool was_asked = false;  ///< stop() was called before
  /// A word for the metric: exited, signalled, timeout, spawn, port, no-capacity (the backend had no room for it; all
  /// else may be well with the function).
  std::string reason;
  std::string detail;  ///< a sentence for people: "exited with status 3 before it listened on port 20017"
  std::vector<std::string> last_lines;  ///< the last lines it wrote, at most 20
};

/// What a backend reports, on the control thread, never from inside a call of the backend's.
class backend_listener {
 public:
  virtual void on_ready(std::uint64_t id, ready_report report) = 0;
  /// Exactly once for every start(), and the last thing heard of that id. After it nothing of the instance runs any
  /// more.
  virtual void on_exit(std::uint64_t id, exit_report report) = 0;
  /// One line of output, without its line end, at most 16 KiB.
  virtual void on_output(std::uint64_t id, std::string line) = 0;

 protected:
  ~backend_listener() = default;
};

class backend {
 public:
  virtual ~backend() = default;
  /// Begins to start an instance; on_ready or on_exit follows.
  virtual void start(const start_spec& spec) = 0;
  /// Asks the instance to end: politely, then by force after `grace` (0: at once). Harmless for an id that has ended.
  /// Called again, it hurries: the earlier of the two moments of force holds. A frozen instance is thawed, so that it
  /// can end politely.
  virtual void stop(std::uint64_t id, std::chrono::milliseconds grace) = 0;

  /// Whether freeze() does anything here.
  [[nodiscard]] virtual bool can_freeze() const noexcept { return false; }
  /// Takes the CPU from an instance that is ready, from all of its processes; memory and connections stay. It may take
  /// a moment. Ignored for one that is not ready yet, was told to stop or has ended, and by a backend that cannot. One
  /// that dies while frozen is reported as always.
  virtual void freeze(std::uint64_t /*id*/) {}
  /// Lets it run again, at once. Harmless for one that is not frozen.
  virtual void thaw(std::uint64_t /*id*/) {}
};

}  // namespace rouse::activator
