#include "gateway/events/stream_source.hpp"

#include <algorithm>

#include "gateway/events/cloudevents/storage.hpp"

namespace rouse::gateway::events {

namespace {

constexpr std::size_t most_bytes = std::size_t{1} << 20U;  // of one fetch

}  // namespace

stream_source::stream_source(worker& on, store& from, stream_id stream, consumer_id consumer, consumer_state state,
                             std::shared_ptr<const std::atomic<std::int64_t>> newest)
    : worker_(on),
      store_(from),
      stream_(stream),
      consumer_(consumer),
      state_(std::move(state)),
      fetched_(state_.position),
      newest_(std::move(newest)) {
  for (const auto& one : state_.retries) retries_.insert(one.seq);
}

/// The service tells all triggers of a stream that it grew (trigger::poke), and takes nothing back, so there are no
/// news.
void stream_source::begin(news /*tell*/, std::function<void(beginning)> then) {
  beginning out;
  for (const auto& one : state_.retries) {
    attempts_made made;
    made.count = static_cast<unsigned>(one.state.attempts);
    made.first_failed = one.state.first_failure;
    made.next_try = one.state.next_attempt;
    out.retries.push_back({static_cast<std::uint64_t>(one.seq), made});
  }
  worker_.post([alive = std::weak_ptr<char>(alive_), then = std::move(then), out = std::move(out)]() mutable {
    if (!alive.expired()) then(std::move(out));
  });
}

stream_source::item stream_source::item_of(record& from) const {
  item out;
  out.number = static_cast<std::uint64_t>(from.seq);
  const auto settled = [&](const seq_range& range) { return range.first <= from.seq && from.seq <= range.last; };
  out.skip = !from.is_for(consumer_) || std::ranges::any_of(state_.settled, settled);
  if (out.skip) return out;
  if (auto event = decode(from.blob)) {
    out.event = std::move(*event);
  } else {
    out.unreadable = true;
  }
  return out;
}

void stream_source::fetch(std::size_t count, std::function<void(batch)> then) {
  store_.read(stream_, fetched_, count, most_bytes,
              on_worker([this, then = std::move(then)](store_result<std::vector<record>> result) {
                batch out;
                if (!result) {
                  out.problem = result.error().text;
                  return then(std::move(out));
                }
                for (auto& one : *result) {
                  fetched_ = one.seq;
                  if (retries_.erase(one.seq) > 0) continue;
                  out.items.push_back(item_of(one));
                }
                out.more = !result->empty() && fetched_ < newest_->load();
                then(std::move(out));
              }));
}

void stream_source::fetch_again(std::uint64_t number, std::function<void(one)> then) {
  const auto seq = static_cast<std::int64_t>(number);
  store_.read(stream_, seq - 1, 1, most_bytes,
              on_worker([this, seq, then = std::move(then)](store_result<std::vector<record>> result) {
                one out;
                if (!result) {
                  out.problem = result.error().text;
                } else if (!result->empty() && result->front().seq == seq) {
                  out.found = std::make_unique<item>(item_of(result->front()));
                  if (out.found->skip) out.found.reset();
                }
                then(std::move(out));
              }));
}

void stream_source::settle(std::uint64_t number) {
  store_.settle(consumer_, {static_cast<std::int64_t>(number)});
}

void stream_source::settle_range(std::uint64_t first, std::uint64_t last) {
  store_.settle_range(consumer_, {static_cast<std::int64_t>(first), static_cast<std::int64_t>(last)});
}

void stream_source::retry(std::uint64_t number, const attempts_made& made, const failure& why) {
  retry_state state;
  state.attempts = static_cast<int>(made.count);
  state.first_failure = made.first_failed;
  state.next_attempt = made.next_try;
  state.last_status = static_cast<int>(why.status);
  state.last_error = why.detail;
  store_.retry(consumer_, static_cast<std::int64_t>(number), std::move(state));
}

void stream_source::give_up(std::uint64_t number, const cloud_event& /*event*/, const failure& why,
                            std::function<void(bool)> then) {
  failure_note note;
  note.attempts = static_cast<int>(why.attempts);
  note.last_status = static_cast<int>(why.status);
  note.last_error = why.detail;
  store_.give_up(consumer_, static_cast<std::int64_t>(number), std::move(note),
                 on_worker([then = std::move(then)](store_result<void> result) { then(result.has_value()); }));
}

std::uint64_t stream_source::unfetched() const {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, newest_->load() - fetched_));
}

void stream_source::end() {
  alive_.reset();
}

}  // namespace rouse::gateway::events
