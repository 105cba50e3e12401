// Promise: nothing that is sent can forge a log line; nobody who logs waits for who reads.

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "gateway/access_log.hpp"
#include "gateway/escape.hpp"
#include "gateway/logging.hpp"

using namespace rouse;
using namespace rouse::gateway;
using namespace std::chrono_literals;

namespace {

class pipe_ends {
 public:
  pipe_ends() { REQUIRE(::pipe2(fds_, O_CLOEXEC) == 0); }
  ~pipe_ends() {
    ::close(fds_[0]);
    if (fds_[1] >= 0) ::close(fds_[1]);
  }
  [[nodiscard]] int to() const { return fds_[1]; }
  [[nodiscard]] int from() const { return fds_[0]; }
  /// All that was written, once nobody writes any more.
  std::string read_all() {
    ::close(fds_[1]);
    fds_[1] = -1;
    std::string all;
    char piece[4096];
    for (ssize_t size; (size = ::read(fds_[0], piece, sizeof piece)) > 0;)
      all.append(piece, static_cast<std::size_t>(size));
    return all;
  }
  void close_reader() {
    ::close(fds_[0]);
    fds_[0] = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  }

 private:
  int fds_[2];
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// Everything that has ever forged a line or moved a cursor.
std::string hostile() {
  std::string text =
      "a\nb\r\nc\x1b[2J\t\"quoted\" back\\slash \x7f\xc2\x9b"
      "31m \xff\xc0\xaf\xed\xa0\x80 \xe2\x80\xa8\xe2\x80\xae caf\xc3\xa9";
  text += '\0';
  return text + "end";
}

template <typename Log>
std::string logged(log_options options, Log log) {
  pipe_ends pipe;
  options.descriptor = pipe.to();
  {
    log_output output(options);
    log(output.logger());
  }
  return pipe.read_all();
}

access_entry hostile_entry(const std::string& bad) {
  access_entry entry;
  entry.at = std::chrono::system_clock::time_point(1714564800123ms);
  entry.peer = "192.0.2.1";
  entry.method = "GET";
  entry.target = bad;
  entry.host = bad;
  entry.user_agent = bad;
  entry.referer = bad;
  entry.status = 200;
  entry.bytes_out = 2326;
  return entry;
}

}  // namespace

TEST_CASE("text for a line keeps what is harmless and shows the rest") {
  std::string out;
  append_line_text(out, hostile());
  CHECK(out ==
        "a\\nb\\x0D\\nc\\x1B[2J\\t\"quoted\" back\\slash \\x7F\\xC2\\x9B31m \\xFF\\xC0\\xAF\\xED\\xA0\\x80 "
        "\\xE2\\x80\\xA8\\xE2\\x80\\xAE caf\xc3\xa9\\x00"
        "end");
}

TEST_CASE("a JSON string is valid JSON and gives back what was valid") {
  std::string out;
  append_json_string(out, hostile());
  const auto parsed = nlohmann::json::parse(out).get<std::string>();
  CHECK(parsed.substr(0, 5) == "a\nb\r\n");
  CHECK(parsed.find("\xef\xbf\xbd") != std::string::npos);
  CHECK(parsed.find("caf\xc3\xa9") != std::string::npos);
  for (const char c : out) CHECK(static_cast<unsigned char>(c) >= 0x20);
  CHECK(out.find('\x7f') == std::string::npos);
  CHECK(out.find("\xc2\x9b") == std::string::npos);

  std::string plain;
  append_json_string(plain, "caf\xc3\xa9 \xf0\x9f\x98\x80 / \"x\" \\");
  CHECK(plain == "\"caf\xc3\xa9 \xf0\x9f\x98\x80 / \\\"x\\\" \\\\\"");
}

TEST_CASE("times are RFC 3339 in UTC") {
  std::string out;
  append_rfc3339(out, std::chrono::system_clock::time_point(1714564800123ms));
  append_rfc3339(out, std::chrono::system_clock::time_point(-1ms));
  CHECK(out == "2024-05-01T12:00:00.123Z1969-12-31T23:59:59.999Z");
}

TEST_CASE("one message is one line of the text log") {
  const auto text = logged({}, [](spdlog::logger& log) {
    log.info("function said: {}", hostile());
    log.debug("not at this level");
    log.warn("{}", "second");
  });
  const auto lines = lines_of(text);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].substr(10, 1) == "T");
  CHECK(lines[0].find("Z info  function said: a\\nb") == 24 - 1);
  CHECK(lines[1].find("Z warn  second") != std::string::npos);
  CHECK(text.find('\x1b') == std::string::npos);
}

TEST_CASE("one message is one object of the JSON log") {
  log_options options;
  options.json = true;
  options.level = "debug";
  options.colour = true;  // means nothing there
  const auto lines = lines_of(logged(options, [](spdlog::logger& log) {
    log.debug("{}", hostile());
    log.error("it broke");
  }));
  REQUIRE(lines.size() == 2);
  const auto first = nlohmann::json::parse(lines[0]);
  CHECK(first.size() == 3);
  CHECK(first["level"] == "debug");
  CHECK(first["msg"].get<std::string>().substr(0, 3) == "a\nb");
  CHECK(first["ts"].get<std::string>().size() == 24);
  CHECK(nlohmann::json::parse(lines[1])["level"] == "error");
}

