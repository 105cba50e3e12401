// Delivery, commits and restarts of one member of a group.

#include "running_consumer.hpp"

using namespace kafka_test;

TEST_CASE("records come in order, and what is settled is committed and not repeated") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.fill("clicks", 0, 0, 500);
  {
    running_consumer one(settings_of(cluster, {"clicks"}, "g"));
    CHECK(one.deliver(500) == values(0, 500));
    CHECK(eventually([&] { return cluster.committed("g", "clicks", 0).first == 500; }));
    CHECK(eventually([&] { return one.lanes() == 1 && one.numbers->lanes()[0].lag == 0; }));
    CHECK(one.it.not_taken() == 0);
    CHECK(one.numbers->problem().empty());
    cluster.fill("clicks", 0, 500, 10);
    CHECK(one.deliver(10) == values(500, 10));
  }
  // The end commits what was settled last.
  CHECK(cluster.committed("g", "clicks", 0).first == 510);
  cluster.fill("clicks", 0, 510, 5);
  running_consumer again(settings_of(cluster, {"clicks"}, "g"));
  CHECK(again.deliver(5) == values(510, 5));
}

TEST_CASE("what is finished beyond the gap is not repeated after a crash, and attempts are kept") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.fill("clicks", 0, 0, 100);
  const auto next_try = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) + 1h;
  {
    running_consumer one(settings_of(cluster, {"clicks"}, "g"));
    auto records = one.take(100);
    REQUIRE(records.size() == 100);
    CHECK(records[0].tries.count == 0);
    record_tries tries;
    tries.count = 4;
    tries.first_failed = next_try - 2h;
    tries.next_try = next_try;
    one.it.retry(records[3].at, tries);
    for (const std::size_t i : {1U, 2U, 50U, 51U, 99U}) one.it.settle(records[i].at);
  }
  const auto [offset, metadata] = cluster.committed("g", "clicks", 0);
  CHECK(offset == 0);
  CHECK(metadata.starts_with("rouse1."));
  running_consumer again(settings_of(cluster, {"clicks"}, "g"));
  const auto records = again.take(95);
  REQUIRE(records.size() == 95);
  CHECK(records[0].what.event.data == "0");
  CHECK(records[1].what.event.data == "3");
  CHECK(records[1].tries.count == 4);
  CHECK(records[1].tries.next_try == next_try);
  CHECK(records.back().what.event.data == "98");
  for (const auto& one : records) again.it.settle(one.at);
  CHECK(eventually([&] { return cluster.committed("g", "clicks", 0).first == 100; }));
}

TEST_CASE("a group that begins at the end has committed that before anything comes") {
  mock_cluster cluster;
  cluster.create("clicks", 3);
  for (int partition = 0; partition < 3; ++partition) cluster.fill("clicks", partition, 0, 7 + partition);
  auto settings = settings_of(cluster, {"clicks"}, "g");
  settings.start = rouse::config::event_start::latest;
  {
    running_consumer one(settings);
    for (int partition = 0; partition < 3; ++partition) {
      INFO(one.log.text());
      CHECK(eventually([&] { return cluster.committed("g", "clicks", partition).first == 7 + partition; }));
    }
    CHECK(one.it.not_taken() == 0);
  }
  // What comes while nobody reads is not skipped.
  cluster.fill("clicks", 1, 100, 3);
  running_consumer again(settings);
  CHECK(again.deliver(3) == values(100, 3));
}

TEST_CASE("a partition that is new in a topic that the group knows begins at its beginning") {
  mock_cluster cluster;
  cluster.create("clicks", 2);
  cluster.fill("clicks", 0, 0, 5);
  cluster.fill("clicks", 1, 50, 5);
  auto settings = settings_of(cluster, {"clicks"}, "g");
  settings.start = rouse::config::event_start::latest;
  SECTION("as another program's commit tells") {
    cluster.commit("g", "clicks", 0, 3, "some host");
    running_consumer one(settings);
    auto got = one.deliver(7);
    std::sort(got.begin(), got.end());
    CHECK(got == std::vector<std::string>{"3", "4", "50", "51", "52", "53", "54"});
  }
  SECTION("but one that was there when the group began is not new") {
    {
      running_consumer one(settings);
      CHECK(eventually([&] { return cluster.committed("g", "clicks", 1).first == 5; }));
    }
    const auto metadata = cluster.committed("g", "clicks", 0).second;
    CHECK(offset_ledger(5, metadata).partitions_known() == 2);
    // Another member of a new group, that was given partition 1 while the first had committed partition 0.
    cluster.commit("other", "clicks", 0, 5, metadata);
    settings.group = "other";
    running_consumer one(settings);
    CHECK(eventually([&] { return cluster.committed("other", "clicks", 1).first == 5; }));
    CHECK(one.it.not_taken() == 0);
  }
}

