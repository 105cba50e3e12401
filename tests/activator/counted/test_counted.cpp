#include <catch2/catch.hpp>

#include <random>
#include <set>

#include "activator/backend/counted/counted.hpp"

using namespace std::chrono_literals;
using namespace rouse::counted;
using Catch::Contains;

namespace {

using time_point = instances::time_point;
const time_point t0{};

const sight is_starting{};
const sight is_ready{phase::ready, {}, {}};
const sight is_leaving{phase::leaving, {}, "pod is being deleted"};
const sight is_failed{phase::failed, "image", "no such image"};

struct bed {
  instances of;
  std::vector<event> all;

  void take() {
    for (auto& one : of.take()) all.push_back(std::move(one));
  }
  /// The only event since the last call.
  event only() {
    auto now = of.take();
    REQUIRE(now.size() == 1);
    return now.front();
  }
  bool silent() { return of.take().empty(); }
};

bed empty_one() {
  bed on;
  on.of.standing(0, t0);
  return on;
}

/// `count` instances of ids 1..count, all ready and confirmed.
bed with(unsigned count) {
  bed on = empty_one();
  for (unsigned i = 1; i <= count; ++i) on.of.start(i, t0, 60s);
  on.of.wrote(*on.of.write(), t0);
  for (unsigned i = 1; i <= count; ++i) {
    on.of.saw("p" + std::to_string(i), is_ready, t0);
    on.of.confirm(i);
  }
  CHECK(on.of.take().size() == count);
  return on;
}

}  // namespace

TEST_CASE("starts raise the count, and what gets ready first serves the oldest") {
  bed on = empty_one();
  CHECK_FALSE(on.of.write());
  on.of.start(1, t0, 60s);
  on.of.start(2, t0, 60s);
  CHECK(on.of.write() == 2u);
  on.of.wrote(2, t0);
  CHECK_FALSE(on.of.write());
  on.of.saw("a", is_starting, t0);
  on.of.saw("b", is_starting, t0);
  CHECK(on.silent());
  on.of.saw("b", is_ready, t0);
  auto got = on.only();
  CHECK(got.what == happened::ready);
  CHECK(got.id == 1);
  CHECK(got.name == "b");
  on.of.saw("a", is_ready, t0);
  CHECK(on.only().id == 2);
  CHECK(on.of.name_of(2) == "a");
  CHECK_FALSE(on.of.write());
}

TEST_CASE("nothing is written before it is known what runs, which serves the waiting starts first") {
  bed on;
  on.of.start(1, t0, 60s);
  on.of.saw("a", is_ready, t0);
  on.of.saw("b", is_ready, t0);
  on.of.saw("c", is_starting, t0);
  CHECK_FALSE(on.of.write());
  CHECK(on.silent());
  on.of.standing(4, t0);
  CHECK_FALSE(on.of.write());
  const auto got = on.of.take();
  REQUIRE(got.size() == 3);
  CHECK((got[0].what == happened::ready && got[0].id == 1 && got[0].name == "a"));
  CHECK((got[1].what == happened::found && got[1].name == "b"));
  CHECK((got[2].what == happened::found && got[2].name == "c"));
  // The fourth is not there yet, and is told when it is.
  on.of.saw("d", is_starting, t0);
  CHECK(on.only().name == "d");
  for (std::uint64_t id = 2; id < 5; ++id)
    on.of.start_found(id, std::string(1, static_cast<char>('a' + id - 1)), t0, 60s);
  CHECK_FALSE(on.of.write());
  const auto ready = on.only();
  CHECK((ready.what == happened::ready && ready.id == 2));
  CHECK(on.of.wanted() == 4);
}

TEST_CASE("more is started where less is found than waits") {
  bed on;
  for (std::uint64_t id = 1; id < 4; ++id) on.of.start(id, t0, 60s);
  on.of.saw("a", is_ready, t0);
  on.of.standing(1, t0);
  CHECK(on.only().id == 1);
  CHECK(on.of.write() == 3u);
}

TEST_CASE("the chosen one goes, and its id ends when it is gone") {
  bed on = with(3);
  on.of.stop(2, t0);
  CHECK(on.of.write() == 2u);
  CHECK(on.of.victims() == std::vector<std::string>{"p2"});
  on.of.wrote(2, t0);
  on.of.saw("p2", is_leaving, t0);
  CHECK(on.silent());
  CHECK(on.of.victims().empty());
  on.of.gone("p2", "deleted", t0);
  const auto got = on.only();
  CHECK((got.what == happened::exit && got.id == 2 && got.was_asked && got.was_ready));
  CHECK_FALSE(on.of.write());
  on.of.stop(2, t0);
  CHECK(on.silent());
}