TEST_CASE("colour only when asked for") {
  log_options options;
  options.colour = true;
  CHECK(logged(options, [](spdlog::logger& log) { log.error("x"); }).find("\x1b[31merror\x1b[0m x\n") !=
        std::string::npos);
  pipe_ends pipe;
  CHECK_FALSE(wants_colour(pipe.to()));
}

TEST_CASE("a reader that does not read costs lines, not time; the loss is said") {
  pipe_ends pipe;
  std::uint64_t said = 0;
  const auto began = std::chrono::steady_clock::now();
  {
    line_writer writer(
        pipe.to(),
        [&said](std::uint64_t dropped) {
          said += dropped;
          return "dropped " + std::to_string(dropped) + "\n";
        },
        64 * 1024);
    const std::string line(99, 'x');
    for (int i = 0; i < 10'000; ++i) writer.write(line + "\n");  // a megabyte into a pipe of 64 KiB
    CHECK(std::chrono::steady_clock::now() - began < 1s);
    CHECK(writer.dropped() > 1000);
    std::string all;
    std::thread reader([&all, &pipe] {
      char piece[4096];
      pollfd ready{pipe.from(), POLLIN, 0};
      while (all.find("dropped") == std::string::npos && ::poll(&ready, 1, 5000) == 1) {
        const auto size = ::read(ready.fd, piece, sizeof piece);
        if (size <= 0) break;
        all.append(piece, static_cast<std::size_t>(size));
      }
    });
    reader.join();
    const auto lines = lines_of(all);
    for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
      if (lines[i] != line && lines[i].substr(0, 8) != "dropped ") FAIL("a line came in pieces: " << lines[i]);
    }
    CHECK(all.find("dropped") != std::string::npos);
  }
  CHECK(said > 1000);
}

TEST_CASE("the end waits for a reader only so long") {
  pipe_ends pipe;
  const auto began = std::chrono::steady_clock::now();
  {
    line_writer writer(pipe.to());
    for (int i = 0; i < 3; ++i) writer.write(std::string(100'000, 'x') + "\n");
  }
  const auto took = std::chrono::steady_clock::now() - began;
  CHECK(took >= line_writer::patience);
  CHECK(took < line_writer::patience + 3s);
}

TEST_CASE("a reader that left does not kill the writer") {
  pipe_ends pipe;
  pipe.close_reader();
  line_writer writer(pipe.to());
  writer.write("one\n");
  writer.flush();
  writer.write("two\n");  // SIGPIPE would have ended the test
  writer.flush();
  SUCCEED();
}

TEST_CASE("the combined access log is one line, whatever the caller sent") {
  const auto line = format_access(config::access_log::combined, hostile_entry(hostile()));
  CHECK(lines_of(line).size() == 1);
  CHECK(line.back() == '\n');
  for (const char c : line.substr(0, line.size() - 1)) {
    if (c < 0x20 || c > 0x7e) FAIL("an unescaped byte");
  }
  CHECK(std::count(line.begin(), line.end(), '"') == 6);  // those of the format

  const std::string target = "/apache_pb.gif";
  auto entry = hostile_entry(target);
  entry.referer = {};
  entry.user_agent = "Mozilla/4.08 [en] \"x\"";
  CHECK(format_access(config::access_log::combined, entry) ==
        "192.0.2.1 - - [01/May/2024:12:00:00 +0000] \"GET /apache_pb.gif HTTP/1.1\" 200 2326 \"-\" "
        "\"Mozilla/4.08 [en] \\x22x\\x22\"\n");
  access_entry unread;
  unread.peer = "::1";
  unread.status = 400;
  CHECK(format_access(config::access_log::combined, unread).find("] \"-\" 400 0 \"-\" \"-\"\n") != std::string::npos);
}

TEST_CASE("the JSON access log holds what is known") {
  const auto text = hostile();
  auto entry = hostile_entry(text);
  entry.function = "hello";
  entry.request_id = "r1";
  entry.duration_ms = 12.3456;
  entry.park_ms = 10;
  entry.cold = true;
  const auto line = format_access(config::access_log::json, entry);
  CHECK(lines_of(line).size() == 1);
  const auto parsed = nlohmann::json::parse(line);
  CHECK(parsed["ts"] == "2024-05-01T12:00:00.123Z");
  CHECK(parsed["function"] == "hello");
  CHECK(parsed["status"] == 200);
  CHECK(parsed["duration_ms"] == Approx(12.346));
  CHECK(parsed["park_ms"] == Approx(10.0));
  CHECK(parsed["cold"] == true);
  entry.function = {};
  CHECK_FALSE(nlohmann::json::parse(format_access(config::access_log::json, entry)).contains("function"));
}

TEST_CASE("the access log writes to its descriptor, or does nothing") {
  log_output log(log_options{});
  pipe_ends pipe;
  {
    access_logger access(config::access_log::json, log.logger(), pipe.to());
    CHECK(access.enabled());
    access.write(hostile_entry("/x"));
    access_logger off(config::access_log::off, log.logger(), pipe.to());
    CHECK_FALSE(off.enabled());
    off.write(hostile_entry("/y"));
  }
  const auto lines = lines_of(pipe.read_all());
  REQUIRE(lines.size() == 1);
  CHECK(nlohmann::json::parse(lines[0])["target"] == "/x");
}
