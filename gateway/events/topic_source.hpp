#pragma once
// An event_source over topics of a Kafka cluster: a member of a consumer group. One trigger's; on its worker. The
// records come from a `consumer` (kafka/), whose poll thread keeps the membership alive whatever the function does, and
// which goes on for a moment after end(), to commit what was settled and to leave the group.
//
// Numbers are the source's own, and mean nothing to the next run: where the group stands, what is finished beyond that
// and what waits for its next try lives in the offsets that the group commits (kafka/offset_ledger.hpp).

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <spdlog/logger.h>

#include "config/config.hpp"
#include "gateway/events/event_source.hpp"
#include "gateway/events/kafka/client_threads.hpp"
#include "gateway/events/kafka/topic_numbers.hpp"
#include "gateway/worker.hpp"

namespace rouse::gateway::events {

struct topic_settings {
  config::kafka_cluster cluster;
  std::vector<std::string> topics;
  std::string group;
  config::event_start start = config::event_start::latest;  ///< for a group that has committed nothing
  std::string trigger;                                      ///< its name, for the log
};

/// Keeps the dead letter of a record. `place` is TOPIC/PARTITION/OFFSET, unique in its cluster. Called on the trigger's
/// worker; `then` may come on any thread, and after the source is gone.
using keep_dead_record =
    std::function<void(std::string place, const cloud_event&, const failure&, std::function<void(bool kept)> then)>;

/// Bounds, as they are in the product; tests use smaller ones.
struct topic_limits {
  std::uint64_t most_beyond = 100'000;            ///< records of a partition handed out beyond the first unsettled one
  std::size_t most_buffered = 2'000;              ///< records that were read and not fetched
  std::size_t most_buffered_bytes = 4U << 20U;    ///< of those
  std::size_t most_kept_bytes = 8U << 20U;        ///< contents of unsettled records, at hand for fetch_again()
  std::chrono::milliseconds commit_every{500};    ///< when something changed
  std::chrono::milliseconds revoke_wait{30'000};  ///< for what is in flight of a revoked partition
  std::chrono::milliseconds close_wait{10'000};   ///< for the last commit and the good-bye to the group
};

class topic_source final : public event_source {
 public:
  /// Opens nothing before begin(). `threads` and `log` outlive this and the consumer's end.
  topic_source(worker& on, topic_settings settings, keep_dead_record keep, client_threads& threads, spdlog::logger& log,
               topic_limits limits = {});
  ~topic_source();

  /// Any thread, also after the source is gone; the same object throughout.
  [[nodiscard]] std::shared_ptr<const topic_numbers> numbers() const;

  void begin(news tell, std::function<void(beginning)> then) override;
  void fetch(std::size_t count, std::function<void(batch)> then) override;
  void fetch_again(std::uint64_t number, std::function<void(one)> then) override;
  void settle(std::uint64_t number) override;
  void settle_range(std::uint64_t first, std::uint64_t last) override;
  void retry(std::uint64_t number, const attempts_made& made, const failure& why) override;
  /// By `keep`; a record is settled after that.
  void give_up(std::uint64_t number, const cloud_event& event, const failure& why,
               std::function<void(bool)> then) override;
  /// The lag of the assigned partitions, less what was fetched.
  [[nodiscard]] std::uint64_t unfetched() const override;
  /// What was settled until now is committed, and the group left, on the consumer's thread: this does not wait.
  void end() override;

 private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace rouse::gateway::events
