#pragma once
// Streams and their consumers on the writer's thread: the rows, and in memory what each commit needs of them. Settles
// and retries change memory only, at once; flush() writes what they changed into the transaction of the day. What else
// changes memory within a transaction is undone by rolled_back().

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "gateway/events/store/settled_set.hpp"
#include "gateway/events/store/sqlite.hpp"

namespace rouse::gateway::events {

class stream_table {
 public:
  /// Loads all there is; the connection outlives this.
  explicit stream_table(connection& on);

  // Outside transactions.
  void settle(consumer_id consumer, seq_range range);
  void retry(consumer_id consumer, std::int64_t seq, retry_state state);
  void on_growth(stream_id stream, std::function<void(std::int64_t)> callback);
  /// Is there something for flush() to write?
  [[nodiscard]] bool unwritten() const { return !dirty_.empty(); }

  // Within a transaction.
  store_result<stream_id> stream(const std::string& name, std::chrono::milliseconds retention);
  store_result<appended> append(stream_id stream, const std::vector<std::string>& blobs, wall_time now);
  /// Appends one event for one consumer, as a redriven one.
  store_result<void> append_for(consumer_id consumer, std::string_view blob, wall_time now);
  store_result<void> append_external(stream_id stream, std::string_view blob, wall_time now);
  store_result<consumer_id> consumer(const std::string& name, stream_id stream, start_at start);
  store_result<void> forget_consumer(const std::string& name);
  std::vector<std::string> consumers() const;
  store_result<consumer_state> load(consumer_id consumer);
  /// An event about to become a dead letter: its consumer's name and its row. `settled`: it is nothing any more.
  struct given_up {
    std::string owner;
    wall_time created;
    std::string blob;
    bool settled = false;
  };
  store_result<given_up> give_up(consumer_id consumer, std::int64_t seq);
  std::optional<consumer_id> find_consumer(const std::string& name) const;
  /// Writes settles and retries.
  void flush();
  /// Drops up to `count` events that are old and settled, and stops at `until`; whether there is more to drop.
  bool drop_old(wall_time now, std::int64_t count, std::chrono::steady_clock::time_point until);

  // After a transaction.
  /// Calls the callbacks of the streams that grew.
  void committed();
  void rolled_back();
  /// Events appended in this transaction.
  [[nodiscard]] std::int64_t fresh() const { return fresh_; }

 private:
  struct stream_entry {
    std::int64_t id = 0;
    std::string name;
    std::chrono::milliseconds retention{0};
    bool configured = false;   ///< asked for since the start: its retention is known
    std::int64_t last = 0;     ///< number of the newest event ever appended
    std::int64_t dropped = 0;  ///< and of the newest that was dropped
    wall_time last_time;
    wall_time first_time;  ///< of the oldest that is kept; not known when `first_known` is false
    bool first_known = false;
    std::function<void(std::int64_t)> grown;
    statement insert, erase, time_of, data_of;
    struct saved {
      std::int64_t last, dropped;
      wall_time last_time;
    };
    std::optional<saved> before;  ///< this transaction
  };
  struct consumer_entry {
    std::int64_t id = 0;
    std::string name;
    std::int64_t stream = 0;
    settled_set settled;
    std::map<std::int64_t, std::optional<retry_state>> retries;  ///< to be written; nothing: to be removed
    // As in the file.
    std::int64_t stored_position = 0;
    std::map<std::int64_t, std::int64_t> stored_ranges;
    std::set<std::int64_t> stored_retries;
    struct saved {
      settled_set settled;
      std::map<std::int64_t, std::optional<retry_state>> retries;
    };
    std::unique_ptr<saved> before;  ///< this transaction's
  };

  stream_entry* find(stream_id stream);
  consumer_entry* find(consumer_id consumer);
  stream_entry& add_stream(std::int64_t id, const std::string& name, std::int64_t dropped);
  void load_consumers();
  void prepare(stream_entry& entry);
  void touch(stream_entry& entry);
  wall_time insert(stream_entry& entry, std::optional<std::int64_t> only, std::string_view blob, wall_time now);
  void settle(consumer_entry& entry, seq_range range);
  void flush(consumer_entry& entry);
  void flush_retries(consumer_entry& entry);
  void keep_written(consumer_entry& entry);
  bool drop_old(stream_entry& entry, wall_time now, std::int64_t count, std::chrono::steady_clock::time_point until);
  std::int64_t droppable(const stream_entry& entry) const;

  connection& on_;
  std::unordered_map<std::int64_t, std::unique_ptr<stream_entry>> streams_;
  std::unordered_map<std::int64_t, std::unique_ptr<consumer_entry>> consumers_;
  std::unordered_map<std::string, std::int64_t> consumer_names_;
  std::set<std::int64_t> dirty_;             ///< consumers with something to write
  std::vector<std::int64_t> written_;        ///< consumers written in this transaction
  std::vector<stream_entry*> touched_;       ///< streams changed in this transaction
  std::vector<consumer_entry*> snapshots_;   ///< consumers that this transaction may have to put back
  std::vector<std::function<void()>> undo_;  ///< puts back what this transaction made or removed, last first
  std::int64_t fresh_ = 0;
  statement new_stream_, set_dropped_, new_consumer_, remove_consumer_, remove_settled_, remove_retries_, set_position_,
      put_range_, remove_range_, put_retry_, remove_retry_, retries_of_;
};

}  // namespace rouse::gateway::events
