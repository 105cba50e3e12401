// The producer against librdkafka's mock cluster: what is said to be kept is there, in order; what is not is said in
// words, and in time.
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <spdlog/sinks/ostream_sink.h>
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <future>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

#include "gateway/events/kafka/client_settings.hpp"
#include "gateway/events/kafka/producer.hpp"

using namespace rouse;
using namespace rouse::gateway::events;
using namespace std::chrono_literals;

namespace {

using kind = append_result::kind;

class mock_cluster {
 public:
  explicit mock_cluster(int brokers = 1) {
    std::array<char, 512> text{};
    auto* const conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, nullptr);
    owner_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text.data(), text.size());
    REQUIRE(owner_ != nullptr);
    cluster_ = rd_kafka_mock_cluster_new(owner_, brokers);
    REQUIRE(cluster_ != nullptr);
  }
  ~mock_cluster() {
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(owner_);
  }
  mock_cluster(const mock_cluster&) = delete;
  mock_cluster& operator=(const mock_cluster&) = delete;

  [[nodiscard]] rd_kafka_mock_cluster_t* get() const { return cluster_; }
  void topic(const char* name, int partitions) { rd_kafka_mock_topic_create(cluster_, name, partitions, 1); }
  void down() { rd_kafka_mock_broker_set_down(cluster_, 1); }
  void up() { rd_kafka_mock_broker_set_up(cluster_, 1); }

  [[nodiscard]] config::kafka_cluster settings(std::vector<std::pair<std::string, std::string>> properties = {}) const {
    config::kafka_cluster out;
    std::string all = rd_kafka_mock_cluster_bootstraps(cluster_);
    for (std::size_t at = 0; at < all.size();) {
      const auto end = std::min(all.find(',', at), all.size());
      out.brokers.push_back(all.substr(at, end - at));
      at = end + 1;
    }
    out.properties = std::move(properties);
    return out;
  }

 private:
  rd_kafka_t* owner_ = nullptr;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
};

struct read_record {
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::map<std::string, std::string> headers;
  std::int32_t partition = 0;
};

/// The first `count` records of the topic, by partition and offset; fewer when no more come.
std::vector<read_record> read_all(const mock_cluster& from, const std::string& topic, int partitions,
                                  std::size_t count) {
  auto made = make_kafka_conf(from.settings(), kafka_role::reader, "reader");
  REQUIRE(made);
  rd_kafka_conf_set_log_cb(made->get(), nullptr);
  std::array<char, 512> text{};
  auto* const reader = rd_kafka_new(RD_KAFKA_CONSUMER, made->release(), text.data(), text.size());
  REQUIRE(reader != nullptr);
  auto* const wanted = rd_kafka_topic_partition_list_new(partitions);
  for (int i = 0; i < partitions; ++i)
    rd_kafka_topic_partition_list_add(wanted, topic.c_str(), i)->offset = RD_KAFKA_OFFSET_BEGINNING;
  rd_kafka_assign(reader, wanted);
  rd_kafka_topic_partition_list_destroy(wanted);
  std::vector<read_record> out;
  const auto until = std::chrono::steady_clock::now() + 30s;
  while (out.size() < count && std::chrono::steady_clock::now() < until) {
    auto* const message = rd_kafka_consumer_poll(reader, 100);
    if (!message) continue;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      read_record one;
      one.partition = message->partition;
      if (message->key) one.key.emplace(static_cast<const char*>(message->key), message->key_len);
      if (message->payload) one.value.emplace(static_cast<const char*>(message->payload), message->len);
      rd_kafka_headers_t* headers = nullptr;
      if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        const char* name = nullptr;
        const void* value = nullptr;
        std::size_t size = 0;
        for (std::size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
             ++i)
          one.headers[name] = std::string(static_cast<const char*>(value), size);
      }
      out.push_back(std::move(one));
    }
    rd_kafka_message_destroy(message);
  }
  rd_kafka_consumer_close(reader);
  rd_kafka_destroy(reader);
  std::ranges::stable_sort(out, {}, &read_record::partition);
  return out;
}

