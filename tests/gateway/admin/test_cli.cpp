// The commands, in-process: what they print and how they exit.

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <ostream>
#include <sstream>
#include <streambuf>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "gateway/cli.hpp"
#include "gateway/version.hpp"
#include "running_admin.hpp"

using namespace rouse;
using namespace rouse::test;

namespace {

struct outcome {
  int code = -1;
  std::string out;
  std::string err;
  bool served = false;
  gateway::serve_options options;
};

outcome run(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& env = {},
            bool colour = false) {
  std::ostringstream out, err;
  gateway::cli_io io{out, err, {}, colour, colour};
  io.env = [&env](const std::string& name) -> std::optional<std::string> {
    const auto found = env.find(name);
    return found == env.end() ? std::nullopt : std::optional<std::string>(found->second);
  };
  outcome result;
  result.code = gateway::run_command_line(arguments, io,
                                          [&result](const config::snapshot&, const gateway::serve_options& options) {
                                            result.served = true;
                                            result.options = options;
                                            return 0;
                                          });
  result.out = out.str();
  result.err = err.str();
  return result;
}

class config_file {
 public:
  explicit config_file(const std::string& text) {
    char name[] = "/tmp/rouse-cli-XXXXXX";
    REQUIRE(::mkdtemp(name));
    folder_ = name;
    std::ofstream(path()) << text;
  }
  ~config_file() { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string path() const { return folder_ + "/rouse.yaml"; }

 private:
  std::string folder_;
};

const char* const good =
    "functions:\n  a: {command: [./a]}\n  b: {command: [./b]}\nroutes:\n  - {path: /x, function: a}\n";

/// A port of loopback where nobody listens.
std::string nobody() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
  ::close(fd);
  return "http://127.0.0.1:" + std::to_string(ntohs(at.sin_port));
}

/// What one thread prints and another looks at.
class shared_text : public std::streambuf {
 public:
  [[nodiscard]] std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  std::streamsize xsputn(const char* data, std::streamsize size) override {
    const std::lock_guard lock(mutex_);
    text_.append(data, static_cast<std::size_t>(size));
    return size;
  }
  int overflow(int c) override {
    const char byte = static_cast<char>(c);
    return xsputn(&byte, 1) == 1 ? c : traits_type::eof();
  }

  mutable std::mutex mutex_;
  std::string text_;
};

std::string url(const running_admin& admin) {
  return "http://127.0.0.1:" + std::to_string(admin.port());
}

}  // namespace

TEST_CASE("version") {
  const auto done = run({"version"});
  CHECK(done.code == 0);
  CHECK(done.out == "rouse " + std::string(gateway::version()) + "\n");
  CHECK(run({"--version"}).out == done.out);
}

TEST_CASE("help everywhere, with an example") {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"--help"},
                                                                     {"serve", "--help"},
                                                                     {"check", "-h"},
                                                                     {"simulate", "--help"},
                                                                     {"status", "--help"},
                                                                     {"logs", "--help"},
                                                                     {"scale", "--help"},
                                                                     {"traffic", "--help"},
                                                                     {"restart", "--help"},
                                                                     {"pool", "--help"},
                                                                     {"pool", "cordon", "--help"},
                                                                     {"pool", "uncordon", "--help"},
                                                                     {"dead-letters", "--help"},
                                                                     {"dead-letters", "list", "--help"},
                                                                     {"dead-letters", "redrive", "--help"},
                                                                     {"reload", "--help"},
                                                                     {"drain", "--help"},
                                                                     {"version", "--help"}}) {
    const auto done = run(arguments);
    INFO(arguments.front());
    CHECK(done.code == 0);
    CHECK(holds(done.out, "Example:\n  rouse "));
    CHECK(done.err.empty());
  }
  for (const char* later : {"top", "invoke", "upgrade"}) {
    CHECK_FALSE(holds(run({"--help"}).out, "\n  " + std::string(later) + " "));
    CHECK(run({later}).code == 2);
  }
}

