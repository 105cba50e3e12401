#pragma once
// Dead letters on the writer's thread: rows only, nothing in memory. All within a transaction.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/events/store/sqlite.hpp"

namespace rouse::gateway::events {

/// The ids of a choice, in order, above one and up to another; for the reader, too.
class dead_letter_ids {
 public:
  explicit dead_letter_ids(connection& on);
  /// At most `count`.
  std::vector<std::int64_t> next(const dead_letter_choice& choice, std::int64_t after, std::int64_t last,
                                 std::int64_t count);

 private:
  statement all_, owners_;
};

class dead_letter_table {
 public:
  explicit dead_letter_table(connection& on);

  /// What is kept besides the reason.
  struct content {
    dead_letter_kind kind = dead_letter_kind::event;
    std::string_view owner;
    std::int64_t seq = 0;
    std::optional<std::string_view> random;  ///< of an invocation
    wall_time created;
    std::string_view meta;
    std::string_view data;
  };
  /// Gives its id.
  std::int64_t keep(const content& what, const failure_note& why, wall_time now);
  /// One with its content.
  struct found {
    dead_letter letter;
    std::string random;
  };
  std::optional<found> show(std::int64_t id);
  /// False when there is none.
  bool remove(std::int64_t id);
  /// The newest id; 0 when there is none.
  std::int64_t newest();
  dead_letter_ids& ids() { return ids_; }

 private:
  connection& on_;
  dead_letter_ids ids_;
  statement insert_, show_, remove_, newest_;
};

/// Reads the columns that `dead_letter_columns` names, and with `content` the two blobs after them.
dead_letter read_dead_letter(const statement& row, bool content);
inline constexpr const char* dead_letter_columns =
    "id, kind, owner, seq, created, given_up, attempts, last_status, last_error, size";

}  // namespace rouse::gateway::events
