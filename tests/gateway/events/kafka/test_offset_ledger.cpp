// What a group commits for a partition: never beyond an unfinished record, and enough beside it that nothing which it
// tells is delivered again.

#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <set>

#include "gateway/events/kafka/offset_ledger.hpp"

namespace {

using namespace rouse::gateway::events;
using namespace std::chrono_literals;
using finding = offset_ledger::finding;

offset_ledger::time at(std::chrono::milliseconds since) {
  return offset_ledger::time(std::chrono::hours(24 * 365 * 50)) + since;
}

record_tries tried(unsigned count, std::chrono::milliseconds first, std::chrono::milliseconds next) {
  record_tries out;
  out.count = count;
  out.first_failed = at(first);
  out.next_try = at(next);
  return out;
}

finding add(offset_ledger& to, std::int64_t offset) {
  return to.add(offset, at(std::chrono::milliseconds(offset))).what;
}

}  // namespace

TEST_CASE("what is committed is the first gap") {
  offset_ledger ledger(10);
  CHECK(ledger.committable() == 10);
  CHECK(ledger.metadata().empty());
  for (int offset = 10; offset < 15; ++offset) CHECK(add(ledger, offset) == finding::fresh);
  CHECK(ledger.committable() == 10);
  CHECK(ledger.beyond() == 4);
  CHECK(ledger.oldest() == at(10ms));
  CHECK(ledger.finish(12));
  CHECK_FALSE(ledger.finish(12));
  CHECK_FALSE(ledger.finish(15));
  CHECK(ledger.committable() == 10);
  CHECK(ledger.beyond() == 4);
  CHECK(ledger.finish(10));
  CHECK(ledger.committable() == 11);
  CHECK(ledger.oldest() == at(11ms));
  CHECK(ledger.beyond() == 3);
  CHECK(ledger.finish(11));
  CHECK(ledger.committable() == 13);
  CHECK(ledger.beyond() == 1);
  CHECK(ledger.finish(13));
  CHECK(ledger.finish(14));
  CHECK(ledger.committable() == 15);
  CHECK(ledger.beyond() == 0);
  CHECK(ledger.oldest() == std::nullopt);
  CHECK(ledger.metadata().empty());
}

TEST_CASE("holes between offsets are nothing") {
  offset_ledger ledger(0);
  CHECK(add(ledger, 5) == finding::fresh);
  CHECK(ledger.committable() == 5);
  CHECK(add(ledger, 9) == finding::fresh);
  CHECK(ledger.finish(5));
  CHECK(ledger.committable() == 9);
  CHECK(ledger.finish(9));
  CHECK(ledger.committable() == 10);
  ledger.nothing_until(20);
  CHECK(ledger.committable() == 20);
  CHECK(ledger.next() == 20);
  ledger.nothing_until(15);
  CHECK(ledger.next() == 20);
  CHECK(add(ledger, 19) == finding::seen);
  CHECK(ledger.next() == 20);
}

