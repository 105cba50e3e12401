// How instances end: asked, by force, on their own; and that nothing of them is left. And what they write, however
// much.

#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <thread>

#include "activator/backend/process/process_tree.hpp"
#include "tests/activator/process/bed.hpp"

using namespace std::chrono_literals;
using namespace rouse::process::test;
using Catch::Contains;
using rouse::activator::contract::run_until;
using rouse::activator::contract::settle;

namespace {

std::uint64_t ready_one(bed& on, std::vector<std::string> mode) {
  const auto id = on.start(odd(std::move(mode)));
  REQUIRE(on.ready(id));
  return id;
}

/// Waits for the line with the pids: output may come after the report that the instance is ready.
std::vector<pid_t> pids_of(bed& on, std::uint64_t id, std::size_t count) {
  std::vector<pid_t> pids;
  REQUIRE(run_until(on.control, [&] { return (pids = pids_in(on.of(id).lines)).size() == count; }));
  return pids;
}

std::chrono::milliseconds since(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - then);
}

}  // namespace

TEST_CASE("when an instance has ended, all its descendants have, escapees included") {
  bed on;
  SECTION("asked, with grace") {
    const auto id = ready_one(on, {"family"});
    const auto pids = pids_of(on, id, 4);
    for (const pid_t pid : pids) CHECK(runs(pid));
    on.stop(id, 20s);
    REQUIRE(on.ended(id));
    CHECK_FALSE(any_runs(pids));
    CHECK(on.of(id).exit.detail == "was killed by SIGTERM after SIGTERM");
  }
  SECTION("asked, at once") {
    const auto id = ready_one(on, {"family"});
    const auto pids = pids_of(on, id, 4);
    on.stop(id, 0ms);
    REQUIRE(on.ended(id));
    CHECK_FALSE(any_runs(pids));
    CHECK(on.of(id).exit.reason == "signalled");
  }
  SECTION("the main process crashes") {
    const auto id = ready_one(on, {"family"});
    const auto pids = pids_of(on, id, 4);
    ::kill(pids[0], SIGSEGV);
    REQUIRE(on.ended(id));
    CHECK_FALSE(any_runs(pids));
    CHECK_FALSE(on.of(id).exit.was_asked);
    CHECK_THAT(on.of(id).exit.detail, Contains("SIGSEGV"));
  }
  SECTION("the main process exits before it listens") {
    const auto id = on.start(odd({"family-die"}));
    REQUIRE(on.ended(id));
    const auto pids = pids_in(on.of(id).lines);
    REQUIRE(pids.size() == 4);
    CHECK_FALSE(any_runs(pids));
    CHECK_THAT(on.of(id).exit.detail, Contains("status 7"));
  }
  SECTION("another instance goes on") {
    const auto other = ready_one(on, {"family"});
    const auto stays = pids_of(on, other, 4);
    const auto id = ready_one(on, {"family"});
    on.stop(id, 0ms);
    REQUIRE(on.ended(id));
    for (const pid_t pid : stays) CHECK(runs(pid));
  }
}

TEST_CASE("one that ignores SIGTERM is killed when its grace is over, and not before") {
  bed on;
  const auto id = ready_one(on, {"stubborn"});
  const auto begun = std::chrono::steady_clock::now();
  on.stop(id, 400ms);
  REQUIRE(on.ended(id));
  CHECK(since(begun) >= 400ms);
  CHECK(on.of(id).exit.was_asked);
  CHECK(on.of(id).exit.detail == "was killed by SIGKILL (by force, its grace being over)");
  CHECK(on.of(id).lines == std::vector<std::string>{"not now"});
}

TEST_CASE("an end that crosses with what the instance is told is reported all the same") {
  bed on;
  std::mt19937 random(7);
  for (int i = 0; i < 150; ++i) {
    const auto id = on.start(spec_of({fast_function}));
    REQUIRE(on.ready(id));
    pid_t main = 0;  // the only one that has a reaper above it; the last one's reaper may not be gone yet
    REQUIRE(wait_for([&] {
      for (const pid_t reaper : rouse::process::children_of(on.fixture.keeper.pid()))
        for (const pid_t pid : rouse::process::children_of(reaper)) main = pid;
      return main != 0;
    }));
    on.freeze(id);
    ::kill(main, SIGKILL);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 1000));
    on.thaw(id);
    REQUIRE(on.ended(id));
  }
}

