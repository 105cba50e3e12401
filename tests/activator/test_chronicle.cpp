#include "activator/chronicle.hpp"

#include <catch2/catch.hpp>

#include "control_rig.hpp"

using namespace rouse;
using activator::chronicle;
using activator::occurrence;

namespace {

occurrence with_text(std::string text) {
  occurrence out;
  out.type = "scale";
  out.text = std::move(text);
  return out;
}

}  // namespace

TEST_CASE("the last things that happened, by number") {
  chronicle subject;
  const auto now = std::chrono::system_clock::now();
  CHECK(subject.last() == 0);
  CHECK(subject.since(0).empty());
  for (const char* text : {"a", "b", "c"}) subject.add(with_text(text), now);
  CHECK(subject.last() == 3);
  REQUIRE(subject.since(1).size() == 2);
  CHECK(subject.since(1)[0]->number == 2);
  CHECK(subject.since(1)[0]->what.text == "b");
  CHECK(subject.since(1)[0]->at == now);
  CHECK(subject.since(3).empty());
  CHECK(subject.since(99).empty());

  chronicle later(1000);
  CHECK(later.last() == 1000);
  CHECK(later.since(3).empty());
  later.add(with_text("d"), now);
  REQUIRE(later.since(3).size() == 1);
  CHECK(later.since(3)[0]->number == 1001);
}

TEST_CASE("what is remembered is bounded, in entries and in bytes") {
  chronicle subject;
  const std::chrono::system_clock::time_point now;
  for (std::size_t i = 0; i < chronicle::max_entries + 10; ++i) subject.add(with_text("x"), now);
  CHECK(subject.since(0).size() == chronicle::max_entries);
  CHECK(subject.since(0).front()->number == 11);
  const std::string large(3 * chronicle::max_text_bytes, 'y');
  const auto most = chronicle::max_bytes / chronicle::max_text_bytes;
  for (std::size_t i = 0; i < 2 * most; ++i) subject.add(with_text(large), now);
  CHECK(subject.since(0).size() == most);
  CHECK(subject.since(0).back()->what.text.size() == chronicle::max_text_bytes);
}

TEST_CASE("what happens to instances is told with what it is about") {
  test::lifecycle_rig r;
  auto& story = *r.around.story;
  const auto last = [&] {
    const auto all = story.since(0);
    REQUIRE_FALSE(all.empty());
    return all.back()->what;
  };
  const auto types = [&] {
    std::vector<std::string> out;
    for (const auto& one : story.since(0)) out.emplace_back(one->what.type);
    return out;
  };
  auto& parked = r.request();
  REQUIRE(types() == std::vector<std::string>{"scale", "start"});
  const auto scaled = story.since(0)[0]->what;
  REQUIRE(scaled.count);
  CHECK((scaled.count->from == 0 && scaled.count->to == 1));
  CHECK(scaled.cause == "demand");
  CHECK(scaled.text.find("parked") != std::string::npos);
  CHECK(scaled.instance.empty());
  CHECK_FALSE(scaled.function.empty());
  CHECK_FALSE(scaled.revision.empty());
  const auto started = last();
  CHECK(started.instance == r.backend.starts[0].instance);
  CHECK(started.pool == "local");

  SECTION("it gets ready, and ends") {
    r.life->on_progress(1, "pulling: 1 of 2 MiB");
    CHECK(last().type == "progress");
    CHECK(last().text.find("1 of 2 MiB") != std::string::npos);
    r.ready(1);
    CHECK(last().type == "ready");
    REQUIRE(parked.served());
    r.exits(1, "signalled");
    const auto all = story.since(0);
    const auto crashed = std::ranges::find(all, "crashed", [](const auto& one) { return one->what.type; });
    REQUIRE(crashed != all.end());
    CHECK((*crashed)->what.cause == "signalled");
    CHECK((*crashed)->what.instance == started.instance);
  }
  SECTION("it cannot be started") {
    r.exits(1, "exited");
    const auto all = story.since(0);
    const auto failed = std::ranges::find(all, "failed", [](const auto& one) { return one->what.type; });
    REQUIRE(failed != all.end());
    CHECK((*failed)->what.cause == "exited");
    CHECK((*failed)->what.text.find("could not be started") != std::string::npos);
  }
  SECTION("its pool has no room") {
    r.exits(1, "no-capacity");
    const auto all = story.since(0);
    const auto refused = std::ranges::find(all, "no-capacity", [](const auto& one) { return one->what.type; });
    REQUIRE(refused != all.end());
    CHECK((*refused)->what.pool == "local");
  }
}
