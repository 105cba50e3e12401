#pragma once
// An event_source over a stream of the store. One trigger's; on its worker, but for what the store calls back, which it
// posts there.

#include <atomic>
#include <memory>
#include <set>

#include "gateway/events/event_source.hpp"
#include "gateway/events/store/store.hpp"
#include "gateway/worker.hpp"

namespace rouse::gateway::events {

class stream_source final : public event_source {
 public:
  /// `growth` is the stream's newest number, which its growth() keeps; the rest outlives this.
  stream_source(worker& on, store& from, stream_id stream, consumer_id consumer, consumer_state state,
                std::shared_ptr<const std::atomic<std::int64_t>> newest);

  void begin(news tell, std::function<void(beginning)> then) override;
  void fetch(std::size_t count, std::function<void(batch)> then) override;
  void fetch_again(std::uint64_t number, std::function<void(one)> then) override;
  void settle(std::uint64_t number) override;
  void settle_range(std::uint64_t first, std::uint64_t last) override;
  void retry(std::uint64_t number, const attempts_made& made, const failure& why) override;
  void give_up(std::uint64_t number, const cloud_event& event, const failure& why,
               std::function<void(bool)> then) override;
  [[nodiscard]] std::uint64_t unfetched() const override;
  void end() override;

 private:
  /// Wraps what the store is to call back, so that it comes to the worker, and not after end().
  template <typename Then>
  auto on_worker(Then then) {
    return [&on = worker_, alive = std::weak_ptr<char>(alive_), then = std::move(then)](auto result) mutable {
      auto moved = std::make_shared<decltype(result)>(std::move(result));
      on.post([alive, moved, then = std::move(then)]() mutable {
        if (!alive.expired()) then(std::move(*moved));
      });
    };
  }
  [[nodiscard]] item item_of(record& from) const;

  worker& worker_;
  store& store_;
  const stream_id stream_;
  const consumer_id consumer_;
  consumer_state state_;
  std::set<std::int64_t> retries_;  ///< numbers of `state_`'s that fetch() passes over
  std::int64_t fetched_;            ///< all up to here were handed out
  std::shared_ptr<const std::atomic<std::int64_t>> newest_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace rouse::gateway::events
