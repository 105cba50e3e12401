#include "gateway/events/store/invocation_table.hpp"

#include <algorithm>
#include <utility>

namespace rouse::gateway::events {
namespace {

constexpr std::int64_t reserve_step = 65536;
constexpr std::int64_t expire_step = 16;

std::string_view bits_of(const invocation_id& id) {
  return {reinterpret_cast<const char*>(id.random.data()), id.random.size()};
}

store_error unknown() {
  return {store_errc::not_found, "there is no such invocation, or its result is no longer kept"};
}

std::int64_t milliseconds_of(wall_time time) {
  return time.time_since_epoch().count();
}

}  // namespace

bool same_bits(const std::array<std::uint8_t, 16>& bits, std::string_view stored) {
  if (stored.size() != bits.size()) return false;
  unsigned difference = 0;
  for (std::size_t at = 0; at < bits.size(); ++at)
    difference |= static_cast<unsigned>(bits[at] ^ static_cast<std::uint8_t>(stored[at]));
  return difference == 0;
}

const char* name_of(invocation_state state) {
  static constexpr const char* names[] = {"queued", "running", "succeeded", "failed", "cancelled"};
  return names[static_cast<std::size_t>(state)];
}

invocation_table::invocation_table(connection& on, dead_letter_table& dead_letters)
    : on_(on),
      dead_letters_(dead_letters),
      new_function_(on, "INSERT INTO function(name, requests, bytes, results, result_bytes) VALUES(?, 0, 0, 0, 0)"),
      set_numbers_(on, "UPDATE function SET requests = ?2, bytes = ?3, results = ?4, result_bytes = ?5 WHERE id = ?1"),
      reserve_(on, "INSERT OR REPLACE INTO counter(name, value) VALUES('invocation', ?)"),
      key_(on,
           "SELECT i.seq, i.random FROM idempotency k JOIN invocation i ON i.seq = k.seq "
           "WHERE k.function = ? AND k.key = ?"),
      put_key_(on, "INSERT OR REPLACE INTO idempotency(function, key, seq) VALUES(?, ?, ?)"),
      remove_key_(on, "DELETE FROM idempotency WHERE function = ? AND key = ? AND seq = ?"),
      insert_(on,
              "INSERT INTO invocation(seq, function, random, state, attempts, due, ticket, size, created, last_status, "
              "last_error, idempotency_key) VALUES(?, ?, ?, 0, 0, ?, ?, ?, ?, 0, '', ?)"),
      put_request_(on, "INSERT INTO request(seq, meta, body) VALUES(?, ?, ?)"),
      request_(on, "SELECT meta, body FROM request WHERE seq = ?"),
      remove_request_(on, "DELETE FROM request WHERE seq = ?"),
      put_response_(on, "INSERT INTO response(seq, data) VALUES(?, ?)"),
      remove_response_(on, "DELETE FROM response WHERE seq = ?"),
      put_queue_(on, "INSERT INTO queue(function, due, ticket, seq) VALUES(?, ?, ?, ?)"),
      remove_queue_(on, "DELETE FROM queue WHERE function = ? AND due = ? AND ticket = ?"),
      put_expiry_(on, "INSERT OR REPLACE INTO expiry(at, seq) VALUES(?, ?)"),
      remove_expiry_(on, "DELETE FROM expiry WHERE at = ? AND seq = ?"),
      expired_(on, "SELECT seq FROM expiry WHERE at <= ? ORDER BY at LIMIT ?"),
      row_(on,
           "SELECT function, state, attempts, size, due, ticket, created, idempotency_key, random, expires "
           "FROM invocation WHERE seq = ?"),
      one_(on, "SELECT attempts, created, size, random FROM invocation WHERE seq = ?"),
      end_(on,
           "UPDATE invocation SET state = ?2, attempts = ?3, size = ?4, finished = ?5, expires = ?6, last_status = ?7, "
           "last_error = ?8 WHERE seq = ?1"),
      retry_(on,
             "UPDATE invocation SET attempts = ?2, due = ?3, ticket = ?4, last_status = ?5, last_error = ?6 "
             "WHERE seq = ?1"),
      remove_(on, "DELETE FROM invocation WHERE seq = ?"),
      take_(on,
            "SELECT q.due, q.ticket, q.seq, i.attempts, i.created, i.size, i.random FROM queue q "
            "CROSS JOIN invocation i ON i.seq = q.seq WHERE q.function = ?1 AND (q.due, q.ticket) > (?2, ?3) "
            "AND q.due <= ?4 ORDER BY q.due, q.ticket LIMIT ?5"),
      next_due_(on,
                "SELECT due FROM queue WHERE function = ?1 AND (due, ticket) > (?2, ?3) ORDER BY due, ticket LIMIT 1") {
  next_number_ = reserved_ = stored_reserved_ =
      std::max<std::int64_t>(1, on.integer("SELECT value FROM counter WHERE name = 'invocation'"));
  statement all(on, "SELECT id, name, requests, bytes, results, result_bytes FROM function");
  while (all.step()) {
    auto entry = std::make_unique<function_entry>();
    entry->id = all.integer(0);
    entry->name = all.string(1);
    entry->now = {all.integer(2), all.integer(3), all.integer(4), all.integer(5)};
    names_[entry->name] = entry->id;
    functions_[entry->id] = std::move(entry);
  }
}

// --- Memory ---

invocation_table::function_entry* invocation_table::find(const std::string& name) {
  const auto at = names_.find(name);
  return at == names_.end() ? nullptr : functions_.at(at->second).get();
}

invocation_table::function_entry& invocation_table::function(const std::string& name) {
  if (auto* known = find(name)) return *known;
  new_function_.run(name);
  auto entry = std::make_unique<function_entry>();
  const std::int64_t id = entry->id = on_.last_rowid();
  entry->name = name;
  names_[name] = id;
  functions_[id] = std::move(entry);
  undo_.emplace_back([this, id, name] {
    functions_.erase(id);
    names_.erase(name);
  });
  return by_id(id);
}

void invocation_table::touch(function_entry& entry) {
  if (entry.before) return;
  entry.before = entry.now;
  touched_.push_back(&entry);
}

// Never used before, also after a restart: they are reserved in blocks.
std::int64_t invocation_table::number() {
  if (next_number_ >= reserved_) {
    reserved_ = next_number_ + reserve_step;
    reserve_.run(reserved_);
  }
  return next_number_++;
}

void invocation_table::mark_taken(std::int64_t seq, taken_entry entry) {
  const std::lock_guard lock(taken_mutex_);
  taken_.insert_or_assign(seq, entry);
}

bool invocation_table::is_running(std::int64_t seq) const {
  const std::lock_guard lock(taken_mutex_);
  const auto at = taken_.find(seq);
  return at != taken_.end() && at->second.begun;
}

bool invocation_table::is_taken(std::int64_t seq) const {
  const std::lock_guard lock(taken_mutex_);
  return taken_.contains(seq);
}

bool invocation_table::begin(std::int64_t seq) {
  const std::lock_guard lock(taken_mutex_);
  const auto at = taken_.find(seq);
  if (at == taken_.end()) return false;
  at->second.begun = true;
  return true;
}

// --- Taking ---

// `column`: of attempts, created, size and random, in this order. False when it would be too much.
bool invocation_table::add(taken& out, std::size_t& bytes, const take_limits& most, const statement& from, int column,
                           std::int64_t seq) {
  const auto size = static_cast<std::size_t>(from.integer(column + 2));
  if (!out.invocations.empty() && bytes + size > most.bytes) return false;
  if (most.admit && !most.admit(size)) return false;
  bytes += size;
  taken_invocation one;
  one.attempts = static_cast<int>(from.integer(column));
  one.created = from.time(column + 1);
  const auto bits = from.bytes(column + 3);
  std::copy_n(bits.begin(), std::min(bits.size(), one.id.random.size()), one.id.random.begin());
  one.id.seq = seq;
  out.invocations.push_back(std::move(one));
  return true;
}

// False when there was too much.
bool invocation_table::take_returned(function_entry& entry, taken& out, std::size_t& bytes, const take_limits& most) {
  while (!entry.returned.empty() && out.invocations.size() < most.count) {
    const auto [at, seq] = *entry.returned.begin();
    rows one(one_, seq);
    if (one.next()) {
      if (!add(out, bytes, most, *one.operator->(), 0, seq)) return false;
      mark_taken(seq, {entry.id, at});
    }
    entry.returned.erase(entry.returned.begin());
  }
  return entry.returned.empty();
}

// Rows are due by the clock, or by the cursor's own time where the clock has stepped back.
bool invocation_table::take_fresh(function_entry& entry, taken& out, std::size_t& bytes, const take_limits& most,
                                  wall_time now) {
  const std::int64_t due = std::max(milliseconds_of(now), entry.cursor.first);
  const auto limit = static_cast<std::int64_t>(most.count - out.invocations.size());
  const place from = entry.cursor;
  rows next(take_, entry.id, from.first, from.second, due, limit);
  while (next.next()) {
    const std::int64_t seq = next->integer(2);
    if (!add(out, bytes, most, *next.operator->(), 3, seq)) return false;
    entry.cursor = {next->integer(0), next->integer(1)};
    mark_taken(seq, {entry.id, entry.cursor});
  }
  return true;
}

taken invocation_table::take(const std::string& name, const take_limits& most, wall_time now) {
  taken out;
  auto* entry = find(name);
  if (entry == nullptr || most.count == 0) return out;
  std::size_t bytes = 0;
  if (!take_returned(*entry, out, bytes, most)) {
    out.next_due = now;
    return out;
  }
  if (!take_fresh(*entry, out, bytes, most, now)) {
    out.next_due = now;
    return out;
  }
  rows next(next_due_, entry->id, entry->cursor.first, entry->cursor.second);
  if (next.next()) out.next_due = next->time(0);
  return out;
}

void invocation_table::put_back(const invocation_id& id) {
  const std::lock_guard lock(taken_mutex_);
  const auto at = taken_.find(id.seq);
  if (at == taken_.end()) return;
  by_id(at->second.function).returned[at->second.at] = id.seq;
  taken_.erase(at);
}

// --- In a transaction ---

store_result<enqueued> invocation_table::enqueue(const new_invocation& invocation, wall_time now) {
  const auto size = static_cast<std::int64_t>(invocation.meta.size() + invocation.body.size());
  auto* present = find(invocation.function);
  if (present != nullptr && invocation.idempotency_key) {
    rows row(key_, present->id, *invocation.idempotency_key);
    if (row.next()) {
      enqueued out;
      out.existing = true;
      out.id.seq = row->integer(0);
      const auto bits = row->bytes(1);
      std::copy_n(bits.begin(), std::min(bits.size(), out.id.random.size()), out.id.random.begin());
      return out;
    }
  }
  const numbers have = present != nullptr ? present->now : numbers{};
  if (invocation.max_requests > 0 && have.requests >= invocation.max_requests) {
    return store_error{store_errc::limit, invocation.function + " has " + std::to_string(have.requests) +
                                              " requests waiting, as many as it may have"};
  }
  if (invocation.max_bytes > 0 && have.bytes + size > invocation.max_bytes) {
    return store_error{store_errc::limit, invocation.function + " has " + std::to_string(have.bytes) +
                                              " bytes waiting; " + std::to_string(size) + " more are above its limit"};
  }
  enqueued out;
  out.id.random = invocation.random;
  out.id.seq = number();
  insert(function(invocation.function), out.id, invocation.meta, invocation.body, invocation.idempotency_key, now, now);
  return out;
}

void invocation_table::insert(function_entry& entry, const invocation_id& id, std::string_view meta,
                              std::string_view body, const std::optional<std::string>& key, wall_time created,
                              wall_time now) {
  const std::int64_t due = std::max(milliseconds_of(now), entry.cursor.first);
  const std::int64_t ticket = number();
  const auto size = static_cast<std::int64_t>(meta.size() + body.size());
  insert_.run(id.seq, entry.id, blob{bits_of(id)}, due, ticket, size, created, key);
  put_request_.run(id.seq, blob{meta}, blob{body});
  put_queue_.run(entry.id, due, ticket, id.seq);
  if (key) put_key_.run(entry.id, *key, id.seq);
  touch(entry);
  ++entry.now.requests;
  entry.now.bytes += size;
  ready_.insert(entry.id);
}

store_result<invocation_table::found_row> invocation_table::find(const invocation_id& id) {
  rows row(row_, id.seq);
  if (!row.next() || !same_bits(id.random, row->bytes(8))) return unknown();
  found_row out;
  out.seq = id.seq;
  out.function = row->integer(0);
  out.state = static_cast<invocation_state>(row->integer(1));
  out.attempts = row->integer(2);
  out.size = row->integer(3);
  out.at = {row->integer(4), row->integer(5)};
  out.created = row->time(6);
  if (!row->null(7)) out.key = row->string(7);
  return out;
}

store_result<invocation_table::found_row> invocation_table::find_taken(const invocation_id& id) {
  auto row = find(id);
  if (!row) return row;
  if (row->state != invocation_state::queued)
    return store_error{store_errc::conflict, std::string("the invocation has ended: ") + name_of(row->state)};
  if (!is_taken(id.seq)) return store_error{store_errc::conflict, "the invocation is queued, not running"};
  return row;
}

void invocation_table::leave_queue(const found_row& from, function_entry& entry) {
  remove_queue_.run(from.function, from.at.first, from.at.second);
  remove_request_.run(from.seq);
  touch(entry);
  --entry.now.requests;
  entry.now.bytes -= from.size;
}

void invocation_table::end(const found_row& from, invocation_state state, std::int64_t attempts,
                           const invocation_end& how, wall_time now) {
  auto& entry = by_id(from.function);
  leave_queue(from, entry);
  const std::string_view response = how.response ? std::string_view(*how.response) : std::string_view();
  const auto size = static_cast<std::int64_t>(response.size());
  const wall_time expires = now + how.result_ttl;
  end_.run(from.seq, static_cast<int>(state), attempts, size, now, expires, how.status, how.error);
  if (state != invocation_state::cancelled) put_response_.run(from.seq, blob{response});
  put_expiry_.run(expires, from.seq);
  ++entry.now.results;
  entry.now.result_bytes += size;
}

store_result<void> invocation_table::finish(const invocation_id& id, const invocation_end& how, wall_time now) {
  const auto row = find_taken(id);
  if (!row) return row.error();
  if (!how.succeeded && how.dead_letter) keep_dead_letter(*row, id, how, now);
  end(*row, how.succeeded ? invocation_state::succeeded : invocation_state::failed, row->attempts + 1, how, now);
  on_commit_.emplace_back([this, seq = id.seq] {
    const std::lock_guard lock(taken_mutex_);
    taken_.erase(seq);
  });
  return {};
}

void invocation_table::keep_dead_letter(const found_row& from, const invocation_id& id, const invocation_end& how,
                                        wall_time now) {
  rows request(request_, from.seq);
  if (!request.next()) return;
  dead_letter_table::content what;
  what.kind = dead_letter_kind::invocation;
  what.owner = by_id(from.function).name;
  what.seq = from.seq;
  what.random = bits_of(id);
  what.created = from.created;
  what.meta = request->bytes(0);
  what.data = request->bytes(1);
  dead_letters_.keep(what, {static_cast<int>(from.attempts + 1), how.status, how.error}, now);
}

store_result<void> invocation_table::retry(const invocation_id& id, const invocation_retry& how, wall_time) {
  const auto row = find_taken(id);
  if (!row) return row.error();
  auto& entry = by_id(row->function);
  const std::int64_t due = std::max(milliseconds_of(how.next_attempt), entry.cursor.first);
  const std::int64_t ticket = number();
  remove_queue_.run(row->function, row->at.first, row->at.second);
  put_queue_.run(row->function, due, ticket, id.seq);
  retry_.run(id.seq, row->attempts + 1, due, ticket, how.status, how.error);
  ready_.insert(entry.id);
  on_commit_.emplace_back([this, seq = id.seq] {
    const std::lock_guard lock(taken_mutex_);
    taken_.erase(seq);
  });
  return {};
}

// From whoever has taken it and has not begun, who then finds that it is not taken any more.
store_result<void> invocation_table::withdraw(const found_row& row) {
  const std::lock_guard lock(taken_mutex_);
  const auto at = taken_.find(row.seq);
  if (at == taken_.end()) return {};
  if (at->second.begun) return store_error{store_errc::conflict, "the invocation is running"};
  undo_.emplace_back([this, seq = row.seq, was = at->second] {
    auto& entry = by_id(was.function);
    entry.returned[was.at] = seq;
    if (queued_) queued_(entry.name);
  });
  taken_.erase(at);
  return {};
}

store_result<void> invocation_table::cancel(const invocation_id& id, std::chrono::milliseconds result_ttl,
                                            wall_time now) {
  const auto row = find(id);
  if (!row) return row.error();
  if (row->state != invocation_state::queued)
    return store_error{store_errc::conflict, std::string("the invocation has ended: ") + name_of(row->state)};
  if (auto done = withdraw(*row); !done) return done;
  invocation_end how;
  how.result_ttl = result_ttl;
  end(*row, invocation_state::cancelled, row->attempts, how, now);
  on_commit_.emplace_back([this, function = row->function, at = row->at] { by_id(function).returned.erase(at); });
  return {};
}

void invocation_table::redrive(const dead_letter& letter, const invocation_id& id, wall_time now) {
  std::optional<std::string> key;
  if (const auto old = find(id)) {
    key = old->key;
    remove(id.seq);
  }
  insert(function(letter.owner), id, letter.meta, letter.blob, key, letter.created, now);
}

// A result: the request went when it ended.
void invocation_table::remove(std::int64_t seq) {
  std::optional<std::string> key;
  std::int64_t function = 0;
  {
    rows row(row_, seq);
    if (!row.next()) return;
    function = row->integer(0);
    auto& entry = by_id(function);
    touch(entry);
    --entry.now.results;
    entry.now.result_bytes -= row->integer(3);
    if (!row->null(7)) key = row->string(7);
    remove_expiry_.run(row->integer(9), seq);
  }
  if (key) remove_key_.run(function, *key, seq);
  remove_response_.run(seq);
  remove_.run(seq);
}

bool invocation_table::expire(wall_time now, std::int64_t count, std::chrono::steady_clock::time_point until) {
  while (count > 0) {
    std::vector<std::int64_t> over;
    {
      rows expired(expired_, now, expire_step);
      while (expired.next()) over.push_back(expired->integer(0));
    }
    for (const std::int64_t seq : over) {
      if (std::chrono::steady_clock::now() >= until || count-- == 0) return true;
      remove(seq);
    }
    if (static_cast<std::int64_t>(over.size()) < expire_step) return false;
  }
  return true;
}

void invocation_table::flush() {
  for (const auto* entry : touched_)
    set_numbers_.run(entry->id, entry->now.requests, entry->now.bytes, entry->now.results, entry->now.result_bytes);
}

// --- After a transaction ---

void invocation_table::committed() {
  for (auto* entry : touched_) entry->before.reset();
  touched_.clear();
  undo_.clear();
  stored_reserved_ = reserved_;
  for (const auto& effect : std::exchange(on_commit_, {})) effect();
  for (const std::int64_t id : std::exchange(ready_, {}))
    if (queued_) queued_(by_id(id).name);
}

void invocation_table::rolled_back() {
  for (auto* entry : touched_) {
    entry->now = *entry->before;
    entry->before.reset();
  }
  touched_.clear();
  for (; !undo_.empty(); undo_.pop_back()) undo_.back()();
  reserved_ = stored_reserved_;
  on_commit_.clear();
  ready_.clear();
}

}  // namespace rouse::gateway::events