TEST_CASE("what a cluster takes of metadata may be less than usual") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.fill("clicks", 0, 0, 300);
  running_consumer one(settings_of(cluster, {"clicks"}, "g"));
  const auto records = one.take(300);
  REQUIRE(records.size() == 300);
  rd_kafka_mock_push_request_errors(cluster.raw(), 8 /* OffsetCommit */, 2, RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE,
                                    RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE);
  for (std::size_t i = 1; i < 300; i += 2) one.it.settle(records[i].at);
  CHECK(eventually([&] { return cluster.committed("g", "clicks", 0).second.size() > 100; }));
  one.it.settle(records[0].at);
  CHECK(eventually([&] { return cluster.committed("g", "clicks", 0).first == 2; }));
}

TEST_CASE("beyond its bound a partition waits, and says for which record") {
  mock_cluster cluster;
  cluster.create("clicks", 2);
  cluster.fill("clicks", 0, 0, 1000);
  auto limits = quick_limits();
  limits.most_beyond = 100;
  running_consumer one(settings_of(cluster, {"clicks"}, "g"), limits);
  auto records = one.take(101);
  REQUIRE(records.size() == 101);
  for (std::size_t i = 1; i < records.size(); ++i) one.it.settle(records[i].at);
  CHECK(
      eventually([&] { return one.log.has("clicks/0") && one.log.has("the one at offset 0, which is not settled"); }));
  const auto is_held = [&] {
    const auto lanes = one.numbers->lanes();
    return lanes.size() == 2 && lanes[0].held_by.find("offset 0 ") != std::string::npos;
  };
  CHECK(eventually(is_held));
  // Others flow.
  cluster.fill("clicks", 1, 5000, 20);
  CHECK(one.deliver(20) == values(5000, 20));
  CHECK(one.take(1, 100ms).empty());
  CHECK(one.numbers->lanes()[0].lag == 900);
  // And it goes on without a gap or a repetition when that record is settled.
  one.it.settle(records[0].at);
  auto rest = values(101, 899);
  std::vector<std::string> got;
  while (got.size() < rest.size()) {
    auto some = one.deliver(std::min<std::size_t>(50, rest.size() - got.size()));
    if (some.empty()) break;
    got.insert(got.end(), some.begin(), some.end());
  }
  got.resize(std::min(got.size(), rest.size()));
  CHECK(got == rest);
  CHECK(eventually([&] { return cluster.committed("g", "clicks", 0).first == 1000; }));
}

TEST_CASE("a full buffer costs neither the membership nor a record") {
  mock_cluster cluster;
  cluster.create("clicks", 2);
  auto settings = settings_of(cluster, {"clicks"}, "g");
  settings.cluster.properties = {{"session.timeout.ms", "4000"},  // the mock's groups take 3 s to begin
                                 {"heartbeat.interval.ms", "200"},
                                 {"max.poll.interval.ms", "4000"},
                                 {"queued.max.messages.kbytes", "4"}};
  auto limits = quick_limits();
  limits.most_buffered = 20;
  cluster.fill("clicks", 0, 0, 3000);
  running_consumer one(settings, limits);
  const bool full = eventually([&] { return one.it.not_taken() == 3000; });
  INFO(one.it.not_taken() << one.log.text());
  CHECK(full);
  const auto full_since = steady::now();
  CHECK(eventually([&] { return steady::now() - full_since > 7s; }));  // nobody takes anything
  CHECK(one.taken_back == 0);
  CHECK(one.deliver(3000) == values(0, 3000));
  CHECK(one.taken_back == 0);
  CHECK(eventually([&] { return cluster.committed("g", "clicks", 0).first == 3000; }));
}

