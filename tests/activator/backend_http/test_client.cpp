#include <sys/resource.h>

#include <catch2/catch.hpp>

#include <atomic>
#include <optional>
#include <vector>

#include "activator/backend/http/client.hpp"
#include "tests/activator/backend_http/small_server.hpp"

using namespace rouse::backend_http;
using namespace rouse::backend_http::test;
using std::chrono::milliseconds;

namespace {

client_settings at(std::uint16_t port) {
  client_settings settings;
  settings.to.host = "127.0.0.1";
  settings.to.port = port;
  return settings;
}

request get(std::string target) {
  request made;
  made.target = std::move(target);
  return made;
}

/// Sends it and waits for its end; it must not come from inside the call.
response ask(boost::asio::io_context& io, client& with, request what) {
  std::optional<response> got;
  const call one = with.send(std::move(what), [&](response r) { got = std::move(r); });
  CHECK_FALSE(got);
  CHECK(one.active());
  REQUIRE(run_until(io, [&] { return got.has_value(); }));
  CHECK_FALSE(one.active());
  return std::move(*got);
}

struct streamed {
  int status = 0;
  std::string data;
  std::optional<failure> end;
  stream_handlers handlers() {
    stream_handlers made;
    made.on_head = [this](int code, const header_list&) { status = code; };
    made.on_data = [this](std::string_view bytes) { data += bytes; };
    made.on_end = [this](failure why) { end = std::move(why); };
    return made;
  }
};

void answer_all(int fd, int number) {
  for (std::string got = hear(fd); !got.empty(); got = hear(fd)) say(fd, answer(200, std::to_string(number) + got));
}

}  // namespace

TEST_CASE("requests go over one kept connection") {
  small_server server(answer_all);
  boost::asio::io_context io(1);
  auto settings = at(server.port());
  settings.headers = {{"Authorization", "Bearer one"}};
  client it(io, settings);

  auto made = get("/a?b=c");
  made.headers = {{"Accept", "text/plain"}};
  auto got = ask(io, it, made);
  CHECK(got.status == 200);
  CHECK_FALSE(got.error);
  CHECK(got.body == "1GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(server.port()) +
                        "\r\nUser-Agent: rouse\r\nAccept: text/plain\r\nAuthorization: Bearer one\r\n\r\n");
  it.set_header("Authorization", "Bearer two");
  request post;
  post.method = "POST";
  post.target = "/p";
  post.body = "12345";
  got = ask(io, it, post);
  CHECK(got.body.substr(0, 6) == "1POST ");
  CHECK(got.body.find("Bearer two") != std::string::npos);
  CHECK(got.body.find("Content-Length: 5\r\n\r\n12345") != std::string::npos);
  CHECK(server.accepted() == 1);
}

TEST_CASE("over a unix socket") {
  const std::string path = "/tmp/rouse-test-client." + std::to_string(::getpid());
  boost::asio::io_context io(1);
  client_settings settings;
  settings.to = unix_origin(path);
  client it(io, settings);
  CHECK(ask(io, it, get("/")).error.problem == "there is no socket " + path);
  {
    small_server server(answer_all, path);
    CHECK(ask(io, it, get("/x")).body.find("GET /x HTTP/1.1\r\nHost: localhost\r\n") == 1);
  }
  const auto gone = ask(io, it, get("/y"));
  CHECK(gone.error.what == fault::unreachable);
}

TEST_CASE("nobody listens, or the name is unknown") {
  std::uint16_t port = 0;
  {
    port = small_server([](int, int) {}).port();
  }
  boost::asio::io_context io(1);
  client refused(io, at(port));
  auto got = ask(io, refused, get("/"));
  CHECK(got.error.what == fault::unreachable);
  CHECK(got.error.problem == "connection refused by 127.0.0.1:" + std::to_string(port));

  auto settings = at(80);
  settings.to.host = "no-such-host.invalid";
  client unknown(io, settings);
  got = ask(io, unknown, get("/"));
  CHECK(got.error.what == fault::unreachable);
  CHECK(got.error.problem.find("cannot look up the name no-such-host.invalid") == 0);

  small_server server(answer_all);
  settings = at(server.port());
  settings.to.host = "localhost";
  client named(io, settings);
  CHECK(ask(io, named, get("/")).status == 200);
}

