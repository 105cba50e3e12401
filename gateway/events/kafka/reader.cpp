#include "gateway/events/kafka/reader.hpp"

#include <array>
#include <optional>

#include "gateway/events/kafka/client_settings.hpp"
#include "gateway/events/kafka/handles.hpp"

namespace rouse::gateway::events {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr auto idle_after = 30s;              // then nothing is prefetched any more
constexpr std::int64_t worth_walking = 2000;  // records that are passed over rather than asked for anew
constexpr std::size_t most_ahead = 200;       // records that are read with the one that was asked for
constexpr std::size_t most_ahead_bytes = 256U << 10U;

void say_nothing(const rd_kafka_t* /*client*/, int /*level*/, const char* /*facility*/, const char* /*text*/) {}

}  // namespace

struct reader::client {
  ~client() {
    if (!handle) return;
    rd_kafka_assign(handle, nullptr);
    rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
  }
  /// Reads on from here: that partition, and its next offset.
  bool stands_before(const std::string& at_topic, std::int32_t at_partition, std::int64_t offset) const {
    return topic == at_topic && partition == at_partition && next <= offset && offset - next < worth_walking;
  }
  std::string go_to(const std::string& to_topic, std::int32_t to_partition, std::int64_t offset) {
    auto list = new_partitions();
    add(list, to_topic, to_partition, offset);
    topic.clear();
    if (const auto failed = rd_kafka_assign(handle, list.get())) return words_of(failed, to_topic, {});
    topic = to_topic;
    partition = to_partition;
    next = offset;
    return {};
  }

  rd_kafka_t* handle = nullptr;
  std::string topic;  ///< empty: nothing is assigned
  std::int32_t partition = 0;
  std::int64_t next = 0;
};

reader::reader(topic_settings settings) : settings_(std::move(settings)), thread_([this] { run(); }) {}

reader::~reader() {
  stop();
}

void reader::post(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return;
  jobs_.push_back(std::move(job));
  changed_.notify_one();
}

void reader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

bool reader::stopping() const {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void reader::pause(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [this] { return stopping_; });
}

void reader::run() {
  for (;;) {
    std::function<void()> job;
    {
      std::unique_lock lock(mutex_);
      const auto has_work = [this] { return stopping_ || !jobs_.empty(); };
      if (!client_ || client_->topic.empty()) {
        changed_.wait(lock, has_work);
      } else if (!changed_.wait_for(lock, idle_after, has_work)) {
        lock.unlock();
        rd_kafka_assign(client_->handle, nullptr);
        client_->topic.clear();
        continue;
      }
      if (stopping_) break;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
  client_.reset();
}

std::string reader::open() {
  if (client_) return {};
  auto conf = make_kafka_conf(settings_.cluster, kafka_role::reader, settings_.group);
  if (!conf) return conf.error();
  // What hinders the group's member hinders this as well, and is told by that.
  rd_kafka_conf_set_log_cb(conf->get(), &say_nothing);
  std::array<char, 512> text{};
  auto* const handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf->get(), text.data(), text.size());
  if (!handle) return text.data();
  (void)conf->release();
  rd_kafka_poll_set_consumer(handle);
  client_ = std::make_unique<client>();
  client_->handle = handle;
  return {};
}

records_again reader::read(const std::string& topic, std::int32_t partition, std::int64_t offset,
                           std::chrono::milliseconds timeout) {
  records_again out;
  out.problem = open();
  if (out.problem.empty() && !client_->stands_before(topic, partition, offset))
    out.problem = client_->go_to(topic, partition, offset);
  if (!out.problem.empty()) return out;
  const auto deadline = steady::now() + timeout;
  std::size_t bytes = 0;
  std::string trouble;
  while (!stopping()) {
    const bool has_it = !out.found.empty();
    if (has_it && (out.found.size() > most_ahead || bytes >= most_ahead_bytes)) return out;
    if (!has_it && steady::now() >= deadline) break;
    const message_ptr message(rd_kafka_consumer_poll(client_->handle, has_it ? 0 : 100));
    if (!message) {
      if (has_it) return out;
      continue;
    }
    const bool here = message->rkt && topic == rd_kafka_topic_name(message->rkt) && message->partition == partition;
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      if (here && message->offset > offset) return out;
      continue;
    }
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
      client_->topic.clear();
      return out;
    }
    if (message->err) {
      trouble = words_of(message->err, topic, rd_kafka_message_errstr(message.get()));
      continue;
    }
    if (!here || message->offset < client_->next) continue;
    client_->next = message->offset + 1;
    if (message->offset < offset) continue;
    if (!has_it && message->offset > offset) return out;
    auto record = read_message(*message);
    bytes += message->len + message->key_len;
    out.found.push_back({record.offset, std::move(record.key), std::move(record.what)});
  }
  if (out.found.empty()) {
    client_->topic.clear();
    out.problem = "record " + place_of(topic, partition, offset) + " could not be read again" +
                  (trouble.empty() ? ": the cluster does not answer" : ": " + trouble);
  }
  return out;
}

}  // namespace rouse::gateway::events