TEST_CASE("wrong use is exit code 2 and one line that says so") {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"nonsense"},
                                                                     {"serve", "--log-format", "xml"},
                                                                     {"serve", "--log-level", "loud"},
                                                                     {"serve", "--port", "80"},
                                                                     {"logs"},
                                                                     {"logs", "a", "b"},
                                                                     {"scale", "hello"},
                                                                     {"scale", "--min", "1"},
                                                                     {"scale", "hello", "--min", "-1"},
                                                                     {"scale", "hello", "--min", "many"},
                                                                     {"scale", "hello", "--max", "0"},
                                                                     {"scale", "hello", "--min", "3", "--max", "2"},
                                                                     {"scale", "Not/A/Name", "--min", "3"},
                                                                     {"traffic", "hello"},
                                                                     {"traffic", "hello", "v1"},
                                                                     {"traffic", "hello", "=1"},
                                                                     {"traffic", "hello", "v1="},
                                                                     {"traffic", "hello", "v1=-1"},
                                                                     {"traffic", "hello", "v1=1.5"},
                                                                     {"traffic", "hello", "v1=10%"},
                                                                     {"traffic", "hello", "v1=1", "v1=2"},
                                                                     {"traffic", "hello", "v1=0", "v2=0"},
                                                                     {"traffic", "Not/A/Name", "v1=1"},
                                                                     {"restart"},
                                                                     {"restart", "a", "b"},
                                                                     {"restart", "Not/A/Name"},
                                                                     {"pool"},
                                                                     {"pool", "cordon"},
                                                                     {"pool", "close", "cloud"},
                                                                     {"pool", "cordon", "a/b"},
                                                                     {"reload", "now"},
                                                                     {"drain", "-c", "rouse.yaml"},
                                                                     {"drain", "--admin", "https://127.0.0.1:1"},
                                                                     {"check", "-c"},
                                                                     {"status", "check", "x"},
                                                                     {"status", "Not/A/Name"},
                                                                     {"status", "--admin", "https://127.0.0.1:1"},
                                                                     {"status", "--admin", "http://127.0.0.1:1/path"},
                                                                     {"status", "--admin", "http://user@127.0.0.1:1"},
                                                                     {"status", "--admin", "http://127.0.0.1:99999"},
                                                                     {"status", "--admin", "http://127.0.0.1:0"},
                                                                     {"status", "--admin", "http://:1"}}) {
    const auto done = run(arguments);
    INFO(done.err);
    CHECK(done.code == 2);
    CHECK(done.out.empty());
    CHECK(holds(done.err, "rouse: "));
    CHECK_FALSE(done.served);
  }
  const auto alone = run({});
  CHECK(alone.code == 2);
  CHECK(holds(alone.err, "serve"));
}

TEST_CASE("check") {
  const config_file right(good);
  const auto done = run({"check", "-c", right.path()});
  CHECK(done.code == 0);
  CHECK(done.out == right.path() + ": ok, 2 functions, 1 route\n");
  CHECK(done.err.empty());

  const config_file wrong("functions:\n  a: {command: [./a], concurency: 3}\n  b: {command: 5, timeout: soon}\n");
  const auto failed = run({"check", "-c", wrong.path()});
  CHECK(failed.code == 2);
  CHECK(failed.out.empty());
  CHECK(holds(failed.err, wrong.path() + ":2:"));
  CHECK(holds(failed.err, wrong.path() + ":3:"));
  CHECK(holds(failed.err, "concurrency"));

  const auto missing = run({"check", "-c", wrong.path() + ".not"});
  CHECK(missing.code == 2);
  CHECK(holds(missing.err, wrong.path() + ".not"));
}

TEST_CASE("serve hands a valid config to the daemon, and only that") {
  const config_file right(good);
  const auto done = run({"serve", "-c", right.path(), "--log-format", "json", "--log-level", "debug"});
  CHECK(done.code == 0);
  REQUIRE(done.served);
  CHECK(done.options.config_path == right.path());
  CHECK(done.options.log_json);
  CHECK(done.options.log_level == "debug");
  CHECK_FALSE(done.options.print_quickstart);
  CHECK_FALSE(done.options.watch);
  CHECK(run({"serve", "-c", right.path(), "--watch"}).options.watch);
  const auto plain = run({"serve", "--config", right.path(), "--quickstart"});
  CHECK_FALSE(plain.options.log_json);
  CHECK(plain.options.log_level == "info");
  CHECK(plain.options.print_quickstart);

  const config_file wrong("functions: 3\n");
  const auto refused = run({"serve", "-c", wrong.path()});
  CHECK(refused.code == 2);
  CHECK_FALSE(refused.served);
  CHECK(holds(refused.err, wrong.path() + ":1:"));
}

TEST_CASE("status is an aligned table") {
  running_admin admin;
  {
    const std::lock_guard lock(admin.mutex);
    admin.status[1].revisions[0].failure = "exited with status 3\nforged line";
  }
  const auto done = run({"status", "--admin", url(admin)});
  INFO(done.out << done.err);
  CHECK(done.code == 0);
  std::istringstream in(done.out);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] == "FUNCTION  REVISION        READY  STARTING  PARKED  IN FLIGHT  DESIRED  LAST DECISION");
  CHECK(lines[1].rfind("hello     hello-0badcafe      1         1       3          7        2  ", 0) == 0);
  CHECK(holds(lines[1], "d ago: 1 -> 2, 3 parked + 7 in flight / 7 per instance -> 2"));
  CHECK(lines[2] ==
        "idle      idle-00000000       0         0       0          0        0  start failed: exited with status "
        "3\\nforged line");
  CHECK_FALSE(holds(done.out, "\x1b"));
  CHECK(holds(run({"status", "--admin", url(admin)}, {}, true).out, "\x1b[31mstart failed"));
}

