// Members that come and go, partitions that are taken away, and offsets that are not there. The mock takes no commit
// while a group rebalances (a real coordinator does, until all members have joined anew), so what was settled since the
// commit before is delivered twice here; tests/e2e sees that none is where a real one hands over.

#include <algorithm>
#include <set>

#include "running_consumer.hpp"

using namespace kafka_test;

namespace {

struct delivered {
  std::mutex mutex;
  std::map<int, std::vector<int>> by_partition;
  std::size_t count = 0;
};

/// A member that settles what it takes, as fast as it comes.
class member {
 public:
  member(const topic_settings& settings, delivered& to) : one(settings), to_(to), thread_([this] { run(); }) {}
  ~member() { leave(); }
  void leave() {
    if (!thread_.joinable()) return;
    stop_ = true;
    thread_.join();
    one.stop();
  }
  running_consumer one;

 private:
  void run() {
    int seen = 0;
    while (!stop_) {
      // Nothing is in flight here.
      if (one.taken_back != seen) {
        ++seen;
        one.it.given_back();
      }
      bool more = false;
      const auto some = one.it.take(20, more);
      for (const auto& record : some) {
        {
          const std::lock_guard lock(to_.mutex);
          to_.by_partition[record.lane->partition].push_back(std::stoi(record.what.event.data));
          ++to_.count;
        }
        one.it.settle(record.at);
      }
      std::this_thread::sleep_for(2ms);
    }
  }
  delivered& to_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace

TEST_CASE("a second member that joins and leaves under load: nothing is lost or out of order") {
  mock_cluster cluster;
  cluster.create("clicks", 4);
  delivered all;
  constexpr int each = 3000;
  std::atomic<bool> produced{false};
  std::thread producer([&] {
    for (int i = 0; i < each; ++i) {
      for (int partition = 0; partition < 4; ++partition) cluster.enqueue("clicks", partition, std::to_string(i));
      if (i % 10 == 0) std::this_thread::sleep_for(30ms);
    }
    cluster.flush();
    produced = true;
  });
  {
    member first(settings_of(cluster, {"clicks"}, "g"), all);
    CHECK(eventually([&] { return first.one.lanes() == 4; }));
    {
      member second(settings_of(cluster, {"clicks"}, "g"), all);
      INFO(first.one.log.text());
      CHECK(eventually([&] { return second.one.lanes() == 2 && first.one.lanes() == 2; }));
      second.leave();
    }
    CHECK(eventually([&] { return first.one.lanes() == 4; }));
    CHECK(eventually([&] { return produced.load(); }));
    CHECK(eventually([&] {
      for (int partition = 0; partition < 4; ++partition) {
        if (first.one.numbers->lanes().size() != 4) return false;
        if (cluster.committed("g", "clicks", partition).first != each) return false;
      }
      return true;
    }));
    first.leave();
  }
  producer.join();
  for (int partition = 0; partition < 4; ++partition) {
    // The first deliveries are in order, and whole.
    std::vector<int> first_time;
    std::set<int> seen;
    for (const int one : all.by_partition[partition]) {
      if (seen.insert(one).second) first_time.push_back(one);
    }
    CHECK(first_time.size() == each);
    CHECK(std::is_sorted(first_time.begin(), first_time.end()));
  }
}

TEST_CASE("what is in flight is waited for before a partition goes to another member") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.fill("clicks", 0, 0, 10);
  auto settings = settings_of(cluster, {"clicks"}, "g");
  running_consumer first(settings);
  const auto records = first.take(3);
  REQUIRE(records.size() == 3);
  running_consumer second(settings);
  CHECK(eventually([&] { return first.taken_back == 1; }));
  // It goes on polling meanwhile, hands out nothing, and gives nothing away.
  CHECK(first.take(1, 500ms).empty());
  CHECK(second.take(1, 500ms).empty());
  for (const auto& one : records) first.it.settle(one.at);
  first.it.given_back();
  const auto has_lane = [&] { return first.lanes() + second.lanes() == 1; };
  CHECK(eventually([&] { return first.log.has("reads 1 partitions") && has_lane(); }));
  std::vector<std::string> rest;
  CHECK(eventually([&] {
    for (auto* one : {&first, &second}) {
      bool more = false;
      for (auto& record : one->it.take(10, more)) {
        rest.push_back(record.what.event.data);
        one->it.settle(record.at);
      }
      if (one->taken_back > 0) one->it.given_back();
    }
    return !rest.empty() && rest.back() == "9";
  }));
  CHECK(rest.size() >= 7);
  CHECK(std::is_sorted(rest.begin(), rest.end()));
}

TEST_CASE("what is in flight is not waited for for ever, and comes too late then") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.fill("clicks", 0, 0, 3);
  auto settings = settings_of(cluster, {"clicks"}, "g");
  auto limits = quick_limits();
  limits.revoke_wait = 300ms;
  running_consumer first(settings, limits);
  const auto records = first.take(3);
  REQUIRE(records.size() == 3);
  first.it.settle(records[0].at);
  CHECK(eventually([&] { return cluster.committed("g", "clicks", 0).first == 1; }));
  running_consumer second(settings, limits);
  CHECK(eventually([&] { return first.log.has("it may be delivered twice"); }));
  INFO(first.log.text());
  // The two that were in flight are delivered again, by whichever has the partition now, and not the one before them.
  std::vector<std::string> again;
  CHECK(eventually([&] {
    for (auto* one : {&first, &second}) {
      bool more = false;
      for (auto& record : one->it.take(10, more)) again.push_back(record.what.event.data);
    }
    return again.size() >= 2;
  }));
  CHECK(again == values(1, 2));
  // The old ones count for nothing any more.
  first.it.settle(records[1].at);
  first.it.settle(records[2].at);
  CHECK(first.take(1, 300ms).empty());
  CHECK(cluster.committed("g", "clicks", 0).first == 1);
}

