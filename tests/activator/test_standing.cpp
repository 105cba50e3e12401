// Instances that are there whether they are used or not: endpoints of a static pool.

#include "lifecycle_rig.hpp"

using namespace rouse;
using namespace std::chrono_literals;
using rig = test::lifecycle_rig;

TEST_CASE("one that leaves is not among those that stand: another is used beside it while it drains") {
  rig r;
  r.life->on_standing(0, 2, r.now);
  REQUIRE(r.running() == 2);
  r.ready(1);
  r.ready(2);
  for (int i = 0; i < 2; ++i) REQUIRE(r.request().held);
  r.life->on_leaving(1, "it left its name", r.now);
  r.evaluate();
  CHECK(r.state(1) == "draining");
  CHECK(r.running() == 2);  // there is no other
  // A third has come for it.
  r.life->on_standing(0, 2, r.now);
  CHECK(r.running() == 3);
  r.ready(3);
  CHECK(r.request().held);
  r.life->on_standing(0, 2, r.now);
  CHECK(r.running() == 3);
}

TEST_CASE("what failed while there was none does not delay the first that is there again") {
  rig r;
  r.life->on_standing(0, 0, r.now);
  for (std::uint64_t id = 1; id <= 5; ++id) {
    r.request();
    REQUIRE(r.running() == 1);
    r.exits(id, "no-capacity");
    r.advance(70s);
  }
  r.request();
  r.exits(6, "no-capacity");
  REQUIRE(r.running() == 0);
  r.life->on_standing(0, 1, r.now);
  CHECK(r.running() == 1);
}

TEST_CASE("a restart takes what stands anew, one by one") {
  rig r;
  r.life->on_standing(0, 2, r.now);
  r.ready(1);
  r.ready(2);
  r.life->replace_all();
  r.evaluate();
  std::uint64_t next = 3;
  for (std::uint64_t id : {1, 2}) {
    r.advance(2s);
    REQUIRE(r.asked_to_stop(id));
    CHECK(r.running() == 2);  // only one goes at a time
    r.exits(id);
    r.advance(2s);
    REQUIRE(r.backend.starts.back().id == next);
    r.ready(next++);
  }
  r.advance(60s);
  CHECK(r.backend.starts.size() == 4);
  CHECK(r.running() == 2);
}

TEST_CASE("one that ends is not replaced by one that is not there") {
  rig r;
  r.life->on_standing(0, 2, r.now);
  r.ready(1);
  r.ready(2);
  r.advance(20s);
  r.exits(1, "unhealthy");
  CHECK(r.running() == 1);
  r.life->on_standing(0, 1, r.now);
  CHECK(r.running() == 1);
  r.life->on_standing(0, 2, r.now);
  CHECK(r.running() == 2);
}
