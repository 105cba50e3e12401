#include "gateway/events/kafka/producer.hpp"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "config/text.hpp"
#include "gateway/events/kafka/client_settings.hpp"

namespace rouse::gateway::events {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr int poll_ms = 100;
constexpr auto made_again = 1s;    // pause between attempts to make a client
constexpr auto told_again = 60s;   // the same trouble in the log
constexpr auto last_moments = 3s;  // for librdkafka to let go, beyond the patience of close()
constexpr auto usual_patience = 5s;

/// One client of librdkafka's. Destroyed by the thread, once nobody gives it anything any more.
struct client {
  rd_kafka_t* handle = nullptr;
  std::atomic<std::size_t> givers{0};
};

std::size_t size_of(const kafka_record& record) {
  std::size_t out = 64 + (record.key ? record.key->size() : 0) + (record.value ? record.value->size() : 0);
  for (const auto& [name, value] : record.headers) out += name.size() + value.size() + 16;
  return out;
}

/// Records that were given together. librdkafka reads their values where they stand until it has reported on them.
struct batch {
  std::string topic;
  std::vector<kafka_record> records;
  std::size_t bytes = 0;
  append_done then;
  std::atomic<std::size_t> left{0};
  std::mutex mutex;
  append_result result;  ///< guarded until `left` is 0
  bool some_kept = false;
};

/// nullptr: out of memory is the only reason.
rd_kafka_headers_t* headers_of(const kafka_record& record) {
  auto* const out = rd_kafka_headers_new(record.headers.size());
  for (const auto& [name, value] : record.headers) {
    rd_kafka_header_add(out, name.c_str(), static_cast<ssize_t>(name.size()), value.data(),
                        static_cast<ssize_t>(value.size()));
  }
  return out;
}

rd_kafka_resp_err_t give(rd_kafka_t* to, batch& of, const kafka_record& record) {
  auto* const headers = headers_of(record);
  // The macros take what they do not change as if they did.
  auto* const value = record.value ? const_cast<char*>(record.value->data()) : nullptr;
  auto* const key = record.key ? const_cast<char*>(record.key->data()) : nullptr;
  const auto value_size = record.value ? record.value->size() : 0;
  const auto key_size = record.key ? record.key->size() : 0;
  const auto error = rd_kafka_producev(to, RD_KAFKA_V_TOPIC(of.topic.c_str()), RD_KAFKA_V_HEADERS(headers),
                                       RD_KAFKA_V_VALUE(value, value_size), RD_KAFKA_V_KEY(key, key_size),
                                       RD_KAFKA_V_OPAQUE(&of), RD_KAFKA_V_END);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) rd_kafka_headers_destroy(headers);
  return error;
}

/// In words, with what can be done.
append_result explain(rd_kafka_resp_err_t error, const std::string& topic, const std::string& trouble) {
  append_result out;
  out.how = append_result::kind::failed;
  switch (error) {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
      out.how = append_result::kind::busy;
      out.problem = "too much waits to be written to the Kafka cluster";
      break;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
      out.problem = "there is no topic " + topic + " on the Kafka cluster: create it";
      break;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      out.problem = "the Kafka cluster does not allow to write to topic " + topic;
      break;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
      out.how = append_result::kind::too_large;
      out.problem = "the event is larger than topic " + topic + " takes (its `max.message.bytes`)";
      break;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
      out.problem = "the Kafka cluster did not acknowledge it for topic " + topic + " in time";
      if (!trouble.empty()) out.problem += ": " + trouble;
      break;
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__DESTROY:
      out.problem = "the client of the Kafka cluster was closed";
      break;
    default:
      out.problem = "the Kafka cluster did not take it: " + std::string(rd_kafka_err2str(error));
      break;
  }
  return out;
}

/// librdkafka's own words, in one line.
std::string plain(const char* text) {
  std::string out(text ? text : "");
  for (auto& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  return out;
}

}  // namespace

/// Shared with the thread, which may outlive the producer when librdkafka hangs.
class producer::core : public std::enable_shared_from_this<core> {
 public:
  core(config::kafka_cluster cluster, spdlog::logger& log, producer_limits limits)
      : cluster_(std::move(cluster)), limits_(limits), log_(&log) {
    for (const auto& one : cluster_.brokers) name_ += (name_.empty() ? "" : ",") + one;
  }

  /// What is wrong with the properties, or nothing.
  std::string start() {
    auto problem = make_client();
    if (!problem.empty()) return problem;
    thread_ = std::thread([self = shared_from_this()] { self->run(); });
    return {};
  }

  void append(const std::string& topic, std::vector<kafka_record> records, append_done then) {
    if (records.empty()) return then({});
    auto one = std::make_unique<batch>();
    one->topic = topic;
    one->records = std::move(records);
    one->then = std::move(then);
    for (const auto& record : one->records) one->bytes += size_of(record);
    std::shared_ptr<client> to;
    append_result answer;
    {
      const std::lock_guard lock(mutex_);
      answer = admit(*one);
      to = client_;
      if (answer.kept()) ++to->givers;
    }
    if (!answer.kept()) return one->then(std::move(answer));
    give_all(to->handle, one.release());
    --to->givers;
  }

