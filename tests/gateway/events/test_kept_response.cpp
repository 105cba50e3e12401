// A function's response in the store: what goes in comes out, and nothing else is taken for one.

#include <catch2/catch.hpp>

#include "gateway/events/kept_response.hpp"

namespace {

using namespace rouse::gateway::events;

void comes_back(const kept_response& response) {
  const auto back = decode_response(encode(response));
  REQUIRE(back);
  CHECK(back->status == response.status);
  CHECK(back->fields == response.fields);
  CHECK(back->body == response.body);
}

}  // namespace

TEST_CASE("a response comes back as it was") {
  comes_back({200, {{"Content-Type", "text/plain"}, {"Set-Cookie", "a=b; c"}, {"Set-Cookie", "d=e"}}, "hello"});
  comes_back({204, {}, ""});
  comes_back({500, {{"X-Empty", ""}, {"X-Colons", "a:b::c"}, {"X-Space", " kept "}}, "no"});
  comes_back({200, {{"A", "b"}}, "\n\nlines\n\n: of its own\r\n"});
  comes_back({200, {}, std::string("\0\xff\n1\n200\n\n", 10)});
  comes_back({200, {{"A", "b"}}, std::string(1 << 20, 'x')});
}

TEST_CASE("what was cut within its head is no response") {
  const auto whole = encode({200, {{"Content-Type", "text/plain"}, {"X-Other", "1"}}, "body"});
  const auto head = whole.size() - 4;
  for (std::size_t size = 0; size < head; ++size) {
    CAPTURE(size);
    CHECK_FALSE(decode_response(std::string_view(whole).substr(0, size)));
  }
  CHECK(decode_response(std::string_view(whole).substr(0, head)));
}

TEST_CASE("what encode() did not write is no response") {
  for (const char* const bytes :
       {"", "\n", "1", "1\n", "1\n200", "1\n200\n", "2\n200\n\n", "1\nabc\n\n", "1\n\n\n", "1\n-5\n\n",
        "1\n200\nno colon\n\n", "1\n200 OK\n\n", "1\n200x\n\n", "1\n0\n\n", "1\n99\n\n", "1\n1000\n\n",
        "1\n99999999999999999999\n\n", "HTTP/1.1 200 OK\r\n\r\n"}) {
    CAPTURE(bytes);
    CHECK_FALSE(decode_response(bytes));
  }
}
