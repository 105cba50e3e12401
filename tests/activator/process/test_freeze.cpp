// Frozen instances, by cgroup and by signals: what all of their processes do, and that nothing of them is left when
// somebody dies meanwhile.

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <set>

#include "activator/backend/process/cgroup.hpp"
#include "activator/backend/process/process_tree.hpp"
#include "activator/backend/process/protocol.hpp"
#include "tests/activator/process/bed.hpp"

using namespace std::chrono_literals;
using namespace rouse::process;
using namespace rouse::process::test;
using Catch::Contains;
using rouse::activator::contract::run_until;

namespace {

struct by_cgroup {
  using bed = rouse::process::test::bed;
};
struct by_signals {
  using bed = rouse::activator::contract::bench<signals_fixture>;
};

/// False where this way does not exist.
bool works(by_cgroup::bed& on) {
  return has_cgroups(on);
}
bool works(by_signals::bed&) {
  return true;
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// The directory of the process's cgroup; empty for one that is gone.
std::string cgroup_of(pid_t pid) {
  return find_cgroup(text_of("/proc/" + std::to_string(pid) + "/cgroup"), text_of("/proc/self/mountinfo")).value_or("");
}

/// That of everything that a rouse with this pid freezes.
std::string tree_of(pid_t daemon) {
  return cgroup_of(::getpid()) + "/rouse." + std::to_string(daemon);
}

bool is_frozen(pid_t pid) {
  return text_of(cgroup_of(pid) + "/cgroup.events").find("frozen 1") != std::string::npos;
}

/// Whether it does not run, by the way in question and by no other; or is gone.
bool is_still(by_cgroup::bed&, pid_t pid) {
  return !runs(pid) || is_frozen(pid);
}
bool is_still(by_signals::bed&, pid_t pid) {
  return is_stopped(pid) && !is_frozen(pid);
}

/// All processes of the only instance, without its reaper.
template <class Bed>
std::vector<pid_t> processes(Bed& on) {
  std::vector<pid_t> found;
  for (const pid_t reaper : children_of(on.fixture.keeper.pid()))
    visit_descendants(reaper, [&](pid_t pid) {
      found.push_back(pid);
      return true;
    });
  return found;
}

template <class Bed>
pid_t reaper_of(Bed& on) {
  return children_of(on.fixture.keeper.pid()).at(0);
}

template <class Bed>
bool all_still(Bed& on, const std::vector<pid_t>& pids) {
  return std::all_of(pids.begin(), pids.end(), [&](pid_t pid) { return is_still(on, pid); });
}

/// A ready instance that ticks; the pids of its four processes, main first.
template <class Bed>
std::uint64_t ticking(Bed& on, std::vector<pid_t>& pids) {
  const auto id = on.start(odd({"ticks"}));
  REQUIRE(on.ready(id));
  REQUIRE(run_until(on.control, [&] { return (pids = processes(on)).size() == 4; }));
  return id;
}

template <class Bed>
bool freeze(Bed& on, std::uint64_t id, const std::vector<pid_t>& pids) {
  on.freeze(id);
  return wait_for([&] { return all_still(on, pids); }) && on.falls_silent(id);
}

/// A rouse in small that freezes what it runs, says which processes these are, its keeper's and its reaper's last, and
/// runs until it is killed.
template <class Bed>
[[noreturn]] void run_daemon(int tell) {
  Bed on;
  const auto id = on.start(odd({"ticks"}));
  std::vector<pid_t> pids;
  run_until(on.control, [&] { return on.of(id).ready > 0 && (pids = processes(on)).size() == 4; });
  on.freeze(id);
  wait_for([&] { return all_still(on, pids); });
  pids.push_back(on.fixture.keeper.pid());
  pids.push_back(reaper_of(on));
  if (::write(tell, pids.data(), pids.size() * sizeof(pid_t)) < 0) ::_exit(1);
  run_until(
      on.control, [] { return false; }, 60s);
  ::_exit(0);
}

/// Such a daemon in a process of its own, and what it said.
template <class Bed>
pid_t fork_daemon(std::vector<pid_t>& pids) {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const pid_t daemon = ::fork();
  REQUIRE(daemon >= 0);
  if (daemon == 0) run_daemon<Bed>(ends[1]);
  ::close(ends[1]);
  pids.resize(6);
  REQUIRE(::read(ends[0], pids.data(), pids.size() * sizeof(pid_t)) == 24);
  ::close(ends[0]);
  return daemon;
}

}  // namespace

TEMPLATE_TEST_CASE("whatever left the group and the session freezes as well, and all of it thaws", "", by_cgroup,
                   by_signals) {
  typename TestType::bed on;
  if (!works(on)) return;
  std::vector<pid_t> pids;
  const auto id = ticking(on, pids);
  for (int i = 0; i < 5; ++i) {
    REQUIRE(freeze(on, id, pids));
    CHECK(processes(on).size() == 4);
    on.of(id).lines.clear();
    on.thaw(id);
    std::set<std::string> heard;
    CHECK(run_until(on.control, [&] {
      heard.insert(on.of(id).lines.begin(), on.of(id).lines.end());
      on.of(id).lines.clear();
      return heard.size() == 4;
    }));
    CHECK(heard == std::set<std::string>{"tick thread", "tick child", "tick session", "tick daemon"});
  }
}

TEMPLATE_TEST_CASE("processes that fork all the time do not get away", "", by_cgroup, by_signals) {
  typename TestType::bed on;
  if (!works(on)) return;
  const auto id = on.start(odd({"forks"}));
  REQUIRE(on.ready(id));
  REQUIRE(wait_for([&] { return processes(on).size() > 3; }));
  for (int i = 0; i < 10; ++i) {
    on.freeze(id);
    REQUIRE(wait_for([&] {
      const auto first = processes(on);
      if (!all_still(on, first)) return false;
      return processes(on) == first;
    }));
    on.thaw(id);
    const auto frozen = processes(on);
    REQUIRE(wait_for([&] { return processes(on) != frozen; }));
  }
  on.freeze(id);
  on.stop(id, 0ms);
  REQUIRE(on.ended(id));
  CHECK(wait_for([&] { return children_of(on.fixture.keeper.pid()).empty(); }));
}

TEMPLATE_TEST_CASE("what had stopped itself stays stopped", "", by_cgroup, by_signals) {
  typename TestType::bed on;
  if (!works(on)) return;
  std::vector<pid_t> pids;
  const auto id = ticking(on, pids);
  ::kill(pids.back(), SIGSTOP);
  REQUIRE(wait_for([&] { return is_stopped(pids.back()); }));
  REQUIRE(freeze(on, id, pids));
  on.thaw(id);
  REQUIRE(wait_for([&] { return !is_still(on, pids.front()); }));
  CHECK(is_stopped(pids.back()));
}

TEMPLATE_TEST_CASE("the last word counts", "", by_cgroup, by_signals) {
  typename TestType::bed on;
  if (!works(on)) return;
  std::vector<pid_t> pids;
  const auto id = ticking(on, pids);
  for (int i = 0; i < 20; ++i) {
    on.thaw(id);
    on.freeze(id);
  }
  CHECK(wait_for([&] { return all_still(on, pids); }));
  CHECK(on.falls_silent(id));
  for (int i = 0; i < 20; ++i) {
    on.freeze(id);
    on.thaw(id);
  }
  CHECK(wait_for([&] { return std::none_of(pids.begin(), pids.end(), [&](pid_t pid) { return is_still(on, pid); }); }));
  CHECK(on.speaks(id));
}

TEMPLATE_TEST_CASE("a frozen instance that is killed from outside is reported", "", by_cgroup, by_signals) {
  typename TestType::bed on;
  if (!works(on)) return;
  std::vector<pid_t> pids;
  const auto id = ticking(on, pids);
  REQUIRE(freeze(on, id, pids));
  ::kill(pids.front(), SIGKILL);
  REQUIRE(on.ended(id));
  CHECK(on.of(id).exit.reason == "signalled");
  CHECK_FALSE(on.of(id).exit.was_asked);
  CHECK(on.of(id).exit.detail == "was killed by SIGKILL while it was frozen");
  CHECK_FALSE(any_runs(pids));
}

TEMPLATE_TEST_CASE("a child that is killed while all is frozen changes nothing for the others", "", by_cgroup,
                   by_signals) {
  typename TestType::bed on;
  if (!works(on)) return;
  std::vector<pid_t> pids;
  const auto id = ticking(on, pids);
  REQUIRE(freeze(on, id, pids));
  ::kill(pids.back(), SIGKILL);
  REQUIRE(wait_for([&] { return !runs(pids.back()); }));
  pids.pop_back();
  CHECK(all_still(on, pids));
  on.thaw(id);
  CHECK(on.speaks(id));
}

TEMPLATE_TEST_CASE("whoever dies, a frozen instance is not left behind", "", by_cgroup, by_signals) {
  typename TestType::bed on;
  if (!works(on)) return;
  std::vector<pid_t> pids;
  const auto id = ticking(on, pids);
  REQUIRE(freeze(on, id, pids));
  SECTION("its reaper") {
    ::kill(reaper_of(on), SIGKILL);
    REQUIRE(on.ended(id));
    CHECK(on.of(id).exit.reason == "signalled");
  }
  SECTION("the keeper") {
    const pid_t reaper = reaper_of(on);
    ::kill(on.fixture.keeper.pid(), SIGKILL);
    REQUIRE(on.ended(id));
    CHECK(on.of(id).exit.reason == "keeper");
    CHECK(wait_for([&] { return !runs(reaper); }));
  }
  SECTION("the daemon, as the keeper sees it") {
    ::shutdown(on.fixture.keeper.socket(), SHUT_RDWR);
    on.fixture.destroy();
  }
  CHECK(wait_for([&] { return !any_runs(pids); }));
}

TEMPLATE_TEST_CASE("kill -9 of the daemon leaves no frozen instance", "", by_cgroup, by_signals) {
  {
    typename TestType::bed on;
    if (!works(on)) return;
  }
  std::vector<pid_t> pids;
  const pid_t daemon = fork_daemon<typename TestType::bed>(pids);
  CHECK(any_runs(pids));
  const std::string tree = tree_of(daemon);
  ::kill(daemon, SIGKILL);
  ::waitpid(daemon, nullptr, 0);
  CHECK(wait_for([&] { return !any_runs(pids); }));
  CHECK(wait_for([&] { return ::access(tree.c_str(), F_OK) != 0; }));
}

TEST_CASE("cgroups of a rouse that was killed with all it had are removed by the next, those of others are not") {
  bed other;
  if (!has_cgroups(other)) return;
  std::vector<pid_t> pids;
  const pid_t daemon = fork_daemon<bed>(pids);
  const std::string tree = tree_of(daemon);
  // None of them gets to see the end of another.
  for (const pid_t pid : {pids[4], pids[5]}) ::kill(pid, SIGSTOP);
  for (const pid_t pid : pids) ::kill(pid, SIGKILL);
  ::kill(daemon, SIGKILL);
  ::waitpid(daemon, nullptr, 0);
  CHECK(wait_for([&] { return !any_runs(pids); }));
  CHECK(::access(tree.c_str(), F_OK) == 0);
  const std::string alive = tree_of(::getpid());
  CHECK(::access(alive.c_str(), F_OK) == 0);
  bed next;
  CHECK(has_cgroups(next));
  CHECK(::access(tree.c_str(), F_OK) != 0);
  CHECK(::access(alive.c_str(), F_OK) == 0);
  CHECK(::access((alive + ".1").c_str(), F_OK) == 0);
}

TEST_CASE("an instance's cgroup holds all of it and not its reaper, and ends with it") {
  bed on;
  if (!has_cgroups(on)) return;
  std::vector<pid_t> pids;
  const auto id = ticking(on, pids);
  const std::string tree = tree_of(::getpid());
  const std::string own = tree + "/1.1";
  for (const pid_t pid : pids) CHECK(cgroup_of(pid) == own);
  CHECK(cgroup_of(reaper_of(on)) == cgroup_of(::getpid()));
  SECTION("asked to") {
    on.stop(id, 10s);
    REQUIRE(on.ended(id));
  }
  SECTION("with its reaper") {
    ::kill(reaper_of(on), SIGKILL);
    REQUIRE(on.ended(id));
  }
  CHECK(wait_for([&] { return ::access(own.c_str(), F_OK) != 0; }));
  on.fixture.destroy();
  CHECK(wait_for([&] { return ::access(tree.c_str(), F_OK) != 0; }));
  CHECK(on.fixture.notes.size() == 1);
}

TEST_CASE("what cannot have a cgroup is frozen by signals, and that is said once") {
  bed on;
  if (!has_cgroups(on)) return;
  std::vector<std::string> taken;
  for (const char* name : {"/1.1", "/2.1"}) {
    taken.push_back(tree_of(::getpid()) + name);
    REQUIRE(::mkdir(taken.back().c_str(), 0755) == 0);
  }
  for (int i = 0; i < 2; ++i) {
    std::vector<pid_t> pids;
    const auto id = ticking(on, pids);
    on.freeze(id);
    CHECK(wait_for([&] { return std::all_of(pids.begin(), pids.end(), is_stopped); }));
    CHECK(on.falls_silent(id));
    on.thaw(id);
    CHECK(on.speaks(id));
    on.stop(id, 10s);
    REQUIRE(on.ended(id));
    const auto& lines = on.of(id).lines;
    CHECK(std::find(lines.begin(), lines.end(), "bye") != lines.end());
  }
  REQUIRE(on.fixture.notes.size() == 2);
  CHECK_THAT(on.fixture.notes[1], Contains("hello-00001-1 is frozen by signals") && Contains("File exists"));
  for (const auto& path : taken) ::rmdir(path.c_str());
}

TEST_CASE("only what may be frozen gets a cgroup, and what got none is frozen by signals") {
  bed on;
  if (!has_cgroups(on)) return;
  auto spec = odd({"ticks"});
  spec.may_freeze = false;
  const auto id = on.start(spec);
  REQUIRE(on.ready(id));
  const auto pids = processes(on);
  CHECK(cgroup_of(pids.at(0)) == cgroup_of(::getpid()));
  on.freeze(id);
  CHECK(wait_for([&] { return is_stopped(pids.at(0)); }));
  on.thaw(id);
  CHECK(on.speaks(id));
}

TEMPLATE_TEST_CASE("a command that cannot be run is told apart from one that can", "", by_cgroup, by_signals) {
  typename TestType::bed on;
  if (!works(on)) return;
  for (const auto& [command, word] :
       {std::pair{"/nowhere/at-all", "no such file"}, std::pair{"/etc/passwd", "may not be executed"}}) {
    const auto id = on.start(spec_of({command}));
    REQUIRE(on.ended(id));
    CHECK(on.of(id).exit.reason == "spawn");
    CHECK_THAT(on.of(id).exit.detail, Contains(word));
  }
  const auto id = on.start(odd({"report"}));
  REQUIRE(run_until(on.control, [&] { return !on.of(id).lines.empty(); }));
  CHECK_THAT(on.of(id).lines.at(0), Contains("\"descriptors\": [0, 1, 2]") && Contains("\"group\": true") &&
                                        Contains("\"blocked\": []") && Contains("\"ignored\": []"));
}

TEST_CASE("where a cgroup is in the file system") {
  const std::string v1 = "33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
  const std::string hybrid = v1 + "38 31 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
  CHECK(find_cgroup("1:cpu:/a\n0::/\n", hybrid) == "/sys/fs/cgroup/unified");
  CHECK(find_cgroup("0::/system.slice/rouse.service\n", hybrid) == "/sys/fs/cgroup/unified/system.slice/rouse.service");
  CHECK(find_cgroup("0::/a:b\n", "26 25 0:23 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n") ==
        "/sys/fs/cgroup/a:b");
  // Part of the tree alone is mounted, at a place with a blank.
  const std::string part = "26 25 0:23 /docker/1 /a\\040b rw shared:4 - cgroup2 none rw\n";
  CHECK(find_cgroup("0::/docker/1/x\n", part) == "/a b/x");
  CHECK(find_cgroup("0::/docker/1\n", part) == "/a b");
  CHECK_FALSE(find_cgroup("0::/docker/12\n", part));
  CHECK_FALSE(find_cgroup("0::/\n", part));
  CHECK_FALSE(find_cgroup("0::/\n", v1));
  CHECK_FALSE(find_cgroup("1:cpu:/a\n", hybrid));
  CHECK_FALSE(find_cgroup("", ""));
}
