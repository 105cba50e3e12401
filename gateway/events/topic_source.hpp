#pragma once
// An event_source over topics of a Kafka cluster: a member of a consumer group. One trigger's; on its worker. The
// records come from a `consumer` (kafka/), whose poll thread keeps the membership alive whatever the function does, and
// which goes on for a moment after end(), to commit what was settled and to leave the group.
//
// Numbers are the source's own, and mean nothing to the next run: where the group stands, what is finished beyond that
// and what waits for its next try lives in the offsets that the group commits (kafka/offset_ledger.hpp).

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <spdlog/logger.h>

#include "gateway/events/event_source.hpp"
#include "gateway/events/kafka/client_threads.hpp"
#include "gateway/events/kafka/topic_numbers.hpp"
#include "gateway/events/kafka/topic_settings.hpp"
#include "gateway/worker.hpp"

namespace rouse::gateway::events {

/// Keeps the dead letter of a record. `place` is TOPIC/PARTITION/OFFSET, unique in its cluster. Called on the trigger's
/// worker; `then` may come on any thread, and after the source is gone.
using keep_dead_record =
    std::function<void(std::string place, const cloud_event&, const failure&, std::function<void(bool kept)> then)>;

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
