#pragma once
// Queued invocations on the writer's thread. The file knows what is to be done and what came of it; what is running is
// known in memory only, so that after a restart it is queued again without a write. What changes memory within a
// transaction is undone by rolled_back().
//
// The queue of a function is in the order (due, ticket): a ticket is a number never used before, so whatever enters the
// queue, also for a retry, enters it behind the cursor up to which rows were taken; what stands before it is taken or
// was put back. So taking reads just what it takes, however much waits.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gateway/events/store/dead_letter_table.hpp"
#include "gateway/events/store/sqlite.hpp"

namespace rouse::gateway::events {

/// Compares in a time that does not depend on where the bytes differ.
bool same_bits(const std::array<std::uint8_t, 16>& bits, std::string_view stored);
/// What a stored state is called; `running` is not stored.
const char* name_of(invocation_state state);

class invocation_table {
 public:
  invocation_table(connection& on, dead_letter_table& dead_letters);

  // Outside transactions.
  /// Takes the next ones, without meta and body.
  struct take_limits {
    std::size_t count = 0;
    std::size_t bytes = 0;
    const std::function<bool(std::size_t bytes)>& admit;  ///< perhaps empty
  };
  taken take(const std::string& function, const take_limits& most, wall_time now);
  void put_back(const invocation_id& id);
  void on_queued(std::function<void(const std::string&)> callback) { queued_ = std::move(callback); }

  // Within a transaction.
  store_result<enqueued> enqueue(const new_invocation& invocation, wall_time now);
  store_result<void> finish(const invocation_id& id, const invocation_end& end, wall_time now);
  store_result<void> retry(const invocation_id& id, const invocation_retry& retry, wall_time now);
  store_result<void> cancel(const invocation_id& id, std::chrono::milliseconds result_ttl, wall_time now);
  /// Queues the invocation of a dead letter again, under its id.
  void redrive(const dead_letter& letter, const invocation_id& id, wall_time now);
  /// Forgets up to `count` results whose time is over; whether there is more.
  bool expire(wall_time now, std::int64_t count, std::chrono::steady_clock::time_point until);
  void flush();

  // After a transaction.
  void committed();
  void rolled_back();

  // Any thread.
  /// Taken, and begun.
  [[nodiscard]] bool is_running(std::int64_t seq) const;
  [[nodiscard]] bool is_taken(std::int64_t seq) const;
  /// Runs from here on; false when it is not taken any more.
  [[nodiscard]] bool begin(std::int64_t seq);

 private:
  using place = std::pair<std::int64_t, std::int64_t>;  ///< due, ticket
  struct numbers {
    std::int64_t requests = 0, bytes = 0, results = 0, result_bytes = 0;
  };
  struct function_entry {
    std::int64_t id = 0;
    std::string name;
    numbers now;
    std::optional<numbers> before;           ///< this transaction
    place cursor{0, 0};                      ///< taken up to here
    std::map<place, std::int64_t> returned;  ///< put back
  };
  struct found_row {
    std::int64_t seq = 0, function = 0, attempts = 0, size = 0;
    place at;
    invocation_state state = invocation_state::queued;
    wall_time created;
    std::optional<std::string> key;
  };
  struct taken_entry {
    std::int64_t function = 0;
    place at;
    bool begun = false;
  };

  function_entry& function(const std::string& name);
  function_entry* find(const std::string& name);
  function_entry& by_id(std::int64_t id) { return *functions_.at(id); }
  void touch(function_entry& entry);
  std::int64_t number();
  store_result<found_row> find(const invocation_id& id);
  store_result<found_row> find_taken(const invocation_id& id);
  store_result<enqueued> known(const function_entry& entry, const std::string& key);
  void insert(function_entry& entry, const invocation_id& id, std::string_view meta, std::string_view body,
              const std::optional<std::string>& key, wall_time created, wall_time now);
  void leave_queue(const found_row& from, function_entry& entry);
  void end(const found_row& from, invocation_state state, std::int64_t attempts, const invocation_end& how,
           wall_time now);
  void keep_dead_letter(const found_row& from, const invocation_id& id, const invocation_end& how, wall_time now);
  void remove(std::int64_t seq);
  void mark_taken(std::int64_t seq, taken_entry entry);
  store_result<void> withdraw(const found_row& row);
  bool add(taken& out, std::size_t& bytes, const take_limits& most, const statement& row, int column, std::int64_t seq);
  bool take_returned(function_entry& entry, taken& out, std::size_t& bytes, const take_limits& most);
  bool take_fresh(function_entry& entry, taken& out, std::size_t& bytes, const take_limits& most, wall_time now);

  connection& on_;
  dead_letter_table& dead_letters_;
  std::unordered_map<std::int64_t, std::unique_ptr<function_entry>> functions_;
  std::unordered_map<std::string, std::int64_t> names_;
  std::function<void(const std::string&)> queued_;
  std::int64_t next_number_ = 1;
  std::int64_t reserved_ = 1;         ///< numbers below are, as the file says, used
  std::int64_t stored_reserved_ = 1;  ///< and as it said before this transaction
  mutable std::mutex taken_mutex_;
  std::unordered_map<std::int64_t, taken_entry> taken_;
  // This transaction's.
  std::vector<function_entry*> touched_;
  std::set<std::int64_t> ready_;
  std::vector<std::function<void()>> on_commit_;
  std::vector<std::function<void()>> undo_;
  statement new_function_, set_numbers_, reserve_, key_, put_key_, remove_key_, insert_, put_request_, request_,
      remove_request_, put_response_, remove_response_, put_queue_, remove_queue_, put_expiry_, remove_expiry_,
      expired_, row_, one_, end_, retry_, remove_, take_, next_due_;
};

}  // namespace rouse::gateway::events