TEST_CASE("a second stop with less grace hurries, one with more does not") {
  bed on;
  const auto id = ready_one(on, {"stubborn"});
  const auto begun = std::chrono::steady_clock::now();
  on.stop(id, 60s);
  REQUIRE(run_until(on.control, [&] { return !on.of(id).lines.empty(); }));
  on.stop(id, 300ms);
  on.stop(id, 60s);
  REQUIRE(on.ended(id));
  CHECK(since(begun) < 15s);
  CHECK(on.of(id).lines == std::vector<std::string>{"not now"});
}

TEST_CASE("a stopped process obeys as well") {
  bed on;
  const auto id = on.start(spec_of(
      {"/bin/sh", "-c", "trap 'echo bye; exit 0' TERM; echo {\\\"pids\\\": [$$]}; kill -STOP $$; sleep 60 & wait"}));
  const auto pids = pids_of(on, id, 1);
  REQUIRE(run_until(on.control, [&] {
    std::ifstream file("/proc/" + std::to_string(pids[0]) + "/stat");
    std::string text;
    std::getline(file, text);
    return text.find(") T ") != std::string::npos;
  }));
  on.stop(id, 20s);
  REQUIRE(on.ended(id));
  CHECK(on.of(id).exit.detail == "exited with status 0 after SIGTERM");
  CHECK(on.of(id).lines.back() == "bye");
}

TEST_CASE("the end is seen though a stranger holds the output open") {
  // The pipe's write end travels to this process, as a daemon that took it along would have it.
  bed on;
  const auto id = ready_one(on, {"family"});
  const auto pids = pids_of(on, id, 4);
  const int stolen = ::open(("/proc/" + std::to_string(pids[0]) + "/fd/1").c_str(), O_WRONLY);
  REQUIRE(stolen >= 0);
  REQUIRE(::write(stolen, "from outside", 12) == 12);
  ::kill(pids[0], SIGKILL);
  REQUIRE(on.ended(id));
  CHECK(on.of(id).exit.last_lines.back() == "from outside");
  ::close(stolen);
}

TEST_CASE("a flood neither blocks the function nor the control thread, and is told in one line") {
  bed on;
  const auto flood_begun = std::chrono::steady_clock::now();
  const auto id = on.start(odd({"flood", "200"}));
  std::chrono::steady_clock::duration longest{};
  const auto one_turn = [&] {
    const auto begun = std::chrono::steady_clock::now();
    on.control.restart();
    on.control.poll_one();
    longest = std::max(longest, std::chrono::steady_clock::now() - begun);
    return on.of(id).ready > 0;
  };
  REQUIRE(run_until(on.control, one_turn, 2min));
  const auto& lines = on.of(id).lines;
  const auto dropped = [](const std::string& line) { return line.find(" lines dropped") != std::string::npos; };
  REQUIRE(run_until(
      on.control, [&] { return std::any_of(lines.begin(), lines.end(), dropped); }, 1min));
  // All that was written is either here or counted.
  const auto count_all = [&] {
    std::uint64_t count = 0;
    for (const auto& line : lines) count += dropped(line) ? std::stoull(line) : 1;
    return count;
  };
  CHECK(run_until(
      on.control, [&] { return count_all() == 200 * 10486 + 1; }, 1min));
  // A burst at first, and one for each second that the flood lasted.
  const auto seconds = static_cast<std::size_t>(since(flood_begun) / 1s) + 2;
  CHECK(lines.size() < seconds * 3000);
  std::printf("longest turn of the control thread in the flood: %.2f ms\n",
              std::chrono::duration<double, std::milli>(longest).count());
  on.stop(id, 0ms);
  REQUIRE(on.ended(id));
  CHECK(on.of(id).exit.last_lines.size() == 20);
}
