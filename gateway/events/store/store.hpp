#pragma once
// The durable store in `data_dir`: streams of events with a cursor for each consumer, queued invocations with their
// results, and dead letters, in one SQLite file (README.md has the tables and why they are so). It lives as long as the
// daemon and has three threads: one writes, in group commits; one reads; one checkpoints. Calls come from any thread
// and never wait for the disk, except those marked as blocking, which are for start and reload. What they say is done
// is on the disk (fdatasync) by then. Losing power undoes at most settle(), settle_range() and retry(), of the last
// `lazy_flush`: events are then delivered again.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/events/store/types.hpp"

namespace rouse::gateway::events {

struct store_options {
  std::function<wall_time()> clock;                  ///< default: the system's; called on the store's threads
  std::size_t max_waiting_bytes = 64 * 1024 * 1024;  ///< not yet durable; beyond it new work is refused as `busy`
  std::chrono::milliseconds lazy_flush{50};          ///< how long settles may wait for a commit to go with
  std::size_t check_bytes = 64 * 1024 * 1024;        ///< a larger file is checked in part at start, by samples
  int checkpoint_pages = 4000;                       ///< pages in the log that start a checkpoint
  int max_pages = 0;                                 ///< bound of the file in pages of 4 KiB; 0: the disk's
};

/// Why a store did not open. The text says what to do.
struct open_error {
  enum class kind { in_use, newer_version, corrupt, io } why;
  std::string text;
};

class store_core;

class store {
 public:
  /// Opens or makes `directory`/events.db. Blocking: reads up to `check_bytes` to see that the file is sound.
  static boost::system::result<store, open_error> open(const std::string& directory, store_options options = {});
  /// Writes what waits (completions are called), then closes. Destroy it before what the completions refer to.
  ~store();
  store(store&&) noexcept;
  store& operator=(store&&) = delete;

  // --- Streams ------------------------------------------------------------------------------------------------
  /// Finds or makes the stream; events older than `retention` are dropped once every consumer is past them; 0: kept
  /// for ever. Blocking; not from a completion.
  store_result<stream_id> stream(const std::string& name, std::chrono::milliseconds retention);
  /// Called on the writer's thread, once per commit, after the stream grew to `last`. Replaces an earlier one.
  void on_growth(stream_id stream, std::function<void(std::int64_t last)> callback);
  /// All of them or none.
  void append(stream_id stream, std::vector<std::string> blobs, completion<appended> done);
  /// Up to `max_count` events after `after`, fewer when they have more than `max_bytes` (but one at least). Never waits
  /// for writers, nor they for it.
  void read(stream_id stream, std::int64_t after, std::size_t max_count, std::size_t max_bytes,
            completion<std::vector<record>> done);

  // --- Consumers ----------------------------------------------------------------------------------------------
  /// Finds or makes the consumer; `start` is for a new one. One that was on another stream begins anew. Blocking.
  store_result<consumer_id> consumer(const std::string& name, stream_id stream, start_at start);
  /// Removes it; its dead letters stay. Blocking.
  store_result<void> forget_consumer(const std::string& name);
  /// The consumers there are, also those that the configuration does not name any more. Blocking.
  store_result<std::vector<std::string>> consumers();
  /// Where it is, to begin after a start. Blocking.
  store_result<consumer_state> load(consumer_id consumer);
  /// The events need no more delivery. Takes effect with the next commit, at most `lazy_flush` later.
  void settle(consumer_id consumer, std::vector<std::int64_t> seqs);
  /// The same for a range without gaps, as what a filter skipped.
  void settle_range(consumer_id consumer, seq_range range);
  /// Keeps the state of an event that will be tried again. Lazy as settle(). The memory it takes is the caller's to
  /// bound: by how many retries, or settled events beyond an unsettled one, it lets there be.
  void retry(consumer_id consumer, std::int64_t seq, retry_state state);
  /// Settles the event and keeps it as a dead letter, both or neither. A second time does nothing.
  void give_up(consumer_id consumer, std::int64_t seq, failure_note why, completion<void> done);

  // --- Invocations --------------------------------------------------------------------------------------------
  /// Called on the writer's thread after a commit that made invocations of `function` ready to take.
  void on_queued(std::function<void(const std::string& function)> callback);
  void enqueue(new_invocation invocation, completion<enqueued> done);
  /// Up to `max_count` of the function's in the order in which they are due; fewer when they have more than `max_bytes`
  /// (but one at least). They still count as queued, and can be cancelled, until begin(). After a restart they are
  /// queued again. `admit` is asked on the writer's thread for each, with its bytes, before it is taken and read; when
  /// it says no, that is all for this time.
  void take(const std::string& function, std::size_t max_count, std::size_t max_bytes, completion<taken> done,
            std::function<bool(std::size_t bytes)> admit = {});
  /// Whether one that was taken is still to be made: false when it was cancelled since.
  [[nodiscard]] bool is_wanted(const invocation_id& id) const;
  /// The same, and from here on it is running. Before its function sees any of it.
  [[nodiscard]] bool begin(const invocation_id& id);
  /// Not tried, no attempt: the first to be taken next.
  void put_back(const invocation_id& id);
  /// `conflict` unless it is taken.
  void finish(const invocation_id& id, invocation_end end, completion<void> done);
  /// One attempt more, queued again. `conflict` unless it is taken.
  void retry(const invocation_id& id, invocation_retry retry, completion<void> done);
  /// `conflict` unless it is queued (also: queued again after a failed attempt).
  void cancel(const invocation_id& id, std::chrono::milliseconds result_ttl, completion<void> done);
  void look_up(const invocation_id& id, completion<invocation_status> done);
  /// Of each function that has any queued. Cheap: of those that wait for their time, no more than 10,000 are counted.
  void due(completion<std::vector<queue_due>> done);
  /// The response that finish() was given; `conflict` when there is none yet.
  void response(const invocation_id& id, completion<std::string> done);

  // --- Dead letters -------------------------------------------------------------------------------------------
  /// Keeps one of a source outside (a Kafka record); done once durable.
  void keep_dead_letter(std::string owner, std::string meta, std::string blob, failure_note why,
                        completion<std::int64_t> done);
  /// At most `max_count` with an id above `after`, oldest first; of every owner when `owner` is empty.
  void dead_letters(std::string owner, std::int64_t after, std::size_t max_count,
                    completion<std::vector<dead_letter>> done);
  void show_dead_letter(std::int64_t id, completion<dead_letter> done);
  /// Removes them, in slices; done with how many.
  void purge(dead_letter_choice choice, completion<std::size_t> done);
  /// Takes them out for delivery, each atomically and in slices: an event is appended to its consumer's stream for that
  /// consumer only, an invocation is queued under its old id without attempts, an external one is appended to
  /// `external_to` or, without that, as an event of its owner's. What has nowhere to go is skipped and stays.
  void redrive(dead_letter_choice choice, std::optional<stream_id> external_to, completion<redriven> done);

  // --- The rest -----------------------------------------------------------------------------------------------
  void usage(completion<store_usage> done);
  /// Writes all that was called before, settles included.
  void flush(completion<void> done);
  /// Drops what is due to be dropped (it happens by itself every second) and is done when nothing is left to drop.
  void sweep(completion<void> done);
  /// Bytes that wait to be written.
  [[nodiscard]] std::size_t waiting_bytes() const;

 private:
  explicit store(std::unique_ptr<store_core> core);
  std::unique_ptr<store_core> core_;
};

}  // namespace rouse::gateway::events