  void close(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    if (!std::exchange(closing_, true)) close_by_ = steady::now() + patience;
    const bool done = ended_when_.wait_until(lock, close_by_ + last_moments, [this] { return ended_; });
    if (!thread_.joinable()) return;
    auto thread = std::move(thread_);
    if (!done) log_ = nullptr;  // its owner may not outlive what hangs
    lock.unlock();
    done ? thread.join() : thread.detach();
  }

  [[nodiscard]] std::string problem() const {
    const std::lock_guard lock(mutex_);
    return trouble_;
  }

  void break_client() {
    std::shared_ptr<client> now;
    {
      const std::lock_guard lock(mutex_);
      now = client_;
      if (!now) return;
      ++now->givers;
    }
    rd_kafka_test_fatal_error(now->handle, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "a test");
    --now->givers;
  }

 private:
  /// Under the lock. Counts the batch, unless it is refused.
  append_result admit(const batch& one) {
    using kind = append_result::kind;
    append_result out;
    if (closing_) {
      out.how = kind::closed;
      out.problem = "rouse is shutting down";
    } else if (bytes_ > 0 &&
               (bytes_ + one.bytes > limits_.most_bytes || records_ + one.records.size() > limits_.most_records)) {
      out.how = kind::busy;
      out.problem = "too much waits to be written to the Kafka cluster" + (trouble_.empty() ? "" : ": " + trouble_);
    } else if (!client_) {
      out.how = kind::failed;
      out.problem = "there is no client of the Kafka cluster: " + trouble_;
    } else {
      bytes_ += one.bytes;
      records_ += one.records.size();
    }
    return out;
  }

  /// From here on the reports own the batch.
  void give_all(rd_kafka_t* to, batch* one) {
    const auto count = one->records.size();
    one->left = count + 1;
    for (std::size_t i = 0; i < count; ++i) {
      const auto error = give(to, *one, one->records[i]);
      if (error == RD_KAFKA_RESP_ERR_NO_ERROR) continue;
      // Those behind it are not tried: none of the batch is to be overtaken by what comes after it.
      note(*one, error, i > 0);
      drop(one, count - i);
      break;
    }
    drop(one, 1);
  }

  void note(batch& of, rd_kafka_resp_err_t error, bool perhaps) {
    auto result = explain(error, of.topic, problem());
    const std::lock_guard lock(of.mutex);
    if (of.result.kept()) {
      perhaps = perhaps || of.result.perhaps_kept;
      of.result = std::move(result);
    }
    of.result.perhaps_kept = of.result.perhaps_kept || perhaps;
  }

  void drop(batch* one, std::size_t count) {
    if (one->left.fetch_sub(count) != count) return;
    const std::unique_ptr<batch> done(one);
    {
      const std::lock_guard lock(mutex_);
      bytes_ -= done->bytes;
      records_ -= done->records.size();
    }
    if (!done->result.kept() && done->some_kept) done->result.perhaps_kept = true;
    done->then(std::move(done->result));
  }

  void report(const rd_kafka_message_t& message) {
    auto* const one = static_cast<batch*>(message._private);
    if (message.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      const std::lock_guard lock(one->mutex);
      one->some_kept = true;
    } else {
      note(*one, message.err, rd_kafka_message_status(&message) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED);
    }
    if (message.err == RD_KAFKA_RESP_ERR_NO_ERROR) well();
    drop(one, 1);
  }

  // --- trouble

  void well() {
    const std::lock_guard lock(mutex_);
    if (trouble_.empty()) return;
    trouble_.clear();
    if (std::exchange(told_, false) && log_) log_->info("Kafka at {}: events are written again", name_);
  }

  void tell(std::string what) {
    const std::lock_guard lock(mutex_);
    trouble_ = std::move(what);
    const auto now = steady::now();
    // It comes again and again, in the words of each broker.
    if (!log_ || (told_at_ && now - *told_at_ < told_again)) return;
    told_ = true;
    told_at_ = now;
    log_->warn("Kafka at {}: no event can be written for now: {}", name_, trouble_);
  }

  void on_error(rd_kafka_t* from, rd_kafka_resp_err_t error, const char* reason) {
    switch (error) {
      case RD_KAFKA_RESP_ERR__FATAL: {
        std::array<char, 512> text{};
        rd_kafka_fatal_error(from, text.data(), text.size());
        broken_ = true;
        const std::lock_guard lock(mutex_);
        if (log_) {
          log_->warn("Kafka at {}: the client gave up and is replaced, what it held is answered as failed: {}", name_,
                     plain(text.data()));
        }
        return;
      }
      case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
        return tell("no broker can be reached" + (last_reason_.empty() ? "" : ": " + last_reason_));
      case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        return tell("the broker refuses the credentials: " + plain(reason));
      case RD_KAFKA_RESP_ERR__SSL:
        return tell("no TLS with the broker: " + plain(reason));
      default:
        last_reason_ = plain(reason);  // of one broker; the others may be well
        return debug("ERROR", reason);
    }
  }

