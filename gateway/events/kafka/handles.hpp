#pragma once
// librdkafka's objects with owners, and its errors in words. For this folder's sources only.

#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/events/kafka/record.hpp"

namespace rouse::gateway::events {

struct partitions_deleter {
  void operator()(rd_kafka_topic_partition_list_t* list) const noexcept { rd_kafka_topic_partition_list_destroy(list); }
};
using partition_list = std::unique_ptr<rd_kafka_topic_partition_list_t, partitions_deleter>;

struct message_deleter {
  void operator()(rd_kafka_message_t* message) const noexcept { rd_kafka_message_destroy(message); }
};
using message_ptr = std::unique_ptr<rd_kafka_message_t, message_deleter>;

struct queue_deleter {
  void operator()(rd_kafka_queue_t* queue) const noexcept { rd_kafka_queue_destroy(queue); }
};
using queue_ptr = std::unique_ptr<rd_kafka_queue_t, queue_deleter>;

struct topic_deleter {
  void operator()(rd_kafka_topic_t* topic) const noexcept { rd_kafka_topic_destroy(topic); }
};
using topic_ptr = std::unique_ptr<rd_kafka_topic_t, topic_deleter>;

[[nodiscard]] inline partition_list new_partitions(std::size_t room = 1) {
  return partition_list(rd_kafka_topic_partition_list_new(static_cast<int>(room)));
}
inline rd_kafka_topic_partition_t& add(partition_list& to, const std::string& topic, std::int32_t partition,
                                       std::int64_t offset = RD_KAFKA_OFFSET_INVALID) {
  auto& out = *rd_kafka_topic_partition_list_add(to.get(), topic.c_str(), partition);
  out.offset = offset;
  return out;
}

/// What went wrong, in words for people: what happened, and what to do where that can be said. `what` is the topic or
/// group that it is about, `detail` what librdkafka adds.
[[nodiscard]] std::string words_of(rd_kafka_resp_err_t error, std::string_view what, std::string_view detail);

/// A message that is a record, as a value.
struct read_record {
  std::int64_t offset = 0;
  std::chrono::sys_time<std::chrono::milliseconds> written{};  ///< now, where the record does not say
  std::optional<std::string> key;
  record_event what;
};
[[nodiscard]] read_record read_message(const rd_kafka_message_t& message);

}  // namespace rouse::gateway::events