TEST_CASE("status of one function, and as JSON") {
  running_admin admin;
  const auto done = run({"status", "hello"}, {{"ROUSE_ADMIN", url(admin)}});
  INFO(done.out << done.err);
  CHECK(done.code == 0);
  CHECK(holds(done.out, "hello-0badcafe-11  ready     127.0.0.1:20001          7  65s"));
  CHECK(holds(done.out, "hello-0badcafe-12  starting  -"));
  CHECK(holds(done.out, "DECIDED"));

  const auto as_json = run({"status", "--json", "--admin", "127.0.0.1:" + std::to_string(admin.port())});
  CHECK(as_json.code == 0);
  CHECK(nlohmann::json::parse(as_json.out)["functions"].size() == 2);

  const auto unknown = run({"status", "nobody", "--admin", url(admin)});
  CHECK(unknown.code == 1);
  CHECK(holds(unknown.err, "no function `nobody`"));
}

TEST_CASE("status shows revisions, where there are several, and pools that are worth it") {
  running_admin admin;
  {
    const std::lock_guard lock(admin.mutex);
    auto& hello = admin.status[0];
    hello.revisions[0].weight = 90;
    auto& second = hello.revisions.emplace_back();
    second.revision = "v2";
    second.weight = 10;
    second.desired = 1;
    second.failure = "exited with status 3";
    auto& third = hello.revisions.emplace_back();
    third.revision = "v3";
    third.role = "leaving";
    third.why = "pool cloud is full";
    hello.set_min = 4;
    hello.set_traffic = true;
    hello.rollout = "v2 is being made ready";
    admin.pools[0].max_instances = 8;
    admin.pools.emplace_back().name = "cloud";
    admin.pools[1].backend = "process";
    admin.pools[1].cordoned = true;
    admin.pools[1].cost_total = 1.25;
  }
  const auto done = run({"status", "--admin", url(admin)});
  INFO(done.out << done.err);
  CHECK(done.code == 0);
  CHECK(holds(done.out, "\nhello     hello-0badcafe (weight 90)      1         1       3          7        2  "));
  CHECK(holds(done.out,
              "\nhello     v2 (weight 10)                  0         0       0          0        1  start failed: "
              "exited with status 3\n"));
  CHECK(holds(done.out, "\nhello     v3 (leaving)                    0         0       0          0        0  -\n"));
  CHECK(holds(done.out, "\nPOOL   BACKEND  INSTANCES  MAX  COST  STATE\n"));
  CHECK(holds(done.out, "\nlocal  process          2    8  0.00  open\n"));
  CHECK(holds(done.out, "\ncloud  process          0    -  1.25  cordoned\n"));

  const auto one = run({"status", "hello", "--admin", url(admin)});
  INFO(one.out << one.err);
  CHECK(holds(one.out, "\nrollout: v2 is being made ready\n"));
  CHECK(holds(one.out, "\nmin 4 set by command, in place of the file's\n"));
  CHECK(holds(one.out, "\ntraffic set by command, in place of the file's\n"));
  CHECK(holds(one.out, "\nv3: pool cloud is full\n"));
  CHECK_FALSE(holds(one.out, "POOL"));
}

TEST_CASE("commands that change something say what the daemon did") {
  running_admin admin;
  const auto asks = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--admin", url(admin)});
    const auto done = run(arguments);
    INFO(done.err);
    CHECK(done.code == 0);
    CHECK(done.out == "done\n");
    CHECK(done.err.empty());
    const auto asked = admin.actions.asked();
    return asked.size() == 1 ? asked.front() : "nothing, or too much";
  };
  CHECK(asks({"scale", "hello", "--min", "2"}) == "scale hello 2 -");
  CHECK(asks({"scale", "hello", "--max", "5"}) == "scale hello - 5");
  CHECK(asks({"scale", "hello", "--min", "0", "--max", "5"}) == "scale hello 0 5");
  CHECK(asks({"traffic", "hello", "v1=90", "v2=10", "v=3=0"}) == "traffic hello v1=90 v2=10 v=3=0");
  CHECK(asks({"restart", "hello"}) == "restart hello");
  CHECK(asks({"pool", "cordon", "cloud"}) == "cordon cloud");
  CHECK(asks({"pool", "uncordon", "cloud"}) == "uncordon cloud");
  CHECK(asks({"reload"}) == "reload");
  CHECK(asks({"drain"}) == "drain");
}

