// Response heads: what is refused, how the body is framed, and when the connection can be used again.

#include "tests/gateway/http/feeding.hpp"

namespace {

using namespace rouse::gateway::http;
using namespace rouse::test;
using namespace std::string_literals;

constexpr std::size_t limit = 65536;
constexpr std::string_view next = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

parser to(std::string method) {
  return [method](std::string_view buffer, std::size_t seen) {
    response_head head;
    return parse_response(buffer, limit, method, head, seen);
  };
}

void accepts(std::string_view head) {
  expect_accepted(head, next, to("GET"));
}
void refuses(std::string_view head) {
  expect_refused(head, next, 502, to("GET"));
}
std::string ok(std::string_view lines) {
  return "HTTP/1.1 200 OK\r\n" + std::string(lines) + "\r\n";
}

struct parsed {
  std::string text;  // `head` points into it
  response_head head;
  explicit parsed(std::string_view from, std::string_view method = "GET") : text(from) {
    const parse_result result = parse_response(text, limit, method, head);
    INFO(shown(text) << ": " << result.why.detail);
    REQUIRE(result.what == kind::done);
  }
};

}  // namespace

TEST_CASE("status-lines") {
  accepts(ok(""));
  accepts("HTTP/1.0 404 \r\n\r\n");
  accepts("HTTP/1.1 599 Any\tre\xe4son  at all\r\n\r\n");
  const parsed one("HTTP/1.0 404 Not Found\r\n\r\n");
  CHECK(one.head.status == 404);
  CHECK(one.head.reason == "Not Found");
  CHECK(one.head.version == 10);
  for (const char* line : {"HTTP/1.1 200",
                           "HTTP/1.1  200 OK",
                           "HTTP/1.1 20 OK",
                           "HTTP/1.1 2000 OK",
                           "HTTP/1.1 099 OK",
                           "HTTP/1.1 600 OK",
                           "HTTP/1.1 abc OK",
                           "HTTP/1.1 2x0 OK",
                           "HTTP/1.1 -20 OK",
                           "HTTP/1.1 200OK",
                           "HTTP/1.1 200\tOK",
                           "HTTP/1.1\t200 OK",
                           "HTTP/1.2 200 OK",
                           "HTTP/2.0 200 OK",
                           "HTTP/2 200",
                           "http/1.1 200 OK",
                           "HTTP/1.10 200 OK",
                           "ICY 200 OK",
                           " HTTP/1.1 200 OK",
                           "HTTP/1.1 200 O\x01K",
                           "HTTP/1.1 200 O\x7fK",
                           "HTTP/1.1 200 O\rK",
                           "HTTP/1.1",
                           "200 OK",
                           "<html>",
                           "HTTP/1.1 200 OK\r",
                           ""}) {
    refuses(line + "\r\nA: b\r\n\r\n"s);
  }
  refuses("HTTP/1.1 200 O\0K\r\n\r\n"s);
  refuses("HTTP/1.1 200 OK\n\n");
  refuses("\r\nHTTP/1.1 200 OK\r\n\r\n");
}

