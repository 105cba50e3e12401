#include <catch2/catch.hpp>

#include <vector>

#include "activator/backend/docker/streams.hpp"

using namespace rouse::docker;
using namespace std::chrono_literals;

namespace {

std::string frame(char stream, const std::string& text) {
  std::string out{stream, 0, 0, 0};
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(text.size() >> shift & 0xff);
  return out + text;
}

}  // namespace

TEST_CASE("output comes in frames, however they are cut") {
  const std::string all = frame(1, "one\n") + frame(2, std::string(300, 'x') + "\n") + frame(1, "") + frame(1, "end\n");
  const std::string expected = "one\n" + std::string(300, 'x') + "\nend\n";
  for (const std::size_t piece : {1UL, 2UL, 7UL, 9UL, 100UL, 1000UL}) {
    frame_reader reader;
    std::string got;
    for (std::size_t at = 0; at < all.size(); at += piece)
      reader.push(std::string_view(all).substr(at, piece), [&](std::string_view text) { got += text; });
    CHECK(got == expected);
  }
}

TEST_CASE("lines of JSON, however they are cut") {
  line_reader reader;
  std::vector<std::string> got;
  const auto push = [&](std::string_view bytes) {
    reader.push(bytes, [&](std::string_view line) { got.emplace_back(line); });
  };
  push("{\"a\"");
  push(":1}\n\n{\"b\":2}\n{");
  push("}\n");
  CHECK(got == std::vector<std::string>{"{\"a\":1}", "{\"b\":2}", "{}"});
  got.clear();
  for (int i = 0; i < 20; ++i) push(std::string(100'000, 'x'));
  push("\nnext\n");
  CHECK(got == std::vector<std::string>{"next"});
}

TEST_CASE("the progress of a pull, for people") {
  pull_progress it("python:3");
  pull_progress::clock::time_point now{};
  it.hear(R"({"status":"Pulling from library/python","id":"3"})");
  CHECK(it.news(now) == "pulling python:3");
  it.hear(R"({"status":"Downloading","progressDetail":{"current":1048576,"total":10485760},"id":"a"})");
  it.hear(R"({"status":"Downloading","progressDetail":{"current":524288,"total":524289},"id":"b"})");
  CHECK_FALSE(it.news(now + 100ms));  // too soon
  CHECK(it.news(now + 500ms) == "pulling python:3: 1 of 11 MiB");
  CHECK_FALSE(it.news(now + 1100ms));  // nothing new
  it.hear(R"({"status":"Download complete","progressDetail":{},"id":"a"})");
  it.hear(R"({"status":"Download complete","id":"b"})");
  it.hear(R"({"status":"Extracting","progressDetail":{"current":1,"total":10485760},"id":"a"})");
  CHECK(it.news(now + 2000ms) == "pulling python:3: unpacking");
  it.hear("garbage");
  it.hear("[]");
  CHECK(it.error().empty());
  it.hear(R"({"errorDetail":{"message":"no"},"error":"no such manifest"})");
  CHECK(it.error() == "no such manifest");
}
