#include <catch2/catch.hpp>

#include "activator/backend/http/response_reader.hpp"

using namespace rouse::backend_http;

namespace {

/// Pushed whole, and byte by byte: it must be the same.
void with_pushes(std::string_view bytes, const std::function<void(response_reader&)>& check, bool no_body = false) {
  response_reader whole(no_body);
  CHECK(whole.push(bytes));
  check(whole);
  response_reader slow(no_body);
  for (const char& byte : bytes) CHECK(slow.push({&byte, 1}));
  check(slow);
}

}  // namespace

TEST_CASE("responses of a known length, chunked, and without a body") {
  with_pushes("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello", [](response_reader& got) {
    CHECK(got.is_done());
    CHECK(got.status() == 200);
    CHECK(got.body() == "hello");
    CHECK(find_header(got.headers(), "x-a") == "b");
    CHECK(got.keep_alive());
    CHECK_FALSE(got.surplus());
  });
  with_pushes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: u\r\n\r\n",
              [](response_reader& got) {
                CHECK(got.is_done());
                CHECK(got.body() == "abcde");
              });
  with_pushes("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", [](response_reader& got) {
    CHECK(got.is_done());
    CHECK_FALSE(got.keep_alive());
  });
  with_pushes(
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", [](response_reader& got) { CHECK(got.is_done()); }, true);
}

TEST_CASE("interim responses are skipped") {
  with_pushes(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
      [](response_reader& got) {
        CHECK(got.is_done());
        CHECK(got.status() == 200);
        CHECK(find_header(got.headers(), "a").empty());
      });
  response_reader only;
  CHECK(only.push("HTTP/1.1 100 Continue\r\n\r\n"));
  CHECK_FALSE(only.has_head());
  CHECK_FALSE(only.is_done());
  CHECK_FALSE(only.push_end());
}

TEST_CASE("a body without a length ends with the connection, others must be whole") {
  response_reader open;
  CHECK(open.push("HTTP/1.1 200 OK\r\n\r\nabc"));
  CHECK_FALSE(open.is_done());
  CHECK(open.push_end());
  CHECK(open.is_done());
  CHECK(open.body() == "abc");

  response_reader cut;
  CHECK(cut.push("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"));
  CHECK_FALSE(cut.push_end());
  CHECK(cut.problem() == "closed the connection in the middle of its answer");
  response_reader cut_chunk;
  CHECK(cut_chunk.push("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"));
  CHECK_FALSE(cut_chunk.push_end());
  response_reader nothing;
  CHECK_FALSE(nothing.push_end());
  CHECK(nothing.problem() == "closed the connection without an answer");
}

TEST_CASE("what is not HTTP, or not asked for") {
  response_reader tls;
  CHECK_FALSE(tls.push(std::string_view("\x15\x03\x01\x00\x02\x02\x50", 7)));
  CHECK(tls.problem().find("not HTTP") != std::string::npos);
  response_reader coded;
  CHECK_FALSE(coded.push("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked, x\r\n\r\n"));
  response_reader switched;
  CHECK_FALSE(switched.push("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"));
  response_reader more;
  CHECK(more.push("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc"));
  CHECK(more.is_done());
  CHECK(more.surplus());
  response_reader endless;
  bool ok = endless.push("HTTP/1.1 200 OK\r\n");
  for (int i = 0; ok && i < 10'000; ++i) ok = endless.push("X-Field: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
  CHECK_FALSE(ok);
}