TEST_CASE("another one goes than was chosen: both ids end right, and what lives on is found") {
  bed on = with(3);
  on.of.stop(2, t0);
  on.of.wrote(2, t0);
  on.of.saw("p1", is_leaving, t0);
  auto got = on.only();
  CHECK((got.what == happened::leaving && got.id == 1));
  CHECK_FALSE(on.of.write());
  REQUIRE(on.of.due());
  on.of.tick(t0 + 1s);
  CHECK(on.silent());
  on.of.tick(t0 + 2s);
  const auto both = on.of.take();
  REQUIRE(both.size() == 2);
  CHECK((both[0].what == happened::exit && both[0].id == 2 && both[0].was_asked));
  CHECK((both[1].what == happened::found && both[1].name == "p2"));
  CHECK_FALSE(on.of.is_victim("p2"));
  on.of.gone("p1", "deleted", t0);
  got = on.only();
  CHECK((got.what == happened::exit && got.id == 1 && !got.was_asked));
  on.of.start_found(4, "p2", t0, 60s);
  CHECK(on.only().what == happened::ready);
  CHECK_FALSE(on.of.write());
}

TEST_CASE("one that is deleted by hand is replaced by the scaler, which is found or serves a start") {
  bed on = with(2);
  on.of.saw("p1", is_leaving, t0);
  CHECK(on.only().what == happened::leaving);
  CHECK_FALSE(on.of.write());
  SECTION("found") {
    on.of.saw("n", is_starting, t0);
    const auto got = on.only();
    CHECK((got.what == happened::found && got.name == "n"));
    CHECK(on.of.wanted() == 2);
  }
  SECTION("a start came first") {
    on.of.start(3, t0, 60s);
    CHECK_FALSE(on.of.write());
    on.of.saw("n", is_starting, t0);
    on.of.saw("n", is_ready, t0);
    const auto got = on.only();
    CHECK((got.what == happened::ready && got.id == 3));
  }
  on.of.stop(1, t0);
  CHECK_FALSE(on.of.write());
  on.of.gone("p1", "deleted", t0);
  const auto got = on.only();
  CHECK((got.what == happened::exit && got.id == 1 && got.was_asked));
}

TEST_CASE("somebody scales by hand") {
  bed on = with(2);
  SECTION("up: found") {
    on.of.standing(4, t0);
    on.of.saw("x", is_starting, t0);
    on.of.saw("y", is_starting, t0);
    on.of.saw("z", is_starting, t0);  // more than stands there: passes by
    const auto got = on.of.take();
    REQUIRE(got.size() == 2);
    CHECK((got[0].what == happened::found && got[1].what == happened::found));
  }
  SECTION("down: leaves, and stays so until something changes") {
    on.of.standing(1, t0);
    CHECK_FALSE(on.of.write());
    on.of.saw("p2", is_leaving, t0);
    CHECK(on.only().what == happened::leaving);
    on.of.gone("p2", "deleted", t0);
    CHECK(on.only().what == happened::exit);
    CHECK_FALSE(on.of.write());
    CHECK(on.of.wanted() == 1);
  }
  SECTION("down while one is started: that is asked for again") {
    on.of.start(3, t0, 60s);
    on.of.wrote(3, t0);
    on.of.standing(2, t0);
    CHECK(on.of.write() == 3u);
  }
}

TEST_CASE("what fails before it is ready fails the oldest start, and makes room") {
  bed on = empty_one();
  on.of.start(1, t0, 60s);
  on.of.start(2, t0, 60s);
  on.of.wrote(2, t0);
  on.of.saw("a", is_starting, t0);
  on.of.saw("b", is_failed, t0);
  const auto got = on.only();
  CHECK((got.what == happened::exit && got.id == 1 && got.reason == "image" && !got.was_asked && !got.was_ready));
  CHECK(on.of.write() == 1u);
  CHECK(on.of.victims() == std::vector<std::string>{"b"});
  on.of.wrote(1, t0);
  on.of.gone("b", {}, t0);
  on.of.saw("a", is_ready, t0);
  CHECK(on.only().id == 2);
}

