// Topics as a source of events, on a worker, against librdkafka's mock cluster.

#include <future>

#include "gateway/access_log.hpp"
#include "gateway/events/topic_source.hpp"
#include "kafka/running_consumer.hpp"

using namespace kafka_test;
namespace gateway = rouse::gateway;

namespace {

/// One worker on a thread of its own, without callers.
class running_worker {
 public:
  explicit running_worker(spdlog::logger& log)
      : access_(rouse::config::access_log::off, log),
        site_{server_, std::make_shared<rouse::activator::view>(), access_, log, false, nullptr, {}},
        it(0, site_),
        thread_([this] { it.run(); }) {}
  ~running_worker() {
    it.stop();
    thread_.join();
  }
  /// Runs it there, and waits for its end.
  void run(std::function<void()> what) {
    std::promise<void> done;
    it.post([&] {
      what();
      done.set_value();
    });
    done.get_future().get();
  }

 private:
  rouse::config::server server_;
  gateway::access_logger access_;
  gateway::site site_;

 public:
  gateway::worker it;

 private:
  std::thread thread_;
};

/// A source as its trigger sees it.
class running_source {
 public:
  using kept = std::function<bool(const std::string& place)>;

  running_source(running_worker& on, topic_settings settings, topic_limits limits = quick_limits()) : on_(on) {
    on_.run([&] {
      source_ = std::make_unique<topic_source>(
          on_.it, std::move(settings),
          [this](std::string place, const cloud_event& event, const failure& why, std::function<void(bool)> then) {
            buried.push_back(place + " " + event.data + " " + why.detail);
            // From another thread, as the store does.
            std::thread([keeps = keeps.load(), then = std::move(then)] { then(keeps); }).detach();
          },
          threads, log.logger, limits);
      event_source::news tell;
      tell.grown = [this] { ++grown; };
      tell.taken_back = [this](std::function<void()> then) {
        ++taken_back;
        give_back = std::move(then);
      };
      source_->begin(std::move(tell), [this](event_source::beginning) { begun = true; });
    });
    numbers = source_->numbers();
  }
  ~running_source() { end(); }
  void end() {
    on_.run([&] {
      give_back = nullptr;
      if (source_) source_->end();
      source_.reset();
    });
  }
  std::vector<event_source::item> fetch(std::size_t count) {
    std::vector<event_source::item> out;
    CHECK(eventually([&] {
      std::promise<event_source::batch> done;
      on_.run([&] {
        source_->fetch(count - out.size(), [&](event_source::batch got) { done.set_value(std::move(got)); });
      });
      auto got = done.get_future().get();
      for (auto& one : got.items) out.push_back(std::move(one));
      return out.size() >= count;
    }));
    return out;
  }
  event_source::one fetch_again(std::uint64_t number) {
    std::promise<event_source::one> done;
    on_.run([&] { source_->fetch_again(number, [&](event_source::one got) { done.set_value(std::move(got)); }); });
    return done.get_future().get();
  }
  bool give_up(std::uint64_t number, const cloud_event& event) {
    failure why;
    why.detail = "because";
    std::promise<bool> done;
    on_.run([&] { source_->give_up(number, event, why, [&](bool kept) { done.set_value(kept); }); });
    return done.get_future().get();
  }
  void settle(std::uint64_t number) {
    on_.run([&] { source_->settle(number); });
  }
  void with(const std::function<void(topic_source&)>& what) {
    on_.run([&] { what(*source_); });
  }

  kept_log log;
  client_threads threads;
  std::atomic<bool> begun{false};
  std::atomic<bool> keeps{true};
  std::atomic<int> grown{0};
  std::atomic<int> taken_back{0};
  std::vector<std::string> buried;  // the worker's
  std::function<void()> give_back;  // the worker's
  std::shared_ptr<const topic_numbers> numbers;

 private:
  running_worker& on_;
  std::unique_ptr<topic_source> source_;
};

}  // namespace

TEST_CASE("a source hands out records with what orders them, and keeps what became of them") {
  mock_cluster cluster;
  cluster.create("clicks", 2);
  cluster.produce("clicks", 1, "a", "user-1");
  cluster.produce("clicks", 1, "b");
  kept_log log;
  running_worker on(log.logger);
  {
    running_source one(on, settings_of(cluster, {"clicks"}, "g"));
    CHECK(eventually([&] { return one.begun.load(); }));
    auto items = one.fetch(2);
    REQUIRE(items.size() == 2);
    CHECK(items[0].number < items[1].number);
    CHECK(items[0].lane == "clicks/1");
    CHECK(items[0].order_key == "user-1");
    CHECK_FALSE(items[1].order_key);
    CHECK(items[0].event.type == "dev.rouse.kafka.record");
    CHECK(items[0].made.count == 0);
    one.with([](topic_source& source) {
      source.fetch(5, [](const event_source::batch& got) { CHECK(got.items.empty()); });
    });
    one.settle(items[0].number);
    attempts_made made;
    made.count = 2;
    made.first_failed = made.next_try = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) + 1h;
    one.with([&](topic_source& source) { source.retry(items[1].number, made, failure()); });
    // Who found nothing is told when there is more.
    const int before = one.grown;
    cluster.produce("clicks", 0, "c");
    CHECK(eventually([&] { return one.grown > before; }));
    items = one.fetch(1);
    REQUIRE(items.size() == 1);
    CHECK(items[0].lane == "clicks/0");
    one.with([&](topic_source& source) { source.settle_range(items[0].number, items[0].number); });
    CHECK(eventually([&] { return one.numbers->lanes().size() == 2; }));
  }
  CHECK(cluster.committed("g", "clicks", 0).first == 1);
  CHECK(cluster.committed("g", "clicks", 1).first == 1);
  running_source again(on, settings_of(cluster, {"clicks"}, "g"));
  const auto items = again.fetch(1);
  REQUIRE(items.size() == 1);
  CHECK(items[0].event.data == "b");
  CHECK(items[0].made.count == 2);
}