TEST_CASE("a member that the group has given up begins again where it had committed") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.fill("clicks", 0, 0, 10);
  running_consumer one(settings_of(cluster, {"clicks"}, "g"));
  const auto records = one.take(10);
  REQUIRE(records.size() == 10);
  for (std::size_t i = 0; i < 4; ++i) one.it.settle(records[i].at);
  CHECK(eventually([&] { return cluster.committed("g", "clicks", 0).first == 4; }));
  rd_kafka_mock_push_request_errors(cluster.raw(), 12 /* Heartbeat */, 1, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
  CHECK(eventually([&] { return one.taken_back == 1; }));
  for (std::size_t i = 4; i < 7; ++i) one.it.settle(records[i].at);  // too late
  one.it.given_back();
  CHECK(one.deliver(6) == values(4, 6));
  CHECK(eventually([&] { return cluster.committed("g", "clicks", 0).first == 10; }));
  CHECK(one.log.has("took its partitions away"));
}

TEST_CASE("records that retention dropped before they were delivered are told of, and the rest is delivered") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.commit("g", "clicks", 0, 0);
  for (int i = 0; i < 400; ++i) cluster.enqueue("clicks", 0, std::to_string(i) + std::string(100'000, ' '));
  cluster.flush();
  running_consumer one(settings_of(cluster, {"clicks"}, "g"));
  const auto first = one.take(1);
  INFO(one.log.text());
  REQUIRE(first.size() == 1);
  CHECK(first[0].at.offset > 0);
  CHECK(one.log.has("retention dropped offsets 0 to " + std::to_string(first[0].at.offset - 1)));
  const auto rest = one.take(static_cast<std::size_t>(399 - first[0].at.offset));
  REQUIRE_FALSE(rest.empty());
  CHECK(rest.back().at.offset == 399);
}

TEST_CASE("a topic that was made anew is read from its beginning") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.fill("clicks", 0, 0, 10);
  cluster.commit("g", "clicks", 0, 5000);
  auto settings = settings_of(cluster, {"clicks"}, "g");
  running_consumer one(settings);
  CHECK(one.deliver(10) == values(0, 10));
  CHECK(one.log.has("clicks/0 ends at offset 10, before 5000"));
  CHECK(eventually([&] { return cluster.committed("g", "clicks", 0).first == 10; }));
}

TEST_CASE("records are read again, each with some that follow it") {
  mock_cluster cluster;
  cluster.create("clicks", 2);
  for (int i = 0; i < 1000; ++i) cluster.enqueue("clicks", 1, std::to_string(i), "k" + std::to_string(i % 7));
  cluster.flush();
  running_consumer one(settings_of(cluster, {"clicks"}, "g"));
  CHECK(eventually([&] { return one.lanes() == 2; }));
  const auto lane = std::make_shared<lane_name>(lane_name{"clicks", 1, "clicks/1"});
  std::mutex mutex;
  const auto read = [&](std::int64_t offset) {
    std::optional<records_again> got;
    one.it.read_again(lane, offset, [&](records_again result) {
      const std::lock_guard lock(mutex);
      got = std::move(result);
    });
    CHECK(eventually([&] {
      const std::lock_guard lock(mutex);
      return got.has_value();
    }));
    return std::move(*got);
  };
  for (const std::int64_t offset : {500, 501, 700, 3, 4, 999, 0}) {
    const auto got = read(offset);
    INFO(got.problem);
    REQUIRE_FALSE(got.found.empty());
    for (std::size_t i = 0; i < got.found.size(); ++i) {
      const auto expected = offset + static_cast<std::int64_t>(i);
      CHECK(got.found[i].offset == expected);
      CHECK(got.found[i].what.event.data == std::to_string(expected));
      CHECK(got.found[i].key == "k" + std::to_string(expected % 7));
    }
  }
  const auto beyond = read(5000);
  CHECK(beyond.found.empty());
}