TEST_CASE("no room for more: the starts without an instance fail, the youngest first") {
  bed on = empty_one();
  on.of.start(1, t0, 60s);
  on.of.start(2, t0, 60s);
  on.of.wrote(2, t0);
  on.of.saw("a", is_starting, t0);
  on.of.refused("no-capacity", "exceeded quota", t0);
  CHECK(on.silent());
  CHECK(on.of.due() == t0 + 1s);
  on.of.tick(t0 + 1s);
  const auto got = on.only();
  CHECK((got.what == happened::exit && got.id == 2 && got.reason == "no-capacity"));
  CHECK(on.of.write() == 1u);
  on.of.refused({}, {}, t0);
  on.of.start(3, t0 + 2s, 60s);
  on.of.tick(t0 + 10s);
  CHECK(on.silent());
}

TEST_CASE("a start's time is up") {
  bed on = empty_one();
  on.of.start(1, t0, 10s);
  on.of.wrote(1, t0);
  CHECK(on.of.due() == t0 + 10s);
  SECTION("with what it waited for") {
    sight slow;
    slow.detail = "ContainerCreating";
    on.of.saw("a", slow, t0);
    on.of.tick(t0 + 10s);
    const auto got = on.only();
    CHECK((got.what == happened::exit && got.reason == "timeout"));
    CHECK_THAT(got.detail, Contains("ContainerCreating"));
    CHECK(on.of.is_victim("a"));
    CHECK(on.of.write() == 0u);
  }
  SECTION("while the scaler is away") {
    on.of.set_problem("connection refused", t0 + 1s, t0 + 1s);
    on.of.tick(t0 + 10s);
    const auto got = on.only();
    CHECK((got.reason == "unavailable" && got.detail == "connection refused"));
  }
  SECTION("before it is known what runs") {
    bed other;
    other.of.start(1, t0, 10s);
    other.of.tick(t0 + 10s);
    CHECK(other.only().reason == "unavailable");
  }
}

TEST_CASE("an absence is waited for a while, and then for nothing that has not begun") {
  bed on = empty_one();
  on.of.start(1, t0, 60s);
  on.of.wrote(1, t0);
  on.of.set_problem("connection refused", t0 + 1s, t0 + 1s);
  CHECK(on.of.due() == t0 + 11s);
  on.of.tick(t0 + 10s);
  CHECK(on.of.take().empty());

  SECTION("it ends") {
    on.of.set_problem({}, t0 + 10s, t0 + 10s);
    CHECK(on.of.due() == t0 + 60s);
    on.of.tick(t0 + 11s);
    CHECK(on.of.take().empty());
  }
  SECTION("it does not end: the start fails, and what comes later does at once") {
    on.of.tick(t0 + 11s);
    const auto got = on.only();
    CHECK((got.id == 1 && got.reason == "unavailable" && got.detail == "connection refused"));
    CHECK_FALSE(on.of.due());
    CHECK(on.of.write() == 0u);  // when it is back
    on.of.start(2, t0 + 12s, 60s);
    CHECK(on.only().reason == "unavailable");
  }
  SECTION("what was begun is waited for") {
    on.of.saw("a", is_starting, t0 + 10s);
    CHECK(on.of.due() == t0 + 60s);
    on.of.tick(t0 + 11s);
    CHECK(on.of.take().empty());
    on.of.start(2, t0 + 12s, 60s);
    const auto got = on.only();
    CHECK((got.id == 2 && got.reason == "unavailable"));
  }
  SECTION("nobody knows what runs") {
    bed other;
    other.of.set_problem("connection refused", t0, t0);
    other.of.start(1, t0 + 9s, 60s);
    CHECK(other.of.take().empty());
    other.of.tick(t0 + 10s);
    CHECK(other.only().reason == "unavailable");
  }
}

TEST_CASE("stop() of what is not there yet") {
  bed on = empty_one();
  on.of.start(1, t0, 60s);
  SECTION("before anything was written") {
    on.of.stop(1, t0);
    const auto got = on.only();
    CHECK((got.what == happened::exit && got.was_asked && !got.was_ready));
    CHECK_FALSE(on.of.write());
  }
  SECTION("while it starts") {
    on.of.wrote(1, t0);
    on.of.saw("a", is_starting, t0);
    on.of.stop(1, t0);
    CHECK(on.silent());
    CHECK(on.of.write() == 0u);
    on.of.wrote(0, t0);
    on.of.gone("a", {}, t0);
    const auto got = on.only();
    CHECK((got.what == happened::exit && got.was_asked));
  }
  SECTION("while it is asked for") {
    on.of.stop(1, t0);
    on.of.wrote(1, t0);
    CHECK(on.of.write() == 0u);
  }
}

