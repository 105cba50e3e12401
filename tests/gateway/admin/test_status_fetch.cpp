// Copies of what the control thread knows: how many are made, and for whom. Both threads are contexts that the test
// runs.

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <catch2/catch.hpp>

#include <deque>
#include <memory>

#include "gateway/admin/status_fetch.hpp"

using namespace rouse::gateway;

namespace {

using answer = std::shared_ptr<const status_list>;

struct bed {
  /// Asks, and keeps what comes.
  std::size_t ask() {
    const auto number = answers.size();
    answers.emplace_back();
    ended.push_back(false);
    asio::co_spawn(here, wait(*this, number), asio::detached);
    here.restart();
    here.poll();
    return number;
  }
  static awaitable<void> wait(bed& on, std::size_t number) {
    auto got = co_await on.fetch.fetch();
    on.answers[number] = std::move(got);
    on.ended[number] = true;
  }
  /// Lets the control thread do one thing; true when there was one.
  bool one_piece() {
    control.restart();
    const bool any = control.poll_one() == 1;
    here.restart();
    here.poll();
    return any;
  }

  asio::io_context here{1}, control{1};
  int pieces = 0, copies = 0;
  status_fetch fetch{here, control, [this](status_list& out) {
                       out.pools.emplace_back();
                       ++pieces;
                       if (out.pools.size() < 3) return false;
                       ++copies;
                       return true;
                     }};
  std::deque<answer> answers;
  std::deque<bool> ended;
};

}  // namespace

TEST_CASE("however many ask, the control thread has one piece of work at a time, and one copy is for all") {
  bed on;
  on.ask();  // makes one copy for itself
  for (int i = 0; i < 20; ++i) on.ask();
  CHECK(on.control.poll_one() == 1);
  for (int i = 0; i < 5; ++i) {
    REQUIRE(on.one_piece());
    CHECK(on.pieces == i + 2);
  }
  CHECK_FALSE(on.one_piece());
  CHECK(on.copies == 2);
  REQUIRE(on.answers[0]);
  CHECK(on.answers[0]->pools.size() == 3);
  REQUIRE(on.answers[1]);
  CHECK(on.answers[1] != on.answers[0]);
  for (std::size_t i = 1; i <= 20; ++i) CHECK(on.answers[i] == on.answers[1]);
}

TEST_CASE("who asks while a copy is being made gets the next, and nobody is told what was before the question") {
  bed on;
  const auto first = on.ask();
  REQUIRE(on.one_piece());
  const auto second = on.ask();
  while (!on.ended[first]) REQUIRE(on.one_piece());
  CHECK_FALSE(on.ended[second]);
  CHECK(on.copies == 1);
  while (!on.ended[second]) REQUIRE(on.one_piece());
  CHECK(on.copies == 2);
  CHECK(on.answers[first] != on.answers[second]);
  const auto third = on.ask();
  while (!on.ended[third]) REQUIRE(on.one_piece());
  CHECK(on.copies == 3);
  CHECK_FALSE(on.one_piece());
}

TEST_CASE("after the end nobody waits") {
  bed on;
  const auto waits = on.ask();
  REQUIRE(on.one_piece());
  on.fetch.stop();
  on.here.restart();
  on.here.poll();
  CHECK(on.ended[waits]);
  CHECK_FALSE(on.answers[waits]);
  const auto late = on.ask();
  CHECK(on.ended[late]);
  CHECK_FALSE(on.answers[late]);
  while (on.one_piece()) continue;
  CHECK(on.copies == 1);
}
