// Frozen instances: what all of their processes do, and that nothing of them is left when somebody dies meanwhile.

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <set>

#include "activator/backend/process/process_tree.hpp"
#include "activator/backend/process/protocol.hpp"
#include "tests/activator/process/bed.hpp"

using namespace std::chrono_literals;
using namespace rouse::process;
using namespace rouse::process::test;
using Catch::Contains;
using rouse::activator::contract::run_until;

namespace {

/// All processes of the only instance, without its reaper.
std::vector<pid_t> processes(bed& on) {
  std::vector<pid_t> found;
  for (const pid_t reaper : children_of(on.fixture.keeper.pid()))
    visit_descendants(reaper, [&](pid_t pid) {
      found.push_back(pid);
      return true;
    });
  return found;
}

pid_t reaper_of(bed& on) {
  return children_of(on.fixture.keeper.pid()).at(0);
}

bool all_stopped(const std::vector<pid_t>& pids) {
  return std::all_of(pids.begin(), pids.end(), is_stopped);
}

/// A ready instance that ticks; the pids of its four processes, main first.
std::uint64_t ticking(bed& on, std::vector<pid_t>& pids) {
  const auto id = on.start(odd({"ticks"}));
  REQUIRE(on.ready(id));
  REQUIRE(run_until(on.control, [&] { return (pids = processes(on)).size() == 4; }));
  return id;
}

bool freeze(bed& on, std::uint64_t id, const std::vector<pid_t>& pids) {
  on.freeze(id);
  return wait_for([&] { return all_stopped(pids); }) && on.falls_silent(id);
}

}  // namespace

TEST_CASE("whatever left the group and the session freezes as well, and all of it thaws") {
  bed on;
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

TEST_CASE("processes that fork all the time do not get away") {
  bed on;
  const auto id = on.start(odd({"forks"}));
  REQUIRE(on.ready(id));
  REQUIRE(wait_for([&] { return processes(on).size() > 3; }));
  for (int i = 0; i < 10; ++i) {
    on.freeze(id);
    REQUIRE(wait_for([&] {
      const auto first = processes(on);
      if (!all_stopped(first)) return false;
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

TEST_CASE("what had stopped itself stays stopped") {
  bed on;
  std::vector<pid_t> pids;
  const auto id = ticking(on, pids);
  ::kill(pids.back(), SIGSTOP);
  REQUIRE(wait_for([&] { return is_stopped(pids.back()); }));
  REQUIRE(freeze(on, id, pids));
  on.thaw(id);
  REQUIRE(wait_for([&] { return !is_stopped(pids.front()); }));
  CHECK(is_stopped(pids.back()));
}

TEST_CASE("the last word counts") {
  bed on;
  std::vector<pid_t> pids;
  const auto id = ticking(on, pids);
  for (int i = 0; i < 20; ++i) {
    on.thaw(id);
    on.freeze(id);
  }
  CHECK(wait_for([&] { return all_stopped(pids); }));
  CHECK(on.falls_silent(id));
  for (int i = 0; i < 20; ++i) {
    on.freeze(id);
    on.thaw(id);
  }
  CHECK(wait_for([&] { return std::none_of(pids.begin(), pids.end(), is_stopped); }));
  CHECK(on.speaks(id));
}

TEST_CASE("a frozen instance that is killed from outside is reported") {
  bed on;
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

TEST_CASE("a child that is killed while all is frozen changes nothing for the others") {
  bed on;
  std::vector<pid_t> pids;
  const auto id = ticking(on, pids);
  REQUIRE(freeze(on, id, pids));
  ::kill(pids.back(), SIGKILL);
  REQUIRE(wait_for([&] { return !runs(pids.back()); }));
  pids.pop_back();
  CHECK(all_stopped(pids));
  on.thaw(id);
  CHECK(on.speaks(id));
}

TEST_CASE("whoever dies, a frozen instance is not left behind") {
  bed on;
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

TEST_CASE("kill -9 of the daemon leaves no frozen instance") {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const pid_t daemon = ::fork();
  REQUIRE(daemon >= 0);
  if (daemon == 0) {
    bed on;
    const auto id = on.start(odd({"ticks"}));
    std::vector<pid_t> pids;
    run_until(on.control, [&] { return on.of(id).ready > 0 && (pids = processes(on)).size() == 4; });
    on.freeze(id);
    wait_for([&] { return all_stopped(pids); });
    if (::write(ends[1], pids.data(), pids.size() * sizeof(pid_t)) < 0) ::_exit(1);
    run_until(
        on.control, [] { return false; }, 60s);
    ::_exit(0);
  }
  ::close(ends[1]);
  std::vector<pid_t> pids(4);
  REQUIRE(::read(ends[0], pids.data(), pids.size() * sizeof(pid_t)) == 16);
  ::close(ends[0]);
  CHECK(all_stopped(pids));
  CHECK(any_runs(pids));
  ::kill(daemon, SIGKILL);
  ::waitpid(daemon, nullptr, 0);
  CHECK(wait_for([&] { return !any_runs(pids); }));
}
