// The keeper itself: nothing outlives it or the daemon, and nothing that the daemon sends can stop it.

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <random>

#include "activator/backend/process/process_tree.hpp"
#include "tests/activator/process/bed.hpp"

using namespace std::chrono_literals;
using namespace rouse::process;
using namespace rouse::process::test;
using Catch::Contains;
using rouse::activator::contract::run_until;

namespace {

pid_t reaper_above(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  return static_cast<pid_t>(std::stol(text.substr(text.rfind(')') + 4)));
}

std::string name_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string text;
  std::getline(file, text);
  return text;
}

std::vector<pid_t> family(bed& on, std::uint64_t id) {
  std::vector<pid_t> pids;
  REQUIRE(run_until(on.control, [&] { return (pids = pids_in(on.of(id).lines)).size() == 4; }));
  return pids;
}

}  // namespace

TEST_CASE("kill -9 of the daemon leaves nothing") {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const pid_t daemon = ::fork();
  REQUIRE(daemon >= 0);
  if (daemon == 0) {
    // A daemon in small: keeper, backend, three instances; says who they are, and runs until it is killed.
    bed on;
    for (int i = 0; i < 3; ++i) {
      const auto id = on.start(odd({"family"}));
      std::vector<pid_t> pids;
      run_until(on.control, [&] { return (pids = pids_in(on.of(id).lines)).size() == 4; });
      pids.push_back(reaper_above(pids[0]));
      pids.push_back(on.fixture.keeper.pid());
      if (::write(ends[1], pids.data(), pids.size() * sizeof(pid_t)) < 0) ::_exit(1);
    }
    run_until(
        on.control, [] { return false; }, 60s);
    ::_exit(0);
  }
  ::close(ends[1]);
  std::vector<pid_t> pids(18);
  for (std::size_t at = 0; at < pids.size() * sizeof(pid_t);) {
    const ssize_t n = ::read(ends[0], reinterpret_cast<char*>(pids.data()) + at, pids.size() * sizeof(pid_t) - at);
    REQUIRE(n > 0);
    at += static_cast<std::size_t>(n);
  }
  ::close(ends[0]);
  for (const pid_t pid : pids) CHECK(runs(pid));
  CHECK(name_of(pids[4]) == "rouse-reaper");
  CHECK(name_of(pids[5]) == "rouse-keeper");
  ::kill(daemon, SIGKILL);
  ::waitpid(daemon, nullptr, 0);
  CHECK(wait_for([&] { return !any_runs(pids); }));
}

TEST_CASE("when the handle is destroyed, all has ended") {
  std::vector<pid_t> pids;
  {
    bed on;
    pids = family(on, on.start(odd({"family"})));
    pids.push_back(on.fixture.keeper.pid());
  }
  CHECK_FALSE(any_runs(pids));
}

TEST_CASE("signals meant for rouse do not end the keeper or a reaper") {
  bed on;
  const auto pids = family(on, on.start(odd({"family"})));
  const pid_t keeper = on.fixture.keeper.pid();
  CHECK(::getsid(keeper) == keeper);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
    ::kill(keeper, number);
    ::kill(reaper_above(pids[0]), number);
  }
  const auto id = on.start(spec_of({fast_function}));
  CHECK(on.ready(id));
  CHECK(runs(pids[0]));
}

TEST_CASE("the keeper survives what is not the protocol") {
  bed on;
  const int socket = on.fixture.keeper.socket();
  std::mt19937 random(42);
  for (int i = 0; i < 300; ++i) {
    std::string bytes(random() % 200, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    const int some = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    while (!send(socket, bytes.data(), bytes.size(),
                 i % 3 == 0 ? std::initializer_list<int>{some} : std::initializer_list<int>{})) {
      REQUIRE(errno == EAGAIN);
      ::usleep(1000);
    }
    ::close(some);
  }
  SECTION("well-formed, with descriptors that are not what they should be") {
    const int some = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    start_message message;
    message.id = 4711;
    for (int i = 0; i < 20; ++i) send(socket, &message, sizeof message, {some, some, some});
    send(socket, &message, sizeof message, {some});
    send(socket, &message, sizeof message, {some, some, some, some, some, some, some, some});
    ::close(some);
  }
  const auto id = on.start(spec_of({fast_function}));
  CHECK(on.ready(id));
  CHECK(wait_for([&] { return children_of(on.fixture.keeper.pid()).size() == 1; }));
}

TEST_CASE("a start that lost its descriptors is reported, not forgotten") {
  std::array<int, 2> ends{};
  auto handle = keeper::fork_keeper();
  start_message message;
  message.id = 99;
  message.attempt = 2;
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  REQUIRE(send(handle.socket(), &message, sizeof message, {ends[0]}));
  lost_message lost;
  REQUIRE(wait_for([&] {
    const packet got = receive(handle.socket());
    if (got.size != sizeof lost) return false;
    std::memcpy(&lost, got.bytes.data(), sizeof lost);
    return true;
  }));
  CHECK(lost.id == 99);
  CHECK(lost.attempt == 2);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("a reaper that is killed takes its instance along, and only that") {
  bed on;
  const auto other = on.start(odd({"family"}));
  const auto stays = family(on, other);
  const auto id = on.start(odd({"family"}));
  const auto pids = family(on, id);
  ::kill(reaper_above(pids[0]), SIGKILL);
  REQUIRE(on.ended(id));
  CHECK_FALSE(any_runs(pids));
  CHECK(on.of(id).exit.reason == "signalled");
  for (const pid_t pid : stays) CHECK(runs(pid));
  CHECK(on.ready(on.start(spec_of({fast_function}))));
}

TEST_CASE("a keeper that is killed ends all, and says what to do") {
  bed on;
  const auto running = on.start(odd({"family"}));
  const auto pids = family(on, running);
  const auto starting = on.start(odd({"silent"}));
  REQUIRE(run_until(on.control, [&] { return !on.of(starting).lines.empty(); }));
  ::kill(on.fixture.keeper.pid(), SIGKILL);
  for (const auto id : {running, starting}) {
    REQUIRE(on.ended(id));
    CHECK(on.of(id).exit.reason == "keeper");
    CHECK_THAT(on.of(id).exit.detail, Contains("restart rouse"));
  }
  CHECK_FALSE(any_runs(pids));
  const auto next = on.start(spec_of({fast_function}));
  REQUIRE(on.ended(next));
  CHECK(on.of(next).exit.reason == "keeper");
  CHECK_THAT(on.of(next).exit.detail, Contains("restart rouse"));
}

TEST_CASE("a keeper that is slow to read loses no start") {
  bed on;
  ::kill(on.fixture.keeper.pid(), SIGSTOP);
  std::vector<std::uint64_t> ids;
  // More than the socket holds.
  auto spec = spec_of({"/bin/true"});
  spec.start_timeout = 5min;
  for (int i = 0; i < 320; ++i) ids.push_back(on.start(spec));
  rouse::activator::contract::settle(on.control);
  ::kill(on.fixture.keeper.pid(), SIGCONT);
  for (const auto id : ids) REQUIRE(on.ended(id));
  for (const auto id : ids) CHECK(on.of(id).exit.reason == "exited");
}

TEST_CASE("children of a process are found, those of its threads included") {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  for (const auto& all : {children_of(::getpid()), children_by_parent(::getpid())})
    CHECK(std::find(all.begin(), all.end(), child) != all.end());
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK(children_of(child).empty());
}