TEST_CASE("the buffer is bounded, also in bytes") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  for (int i = 0; i < 200; ++i) cluster.enqueue("clicks", 0, std::string(10'000, 'x'));
  cluster.flush();
  auto limits = quick_limits();
  limits.most_buffered_bytes = 50'000;
  running_consumer one(settings_of(cluster, {"clicks"}, "g"), limits);
  CHECK(eventually([&] { return one.it.not_taken() == 200; }));
  CHECK(one.deliver(200).size() == 200);
}

TEST_CASE("a broker that goes and comes again loses and repeats nothing") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.fill("clicks", 0, 0, 100);
  running_consumer one(settings_of(cluster, {"clicks"}, "g"));
  CHECK(one.deliver(50) == values(0, 50));
  cluster.set_up(false);
  INFO(one.log.text());
  CHECK(eventually([&] { return one.numbers->problem().find("no broker of the cluster answers") == 0; }));
  cluster.set_up(true);
  CHECK(one.deliver(50) == values(50, 50));
  cluster.fill("clicks", 0, 100, 50);
  CHECK(one.deliver(50) == values(100, 50));
  CHECK(eventually([&] { return one.numbers->problem().empty(); }));
  CHECK(eventually([&] { return cluster.committed("g", "clicks", 0).first == 150; }));
}

TEST_CASE("brokers that are away at the start are waited for, and told of") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.fill("clicks", 0, 0, 10);
  cluster.set_up(false);
  running_consumer one(settings_of(cluster, {"clicks"}, "g"));
  CHECK(eventually([&] { return !one.numbers->problem().empty(); }));
  CHECK(one.numbers->problem().find("no broker of the cluster answers") == 0);
  CHECK(eventually([&] { return one.log.has("its topics cannot be read: no broker"); }));
  cluster.set_up(true);
  CHECK(one.deliver(10) == values(0, 10));
  CHECK(eventually([&] { return one.numbers->problem().empty(); }));
}

TEST_CASE("an end while no broker answers is bounded") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.fill("clicks", 0, 0, 10);
  auto limits = quick_limits();
  limits.close_wait = 1s;
  running_consumer one(settings_of(cluster, {"clicks"}, "g"), limits);
  const auto records = one.take(10);
  REQUIRE(records.size() == 10);
  cluster.set_up(false);
  for (const auto& record : records) one.it.settle(record.at);
  const auto before = steady::now();
  one.stop();
  CHECK(steady::now() - before < 30s);
}

TEST_CASE("a topic that is not there is told in words, and read when it is") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  rd_kafka_mock_topic_set_error(cluster.raw(), "missing", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  cluster.fill("clicks", 0, 0, 5);
  running_consumer one(settings_of(cluster, {"clicks", "missing"}, "g"));
  CHECK(one.deliver(5) == values(0, 5));
  INFO(one.log.text());
  CHECK(eventually([&] { return one.numbers->problem().find("topic missing does not exist") == 0; }));
}

TEST_CASE("a client that cannot be made is told in words, and its end is not waited for") {
  mock_cluster cluster;
  auto settings = settings_of(cluster, {"clicks"}, "g");
  settings.cluster.properties = {{"ssl.ca.location", "/nonexistent/ca.pem"}, {"security.protocol", "ssl"}};
  running_consumer one(settings);
  CHECK(eventually([&] { return one.numbers->problem().find("ssl.ca.location") != std::string::npos; }));
  CHECK(eventually([&] { return one.log.has("no client for Kafka could be made"); }));
  const auto before = steady::now();
  one.stop();
  CHECK(steady::now() - before < 9s);  // it does not wait for its next try
}

TEST_CASE("a commit that fails is made again") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.fill("clicks", 0, 0, 10);
  running_consumer one(settings_of(cluster, {"clicks"}, "g"));
  CHECK(one.take(1).size() == 1);
  rd_kafka_mock_push_request_errors(cluster.raw(), 8 /* OffsetCommit */, 2, RD_KAFKA_RESP_ERR_UNKNOWN,
                                    RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
  CHECK(one.deliver(9).size() == 9);
  one.it.settle({1, 0});
  CHECK(eventually([&] { return cluster.committed("g", "clicks", 0).first == 10; }));
  CHECK(one.log.has("could not be committed, and is tried again"));
}
