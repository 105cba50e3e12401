// The config refuses, with its place in the file, every route's path that no request could have.
#include <array>
#include <catch2/catch.hpp>
#include <random>
#include <string>

#include "config/route_path.hpp"
#include "router/normalise.hpp"

using namespace rouse;

TEST_CASE("a path that the config accepts is one to the route table") {
  constexpr std::array pieces{"/",   "/",   ".", "..", ";",  "%2F", "%5C", "%3B",
                              "%2e", "%2C", "a", "%",  "\\", "|",   ",",   "%41"};
  std::mt19937 random(11);  // the same paths in every run
  int accepted = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string path = "/";
    for (std::size_t n = random() % 7; n > 0; --n) path += pieces[random() % pieces.size()];
    if (!config::parse_route_path(path).value) continue;
    ++accepted;
    std::string scratch;
    router::normalised_path normal;
    INFO(path);
    REQUIRE(router::normalise(path, scratch, normal));
    REQUIRE(normal.raw.size() == path.size());
  }
  CHECK(accepted > 1000);
}
