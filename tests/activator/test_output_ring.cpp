#include <catch2/catch.hpp>

#include <atomic>
#include <string>
#include <thread>

#include "activator/output_ring.hpp"

using rouse::activator::output_ring;

namespace {

const std::chrono::system_clock::time_point at{std::chrono::seconds(1000)};

void fill(output_ring& ring, int lines, std::size_t size = 5) {
  for (int i = 0; i < lines; ++i) ring.add("f-1", std::string(size, 'x'), at);
}

}  // namespace

TEST_CASE("an empty ring has nothing") {
  output_ring ring;
  CHECK(ring.since(0).empty());
  CHECK(ring.since(7).empty());
}

TEST_CASE("lines are numbered from one and come oldest first") {
  output_ring ring;
  ring.add("f-1", "one", at);
  ring.add("f-2", "two", at);
  ring.add("f-1", "three", at);
  const auto all = ring.since(0);
  REQUIRE(all.size() == 3);
  CHECK(all[0].number == 1);
  CHECK(all[0].instance == "f-1");
  CHECK(all[0].text == "one");
  CHECK(all[0].at == at);
  CHECK(all[2].text == "three");

  const auto later = ring.since(2);
  REQUIRE(later.size() == 1);
  CHECK(later[0].number == 3);
  CHECK(ring.since(3).empty());
  CHECK(ring.since(99).empty());

  const auto newest = ring.since(0, 2);
  REQUIRE(newest.size() == 2);
  CHECK(newest[0].number == 2);
  CHECK(ring.since(0, 0).empty());
}

TEST_CASE("old lines go when there are too many, numbers go on") {
  output_ring ring;
  fill(ring, 1500);
  const auto all = ring.since(0);
  REQUIRE(all.size() == output_ring::max_lines);
  CHECK(all.front().number == 501);
  CHECK(all.back().number == 1500);
  CHECK(ring.since(1499).size() == 1);
}

TEST_CASE("bytes are bounded, long lines are cut") {
  output_ring ring;
  fill(ring, 40, 10'000);
  auto all = ring.since(0);
  std::size_t bytes = 0;
  for (const auto& one : all) bytes += one.text.size() + one.instance.size();
  CHECK(bytes <= output_ring::max_bytes);
  CHECK(bytes + 10'003 > output_ring::max_bytes);
  CHECK(all.back().number == 40);

  ring.add("f-1", std::string(1'000'000, 'y'), at);
  all = ring.since(40);
  REQUIRE(all.size() == 1);
  CHECK(all[0].text.size() == output_ring::max_line_bytes);
}

TEST_CASE("one writes, another reads") {
  output_ring ring;
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    while (!stop) ring.add("f-1", "line", at);
  });
  std::uint64_t seen = 0;
  while (seen < 5000) {
    for (const auto& one : ring.since(seen, 100)) {
      REQUIRE(one.number > seen);
      seen = one.number;
    }
  }
  stop = true;
  writer.join();
}
