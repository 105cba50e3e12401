#include <fcntl.h>

#include <catch2/catch.hpp>

#include <optional>

#include "activator/backend/http/origin.hpp"
#include "activator/backend/http/readiness.hpp"
#include "tests/activator/backend_http/small_server.hpp"

using namespace rouse::backend_http;
using namespace rouse::backend_http::test;
using clock_type = std::chrono::steady_clock;
using std::chrono::milliseconds;

namespace {

readiness_settings at(std::uint16_t port) {
  readiness_settings settings;
  settings.where = *parse_address("127.0.0.1", port);
  return settings;
}

struct socket_owner {
  explicit socket_owner(int of) : fd(of) {}
  ~socket_owner() {
    if (fd >= 0) ::close(fd);
  }
  socket_owner(const socket_owner&) = delete;
  socket_owner& operator=(const socket_owner&) = delete;
  int fd;
};

std::string ask(int fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  say(fd, "GET /used HTTP/1.1\r\nHost: x\r\n\r\n");
  char part[4096];
  const ssize_t n = ::recv(fd, part, sizeof part, 0);
  return n > 0 ? std::string(part, static_cast<std::size_t>(n)) : std::string();
}

}  // namespace

TEST_CASE("an address is ready when it accepts, and the connection is handed on") {
  std::uint16_t port = 0;
  {
    port = small_server([](int, int) {}).port();
  }
  boost::asio::io_context io(1);
  std::optional<readiness_result> got;
  auto settings = at(port);
  settings.deadline = settings.begun + milliseconds(100);
  {
    readiness closed(io, settings, [&](readiness_result r) { got = std::move(r); });
    CHECK_FALSE(got);
    REQUIRE(run_until(io, [&] { return got.has_value(); }));
    CHECK(clock_type::now() >= settings.deadline);
    CHECK_FALSE(got->ready);
    CHECK(got->socket == -1);
    CHECK(got->problem == "refuses connections");
    CHECK(closed.problem() == "refuses connections");
  }
  got.reset();
  small_server server([](int fd, int) { say(fd, answer(200, hear(fd).substr(0, 9))); });
  readiness open(io, at(server.port()), [&](readiness_result r) { got = std::move(r); });
  REQUIRE(run_until(io, [&] { return got.has_value(); }));
  CHECK(got->ready);
  const socket_owner socket(got->socket);
  REQUIRE(socket.fd >= 0);
  CHECK((::fcntl(socket.fd, F_GETFL) & O_NONBLOCK) != 0);
  CHECK(ask(socket.fd).ends_with("GET /used"));
  CHECK(server.accepted() == 1);
}

TEST_CASE("with a path it is asked until it answers 2xx") {
  std::atomic<int> asked{0};
  std::atomic<bool> closes{false};
  small_server server([&](int fd, int) {
    for (std::string got = hear(fd); !got.empty(); got = hear(fd)) {
      const int n = ++asked;
      if (n == 1) return;  // closes without a word
      if (n == 2) return say(fd, "what?\r\n");
      if (n <= 4) {
        say(fd, answer(503, "not yet"));
      } else if (closes) {
        return say(fd, "HTTP/1.1 204 Fine\r\nConnection: close\r\n\r\n");
      } else {
        // In pieces, as some servers do.
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
        std::this_thread::sleep_for(milliseconds(3));
        say(fd, "fine");
      }
    }
  });
  closes = GENERATE(false, true);
  boost::asio::io_context io(1);
  auto settings = at(server.port());
  settings.path = "/healthz";
  std::optional<readiness_result> got;
  readiness it(io, settings, [&](readiness_result r) { got = std::move(r); });
  REQUIRE(run_until(io, [&] { return got.has_value(); }));
  CHECK(got->ready);
  CHECK(it.problem() == "answers GET /healthz with 503");
  CHECK(asked == 5);
  const socket_owner socket(got->socket);
  CHECK((socket.fd >= 0) == !closes);
  if (socket.fd >= 0) CHECK(ask(socket.fd).find("200 OK") != std::string::npos);
}

TEST_CASE("one that takes the connection and says nothing, and one that is given up") {
  small_server server([](int fd, int) {
    hear(fd);
    hear(fd);
  });
  boost::asio::io_context io(1);
  auto settings = at(server.port());
  settings.path = "/";
  settings.answer_timeout = milliseconds(20);
  settings.deadline = settings.begun + milliseconds(100);
  std::optional<readiness_result> got;
  {
    readiness it(io, settings, [&](readiness_result r) { got = std::move(r); });
    REQUIRE(run_until(io, [&] { return got.has_value(); }));
    CHECK_FALSE(got->ready);
    CHECK(got->problem == "does not answer GET / in time");
    CHECK(server.accepted() > 1);
  }
  got.reset();
  {
    settings.deadline = clock_type::time_point::max();
    readiness it(io, settings, [&](readiness_result r) { got = std::move(r); });
    run_until(
        io, [&] { return false; }, milliseconds(10));
  }
  run_until(
      io, [&] { return false; }, milliseconds(30));
  CHECK_FALSE(got);
}

TEST_CASE("one look is one look") {
  std::atomic<int> asked{0};
  small_server server([&](int fd, int) {
    for (std::string got = hear(fd); !got.empty(); got = hear(fd)) say(fd, answer(++asked == 1 ? 503 : 200, ""));
  });
  boost::asio::io_context io(1);
  auto settings = at(server.port());
  settings.path = "/healthz";
  settings.once = true;
  std::optional<readiness_result> got;
  for (const bool good : {false, true}) {
    got.reset();
    readiness it(io, settings, [&](readiness_result r) { got = std::move(r); });
    REQUIRE(run_until(io, [&] { return got.has_value(); }));
    const socket_owner socket(got->socket);
    CHECK(got->ready == good);
    CHECK(got->problem == (good ? "" : "answers GET /healthz with 503"));
  }
  CHECK(asked == 2);
}