TEST_CASE("a restart repeats nothing that was finished beyond the gap, and keeps attempts") {
  offset_ledger ledger(100);
  for (int offset = 100; offset < 130; ++offset) {
    if (offset != 110) CHECK(add(ledger, offset) == finding::fresh);
  }
  for (const int offset : {101, 102, 103, 109, 111, 125}) CHECK(ledger.finish(offset));
  CHECK(ledger.retry(100, tried(3, 500ms, 7'200'000ms)));
  CHECK(ledger.retry(104, tried(1, 90'000ms, 91'500ms)));
  CHECK_FALSE(ledger.retry(101, tried(1, 0ms, 0ms)));
  ledger.set_partitions_known(6);
  const auto text = ledger.metadata();
  CHECK(text.starts_with("rouse1."));
  CHECK(text.size() < 80);

  offset_ledger again(ledger.committable(), text);
  CHECK(again.partitions_known() == 6);
  CHECK(again.metadata() == text);
  for (int offset = 100; offset < 130; ++offset) {
    if (offset == 110) continue;
    const auto came = again.add(offset, at(0ms));
    const bool was_finished = std::set{101, 102, 103, 109, 111, 125}.contains(offset);
    CHECK(came.what == (was_finished ? finding::finished : finding::fresh));
    CHECK(came.tries.count == (offset == 100 ? 3 : offset == 104 ? 1 : 0));
    if (offset == 100) {
      CHECK(came.tries.first_failed == at(0ms));
      CHECK(came.tries.next_try == at(7'200'000ms));
    }
    if (offset == 104) CHECK(came.tries.next_try == at(92'000ms));
    // Half way through, another restart would know as much.
    CHECK(again.committable() == 100);
    CHECK(offset_ledger(100, again.metadata()).metadata() == text);
  }
  CHECK(again.beyond() == 28);
}

TEST_CASE("what others wrote into the metadata says nothing") {
  offset_ledger ledger(7);
  for (int offset = 7; offset < 12; ++offset) CHECK(add(ledger, offset) == finding::fresh);
  CHECK(ledger.finish(9));
  const auto ours = ledger.metadata();
  const auto is_ignored = [](std::int64_t committed, const std::string& text) {
    offset_ledger one(committed, text);
    for (auto offset = committed; offset < committed + 5; ++offset) {
      if (add(one, offset) != finding::fresh) return false;
    }
    return one.partitions_known() == 0;
  };
  CHECK_FALSE(is_ignored(7, ours));
  CHECK(is_ignored(8, ours));  // of another offset
  CHECK(is_ignored(7, "host-17 2026-01-01"));
  CHECK(is_ignored(7, "rouse2." + ours.substr(7)));
  CHECK(is_ignored(7, "rouse1."));
  CHECK(is_ignored(7, "rouse1.!!!!"));
  for (std::size_t cut = 0; cut < ours.size(); ++cut) CHECK(is_ignored(7, ours.substr(0, cut)));
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    auto text = ours;
    for (auto n = 1 + random() % 3; n > 0; --n) text[random() % text.size()] = static_cast<char>(random());
    offset_ledger one(7, text);  // whatever it says, it is read without harm
    for (int offset = 7; offset < 12; ++offset) (void)one.add(offset, at(0ms));
    CHECK(one.metadata().size() <= offset_ledger::most_metadata);
  }
}

TEST_CASE("what does not fit into the metadata is left out, the furthest first") {
  offset_ledger ledger(0);
  for (int offset = 0; offset < 100'000; ++offset) CHECK(add(ledger, offset) == finding::fresh);
  for (int offset = 1; offset < 100'000; offset += 2) CHECK(ledger.finish(offset));
  for (int offset = 0; offset < 100'000; offset += 10) CHECK(ledger.retry(offset, tried(2, 100ms, 300'000ms)));
  CHECK(ledger.beyond() == 99'999);
  for (const std::size_t room : {0U, 1U, 7U, 8U, 12U, 100U, 1000U, 4096U, 9000U}) {
    const auto text = ledger.metadata(room);
    CHECK(text.size() <= std::min<std::size_t>(room, 4096));
    if (room >= 100) CHECK(text.size() + 16 > std::min<std::size_t>(room, 4096));
    offset_ledger again(0, text);
    bool missing = false;
    int known = 0;
    for (int offset = 0; offset < 100'000; ++offset) {
      const auto came = again.add(offset, at(0ms));
      const bool tells = came.what == finding::finished || came.tries.count > 0;
      const bool should = offset % 2 == 1 || offset % 10 == 0;
      if (tells && !should) FAIL("it tells what was not");
      if (tells && missing) FAIL("something nearer was left out");
      if (should && !tells) missing = true;
      known += tells ? 1 : 0;
    }
    if (room == 4096) CHECK(known > 1000);
  }
}

TEST_CASE("a ledger agrees with a simple model of it, over restarts") {
  struct model_record {
    bool finished = false;
    unsigned tries = 0;
  };
  for (unsigned seed = 1; seed <= 60; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](std::uint32_t n) { return random() % n; };
    std::int64_t next = below(1000);
    offset_ledger ledger(next);
    std::map<std::int64_t, model_record> model;  // all that there are in the partition
    std::map<std::int64_t, model_record> here;   // that this ledger was told of
    std::size_t left_out = 0;
    for (int step = 0; step < 3000; ++step) {
      const auto what = below(100);
      if (what < 45) {
        // The next record: an old one after a restart, or a new one, behind a hole now and then.
        auto at_record = model.lower_bound(ledger.next());
        if (at_record == model.end()) {
          const auto offset = ledger.next() + (below(10) == 0 ? static_cast<std::int64_t>(below(50)) : 0);
          at_record = model.emplace(offset, model_record()).first;
        }
        auto& one = at_record->second;
        const auto came = ledger.add(at_record->first, at(std::chrono::milliseconds(at_record->first)));
        REQUIRE(came.what != finding::seen);
        if (came.what == finding::finished) {
          REQUIRE(one.finished);
        } else {
          if (one.finished) ++left_out;
          one.finished = false;  // it is delivered again
          if (came.tries.count > 0) REQUIRE(came.tries.count == one.tries);
          one.tries = came.tries.count;
        }
        here[at_record->first] = one;
      } else if (what < 90 && !here.empty()) {
        auto at_record = here.lower_bound(ledger.committable() + static_cast<std::int64_t>(below(40)));
        if (at_record == here.end()) continue;
        auto& one = model[at_record->first];
        if (below(4) == 0) {
          const bool open = !one.finished;
          const auto count = one.tries + 1;
          REQUIRE(ledger.retry(at_record->first, tried(count, std::chrono::seconds(below(9999)), 99'999s)) == open);
          if (open) one.tries = count;
        } else {
          REQUIRE(ledger.finish(at_record->first) == !one.finished);
          one.finished = true;
          one.tries = 0;
        }
        at_record->second = one;
      } else if (what == 99) {
        const auto room = below(3) == 0 ? below(100) : 4096;
        const auto committed = ledger.committable();
        const auto text = ledger.metadata(room);
        REQUIRE(text.size() <= room);
        ledger = offset_ledger(committed, text);
        here.clear();
        // What the text had no room for is begun anew; without that nothing is.
        if (room == 4096) left_out = 0;
      }
      // Nothing below what is committed is unfinished.
      for (const auto& [offset, one] : model) {
        if (offset >= ledger.committable()) break;
        REQUIRE(one.finished);
      }
      std::size_t beyond = 0;
      bool gap = false;
      for (const auto& [offset, one] : here) {
        if (offset >= ledger.next()) break;
        if (gap) ++beyond;
        if (!one.finished) gap = true;
      }
      REQUIRE(ledger.beyond() == beyond);
    }
    CHECK(ledger.unfinished() <= here.size());
  }
}

TEST_CASE("with room for all, a restart repeats nothing at all") {
  std::mt19937 random(7);
  std::set<std::int64_t> finished;
  std::int64_t committed = 0;
  std::string text;
  std::int64_t newest = 0;
  for (int run = 0; run < 50; ++run) {
    offset_ledger ledger(committed, text);
    const auto until = newest + 40;
    std::vector<std::int64_t> open;
    for (auto offset = committed; offset < until; ++offset) {
      const auto came = add(ledger, offset);
      REQUIRE((came == finding::finished) == finished.contains(offset));
      if (came == finding::fresh) open.push_back(offset);
      if (random() % 3 == 0 && !open.empty()) {
        const auto pick = open.begin() + static_cast<std::ptrdiff_t>(random() % open.size());
        REQUIRE(ledger.finish(*pick));
        finished.insert(*pick);
        open.erase(pick);
      }
    }
    newest = until;
    committed = ledger.committable();
    text = ledger.metadata();
    for (auto offset = std::int64_t{0}; offset < committed; ++offset) REQUIRE(finished.contains(offset));
  }
}