TEST_CASE("a dead letter that is kept settles its record, and one that is not does not") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.fill("clicks", 0, 0, 2);
  kept_log log;
  running_worker on(log.logger);
  {
    running_source one(on, settings_of(cluster, {"clicks"}, "g"));
    const auto items = one.fetch(2);
    REQUIRE(items.size() == 2);
    CHECK(one.give_up(items[0].number, items[0].event));
    CHECK(one.buried == std::vector<std::string>{"clicks/0/0 0 because"});
    one.keeps = false;
    CHECK_FALSE(one.give_up(items[1].number, items[1].event));
    CHECK(eventually([&] { return cluster.committed("g", "clicks", 0).first == 1; }));
  }
  CHECK(cluster.committed("g", "clicks", 0).first == 1);
}

TEST_CASE("a record that is no valid CloudEvent comes with what can be kept of it") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.produce_with_header("clicks", 0, "data", "content-type", "application/cloudevents+json");
  kept_log log;
  running_worker on(log.logger);
  running_source one(on, settings_of(cluster, {"clicks"}, "g"));
  const auto items = one.fetch(1);
  REQUIRE(items.size() == 1);
  CHECK(items[0].unreadable);
  CHECK_FALSE(items[0].why.empty());
  CHECK(items[0].event.data == "data");
  CHECK_FALSE(items[0].event.id.empty());
}

TEST_CASE("contents that nobody kept are read again, until they are settled") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.fill("clicks", 0, 0, 300);
  kept_log log;
  running_worker on(log.logger);
  running_source one(on, settings_of(cluster, {"clicks"}, "g"));
  const auto items = one.fetch(300);
  REQUIRE(items.size() == 300);
  for (const std::size_t i : {0U, 1U, 2U, 250U, 299U, 100U}) {
    auto got = one.fetch_again(items[i].number);
    INFO(got.problem);
    REQUIRE(got.found);
    CHECK(got.found->number == items[i].number);
    CHECK(got.found->lane == "clicks/0");
    CHECK(got.found->event.data == std::to_string(i));
  }
  one.settle(items[1].number);
  CHECK_FALSE(one.fetch_again(items[1].number).found);
  CHECK_FALSE(one.fetch_again(9999).found);
}

TEST_CASE("what was taken back counts for nothing once it was given back") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.fill("clicks", 0, 0, 4);
  kept_log log;
  running_worker on(log.logger);
  running_source one(on, settings_of(cluster, {"clicks"}, "g"));
  auto items = one.fetch(4);
  REQUIRE(items.size() == 4);
  one.settle(items[0].number);
  CHECK(eventually([&] { return cluster.committed("g", "clicks", 0).first == 1; }));
  rd_kafka_mock_push_request_errors(cluster.raw(), 12 /* Heartbeat */, 1, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
  CHECK(eventually([&] { return one.taken_back == 1; }));
  one.settle(items[1].number);  // too late: somebody else's by now
  one.with([&](topic_source&) { one.give_back(); });
  one.settle(items[2].number);
  const auto again = one.fetch(3);
  REQUIRE(again.size() == 3);
  CHECK(again[0].number > items[3].number);
  CHECK(again[0].event.data == "1");
  for (const auto& item : again) one.settle(item.number);
  CHECK(eventually([&] { return cluster.committed("g", "clicks", 0).first == 4; }));
}

TEST_CASE("a source may end with questions open, and while no broker answers") {
  mock_cluster cluster;
  cluster.create("clicks", 1);
  cluster.fill("clicks", 0, 0, 4);
  kept_log log;
  running_worker on(log.logger);
  auto limits = quick_limits();
  limits.close_wait = 1s;
  running_source one(on, settings_of(cluster, {"clicks"}, "g"), limits);
  const auto items = one.fetch(4);
  REQUIRE(items.size() == 4);
  cluster.set_up(false);
  one.with([&](topic_source& source) {
    source.fetch_again(items[0].number, [](const event_source::one&) { FAIL("it has ended"); });
    source.give_up(items[1].number, items[1].event, failure(), [](bool) { FAIL("it has ended"); });
    source.fetch(1, [](const event_source::batch&) { FAIL("it has ended"); });
    source.end();
  });
}