  void debug(const char* facility, const char* text) {
    const std::lock_guard lock(mutex_);
    if (log_) log_->debug("Kafka at {}: {}: {}", name_, facility, plain(text));
  }

  // --- the thread

  std::string make_client() {
    auto settings = make_kafka_conf(cluster_, kafka_role::producer, {});
    if (!settings) return settings.error();
    auto* const conf = settings->get();
    rd_kafka_conf_set_opaque(conf, this);
    rd_kafka_conf_set_dr_msg_cb(conf, [](rd_kafka_t*, const rd_kafka_message_t* message, void* self) {
      static_cast<core*>(self)->report(*message);
    });
    rd_kafka_conf_set_error_cb(conf, [](rd_kafka_t* from, int error, const char* reason, void* self) {
      static_cast<core*>(self)->on_error(from, static_cast<rd_kafka_resp_err_t>(error), reason);
    });
    rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t* from, int, const char* facility, const char* text) {
      if (auto* const self = static_cast<core*>(rd_kafka_opaque(from))) self->debug(facility, text);
    });
    std::array<char, 512> text{};
    auto* const made = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text.data(), text.size());
    if (!made) return plain(text.data());
    static_cast<void>(settings->release());  // it is the client's now
    const std::lock_guard lock(mutex_);
    client_ = std::make_shared<client>();
    client_->handle = made;
    return {};
  }

  void run() {
    while (auto const now = present()) {
      if (!now->handle) {
        if (const auto problem = make_client(); !problem.empty()) {
          tell(problem);
          std::this_thread::sleep_for(made_again);
        }
        continue;
      }
      rd_kafka_poll(now->handle, poll_ms);
      if (!std::exchange(broken_, false)) continue;
      // The new one is there before the old one ends.
      if (const auto problem = make_client(); !problem.empty()) {
        tell(problem);
        const std::lock_guard lock(mutex_);
        client_ = nullptr;
      }
      retire(*now, steady::now());
    }
    if (client_) retire(*client_, close_by_);  // nothing changes any more
    const std::lock_guard lock(mutex_);
    client_ = nullptr;
    ended_ = true;
    ended_when_.notify_all();
  }

  /// The client; one without handle when it has to be made; nothing at the end.
  std::shared_ptr<client> present() {
    const std::lock_guard lock(mutex_);
    if (closing_) return nullptr;
    return client_ ? client_ : std::make_shared<client>();
  }

  /// Ends a client that is given nothing new. What it can still deliver until then, it does.
  static void retire(client& old, steady::time_point until) {
    while (rd_kafka_outq_len(old.handle) > 0 && steady::now() < until) rd_kafka_flush(old.handle, poll_ms);
    for (;;) {
      const bool given = old.givers > 0;  // looked at first: who still gives may add to the queue
      rd_kafka_purge(old.handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
      if (!given && rd_kafka_outq_len(old.handle) == 0) break;
      rd_kafka_poll(old.handle, 10);
    }
    rd_kafka_destroy(old.handle);
  }

  const config::kafka_cluster cluster_;
  const producer_limits limits_;
  std::string name_;
  mutable std::mutex mutex_;        ///< never held in a call of librdkafka's, which may log
  spdlog::logger* log_;             ///< guarded, as all up to the thread's
  std::shared_ptr<client> client_;  ///< nothing: one has to be made
  std::size_t bytes_ = 0;
  std::size_t records_ = 0;
  std::string trouble_;
  bool told_ = false;
  std::optional<steady::time_point> told_at_;
  bool closing_ = false;
  bool ended_ = false;
  steady::time_point close_by_ = steady::time_point::max();
  std::condition_variable ended_when_;
  std::thread thread_;

  bool broken_ = false;      ///< the thread's, as the next one
  std::string last_reason_;  ///< of an error of one broker
};

boost::system::result<std::unique_ptr<producer>, std::string> producer::make(const config::kafka_cluster& cluster,
                                                                             spdlog::logger& log,
                                                                             producer_limits limits) {
  auto made = std::make_shared<core>(cluster, log, limits);
  if (auto problem = made->start(); !problem.empty()) return problem;
  return std::unique_ptr<producer>(new producer(std::move(made)));
}

producer::producer(std::shared_ptr<core> made) : core_(std::move(made)) {}

producer::~producer() {
  close(usual_patience);
}

void producer::append(const std::string& topic, std::vector<kafka_record> records, append_done then) {
  core_->append(topic, std::move(records), std::move(then));
}

void producer::close(std::chrono::milliseconds patience) {
  core_->close(patience);
}

std::string producer::problem() const {
  return core_->problem();
}

void producer::break_client() {
  core_->break_client();
}

}  // namespace rouse::gateway::events
