#pragma once
// The seam behind which instances are started and stopped. A backend is told what should run and reports what happened;
// it decides nothing. All calls and reports are one-way messages, so that one which talks to the network lives on a
// thread of its own (remote.hpp) and a small local one on the control thread. A new backend is a folder beside this
// file, a line in the table of built-ins (gateway/backends.cpp), and a run of the contract test
// (tests/activator/backend_contract.hpp).

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "router/address.hpp"

namespace rouse::activator {

/// How instances of a revision are run. Each kind of backend reads its own part.
struct run_spec {
  std::uint32_t key = 0;  ///< names the revision in serve() and forget(); never used twice
  std::string function;
  std::string revision;
  std::uint32_t hash = 0;            ///< of all that identifies the revision
  std::vector<std::string> command;  ///< process; docker, in place of the image's own
  std::map<std::string, std::string> env;
  std::string directory;               ///< process
  std::string image;                   ///< docker
  std::string deployment;              ///< kubernetes
  std::vector<std::string> endpoints;  ///< static: HOST:PORT
  std::string url;                     ///< webhook
  std::uint16_t port = 0;              ///< where it listens; 0: the backend chooses
  std::string port_name;               ///< kubernetes: in place of `port`
  std::uint64_t memory = 0;            ///< bytes; 0: no limit
  double cpu = 0;                      ///< cores; 0: no limit
  std::optional<std::string> ready_path;
  std::chrono::milliseconds start_timeout{60'000};
  std::chrono::milliseconds stop_grace{30'000};  ///< for what a backend ends of its own accord
  std::uint32_t concurrency = 0;                 ///< slots; 0: no limit
  /// freeze() is to be expected, so that a backend prepares for it where that costs something; one that comes without
  /// is obeyed as well.
  bool may_freeze = false;
};

/// One instance. `id` is chosen by the activator, never used twice, and names the instance in every later call.
struct start_spec : run_spec {
  std::uint64_t id = 0;
  std::string instance;  ///< its name in logs and status: REVISION-ID
  /// Not empty: nothing is started; what on_found() reported by this name is known by `id` from here.
  std::string found;
};

/// Where an instance can be reached, and the connection that proved it, if the backend has one to give away.
struct ready_report {
  router::address where;
  int probe_socket = -1;  ///< a connected, non-blocking descriptor; the receiver owns it
};

/// The end of an instance, asked for or not.
struct exit_report {
  bool was_ready = false;  ///< on_ready was reported before
  bool was_asked = false;  ///< stop() or let_go() was called before
  /// A word for the metric: exited, signalled, timeout, spawn, port, image, kept, ..., no-capacity (the backend had no
  /// room for it; all else may be well with the function).
  std::string reason;
  std::string detail;  ///< a sentence for people: "exited with status 3 before it listened on port 20017"
  std::vector<std::string> last_lines;  ///< the last lines it wrote, at most 20
};

/// What holds for all that a backend runs.
struct backend_state {
  /// Another rouse works it: nothing is started or stopped by this one until that is over.
  bool standby = false;
  std::string problem;  ///< what is wrong and what to do, in a sentence; empty: nothing
  /// How often something that was away came back: starts that failed for that are tried again. Part of it may still be
  /// away, so `problem` alone does not tell.
  unsigned recoveries = 0;
  friend bool operator==(const backend_state&, const backend_state&) = default;
};

/// What a backend reports, never from inside a call of the backend's.
class backend_listener {
 public:
  virtual void on_ready(std::uint64_t id, ready_report report) = 0;
  /// Exactly once for every start(), and the last thing heard of that id. After it nothing of the instance runs any
  /// more that this rouse would have to care for.
  virtual void on_exit(std::uint64_t id, exit_report report) = 0;
  /// One line of output, without its line end, at most 16 KiB.
  virtual void on_output(std::uint64_t id, std::string line) = 0;
  /// How far one that starts is, for people: "pulling python:3: 12 of 45 MiB". A few a second at most.
  virtual void on_progress(std::uint64_t id, std::string text) = 0;
  /// A ready one will end soon, whoever wants it, as `detail` says. No new work goes there; it is told to stop() when
  /// it has none left.
  virtual void on_leaving(std::uint64_t id, std::string detail) = 0;
  /// An instance of this revision runs, or is starting, that no start() here was for. The answer is a start() that
  /// names it. Once for each name. `pool` is the one that the backend was made for, here and below.
  virtual void on_found(const std::string& pool, std::uint32_t key, std::string name) = 0;
  /// So many instances of the revision are there, used or not; it costs nothing to use them all.
  virtual void on_standing(const std::string& pool, std::uint32_t key, unsigned count) = 0;
  virtual void on_state(const std::string& pool, backend_state state) = 0;

 protected:
  ~backend_listener() = default;
};

/// When what a backend talks to has been away for so long, starts that have nothing yet fail with `unavailable`, and
/// new ones do at once: the next pool is asked. Shorter absences (a restart of an API server) are waited for.
constexpr std::chrono::seconds away_patience{10};

/// What a backend is like, all its life.
struct backend_traits {
  bool can_freeze = false;  ///< freeze() does something here
  /// Another rouse may be working it. on_state() comes soon, in any case, and says whether one is, or what keeps it
  /// from knowing; before that nobody knows.
  bool may_be_standby = false;
  /// Every function has something of its own there, a scaler or endpoints: that there is no room for one, or that it is
  /// away, says nothing about the others.
  bool apart = false;
};

class backend {
 public:
  virtual ~backend() = default;

  [[nodiscard]] virtual backend_traits traits() const noexcept { return {}; }

  /// Instances of this revision may be asked for from now on; again, with the same key, when live settings change. Of
  /// what runs already on_found() tells.
  virtual void serve(const run_spec& /*spec*/) {}
  /// They may not any more, and all that were started had their on_exit(). What else there is of it is ended, where
  /// instances do not belong to somebody else.
  virtual void forget(std::uint32_t /*key*/) {}
  /// Every revision that the configuration has at the beginning was told: what an earlier rouse left of others may be
  /// ended.
  virtual void all_served() {}

  /// Begins to start an instance; on_ready or on_exit follows. What was found and nobody has claimed yet comes first.
  virtual void start(const start_spec& spec) = 0;
  /// Asks the instance to end: politely, then by force after `grace` (0: at once). Harmless for an id that has ended.
  /// Called again, it hurries: the earlier of the two moments of force holds. A frozen instance is thawed, so that it
  /// can end politely.
  virtual void stop(std::uint64_t id, std::chrono::milliseconds grace) = 0;
  /// rouse itself ends. Where the next rouse can take the instance over it runs on, and on_exit() says `kept`;
  /// elsewhere this is stop().
  virtual void let_go(std::uint64_t id, std::chrono::milliseconds grace) { stop(id, grace); }

  /// Takes the CPU from an instance that is ready, from all of its processes; memory and connections stay. It may take
  /// a moment. Ignored for one that is not ready yet, was told to stop or has ended, and by a backend that cannot. One
  /// that dies while frozen is reported as always.
  virtual void freeze(std::uint64_t /*id*/) {}
  /// Lets it run again, at once. Harmless for one that is not frozen.
  virtual void thaw(std::uint64_t /*id*/) {}
};

}  // namespace rouse::activator
