#include "gateway/events/store/dead_letter_table.hpp"

#include <algorithm>

namespace rouse::gateway::events {
namespace {

// One part for each kind, as the index has them: SQLite merges the parts instead of sorting all of an owner's.
std::string ids_of_owner() {
  std::string sql;
  for (const char* kind : {"0", "1", "2"}) {
    if (!sql.empty()) sql += " UNION ALL ";
    sql += std::string("SELECT id FROM dead_letter WHERE owner = ?1 AND kind = ") + kind + " AND id > ?2 AND id <= ?3";
  }
  return sql + " ORDER BY id LIMIT ?4";
}

}  // namespace

dead_letter_ids::dead_letter_ids(connection& on)
    : all_(on, "SELECT id FROM dead_letter WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3"),
      owners_(on, ids_of_owner()) {}

std::vector<std::int64_t> dead_letter_ids::next(const dead_letter_choice& choice, std::int64_t after, std::int64_t last,
                                                std::int64_t count) {
  std::vector<std::int64_t> out;
  if (choice.ids) {
    for (const std::int64_t id : *choice.ids)
      if (id > after && id <= last) out.push_back(id);
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    if (static_cast<std::int64_t>(out.size()) > count) out.resize(static_cast<std::size_t>(count));
    return out;
  }
  if (choice.owner) {
    rows found(owners_, *choice.owner, after, last, count);
    while (found.next()) out.push_back(found->integer(0));
  } else {
    rows found(all_, after, last, count);
    while (found.next()) out.push_back(found->integer(0));
  }
  return out;
}

dead_letter_table::dead_letter_table(connection& on)
    : on_(on),
      ids_(on),
      insert_(on,
              "INSERT INTO dead_letter(kind, owner, seq, random, created, given_up, attempts, last_status, "
              "last_error, size, meta, data) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
      show_(on, std::string("SELECT ") + dead_letter_columns + ", meta, data, random FROM dead_letter WHERE id = ?"),
      remove_(on, "DELETE FROM dead_letter WHERE id = ?"),
      newest_(on, "SELECT max(id) FROM dead_letter") {}

std::int64_t dead_letter_table::keep(const content& what, const failure_note& why, wall_time now) {
  std::optional<blob> random;
  if (what.random) random = blob{*what.random};
  insert_.run(static_cast<int>(what.kind), what.owner, what.seq, random, what.created, now, why.attempts,
              why.last_status, why.last_error, what.meta.size() + what.data.size(), blob{what.meta}, blob{what.data});
  return on_.last_rowid();
}

std::optional<dead_letter_table::found> dead_letter_table::show(std::int64_t id) {
  rows row(show_, id);
  if (!row.next()) return std::nullopt;
  return found{read_dead_letter(*row.operator->(), true), row->string(12)};
}

bool dead_letter_table::remove(std::int64_t id) {
  return remove_.run(id) != 0;
}

std::int64_t dead_letter_table::newest() {
  rows row(newest_);
  return row.next() ? row->integer(0) : 0;
}

dead_letter read_dead_letter(const statement& row, bool content) {
  dead_letter out;
  out.id = row.integer(0);
  out.kind = static_cast<dead_letter_kind>(row.integer(1));
  out.owner = row.string(2);
  out.seq = row.integer(3);
  out.created = row.time(4);
  out.given_up = row.time(5);
  out.why = {static_cast<int>(row.integer(6)), static_cast<int>(row.integer(7)), row.string(8)};
  out.size = static_cast<std::size_t>(row.integer(9));
  if (content) {
    out.meta = row.string(10);
    out.blob = row.string(11);
  }
  return out;
}

}  // namespace rouse::gateway::events