struct captured_log {
  std::ostringstream text;
  spdlog::logger log{"test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text)};
};

kafka_record record(std::optional<std::string> key, std::optional<std::string> value) {
  kafka_record out;
  out.key = std::move(key);
  out.value = std::move(value);
  return out;
}

std::vector<kafka_record> single(const std::string& value, std::optional<std::string> key = std::nullopt) {
  std::vector<kafka_record> out;
  out.push_back(record(std::move(key), value));
  return out;
}

std::future<append_result> send(producer& to, const std::string& topic, std::vector<kafka_record> records) {
  auto promise = std::make_shared<std::promise<append_result>>();
  auto out = promise->get_future();
  to.append(topic, std::move(records), [promise](append_result result) { promise->set_value(std::move(result)); });
  return out;
}

/// Generous: machines of tests are slow.
append_result wait(std::future<append_result>& from) {
  REQUIRE(from.wait_for(60s) == std::future_status::ready);
  return from.get();
}

append_result send_and_wait(producer& to, const std::string& topic, std::vector<kafka_record> records) {
  auto future = send(to, topic, std::move(records));
  return wait(future);
}

std::unique_ptr<producer> make(const config::kafka_cluster& cluster, captured_log& log, producer_limits limits = {}) {
  auto made = producer::make(cluster, log.log, limits);
  if (!made) FAIL(made.error());
  return std::move(*made);
}

}  // namespace

TEST_CASE("what is kept is on the topic: key, value and headers, null and empty ones too") {
  mock_cluster cluster(3);
  cluster.topic("a", 1);
  captured_log log;
  const auto made = make(cluster.settings(), log);
  std::vector<kafka_record> records;
  records.push_back(record("k", "v"));
  records.back().headers = {{"ce_id", "1"}, {"ce_subject", ""}};
  records.push_back(record(std::nullopt, std::nullopt));
  records.push_back(record(std::nullopt, ""));
  records.push_back(record("", std::string("\0\xFF", 2)));
  const auto result = send_and_wait(*made, "a", std::move(records));
  CHECK(result.problem.empty());
  REQUIRE(result.kept());
  CHECK_FALSE(result.perhaps_kept);
  const auto got = read_all(cluster, "a", 1, 4);
  REQUIRE(got.size() == 4);
  CHECK(got[0].key == "k");
  CHECK(got[0].value == "v");
  CHECK(got[0].headers == std::map<std::string, std::string>{{"ce_id", "1"}, {"ce_subject", ""}});
  CHECK_FALSE(got[1].key);
  CHECK_FALSE(got[1].value);
  CHECK(got[2].value == "");
  CHECK(got[3].value == std::string("\0\xFF", 2));
}

TEST_CASE("records of one key stay in order, on one partition; two topics at once") {
  mock_cluster cluster(3);
  cluster.topic("a", 4);
  cluster.topic("b", 1);
  captured_log log;
  const auto made = make(cluster.settings(), log);
  std::vector<std::future<append_result>> all;
  constexpr int count = 1000;
  for (int i = 0; i < count; ++i) {
    all.push_back(send(*made, "a", single(std::to_string(i), "key-" + std::to_string(i % 7))));
    if (i % 10 == 0) all.push_back(send(*made, "b", single(std::to_string(i))));
  }
  for (auto& one : all) CHECK(wait(one).kept());
  std::map<std::string, int> last;
  std::map<std::string, std::set<int>> partitions;
  const auto got = read_all(cluster, "a", 4, count);
  REQUIRE(got.size() == count);
  for (const auto& one : got) {
    const int value = std::stoi(*one.value);
    CHECK(value % 7 == std::stoi(one.key->substr(4)));
    if (last.contains(*one.key)) CHECK(last[*one.key] < value);
    last[*one.key] = value;
    partitions[*one.key].insert(one.partition);
  }
  CHECK(last.size() == 7);
  for (const auto& [key, on] : partitions) CHECK(on.size() == 1);
  CHECK(read_all(cluster, "b", 1, count / 10).size() == count / 10);
}

TEST_CASE("a broker that is away for a while costs time, and nothing else") {
  mock_cluster cluster;
  cluster.topic("a", 1);
  captured_log log;
  const auto made = make(cluster.settings({{"reconnect.backoff.max.ms", "200"}}), log);
  CHECK(send_and_wait(*made, "a", single("0")).kept());
  cluster.down();
  std::vector<std::future<append_result>> all;
  for (int i = 1; i <= 20; ++i) all.push_back(send(*made, "a", single(std::to_string(i))));
  CHECK(all.front().wait_for(300ms) == std::future_status::timeout);
  cluster.up();
  for (auto& one : all) CHECK(wait(one).kept());
  const auto got = read_all(cluster, "a", 1, 21);
  REQUIRE(got.size() == 21);
  for (int i = 0; i <= 20; ++i) CHECK(got[static_cast<std::size_t>(i)].value == std::to_string(i));
}