TEST_CASE("what cannot be sent is said later, too") {
  boost::asio::io_context io(1);
  client it(io, at(1));
  CHECK(ask(io, it, get("/a b")).error.problem.find("must be encoded") != std::string::npos);
  auto injected = get("/");
  injected.headers = {{"X", "a\r\nY: b"}};
  CHECK(ask(io, it, injected).error.problem.find("field X has a line end") != std::string::npos);
}

TEST_CASE("a connection that ends in the middle, says nothing, or says nonsense") {
  small_server server([](int fd, int) {
    const std::string asked = hear(fd);
    if (asked.starts_with("GET /cut ")) say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
    if (asked.starts_with("GET /mail ")) say(fd, "220 smtp ready\r\n");
    if (asked.starts_with("GET /old ")) say(fd, "HTTP/1.0 200 OK\r\n\r\nuntil the end");
  });
  boost::asio::io_context io(1);
  client it(io, at(server.port()));
  auto got = ask(io, it, get("/cut"));
  CHECK(got.status == 0);
  CHECK(got.error.what == fault::broken);
  CHECK(got.error.problem.find("closed the connection in the middle of its answer") != std::string::npos);
  got = ask(io, it, get("/nothing"));
  CHECK(got.error.what == fault::broken);
  CHECK(got.error.problem.find("closed the connection without an answer") != std::string::npos);
  CHECK(ask(io, it, get("/mail")).error.problem.find("not HTTP") != std::string::npos);
  got = ask(io, it, get("/old"));
  CHECK_FALSE(got.error);
  CHECK(got.body == "until the end");
}

TEST_CASE("a silent server, and one that says too much") {
  small_server server([](int fd, int) {
    const std::string asked = hear(fd);
    if (asked.find("GET /long ") == 0) {
      say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      const std::string chunk = "1000\r\n" + std::string(0x1000, 'x') + "\r\n";
      for (int i = 0; i < 1000; ++i) say(fd, chunk);
    }
    hear(fd);
  });
  boost::asio::io_context io(1);
  client it(io, at(server.port()));
  auto silent = get("/silent");
  silent.timeout = milliseconds(50);
  auto got = ask(io, it, silent);
  CHECK(got.error.what == fault::timeout);
  CHECK(got.error.problem.find("did not answer GET /silent within 50 ms") != std::string::npos);
  auto big = get("/long");
  big.most_body = 100'000;
  got = ask(io, it, big);
  CHECK(got.error.what == fault::too_big);
  CHECK(got.error.problem.find("longer than 100000 bytes") != std::string::npos);
}

TEST_CASE("a kept connection that was closed meanwhile is not used, or the request is sent again where it may be") {
  std::atomic<int> heard{0};
  small_server server([&](int fd, int number) {
    const std::string first = hear(fd);
    if (!first.empty()) say(fd, answer(200, "first " + std::to_string(number)));
    // The next request on this connection is read, and the connection closed without a word.
    if (hear(fd).empty()) return;
    ++heard;
  });
  boost::asio::io_context io(1);
  client it(io, at(server.port()));
  CHECK(ask(io, it, get("/")).body == "first 1");
  CHECK(ask(io, it, get("/")).body == "first 2");  // on a new connection, after the first had died under it
  CHECK(heard == 1);

  request post;
  post.method = "POST";
  const auto got = ask(io, it, post);
  CHECK(got.error.what == fault::broken);
  CHECK(heard == 2);
  CHECK(server.accepted() == 2);
  CHECK(ask(io, it, post).body == "first 3");
  post.repeatable = true;
  CHECK(ask(io, it, post).body == "first 4");
}

TEST_CASE("an idle connection is closed after a while, and no more are open than allowed") {
  std::atomic<int> closed{0};
  std::atomic<int> at_once{0};
  std::atomic<int> most{0};
  small_server server([&](int fd, int) {
    for (std::string got = hear(fd); !got.empty(); got = hear(fd)) {
      const int now = ++at_once;
      for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
      }
      std::this_thread::sleep_for(milliseconds(2));
      --at_once;
      say(fd, answer(200, "x"));
    }
    ++closed;
  });
  boost::asio::io_context io(1);
  auto settings = at(server.port());
  settings.most_open = 3;
  settings.most_idle = 2;
  settings.idle_for = milliseconds(20);
  client it(io, settings);
  int answers = 0;
  std::vector<call> calls;
  for (int i = 0; i < 20; ++i)
    calls.push_back(it.send(get("/"), [&](const response& got) { answers += got.status == 200; }));
  calls[15].cancel();  // one that still waits
  REQUIRE(run_until(io, [&] { return answers == 19; }));
  CHECK(most <= 3);
  CHECK(server.accepted() <= 6);
  CHECK(run_until(io, [&] { return closed == server.accepted(); }));
}

