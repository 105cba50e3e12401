#pragma once
// A process backend with its keeper and a recorder, for the tests beside this file.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "activator/backend/process/keeper.hpp"
#include "activator/backend/process/process_backend.hpp"
#include "tests/activator/backend_contract.hpp"

namespace rouse::process::test {

inline const std::string fast_function = ROUSE_FAST_FUNCTION;

inline activator::start_spec spec_of(std::vector<std::string> command) {
  activator::start_spec spec;
  spec.function = "hello";
  spec.revision = "hello-00001";
  spec.instance = "hello-00001-1";
  spec.command = std::move(command);
  spec.start_timeout = std::chrono::seconds(30);
  spec.may_freeze = true;
  return spec;
}

/// odd_function.py in one of its modes.
inline activator::start_spec odd(std::vector<std::string> mode) {
  std::vector<std::string> command{"/usr/bin/python3", "-S", "-E", ROUSE_TEST_FUNCTIONS "/odd_function.py"};
  command.insert(command.end(), mode.begin(), mode.end());
  return spec_of(std::move(command));
}

/// The contract's fixture for this backend. The keeper is forked first of all, while there is little to copy.
/// With few ports, all can be taken.
template <freezing Way, bool few_ports = false>
class process_fixture_by {
 public:
  static constexpr activator::contract::abilities can{.be_full = few_ports};

  process_fixture_by(boost::asio::io_context& control, activator::backend_listener& listener)
      : control_(control), listener_(listener), keeper(keeper::fork_keeper()) {
    begin();
  }
  activator::backend& get() { return *backend; }
  void destroy() { backend.reset(); }
  /// The keeper's end is rouse's.
  void restart() {
    backend.reset();
    keeper = keeper::fork_keeper();
    begin();
  }
  /// Every port is somebody else's.
  void make_full() {
    for (unsigned port = ports.first; port <= ports.last; ++port) {
      const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in at{};
      at.sin_family = AF_INET;
      at.sin_port = htons(static_cast<in_port_t>(port));
      at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      static_cast<void>(::bind(s, reinterpret_cast<sockaddr*>(&at), sizeof at));
      ::listen(s, 1);
      taken.push_back(s);
    }
  }
  void make_room() {
    for (const int s : std::exchange(taken, {})) ::close(s);
  }
  void crash(const router::address&) {}
  activator::start_spec slow() { return spec_of({"/bin/sh", "-c", "trap '' TERM; exec " + fast_function + " 3 500"}); }
  activator::start_spec starts() { return spec_of({fast_function}); }
  activator::start_spec ends_itself() { return odd({"brief"}); }
  activator::start_spec ticks() { return odd({"ticks"}); }
  activator::start_spec dies() { return spec_of({"/bin/sh", "-c", "echo dying; exit 3"}); }
  activator::start_spec never_listens() {
    auto spec = spec_of({"/bin/sleep", "3600"});
    spec.start_timeout = std::chrono::milliseconds(300);
    return spec;
  }

  process_options options() {
    process_options made;
    made.freeze_by = Way;
    made.ports = ports;
    made.note = [this](const std::string& text) { notes.push_back(text); };
    return made;
  }

  static port_range some_ports() {
    const auto all = default_ports();
    if (!few_ports) return all;
    const auto first = all.first + static_cast<unsigned>(::getpid()) * 20U % (all.last - all.first - 20U);
    return {static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(first + 19)};
  }
  void begin() { backend = std::make_unique<process_backend>(control_, keeper.socket(), listener_, options()); }

  boost::asio::io_context& control_;
  activator::backend_listener& listener_;
  const port_range ports = some_ports();
  std::vector<int> taken;
  std::vector<std::string> notes;  ///< what the backend had to say about freezing
  keeper_handle keeper;
  std::unique_ptr<process_backend> backend;
};

using process_fixture = process_fixture_by<freezing::best>;
using signals_fixture = process_fixture_by<freezing::signals>;
using bed = activator::contract::bench<process_fixture>;

/// Whether instances are frozen by cgroup here; waits until the keeper has found out, and says why not.
inline bool has_cgroups(bed& on) {
  REQUIRE(activator::contract::run_until(on.control, [&] { return !on.fixture.notes.empty(); }));
  if (on.fixture.notes.front() == "instances are frozen by cgroup") return true;
  WARN("not tested, for no cgroup can be used here: " + on.fixture.notes.front());
  return false;
}

/// Whether the process runs: neither gone nor a zombie that nobody has reaped yet.
inline bool runs(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  const auto close = text.rfind(')');
  return close != std::string::npos && close + 2 < text.size() && text[close + 2] != 'Z' && text[close + 2] != 'X';
}

/// The numbers in the first line of output that begins with {"pids".
inline std::vector<pid_t> pids_in(const std::vector<std::string>& lines) {
  std::vector<pid_t> found;
  for (const auto& line : lines) {
    if (line.rfind("{\"pids\": [", 0) != 0) continue;
    for (std::size_t at = 10; at < line.size(); at = line.find_first_of(",]", at) + 1) {
      if (!std::isdigit(static_cast<unsigned char>(line[line.find_first_not_of(' ', at)]))) break;
      found.push_back(static_cast<pid_t>(std::stol(line.substr(at))));
    }
    return found;
  }
  return found;
}

inline bool any_runs(const std::vector<pid_t>& pids) {
  for (const pid_t pid : pids)
    if (runs(pid)) return true;
  return false;
}

/// Waits in real time for something that no io_context reports.
inline bool wait_for(const std::function<bool()>& done) {
  boost::asio::io_context idle;
  return activator::contract::run_until(idle, [&] {
    ::usleep(1000);
    return done();
  });
}

}  // namespace rouse::process::test