TEST_CASE("errors that pass are tried again, without a second copy") {
  mock_cluster cluster;
  cluster.topic("a", 1);
  captured_log log;
  const auto made = make(cluster.settings({{"retry.backoff.ms", "10"}}), log);
  CHECK(send_and_wait(*made, "a", single("0")).kept());
  rd_kafka_mock_push_request_errors(cluster.get(), 0, 3, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
                                    RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
  CHECK(send_and_wait(*made, "a", single("1")).kept());
  CHECK(send_and_wait(*made, "a", single("2")).kept());
  const auto got = read_all(cluster, "a", 1, 3);
  REQUIRE(got.size() == 3);
  CHECK(got[1].value == "1");
  CHECK(got[2].value == "2");
}

TEST_CASE("no broker: it is said in time, with the reason, and that nothing hinders once there is one") {
  mock_cluster cluster;
  cluster.topic("a", 1);
  cluster.down();
  captured_log log;
  const auto made = make(cluster.settings({{"message.timeout.ms", "1500"}, {"reconnect.backoff.max.ms", "100"}}), log);
  const auto result = send_and_wait(*made, "a", single("0"));
  CHECK(result.how == kind::failed);
  CHECK_THAT(result.problem, Catch::Contains("did not acknowledge it for topic a in time: no broker can be reached"));
  CHECK_FALSE(result.perhaps_kept);  // it was never sent
  CHECK_FALSE(made->problem().empty());
  cluster.up();
  for (int i = 0; i < 20 && !send_and_wait(*made, "a", single("1")).kept(); ++i) {
  }
  CHECK(made->problem().empty());
  made->close(10s);
  CHECK_THAT(log.text.str(), Catch::Contains("no event can be written for now: no broker can be reached"));
  CHECK_THAT(log.text.str(), Catch::Contains("events are written again"));
}

TEST_CASE("what was sent and never acknowledged may be there") {
  mock_cluster cluster;
  cluster.topic("a", 1);
  captured_log log;
  const auto made = make(cluster.settings({{"message.timeout.ms", "1500"}}), log);
  CHECK(send_and_wait(*made, "a", single("0")).kept());
  rd_kafka_mock_broker_set_rtt(cluster.get(), 1, 20'000);
  const auto result = send_and_wait(*made, "a", single("1"));
  CHECK(result.how == kind::failed);
  CHECK(result.perhaps_kept);
  rd_kafka_mock_broker_set_rtt(cluster.get(), 1, 0);
}

TEST_CASE("too much at once is refused as busy, and goes when there is room again") {
  mock_cluster cluster;
  cluster.topic("a", 1);
  captured_log log;
  producer_limits limits;
  limits.most_records = 10;
  limits.most_bytes = 100'000;
  const auto made = make(cluster.settings(), log, limits);
  CHECK(send_and_wait(*made, "a", single("0")).kept());
  cluster.down();
  std::vector<std::future<append_result>> all;
  for (int i = 0; i < 10; ++i) all.push_back(send(*made, "a", single("x")));
  const auto refused = send_and_wait(*made, "a", single("x"));
  CHECK(refused.how == kind::busy);
  CHECK_FALSE(refused.perhaps_kept);
  CHECK_THAT(refused.problem, Catch::Contains("too much waits"));
  cluster.up();
  for (auto& one : all) CHECK(wait(one).kept());
  CHECK(send_and_wait(*made, "a", single(std::string(90'000, 'x'))).kept());
  CHECK(send_and_wait(*made, "a", single(std::string(200'000, 'x'))).kept());  // larger than all, but alone
}

TEST_CASE("a queue of librdkafka's that is full is busy too") {
  mock_cluster cluster;
  cluster.topic("a", 1);
  captured_log log;
  const auto made = make(cluster.settings({{"queue.buffering.max.messages", "2"}}), log);
  CHECK(send_and_wait(*made, "a", single("0")).kept());
  cluster.down();
  std::vector<kafka_record> three;
  for (int i = 0; i < 3; ++i) three.push_back(record(std::nullopt, "x"));
  auto future = send(*made, "a", std::move(three));
  cluster.up();
  const auto result = wait(future);
  CHECK(result.how == kind::busy);
  CHECK(result.perhaps_kept);  // two went
}

TEST_CASE("what the brokers refuse is said in words") {
  mock_cluster cluster;
  cluster.topic("a", 1);
  captured_log log;
  const auto made = make(cluster.settings({{"message.max.bytes", "2000"}}), log);
  CHECK(send_and_wait(*made, "a", single("0")).kept());
  const auto large = send_and_wait(*made, "a", single(std::string(5000, 'x')));
  CHECK(large.how == kind::too_large);
  CHECK_FALSE(large.perhaps_kept);
  rd_kafka_mock_push_request_errors(cluster.get(), 0, 1, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
  const auto denied = send_and_wait(*made, "a", single("1"));
  CHECK(denied.how == kind::failed);
  CHECK_THAT(denied.problem, Catch::Contains("does not allow to write to topic a"));
  rd_kafka_mock_topic_set_error(cluster.get(), "gone", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  const auto quick = make(cluster.settings({{"topic.metadata.propagation.max.ms", "100"}}), log);
  const auto unknown = send_and_wait(*quick, "gone", single("1"));
  CHECK(unknown.how == kind::failed);
  CHECK_THAT(unknown.problem, Catch::Contains("there is no topic gone on the Kafka cluster: create it"));
}

TEST_CASE("a client that gave up is replaced") {
  mock_cluster cluster;
  cluster.topic("a", 1);
  captured_log log;
  const auto made = make(cluster.settings(), log);
  CHECK(send_and_wait(*made, "a", single("0")).kept());
  made->break_client();
  bool kept = false;
  for (int i = 0; i < 200 && !kept; ++i) {
    kept = send_and_wait(*made, "a", single("1")).kept();
    if (!kept) std::this_thread::sleep_for(10ms);
  }
  CHECK(kept);
  made->close(10s);
  CHECK_THAT(log.text.str(), Catch::Contains("the client gave up and is replaced"));
  CHECK(read_all(cluster, "a", 1, 2).size() == 2);
}

TEST_CASE("close waits for what is on its way, and then takes no more") {
  mock_cluster cluster;
  cluster.topic("a", 1);
  captured_log log;
  const auto made = make(cluster.settings({{"linger.ms", "500"}}), log);
  std::vector<std::future<append_result>> all;
  for (int i = 0; i < 100; ++i) all.push_back(send(*made, "a", single("x")));
  made->close(30s);
  for (auto& one : all) {
    REQUIRE(one.wait_for(0s) == std::future_status::ready);
    CHECK(one.get().kept());
  }
  const auto late = send_and_wait(*made, "a", single("x"));
  CHECK(late.how == kind::closed);
  CHECK(read_all(cluster, "a", 1, 100).size() == 100);
}

TEST_CASE("close has an end when no broker answers") {
  mock_cluster cluster;
  cluster.topic("a", 1);
  captured_log log;
  const auto made = make(cluster.settings(), log);
  CHECK(send_and_wait(*made, "a", single("0")).kept());
  cluster.down();
  auto pending = send(*made, "a", single("x"));
  const auto begun = std::chrono::steady_clock::now();
  made->close(300ms);
  CHECK(std::chrono::steady_clock::now() - begun < 20s);
  CHECK(wait(pending).how == kind::failed);
}

TEST_CASE("properties that cannot work are refused when it is made") {
  captured_log log;
  config::kafka_cluster cluster;
  cluster.brokers = {"127.0.0.1:1"};
  cluster.properties = {{"security.protocol", "ssl"}, {"ssl.ca.location", "/no/such.pem"}};
  const auto made = producer::make(cluster, log.log);
  REQUIRE_FALSE(made);
  CHECK_THAT(made.error(), Catch::Contains("/no/such.pem"));
  CHECK_THAT(try_kafka(cluster, kafka_role::producer), Catch::Contains("/no/such.pem"));
  CHECK_THAT(try_kafka(cluster, kafka_role::consumer), Catch::Contains("/no/such.pem"));
  cluster.properties = {{"client.id", "x"}};
  CHECK(try_kafka(cluster, kafka_role::producer).empty());
  CHECK(try_kafka(cluster, kafka_role::consumer).empty());
  cluster.properties = {{"acks", "1"}};
  CHECK_THAT(try_kafka(cluster, kafka_role::producer), Catch::Contains("is rouse's to set"));
}

TEST_CASE("no records are kept at once") {
  captured_log log;
  config::kafka_cluster cluster;
  cluster.brokers = {"127.0.0.1:1"};
  const auto made = make(cluster, log);
  CHECK(send_and_wait(*made, "a", {}).kept());
}