TEST_CASE("a stream hands on what comes, when it comes") {
  std::atomic<bool> go_on{false};
  small_server server([&](int fd, int) {
    hear(fd);
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\none\r\n\r\n");
    while (!go_on) std::this_thread::sleep_for(milliseconds(1));
    say(fd, "5\r\ntwo\r\n\r\n0\r\n\r\n");
    hear(fd);
  });
  boost::asio::io_context io(1);
  client it(io, at(server.port()));
  streamed got;
  const call stream = it.stream(get("/watch"), got.handlers());
  REQUIRE(run_until(io, [&] { return got.data == "one\r\n"; }));
  CHECK(got.status == 200);
  CHECK_FALSE(got.end);
  go_on = true;
  REQUIRE(run_until(io, [&] { return got.end.has_value(); }));
  CHECK(got.data == "one\r\ntwo\r\n");
  CHECK_FALSE(*got.end);
}

TEST_CASE("streams: silence, a break, a pause") {
  std::atomic<bool> go_on{false};
  small_server server([&](int fd, int) {
    const std::string asked = hear(fd);
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    if (asked.find("/breaks") != std::string::npos) return;
    while (!go_on) std::this_thread::sleep_for(milliseconds(1));
    say(fd, "5\r\nagain\r\n");
    hear(fd);
  });
  boost::asio::io_context io(1);
  client it(io, at(server.port()));
  streamed got;
  request what = get("/watch");
  SECTION("silent") {
    what.silence = milliseconds(50);
    const call stream = it.stream(what, got.handlers());
    REQUIRE(run_until(io, [&] { return got.end.has_value(); }));
    CHECK(got.data == "hello");
    CHECK(got.end->what == fault::timeout);
    CHECK(got.end->problem.find("said nothing for 50 ms") != std::string::npos);
  }
  SECTION("broken") {
    what.target = "/breaks";
    const call stream = it.stream(what, got.handlers());
    REQUIRE(run_until(io, [&] { return got.end.has_value(); }));
    CHECK(got.end->what == fault::broken);
    CHECK(got.end->problem.find("in the middle of its answer") != std::string::npos);
  }
  SECTION("paused") {
    call stream = it.stream(what, got.handlers());
    REQUIRE(run_until(io, [&] { return got.data == "hello"; }));
    stream.pause();
    go_on = true;
    // The read that was under way may still bring something; after that nothing comes.
    run_until(
        io, [&] { return false; }, milliseconds(30));
    stream.resume();
    REQUIRE(run_until(io, [&] { return got.data == "helloagain"; }));
  }
  go_on = true;
}

TEST_CASE("nothing is heard of a request that was given up, or whose client is gone") {
  small_server server([](int fd, int) {
    hear(fd);
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    hear(fd);
  });
  boost::asio::io_context io(1);
  auto it = std::make_unique<client>(io, at(server.port()));
  int heard = 0;
  {
    const call given_up = it->send(get("/"), [&](const response&) { ++heard; });
  }
  call detached = it->send(get("/"), [&](const response&) { ++heard; });
  detached.detach();
  // The client is destroyed by the handler that it calls.
  std::string data;
  stream_handlers handlers;
  handlers.on_head = [&](int, const header_list&) { it.reset(); };
  handlers.on_data = [&](std::string_view bytes) { data += bytes; };
  handlers.on_end = [&](const failure&) { ++heard; };
  call stream = it->stream(get("/"), handlers);
  REQUIRE(run_until(io, [&] { return !it; }));
  run_until(
      io, [&] { return false; }, milliseconds(20));
  CHECK(heard == 0);
  CHECK(data.empty());
  CHECK_FALSE(stream.active());
  io.restart();
  CHECK(io.poll() == 0);
}
