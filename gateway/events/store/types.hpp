#pragma once
// The values that go into the store and come out of it. Plain data: no thread, no handle, no SQLite.

#include <array>
#include <boost/system/result.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rouse::gateway::events {

/// Times that are kept over a restart: the wall clock's, in milliseconds.
using wall_time = std::chrono::sys_time<std::chrono::milliseconds>;

enum class store_errc {
  busy,          ///< too much waits to be written; nothing was taken in
  storage_full,  ///< no room on the disk; the group it was in was undone, later ones succeed once there is room
  io,            ///< the disk or the file system failed
  corrupt,       ///< the file is damaged
  not_found,     ///< no such stream, consumer, invocation or dead letter
  conflict,      ///< it is there, but not in a state that allows this
  limit,         ///< a limit of the function's queue
  closed,        ///< the store is being closed
};

/// What went wrong, and a sentence for a person.
struct store_error {
  store_errc code;
  std::string text;
};
/// For `result::value()`: throws std::runtime_error with the text.
[[noreturn]] void throw_exception_from_error(const store_error& error, const boost::source_location& where);

template <class T>
using store_result = boost::system::result<T, store_error>;
/// Called once, on a thread of the store and without any lock held; a refusal as `busy`, `limit` (too large) or
/// `closed` may come on the caller's thread, before the call returns. It must not block; it may start other calls.
template <class T>
using completion = std::function<void(store_result<T>)>;

enum class stream_id : std::int64_t {};
enum class consumer_id : std::int64_t {};

/// The numbers that an append was given: consecutive, from `first`.
struct appended {
  std::int64_t first = 0;
  std::size_t count = 0;
  wall_time time;
};

/// One event of a stream.
struct record {
  std::int64_t seq = 0;
  wall_time time;                   ///< when it was appended; never before its predecessor's
  std::optional<consumer_id> only;  ///< redriven for this consumer; every other one settles it unseen
  std::string blob;

  [[nodiscard]] bool is_for(consumer_id consumer) const { return !only || *only == consumer; }
};

struct seq_range {
  std::int64_t first = 0;
  std::int64_t last = 0;  ///< included
  friend bool operator==(const seq_range&, const seq_range&) = default;
};

enum class start_at { earliest, latest };

/// What is known of an event that failed and is tried again.
struct retry_state {
  int attempts = 0;
  wall_time next_attempt;
  wall_time first_failure;
  int last_status = 0;  ///< of the last response; 0: there was none
  std::string last_error;
};

struct retry_record {
  std::int64_t seq = 0;
  retry_state state;
};

/// Where a consumer is: all up to `position` is settled, and beyond it these ranges are.
struct consumer_state {
  std::int64_t position = 0;
  std::vector<seq_range> settled;
  std::vector<retry_record> retries;
};

/// Why something was given up.
struct failure_note {
  int attempts = 0;
  int last_status = 0;
  std::string last_error;
};

/// 128 random bits, and the number of the row that holds them: the look-up goes by the number and compares the bits.
struct invocation_id {
  std::array<std::uint8_t, 16> random{};
  std::int64_t seq = 0;

  /// What users see: 32 hex digits, a hyphen, the number in hex.
  [[nodiscard]] std::string text() const;
  /// Nothing unless `text` is exactly what text() writes.
  static std::optional<invocation_id> parse(std::string_view text);
  friend bool operator==(const invocation_id&, const invocation_id&) = default;
};

enum class invocation_state { queued = 0, running = 1, succeeded = 2, failed = 3, cancelled = 4 };

/// A call to be made later.
struct new_invocation {
  std::string function;
  std::array<std::uint8_t, 16> random{};  ///< from a source that nobody can guess
  std::string meta;                       ///< what the caller of the store likes: target, head
  std::string body;
  std::optional<std::string> idempotency_key;  ///< the same key of the same function gives the same invocation
  std::int64_t max_requests = 0;               ///< refuse with `limit` above this many; 0: no limit
  std::int64_t max_bytes = 0;                  ///< of meta and body together; 0: no limit
};

struct enqueued {
  invocation_id id;
  bool existing = false;  ///< the idempotency key was known; nothing was added
};

/// One that take() handed out: it is its taker's until finish(), retry(), put_back() or, before begin(), cancel().
struct taken_invocation {
  invocation_id id;
  int attempts = 0;  ///< made before this one
  wall_time created;
  std::string meta;
  std::string body;
};

struct taken {
  std::vector<taken_invocation> invocations;
  std::optional<wall_time> next_due;  ///< when the next of what is left is due; in the past: take again
};

/// How an invocation ended.
struct invocation_end {
  bool succeeded = false;
  int status = 0;
  std::string error;
  std::shared_ptr<const std::string> response;  ///< kept for `result_ttl`; null: an empty one
  std::chrono::milliseconds result_ttl{0};
  bool dead_letter = false;  ///< keep the request for a person; only when it failed
};

struct invocation_retry {
  wall_time next_attempt;
  int status = 0;
  std::string error;
};

struct invocation_status {
  std::string function;
  invocation_state state = invocation_state::queued;
  int attempts = 0;  ///< that have ended
  wall_time created;
  std::optional<wall_time> next_attempt;  ///< of one that is queued
  std::optional<wall_time> finished;
  int last_status = 0;
  std::string last_error;
};

enum class dead_letter_kind { event = 0, invocation = 1, external = 2 };

struct dead_letter {
  std::int64_t id = 0;
  dead_letter_kind kind = dead_letter_kind::event;
  std::string owner;     ///< the trigger; the function of an invocation
  std::int64_t seq = 0;  ///< of the event or invocation; 0: external
  wall_time created;     ///< of the event or invocation
  wall_time given_up;
  failure_note why;
  std::size_t size = 0;  ///< of meta and blob
  std::string meta;      ///< only from show(): of an invocation, or what keep_dead_letter() was given
  std::string blob;      ///< only from show()
};

/// What purge and redrive work on: these ids, or all there are when it begins, of one owner if one is named.
struct dead_letter_choice {
  std::optional<std::string> owner;
  std::optional<std::vector<std::int64_t>> ids;
};

struct redriven {
  std::size_t moved = 0;
  std::size_t skipped = 0;    ///< still dead letters
  std::string first_problem;  ///< why the first one was skipped
};

struct stream_usage {
  std::string name;
  std::int64_t first = 0;  ///< number of the oldest event that is kept; last + 1 when there is none
  std::int64_t last = 0;   ///< of the newest
};

struct consumer_usage {
  std::string name;
  std::string stream;
  std::int64_t position = 0;
  std::int64_t unsettled = 0;       ///< events that are not settled
  std::optional<wall_time> oldest;  ///< time of the first that is not
};

struct queue_usage {
  std::string function;
  std::int64_t requests = 0;      ///< queued and running
  std::int64_t bytes = 0;         ///< of their meta and bodies
  std::int64_t results = 0;       ///< finished ones that are still known
  std::int64_t result_bytes = 0;  ///< of their responses
};

/// A function's queue as it matters to how many instances there should be.
struct queue_due {
  std::string function;
  std::int64_t requests = 0;  ///< queued and running ones whose time has come
};

struct dead_letter_usage {
  std::string owner;
  dead_letter_kind kind = dead_letter_kind::event;
  std::int64_t count = 0;
};

/// As of the last commit.
struct store_usage {
  std::vector<stream_usage> streams;
  std::vector<consumer_usage> consumers;
  std::vector<queue_usage> queues;
  std::vector<dead_letter_usage> dead_letters;
};

}  // namespace rouse::gateway::events