TEST_CASE("one that is not ready any more drains, and is found again instead of being ended") {
  bed on = with(1);
  sight sick;
  sick.detail = "readiness probe failed";
  on.of.saw("p1", sick, t0);
  CHECK(on.only().what == happened::leaving);
  on.of.stop(1, t0);
  const auto got = on.of.take();
  REQUIRE(got.size() == 2);
  CHECK((got[0].what == happened::exit && got[0].reason == "unready" && got[0].was_ready));
  CHECK((got[1].what == happened::found && got[1].name == "p1"));
  CHECK_FALSE(on.of.write());
  on.of.start_found(2, "p1", t0, 60s);
  CHECK(on.silent());
  on.of.saw("p1", is_ready, t0);
  CHECK(on.only().id == 2);
}

TEST_CASE("one that died and starts again by itself is found") {
  bed on = with(1);
  on.of.died("p1", "exited", "status 3", t0);
  const auto got = on.of.take();
  REQUIRE(got.size() == 2);
  CHECK((got[0].what == happened::exit && got[0].reason == "exited" && got[0].was_ready && !got[0].was_asked));
  CHECK((got[1].what == happened::found && got[1].name == "p1"));
  on.of.start_found(2, "p1", t0, 60s);
  sight loops{phase::failed, "crash-loop", "again"};
  on.of.saw("p1", loops, t0);
  const auto end = on.only();
  CHECK((end.id == 2 && end.reason == "crash-loop" && !end.was_ready));
  CHECK(on.of.write() == 0u);
}

TEST_CASE("ready is taken back before it was reported") {
  bed on = empty_one();
  on.of.start(1, t0, 60s);
  on.of.wrote(1, t0);
  on.of.saw("a", is_ready, t0);
  CHECK(on.only().what == happened::ready);
  SECTION("not ready") {
    on.of.saw("a", is_starting, t0);
    CHECK(on.only().what == happened::not_ready);
    on.of.saw("a", is_ready, t0);
    CHECK(on.only().what == happened::ready);
  }
  SECTION("gone: the next one serves the start") {
    on.of.saw("a", is_leaving, t0);
    CHECK(on.only().what == happened::not_ready);
    on.of.gone("a", {}, t0);
    on.of.saw("b", is_ready, t0);
    const auto got = on.only();
    CHECK((got.what == happened::ready && got.id == 1 && got.name == "b"));
  }
}

TEST_CASE("nothing can be started: what waits fails, what stops goes on stopping") {
  bed on = with(2);
  on.of.stop(1, t0);
  on.of.start(3, t0, 60s);
  on.of.start(4, t0, 60s);
  CHECK(on.of.write() == 3u);
  on.of.impossible("forbidden", "may not", t0);
  const auto got = on.of.take();
  REQUIRE(got.size() == 2);
  CHECK((got[0].id == 3 && got[0].reason == "forbidden" && got[1].id == 4));
  CHECK(on.of.write() == 1u);
}

TEST_CASE("rouse ends: what runs is kept, and so is the count") {
  bed on = with(2);
  on.of.start(3, t0, 60s);
  on.of.wrote(3, t0);
  for (std::uint64_t id = 1; id < 4; ++id) {
    on.of.let_go(id);
    const auto got = on.only();
    CHECK((got.what == happened::exit && got.reason == "kept" && got.was_asked && got.was_ready == (id < 3)));
  }
  CHECK_FALSE(on.of.write());
  CHECK(on.of.wanted() == 3);
  on.of.tick(t0 + 1h);
  CHECK(on.silent());
}

TEST_CASE("what was found is gone when the answer comes") {
  bed on;
  on.of.saw("a", is_ready, t0);
  on.of.standing(1, t0);
  CHECK(on.only().what == happened::found);
  on.of.gone("a", {}, t0);
  on.of.start_found(1, "a", t0, 60s);
  const auto got = on.only();
  CHECK((got.what == happened::exit && got.reason == "gone"));
}

namespace {

/// A controller as Kubernetes has one, which keeps as many as it is told, late and by ranks of its own; and an
/// activator that starts, stops and answers. Every id must end once, nothing that is nobody's may stay.
class world {
 public:
  explicit world(unsigned seed) : random_(seed) {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) step();
    for (const auto id : live_) of_.stop(id, now_);
    // What is told once more is stopped at once.
    for (int i = 0; i < 400; ++i) {
      now_ += 100ms;
      of_.tick(now_);
      write();
      reconcile(100);
      finish(100);
      hear();
      for (const auto id : live_) of_.stop(id, now_);
    }
    CHECK(live_.empty());
    CHECK(pods_.empty());
    CHECK(replicas_ == 0);
    CHECK_FALSE(of_.write());
    CHECK(of_.wanted() == 0);
  }