TEST_CASE("fields of responses are as strict as those of requests") {
  for (const char* lines : {"A: b\n", "A: b\rc\r\n", "A: b\r\n c\r\n", " A: b\r\n", "A : b\r\n", ": b\r\n", "A\r\n",
                            "A b: c\r\n", "A\x80: b\r\n", "A: b\x7f\r\n", "A: \x01\r\n", "Connection: a b\r\n"}) {
    refuses(ok(lines));
  }
  for (const char* value : {"-1", "+1", "1,1", "1, 1", "", "a", "0x1", "99999999999999999999"}) {
    refuses(ok("Content-Length: "s + value + "\r\n"));
  }
  for (const char* value : {"xchunked", "identity", "gzip", "gzip, chunked", "chunked, chunked", "chunked, gzip", ""}) {
    refuses(ok("Transfer-Encoding: "s + value + "\r\n"));
  }
  refuses(ok("Content-Length: 2\r\nContent-Length: 2\r\n"));
  refuses(ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"));
  refuses(ok("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n"));
  refuses(ok("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"));
  refuses("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  expect_refused(ok("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n"), next, 502, to("HEAD"));
  expect_refused("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n", next, 502, to("GET"));
  std::string many;
  for (int i = 0; i < 257; ++i) many += "a: b\r\n";
  refuses(ok(many));
}

TEST_CASE("framing follows status, method and fields") {
  const auto body = [](std::string_view text, std::string_view method = "GET") {
    return parsed(text, method).head.body;
  };
  const std::string length = "Content-Length: 5\r\n\r\n";
  const std::string chunked = "Transfer-Encoding: Chunked\r\n\r\n";
  CHECK(body("HTTP/1.1 200 OK\r\n" + length) == framing::length);
  CHECK(body("HTTP/1.1 200 OK\r\n" + chunked) == framing::chunked);
  CHECK(body("HTTP/1.1 200 OK\r\n\r\n") == framing::until_close);
  CHECK(body("HTTP/1.0 200 OK\r\n\r\n") == framing::until_close);
  CHECK(body("HTTP/1.1 205 Reset\r\n" + length) == framing::length);
  CHECK(body("HTTP/1.1 200 OK\r\n" + length, "HEAD") == framing::none);
  CHECK(body("HTTP/1.1 200 OK\r\n" + chunked, "HEAD") == framing::none);
  CHECK(body("HTTP/1.1 200 OK\r\n\r\n", "HEAD") == framing::none);
  CHECK(body("HTTP/1.1 304 Not Modified\r\n" + length) == framing::none);
  CHECK(body("HTTP/1.1 204 No Content\r\n\r\n") == framing::none);
  CHECK(body("HTTP/1.1 204 No Content\r\n" + length) == framing::none);
  CHECK(body("HTTP/1.1 100 Continue\r\n\r\n") == framing::none);
  CHECK(body("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") == framing::none);
  CHECK(body("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n") == framing::none);
  refuses("HTTP/1.1 100 Continue\r\n" + length);
  refuses("HTTP/1.1 101 Switching Protocols\r\n" + chunked);
  const parsed head("HTTP/1.1 304 Not Modified\r\n" + length);
  CHECK(head.head.has_content_length);
  CHECK(head.head.content_length == 5);
}

TEST_CASE("whether the connection can be used again") {
  const auto kept = [](std::string_view text, std::string_view method = "GET") {
    return parsed(text, method).head.keep_alive;
  };
  const std::string length = "Content-Length: 5\r\n";
  CHECK(kept(ok(length)));
  CHECK_FALSE(kept(ok(length + "Connection: close\r\n")));
  CHECK_FALSE(kept(ok("")));
  CHECK(kept(ok(""), "HEAD"));
  CHECK_FALSE(kept("HTTP/1.0 200 OK\r\n" + length + "\r\n"));
  CHECK(kept("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + length + "\r\n"));
  CHECK(kept("HTTP/1.1 204 No Content\r\n\r\n"));
  CHECK(kept("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"));
  CHECK_FALSE(kept("HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n"));
  CHECK_FALSE(kept("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"));
  CHECK_FALSE(kept("HTTP/1.1 101 Switching Protocols\r\n\r\n"));
  CHECK_FALSE(kept(ok(length + "Keep-Alive: timeout=0\r\n")));
  CHECK(parsed(ok(length + "Keep-Alive: max=3, Timeout=5\r\n")).head.keep_alive_seconds == 5);
  CHECK(parsed(ok(length + "Keep-Alive: timeout=5x\r\n")).head.keep_alive_seconds == 0);
  CHECK(parsed(ok(length + "Keep-Alive: timeout=99999999999\r\n")).head.keep_alive_seconds == 0);
  CHECK(parsed(ok(length)).head.keep_alive_seconds == 0);
}

TEST_CASE("an answer that can never become a response is refused at once") {
  for (const std::string_view text : {"SSH-2.0-OpenSSH", "HTTP/2.0 ", "\x15\x03\x01", "+OK\r\n", "H TTP"}) {
    const dribbled slow = dribble(text, to("GET"));
    INFO(text);
    CHECK(slow.result.what == kind::refused);
    CHECK(slow.at <= 6);
  }
}
