// What a process is given, how it becomes ready, and what is said when it does not.

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "tests/activator/process/bed.hpp"

using namespace std::chrono_literals;
using namespace rouse::process::test;
using Catch::Contains;
using rouse::activator::contract::dial;
using rouse::activator::contract::get_status;

namespace {

std::string only_line(bed& on, std::uint64_t id) {
  REQUIRE(on.ready(id));
  REQUIRE(rouse::activator::contract::run_until(on.control, [&] { return !on.of(id).lines.empty(); }));
  return on.of(id).lines.front();
}

std::string failure_of(bed& on, rouse::activator::start_spec spec) {
  const auto id = on.start(std::move(spec));
  REQUIRE(on.ended(id));
  CHECK(on.of(id).ready == 0);
  CHECK_FALSE(on.of(id).exit.was_asked);
  return on.of(id).exit.reason + ": " + on.of(id).exit.detail;
}

/// A directory that is removed at the end.
class scratch {
 public:
  scratch() {
    char name[] = "/tmp/rouse-test-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~scratch() { std::filesystem::remove_all(path); }
  std::string file(const std::string& name, const std::string& text, mode_t mode) const {
    const std::string at = path + "/" + name;
    std::ofstream(at) << text;
    ::chmod(at.c_str(), mode);
    return at;
  }
  std::string path;
};

}  // namespace

TEST_CASE("a process is given its variables, its directory, no input, and nothing else") {
  ::setenv("ROUSE_CANARY", "must not be inherited", 1);
  ::setenv("LC_TEST", "inherited", 1);
  const int open_here = ::open("/dev/null", O_RDONLY);  // without O_CLOEXEC, before and after the keeper's fork
  bed on;
  const int open_later = ::open("/dev/null", O_RDONLY);
  auto spec = odd({"report"});
  spec.env = {{"LEVEL", "3"}};
  spec.directory = "/usr/share";
  const std::string line = only_line(on, on.start(spec));
  ::close(open_here);
  ::close(open_later);
  CHECK_THAT(line, !Contains("CANARY"));
  CHECK_THAT(line, Contains("\"LEVEL\": \"3\""));
  CHECK_THAT(line, Contains("\"K_SERVICE\": \"hello\""));
  CHECK_THAT(line, Contains("\"K_CONFIGURATION\": \"hello\""));
  CHECK_THAT(line, Contains("\"K_REVISION\": \"hello-00001\""));
  CHECK_THAT(line, Contains("\"PORT\": \"" + std::to_string(on.of(1).where.port) + "\""));
  CHECK_THAT(line, Contains("\"PATH\": "));
  CHECK_THAT(line, Contains("\"descriptors\": [0, 1, 2]"));
  CHECK_THAT(line, Contains("\"directory\": \"/usr/share\""));
  CHECK_THAT(line, Contains("\"input\": \"\""));
  CHECK_THAT(line, Contains("\"group\": true"));
  CHECK_THAT(line, Contains("\"blocked\": []"));
  CHECK_THAT(line, Contains("\"ignored\": []"));
}

TEST_CASE("variables of the environment's kinds are inherited") {
  ::setenv("LC_TEST", "inherited", 1);
  bed on;
  CHECK_THAT(only_line(on, on.start(odd({"report"}))), Contains("\"LC_TEST\": \"inherited\""));
}

TEST_CASE("arguments and variables may be as large as the system allows") {
  bed on;
  auto spec = spec_of({"/bin/sh", "-c", "echo ${#BIG} ${#1}", "sh", std::string(120'000, 'a')});
  spec.env = {{"BIG", std::string(125'000, 'b')}};
  const auto id = on.start(spec);
  REQUIRE(on.ended(id));
  CHECK(on.of(id).lines == std::vector<std::string>{"125000 120000"});
  spec.env = {{"BIG", std::string(200'000, 'b')}};
  CHECK_THAT(failure_of(on, spec), Contains("spawn: ") && Contains("larger than the system allows"));
}

TEST_CASE("a command that cannot be run is reported with what to do") {
  bed on;
  const scratch at;
  SECTION("not in PATH") {
    auto spec = spec_of({"pyton3", "app.py"});
    spec.env = {{"PATH", "/usr/bin:/bin"}};
    CHECK(failure_of(on, spec) == "spawn: cannot run `pyton3`: no such file in PATH=/usr/bin:/bin");
  }
  SECTION("looked up in the instance's own PATH") {
    at.file("only-here", "#!/bin/sh\necho found\n", 0755);
    auto spec = spec_of({"only-here"});
    spec.env = {{"PATH", "/nowhere:" + at.path}};
    const auto id = on.start(spec);
    REQUIRE(on.ended(id));
    CHECK(on.of(id).lines == std::vector<std::string>{"found"});
  }
  SECTION("not in its directory") {
    auto spec = spec_of({"./app"});
    spec.directory = at.path;
    CHECK(failure_of(on, spec) == "spawn: cannot run `./app`: no such file in directory `" + at.path + "`");
  }
  SECTION("not executable") {
    auto spec = spec_of({at.file("app", "#!/bin/sh\n", 0644)});
    CHECK_THAT(failure_of(on, spec), Contains("chmod +x"));
    spec.command = {"app"};
    spec.env = {{"PATH", at.path}};
    CHECK_THAT(failure_of(on, spec), Contains("chmod +x"));
  }
  SECTION("no interpreter") {
    CHECK_THAT(failure_of(on, spec_of({at.file("app", "#!/no/such/thing\n", 0755)})),
               Contains("interpreter") && Contains("does not exist"));
    CHECK_THAT(failure_of(on, spec_of({at.file("text", "hello\n", 0755)})), Contains("neither a program"));
  }
  SECTION("no directory") {
    auto spec = spec_of({"/bin/true"});
    spec.directory = at.path + "/missing";
    CHECK(failure_of(on, spec) ==
          "spawn: cannot enter its directory `" + at.path + "/missing`: No such file or directory");
  }
  SECTION("no command, or a NUL in it") {
    CHECK_THAT(failure_of(on, spec_of({})), Contains("empty"));
    CHECK_THAT(failure_of(on, spec_of({std::string("a\0b", 3)})), Contains("NUL"));
  }
}

TEST_CASE("an early death is reported at once with its last lines, made safe") {
  bed on;
  const auto id = on.start(odd({"die", "3"}));
  REQUIRE(on.ended(id));
  const auto& exit = on.of(id).exit;
  CHECK(exit.reason == "exited");
  CHECK_THAT(exit.detail, Catch::StartsWith("exited with status 3 before it listened on port "));
  CHECK(exit.last_lines == std::vector<std::string>{"first line", "second \\e[31mline", "last line"});
  CHECK(on.of(id).lines == exit.last_lines);
  CHECK(failure_of(on, spec_of({"/bin/sh", "-c", "kill -SEGV $$"})).find("signalled: was killed by SIGSEGV") == 0);
}

TEST_CASE("a start that takes too long is ended, with a hint") {
  bed on;
  SECTION("nothing listens") {
    auto spec = odd({"silent"});
    spec.start_timeout = 2500ms;
    const auto id = on.start(spec);
    REQUIRE(on.ended(id));
    CHECK(on.of(id).exit.reason == "timeout");
    CHECK_THAT(on.of(id).exit.detail, Catch::StartsWith("did not listen on port ") &&
                                          Contains(" within 2500 ms; it ran `/usr/bin/python3 ") &&
                                          Contains("functions must listen on $PORT"));
    const auto pids = pids_in(on.of(id).lines);
    REQUIRE(pids.size() == 1);
    CHECK_FALSE(any_runs(pids));
  }
  SECTION("it listens on another port") {
    auto spec = odd({"elsewhere"});
    spec.start_timeout = 2500ms;
    const auto id = on.start(spec);
    REQUIRE(on.ended(id));
    REQUIRE_FALSE(on.of(id).lines.empty());
    const std::string line = on.of(id).lines.front();
    const std::string port = line.substr(9, line.size() - 10);
    CHECK_THAT(on.of(id).exit.detail, Contains("it listens on 0.0.0.0:" + port + " instead of $PORT"));
  }
  SECTION("ready.path is not answered well") {
    auto spec = odd({"late", "1000000"});
    spec.ready_path = "/healthz";
    spec.start_timeout = 2500ms;
    CHECK_THAT(failure_of(on, spec), Catch::StartsWith("timeout: was not ready within 2500 ms: it listened on port ") &&
                                         Contains("GET /healthz is answered with 503"));
  }
  SECTION("ready.path is not answered at all") {
    auto spec = odd({"slow"});
    spec.ready_path = "/healthz";
    spec.start_timeout = 2500ms;
    CHECK_THAT(failure_of(on, spec), Contains("GET /healthz has not been answered"));
  }
}

TEST_CASE("a server on ::1 alone is reached there") {
  bed on;
  const auto id = on.start(odd({"v6"}));
  REQUIRE(on.ready(id));
  CHECK(on.of(id).where.v6);
  CHECK(get_status(std::exchange(on.of(id).probe_socket, -1)) == 200);
  CHECK(get_status(dial(on.of(id).where)) == 200);
}

TEST_CASE("with ready.path, ready means a 2xx, and the probes' connections are not handed on") {
  bed on;
  auto spec = odd({"late", "3"});
  spec.ready_path = "/healthz?full=1";
  const auto id = on.start(spec);
  REQUIRE(on.ready(id));
  CHECK(on.of(id).probe_socket == -1);
  const auto requests = [&] { return std::count(on.of(id).lines.begin(), on.of(id).lines.end(), "request"); };
  CHECK(rouse::activator::contract::run_until(
      on.control, [&] { return requests() == 4; }, 5s));
}

namespace {

/// Takes ports from under an instance: it says which port it was given and waits until the test has taken it. Every
/// other one is only bound, which the instance finds out by failing, the others also listen, which the backend sees.
struct thief {
  explicit thief(bed& on, int most) {
    id = on.start(
        spec_of({"/bin/sh", "-c",
                 "echo want $PORT; until [ -e " + at.path + "/$PORT ]; do sleep 0.01; done; exec " + fast_function}));
    std::size_t seen = 0;
    const auto step = [&] {
      auto& lines = on.of(id).lines;
      for (; seen < lines.size(); ++seen) {
        if (lines[seen].rfind("want ", 0) != 0) continue;
        const std::string port = lines[seen].substr(5);
        asked.push_back(static_cast<std::uint16_t>(std::stoi(port)));
        if (static_cast<int>(asked.size()) <= most) take(asked.back(), asked.size() % 2 == 0);
        at.file(port, "go", 0600);
      }
      return on.of(id).ready + on.of(id).exits > 0;
    };
    REQUIRE(rouse::activator::contract::run_until(on.control, step));
  }
  ~thief() {
    for (const int fd : held) ::close(fd);
  }
  void take(std::uint16_t port, bool listens) {
    const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(port);
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    held.push_back(s);
    // Another rouse on this machine may at this moment be asking whether the port is free.
    REQUIRE(wait_for([&] { return ::bind(s, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0; }));
    if (listens) ::listen(s, 8);
  }
  scratch at;
  std::uint64_t id = 0;
  std::vector<int> held;
  std::vector<std::uint16_t> asked;
};

}  // namespace

TEST_CASE("a port lost to somebody else is no failure: another one is tried") {
  bed on;
  const thief one(on, 2);
  REQUIRE(one.asked.size() == 3);
  CHECK(on.of(one.id).ready == 1);
  CHECK(on.of(one.id).exits == 0);
  CHECK(on.of(one.id).where.port == one.asked[2]);
  CHECK(get_status(std::exchange(on.of(one.id).probe_socket, -1)) == 200);
  const auto& lines = on.of(one.id).lines;
  CHECK(std::count_if(lines.begin(), lines.end(), [](const std::string& line) {
          return line.find("was taken by another process") != std::string::npos;
        }) == 2);
}

TEST_CASE("when every port tried is lost, that is the reason") {
  bed on;
  const thief one(on, 1000);
  CHECK(on.of(one.id).ready == 0);
  CHECK(on.of(one.id).exits == 1);
  CHECK(on.of(one.id).exit.reason == "port");
  CHECK(one.asked.size() == 4);
  CHECK_THAT(on.of(one.id).exit.detail, Contains("4 ports") && Contains(std::to_string(one.asked.back())));
}

TEST_CASE("when no port is free, it is the room that lacks and not the function") {
  const int held = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  REQUIRE(::bind(held, reinterpret_cast<sockaddr*>(&at), size) == 0);
  REQUIRE(::listen(held, 1) == 0);
  ::getsockname(held, reinterpret_cast<sockaddr*>(&at), &size);
  rouse::activator::contract::recorder heard;
  boost::asio::io_context control{1};
  const auto keeper = rouse::process::keeper::fork_keeper();
  rouse::process::process_options options;
  options.ports = {ntohs(at.sin_port), ntohs(at.sin_port)};
  rouse::process::process_backend backend(control, keeper.socket(), heard, options);
  auto spec = spec_of({fast_function});
  spec.id = 1;
  backend.start(spec);
  REQUIRE(rouse::activator::contract::run_until(control, [&] { return heard.of(1).exits > 0; }));
  CHECK(heard.of(1).exit.reason == "no-capacity");
  CHECK_THAT(heard.of(1).exit.detail, Contains("no free port"));
  ::close(held);
}

TEST_CASE("many at once do not starve each other") {
  bed on;
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 60; ++i) ids.push_back(on.start(spec_of({fast_function})));
  for (const auto id : ids) REQUIRE(on.ready(id));
}