 private:
  bool chance(int percent) { return static_cast<int>(random_() % 100) < percent; }
  std::uint64_t any(const std::set<std::uint64_t>& from) {
    return *std::next(from.begin(), static_cast<long>(random_() % from.size()));
  }
  auto any_pod() { return std::next(pods_.begin(), static_cast<long>(random_() % pods_.size())); }

  void step() {
    now_ += std::chrono::milliseconds(random_() % 700);
    if (!told_ && chance(10)) {
      told_ = true;
      of_.standing(replicas_, now_);
    }
    if (live_.size() < 8 && chance(25)) {
      live_.insert(++last_);
      of_.start(last_, now_, 5s);
    }
    if (!live_.empty() && chance(20)) of_.stop(any(live_), now_);
    if (chance(70)) write();
    if (told_ && chance(3)) of_.standing(replicas_ = static_cast<unsigned>(random_() % 6), now_);  // by hand
    reconcile(60);
    if (!pods_.empty() && chance(40)) change(any_pod());
    finish(40);
    if (chance(50)) of_.tick(now_);
    hear();
  }
  void write() {
    if (!told_) of_.standing(replicas_, now_), told_ = true;
    if (const auto count = of_.write()) of_.wrote(replicas_ = *count, now_);
  }
  void reconcile(int percent) {
    unsigned alive = 0;
    for (const auto& [name, one] : pods_) alive += one.now != phase::leaving;
    for (; alive < replicas_ && chance(percent); ++alive) {
      const auto name = "p" + std::to_string(++made_);
      of_.saw(name, pods_[name] = is_starting, now_);
    }
    for (; alive > replicas_ && chance(percent); --alive) {
      // Not ready ones first, then those that are marked.
      auto worst = pods_.end();
      int best = 99;
      for (auto at = pods_.begin(); at != pods_.end(); ++at) {
        if (at->second.now == phase::leaving) continue;
        const int rank = (at->second.now == phase::ready ? 2 : 0) + (of_.is_victim(at->first) ? 0 : 1);
        if (rank < best) best = rank, worst = at;
      }
      of_.saw(worst->first, worst->second = is_leaving, now_);
    }
  }
  void change(std::map<std::string, sight>::iterator pod) {
    if (pod->second.now == phase::leaving) return;
    const int dice = static_cast<int>(random_() % 100);
    if (dice < 8) {
      pod->second = is_failed;
    } else if (dice < 14) {
      pod->second = is_leaving;
    } else if (dice < 22) {
      pod->second = is_starting;
      if (chance(50)) of_.died(pod->first, "exited", "", now_);
    } else {
      pod->second = is_ready;
    }
    of_.saw(pod->first, pod->second, now_);
  }
  void finish(int percent) {
    for (auto at = pods_.begin(); at != pods_.end();) {
      if (at->second.now == phase::leaving && chance(percent)) {
        of_.gone(at->first, "deleted", now_);
        at = pods_.erase(at);
      } else {
        ++at;
      }
    }
  }
  void hear() {
    for (auto events = of_.take(); !events.empty(); events = of_.take()) {
      for (const auto& one : events) {
        if (one.what == happened::found) {
          live_.insert(++last_);
          of_.start_found(last_, one.name, now_, 5s);
          continue;
        }
        if (one.what == happened::exit) {
          CHECK(ended_.insert(one.id).second);
          CHECK(live_.erase(one.id) == 1);
          CHECK_FALSE(one.reason.empty());
          CHECK(one.was_ready == (confirmed_.count(one.id) == 1));
          continue;
        }
        CHECK(ended_.count(one.id) == 0);
        if (one.what == happened::ready && of_.name_of(one.id) == one.name) {
          of_.confirm(one.id);
          confirmed_.insert(one.id);
        }
      }
    }
    // No two ids have one instance.
    std::set<std::string> names;
    for (const auto id : live_)
      if (const auto name = of_.name_of(id); !name.empty()) CHECK(names.insert(name).second);
  }

  std::mt19937 random_;
  instances of_;
  time_point now_{};
  bool told_ = false;
  unsigned replicas_ = 0;
  unsigned made_ = 0;
  std::uint64_t last_ = 0;
  std::map<std::string, sight> pods_;
  std::set<std::uint64_t> live_, ended_, confirmed_;
};

}  // namespace

TEST_CASE("whatever happens, every id ends once and nothing stays that is nobody's") {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    INFO("seed " << seed);
    world of(seed);
    of.run(200);
  }
}
