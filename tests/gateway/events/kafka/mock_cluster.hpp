#pragma once
// A cluster within the test's own process (librdkafka's mock), with which brokers fail on demand.

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <array>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "config/config.hpp"

namespace kafka_test {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr auto patience = 90s;  // for what must happen, on a slow machine

/// Until it is so.
inline bool eventually(const std::function<bool()>& so, std::chrono::milliseconds within = patience) {
  const auto deadline = steady::now() + within;
  while (!so()) {
    if (steady::now() > deadline) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

inline void set(rd_kafka_conf_t* conf, const char* name, const std::string& value) {
  std::array<char, 256> text{};
  if (rd_kafka_conf_set(conf, name, value.c_str(), text.data(), text.size()) != RD_KAFKA_CONF_OK) FAIL(text.data());
}

inline rd_kafka_t* new_client(rd_kafka_type_t type, const std::vector<std::pair<const char*, std::string>>& settings) {
  auto* const conf = rd_kafka_conf_new();
  set(conf, "log_level", "0");
  for (const auto& [name, value] : settings) set(conf, name, value);
  std::array<char, 256> text{};
  auto* const out = rd_kafka_new(type, conf, text.data(), text.size());
  if (!out) FAIL(text.data());
  return out;
}

class mock_cluster {
 public:
  explicit mock_cluster(int brokers = 1) : host_(new_client(RD_KAFKA_PRODUCER, {})) {
    cluster_ = rd_kafka_mock_cluster_new(host_, brokers);
    REQUIRE(cluster_ != nullptr);
    rd_kafka_mock_set_apiversion(cluster_, 0, 0, 7);  // Produce: as all clients know it
    producer_ = new_client(RD_KAFKA_PRODUCER, {{"bootstrap.servers", brokers_text()}, {"linger.ms", "1"}});
  }
  ~mock_cluster() {
    rd_kafka_destroy(producer_);
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(host_);
  }
  mock_cluster(const mock_cluster&) = delete;
  mock_cluster& operator=(const mock_cluster&) = delete;

  [[nodiscard]] std::string brokers_text() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }
  [[nodiscard]] rd_kafka_mock_cluster_t* raw() const { return cluster_; }

  void create(const std::string& topic, int partitions) {
    REQUIRE(rd_kafka_mock_topic_create(cluster_, topic.c_str(), partitions, 1) == RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  /// Waits until the cluster has it.
  void produce(const std::string& topic, int partition, const std::string& value,
               const std::optional<std::string>& key = std::nullopt) {
    enqueue(topic, partition, value, key);
    flush();
  }
  void enqueue(const std::string& topic, int partition, const std::string& value,
               const std::optional<std::string>& key = std::nullopt) {
    const char* const key_data = key ? key->data() : nullptr;
    const std::size_t key_size = key ? key->size() : 0;
    const auto failed = rd_kafka_producev(producer_, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(partition),
                                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                          RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()),
                                          RD_KAFKA_V_KEY(key_data, key_size), RD_KAFKA_V_END);
    REQUIRE(failed == RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  void produce_with_header(const std::string& topic, int partition, const std::string& value, const char* name,
                           const std::string& header) {
    const auto failed = rd_kafka_producev(producer_, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(partition),
                                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                          RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()),
                                          RD_KAFKA_V_HEADER(name, header.data(), header.size()), RD_KAFKA_V_END);
    REQUIRE(failed == RD_KAFKA_RESP_ERR_NO_ERROR);
    flush();
  }
  void flush() { REQUIRE(rd_kafka_flush(producer_, 60'000) == RD_KAFKA_RESP_ERR_NO_ERROR); }
  /// `count` records in one partition, of the values `from`, `from` + 1, ...
  void fill(const std::string& topic, int partition, int from, int count) {
    for (int i = from; i < from + count; ++i) enqueue(topic, partition, std::to_string(i));
    flush();
  }

  void set_up(bool up, int broker = 1) {
    if (up) {
      rd_kafka_mock_broker_set_up(cluster_, broker);
    } else {
      rd_kafka_mock_broker_set_down(cluster_, broker);
    }
  }

  /// What the group has committed for a partition: the offset (negative: nothing) and its metadata.
  [[nodiscard]] std::pair<std::int64_t, std::string> committed(const std::string& group, const std::string& topic,
                                                               int partition) const {
    auto* const client = new_client(RD_KAFKA_CONSUMER, {{"bootstrap.servers", brokers_text()}, {"group.id", group}});
    auto* const list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic.c_str(), partition);
    const auto failed = rd_kafka_committed(client, list, 20'000);
    std::pair<std::int64_t, std::string> out(failed ? -2000 : list->elems[0].offset, "");
    if (list->elems[0].metadata_size > 0)
      out.second.assign(static_cast<const char*>(list->elems[0].metadata), list->elems[0].metadata_size);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(client);
    return out;
  }
  /// Commits as another program would.
  void commit(const std::string& group, const std::string& topic, int partition, std::int64_t offset,
              const std::string& metadata = "") const {
    auto* const client = new_client(RD_KAFKA_CONSUMER, {{"bootstrap.servers", brokers_text()}, {"group.id", group}});
    auto* const list = rd_kafka_topic_partition_list_new(1);
    auto* const one = rd_kafka_topic_partition_list_add(list, topic.c_str(), partition);
    one->offset = offset;
    if (!metadata.empty()) {
      one->metadata = std::malloc(metadata.size());
      metadata.copy(static_cast<char*>(one->metadata), metadata.size());
      one->metadata_size = metadata.size();
    }
    const auto failed = rd_kafka_commit(client, list, 0);
    CHECK(failed == RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(client);
  }

 private:
  rd_kafka_t* host_;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
  rd_kafka_t* producer_ = nullptr;
};

}  // namespace kafka_test