TEST_CASE("what the daemon refuses is said, and is exit code 1") {
  running_admin admin;
  const auto refused = [&](unsigned status, std::string type, std::string detail, std::vector<std::string> arguments) {
    admin.actions.answer_with({status, std::move(type), std::move(detail), {}});
    arguments.insert(arguments.end(), {"--admin", url(admin)});
    const auto done = run(arguments);
    INFO(done.err);
    CHECK(done.code == 1);
    CHECK(done.out.empty());
    return done.err;
  };
  CHECK(holds(refused(404, "no-function", "There is no such function.", {"restart", "nobody"}),
              "rouse: the daemon has no function `nobody`"));
  CHECK(holds(refused(404, "no-pool", "There is no pool `cloud`; there is: local.", {"pool", "cordon", "cloud"}),
              "rouse: the daemon answered 404: There is no pool `cloud`; there is: local.\n"));
  CHECK(holds(refused(409, "draining", "The daemon is draining.", {"reload"}), "409: The daemon is draining."));

  admin.actions.answer_with({422,
                             "invalid-config",
                             "Nothing was changed; the daemon goes on with the configuration it has.",
                             {"rouse.yaml:2:15: unknown key", "rouse.yaml:3:1: \x1b[2J"}});
  const auto reload = run({"reload", "--admin", url(admin)});
  CHECK(reload.code == 1);
  CHECK(reload.out.empty());
  CHECK(reload.err.rfind("rouse.yaml:2:15: unknown key\nrouse.yaml:3:1: \\x1B[2J\nrouse: ", 0) == 0);
  CHECK(holds(reload.err, "Nothing was changed"));

  admin.actions.answer_with({202, {}, "begun", {"one", "two"}});
  const auto drain = run({"drain", "--admin", url(admin)});
  CHECK(drain.code == 0);
  CHECK(drain.out == "one\ntwo\nbegun\n");
}

TEST_CASE("a daemon that is not there") {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"status"}, {"logs", "a"}, {"logs", "a", "-f"}, {"reload"}, {"drain"}, {"scale", "a", "--min", "1"}}) {
    const auto at = nobody();
    const auto done = run(arguments, {{"ROUSE_ADMIN", at}});
    CHECK(done.code == 1);
    CHECK(done.out.empty());
    CHECK(holds(done.err, at));
    CHECK(holds(done.err, "refused"));
    CHECK(holds(done.err, "rouse serve"));
    CHECK(holds(done.err, "--admin"));
  }
}

TEST_CASE("the token comes from the environment") {
  running_admin admin("s3cret");
  const auto without = run({"status", "--admin", url(admin)});
  CHECK(without.code == 1);
  CHECK(holds(without.err, "ROUSE_ADMIN_TOKEN"));
  CHECK(run({"status", "--admin", url(admin)}, {{"ROUSE_ADMIN_TOKEN", "wrong"}}).code == 1);
  CHECK(run({"status", "--admin", url(admin)}, {{"ROUSE_ADMIN_TOKEN", "s3cret"}}).code == 0);
}

TEST_CASE("logs, and logs that are followed") {
  running_admin admin;
  const auto at = std::chrono::system_clock::time_point(1714564800123ms);
  admin.output.add("hello-1", "hello \x1b[2J world", at);
  const auto done = run({"logs", "hello", "--admin", url(admin)});
  CHECK(done.code == 0);
  CHECK(done.out == "2024-05-01T12:00:00.123Z hello-1 | hello \\x1B[2J world\n");
  CHECK(run({"logs", "nobody", "--admin", url(admin)}).code == 1);

  // More is written once the first line has been printed, and the end comes once that was.
  shared_text out;
  std::ostream out_stream(&out);
  std::ostringstream err;
  gateway::cli_io io{out_stream, err, [](const std::string&) { return std::nullopt; }};
  bool first = false, second = false;
  std::thread later([&] {
    first = soon([&out] { return holds(out.text(), "hello-1 | hello"); });
    admin.output.add("hello-1", "and more", at);
    second = soon([&out] { return holds(out.text(), "hello-1 | and more\n"); });
    admin.ask_to_stop();
  });
  const gateway::client_options client{url(admin)};
  const int code = gateway::logs_command(client, "hello", true, io);
  later.join();
  CHECK(first);
  CHECK(second);
  CHECK(code == 0);
  CHECK(holds(err.str(), "the daemon ended"));
}
