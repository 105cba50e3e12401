#include "gateway/events/store/stream_table.hpp"

#include <algorithm>
#include <utility>

#include "gateway/events/store/file.hpp"

namespace rouse::gateway::events {
namespace {

constexpr std::int64_t drop_step = 32;  // events, between two looks at the clock

store_error no_stream() {
  return {store_errc::not_found, "there is no such stream"};
}
store_error no_consumer() {
  return {store_errc::not_found, "there is no such consumer"};
}

}  // namespace

stream_table::stream_table(connection& on)
    : on_(on),
      new_stream_(on, "INSERT INTO stream(name, dropped) VALUES(?, 0)"),
      set_dropped_(on, "UPDATE stream SET dropped = ?2 WHERE id = ?1"),
      new_consumer_(on, "INSERT INTO consumer(name, stream, position) VALUES(?, ?, ?)"),
      remove_consumer_(on, "DELETE FROM consumer WHERE id = ?"),
      remove_settled_(on, "DELETE FROM settled WHERE consumer = ?"),
      remove_retries_(on, "DELETE FROM retry WHERE consumer = ?"),
      set_position_(on, "UPDATE consumer SET position = ?2 WHERE id = ?1"),
      put_range_(on, "INSERT OR REPLACE INTO settled(consumer, first, last) VALUES(?, ?, ?)"),
      remove_range_(on, "DELETE FROM settled WHERE consumer = ? AND first = ?"),
      put_retry_(on,
                 "INSERT OR REPLACE INTO retry(consumer, seq, attempts, next_attempt, first_failure, last_status, "
                 "last_error) VALUES(?, ?, ?, ?, ?, ?, ?)"),
      remove_retry_(on, "DELETE FROM retry WHERE consumer = ? AND seq = ?"),
      retries_of_(on,
                  "SELECT seq, attempts, next_attempt, first_failure, last_status, last_error FROM retry "
                  "WHERE consumer = ? ORDER BY seq") {
  statement streams(on, "SELECT id, name, dropped FROM stream");
  while (streams.step()) add_stream(streams.integer(0), streams.string(1), streams.integer(2));
  load_consumers();
}

stream_table::stream_entry& stream_table::add_stream(std::int64_t id, const std::string& name, std::int64_t dropped) {
  auto& entry = *streams_.insert_or_assign(id, std::make_unique<stream_entry>()).first->second;
  entry.id = id;
  entry.name = name;
  entry.dropped = entry.last = dropped;
  prepare(entry);
  statement newest(on_, "SELECT seq, time FROM " + event_table(id) + " ORDER BY seq DESC LIMIT 1");
  if (newest.step()) {
    entry.last = newest.integer(0);
    entry.last_time = newest.time(1);
  }
  return entry;
}

void stream_table::prepare(stream_entry& entry) {
  const std::string table = event_table(entry.id);
  entry.insert = statement(on_, "INSERT INTO " + table + "(seq, time, only, data) VALUES(?, ?, ?, ?)");
  entry.erase = statement(on_, "DELETE FROM " + table + " WHERE seq > ?1 AND seq <= ?2 AND time <= ?3");
  entry.time_of = statement(on_, "SELECT time FROM " + table + " WHERE seq = ?");
  entry.data_of = statement(on_, "SELECT time, data FROM " + table + " WHERE seq = ?");
}

void stream_table::load_consumers() {
  statement all(on_, "SELECT id, name, stream, position FROM consumer");
  while (all.step()) {
    auto entry = std::make_unique<consumer_entry>();
    entry->id = all.integer(0);
    entry->name = all.string(1);
    entry->stream = all.integer(2);
    entry->stored_position = all.integer(3);
    entry->settled = settled_set(entry->stored_position);
    consumer_names_[entry->name] = entry->id;
    consumers_[entry->id] = std::move(entry);
  }
  statement ranges(on_, "SELECT consumer, first, last FROM settled");
  while (ranges.step()) {
    if (auto* entry = find(consumer_id{ranges.integer(0)})) {
      entry->settled.add(ranges.integer(1), ranges.integer(2));
      entry->stored_ranges[ranges.integer(1)] = ranges.integer(2);
    }
  }
  statement retries(on_, "SELECT consumer, seq FROM retry");
  while (retries.step())
    if (auto* entry = find(consumer_id{retries.integer(0)})) entry->stored_retries.insert(retries.integer(1));
  for (auto& [id, entry] : consumers_) entry->settled.clear_changed();
}

stream_table::stream_entry* stream_table::find(stream_id stream) {
  const auto at = streams_.find(static_cast<std::int64_t>(stream));
  return at == streams_.end() ? nullptr : at->second.get();
}

stream_table::consumer_entry* stream_table::find(consumer_id consumer) {
  const auto at = consumers_.find(static_cast<std::int64_t>(consumer));
  return at == consumers_.end() ? nullptr : at->second.get();
}

std::optional<consumer_id> stream_table::find_consumer(const std::string& name) const {
  const auto at = consumer_names_.find(name);
  if (at == consumer_names_.end()) return std::nullopt;
  return consumer_id{at->second};
}

std::vector<std::string> stream_table::consumers() const {
  std::vector<std::string> out;
  for (const auto& [name, id] : consumer_names_) out.push_back(name);
  std::sort(out.begin(), out.end());
  return out;
}

// --- Streams ---

store_result<stream_id> stream_table::stream(const std::string& name, std::chrono::milliseconds retention) {
  stream_entry* entry = nullptr;
  for (auto& [id, candidate] : streams_)
    if (candidate->name == name) entry = candidate.get();
  if (entry == nullptr) {
    new_stream_.run(name);
    const std::int64_t id = on_.last_rowid();
    on_.run("CREATE TABLE " + event_table(id) +
            "(seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, only INTEGER, data BLOB NOT NULL)");
    undo_.emplace_back([this, id] { streams_.erase(id); });
    entry = &add_stream(id, name, 0);
  }
  entry->retention = retention;
  entry->configured = true;
  return stream_id{entry->id};
}

void stream_table::on_growth(stream_id stream, std::function<void(std::int64_t)> callback) {
  if (auto* entry = find(stream)) entry->grown = std::move(callback);
}

void stream_table::touch(stream_entry& entry) {
  if (entry.before) return;
  entry.before = stream_entry::saved{entry.last, entry.dropped, entry.last_time};
  touched_.push_back(&entry);
}

// The clock may step back; the times of a stream never do, which retention relies on.
wall_time stream_table::insert(stream_entry& entry, std::optional<std::int64_t> only, std::string_view data,
                               wall_time now) {
  const wall_time time = std::max(now, entry.last_time);
  entry.insert.run(entry.last + 1, time, only, blob{data});
  ++entry.last;
  entry.last_time = time;
  ++fresh_;
  return time;
}

store_result<appended> stream_table::append(stream_id stream, const std::vector<std::string>& blobs, wall_time now) {
  auto* entry = find(stream);
  if (entry == nullptr) return no_stream();
  touch(*entry);
  appended out;
  out.first = entry->last + 1;
  out.count = blobs.size();
  out.time = std::max(now, entry->last_time);
  for (const auto& data : blobs) insert(*entry, std::nullopt, data, out.time);
  return out;
}

store_result<void> stream_table::append_for(consumer_id consumer, std::string_view data, wall_time now) {
  auto* owner = find(consumer);
  if (owner == nullptr) return no_consumer();
  auto* entry = find(stream_id{owner->stream});
  if (entry == nullptr) return no_stream();
  touch(*entry);
  insert(*entry, owner->id, data, now);
  return {};
}

store_result<void> stream_table::append_external(stream_id stream, std::string_view data, wall_time now) {
  auto* entry = find(stream);
  if (entry == nullptr) return no_stream();
  touch(*entry);
  insert(*entry, std::nullopt, data, now);
  return {};
}

// Up to where events may be dropped: what every consumer has settled. flush() ran before, in the same transaction.
std::int64_t stream_table::droppable(const stream_entry& entry) const {
  std::int64_t out = entry.before ? entry.before->last : entry.last;
  for (const auto& [id, consumer] : consumers_)
    if (consumer->stream == entry.id) out = std::min(out, consumer->settled.position());
  return out;
}

bool stream_table::drop_old(wall_time now, std::int64_t count, std::chrono::steady_clock::time_point until) {
  bool more = false;
  for (auto& [id, entry] : streams_) more = drop_old(*entry, now, count, until) || more;
  return more;
}

bool stream_table::drop_old(stream_entry& entry, wall_time now, std::int64_t count,
                            std::chrono::steady_clock::time_point until) {
  if (!entry.configured || entry.retention.count() == 0) return false;
  const wall_time cutoff = now - entry.retention;
  if (entry.first_known && entry.first_time > cutoff) return false;
  const std::int64_t to = droppable(entry);
  const std::int64_t stop = std::min(to, entry.dropped + count);
  bool young = false;
  std::int64_t at = entry.dropped;
  while (at < stop && !young && std::chrono::steady_clock::now() < until) {
    const std::int64_t step = std::min(stop - at, drop_step);
    const std::int64_t dropped = entry.erase.run(at, at + step, cutoff);
    young = dropped < step;
    at += dropped;
  }
  if (at != entry.dropped) {
    touch(entry);
    entry.dropped = at;
    set_dropped_.run(entry.id, at);
  }
  rows oldest(entry.time_of, entry.dropped + 1);
  entry.first_known = oldest.next();
  if (entry.first_known) entry.first_time = oldest->time(0);
  return !young && entry.dropped < to;
}

// --- Consumers ---

store_result<consumer_id> stream_table::consumer(const std::string& name, stream_id stream, start_at start) {
  auto* on = find(stream);
  if (on == nullptr) return no_stream();
  if (const auto known = find_consumer(name)) {
    if (find(*known)->stream == on->id) return *known;
    if (auto forgotten = forget_consumer(name); !forgotten) return forgotten.error();
  }
  const std::int64_t position = start == start_at::latest ? on->last : on->dropped;
  new_consumer_.run(name, on->id, position);
  auto entry = std::make_unique<consumer_entry>();
  entry->id = on_.last_rowid();
  entry->name = name;
  entry->stream = on->id;
  entry->settled = settled_set(position);
  entry->stored_position = position;
  const std::int64_t id = entry->id;
  consumers_[id] = std::move(entry);
  consumer_names_[name] = id;
  undo_.emplace_back([this, id, name] {
    consumers_.erase(id);
    consumer_names_.erase(name);
    dirty_.erase(id);
  });
  return consumer_id{id};
}

store_result<void> stream_table::forget_consumer(const std::string& name) {
  const auto known = find_consumer(name);
  if (!known) return no_consumer();
  const auto id = static_cast<std::int64_t>(*known);
  remove_consumer_.run(id);
  remove_settled_.run(id);
  remove_retries_.run(id);
  // Shared, because a function has to be copyable.
  auto kept = std::make_shared<std::unique_ptr<consumer_entry>>(std::move(consumers_[id]));
  std::erase(snapshots_, kept->get());
  if ((*kept)->before) {
    (*kept)->settled = std::move((*kept)->before->settled);
    (*kept)->retries = std::move((*kept)->before->retries);
    (*kept)->before.reset();
  }
  consumers_.erase(id);
  consumer_names_.erase(name);
  dirty_.erase(id);
  undo_.emplace_back([this, id, name, kept] {
    consumers_[id] = std::move(*kept);
    consumer_names_[name] = id;
    dirty_.insert(id);
  });
  return {};
}

store_result<consumer_state> stream_table::load(consumer_id consumer) {
  auto* entry = find(consumer);
  if (entry == nullptr) return no_consumer();
  flush(*entry);
  consumer_state out;
  out.position = entry->settled.position();
  for (const auto& [first, last] : entry->settled.ranges()) out.settled.push_back({first, last});
  rows all(retries_of_, entry->id);
  while (all.next()) {
    retry_record found;
    found.seq = all->integer(0);
    found.state = {static_cast<int>(all->integer(1)), all->time(2), all->time(3), static_cast<int>(all->integer(4)),
                   all->string(5)};
    out.retries.push_back(std::move(found));
  }
  return out;
}

void stream_table::settle(consumer_id consumer, seq_range range) {
  if (auto* entry = find(consumer)) settle(*entry, range);
}

void stream_table::settle(consumer_entry& entry, seq_range range) {
  // What is not there yet cannot be settled: a mistake of the caller's must not make later events disappear.
  if (const auto* on = find(stream_id{entry.stream})) range.last = std::min(range.last, on->last);
  if (range.last < range.first) return;
  entry.settled.add(range.first, range.last);
  entry.retries.erase(entry.retries.lower_bound(range.first), entry.retries.upper_bound(range.last));
  const auto end = entry.stored_retries.upper_bound(range.last);
  for (auto at = entry.stored_retries.lower_bound(range.first); at != end; ++at) entry.retries[*at] = std::nullopt;
  dirty_.insert(entry.id);
}

void stream_table::retry(consumer_id consumer, std::int64_t seq, retry_state state) {
  auto* entry = find(consumer);
  if (entry == nullptr || entry->settled.contains(seq)) return;
  entry->retries[seq] = std::move(state);
  dirty_.insert(entry->id);
}

store_result<stream_table::given_up> stream_table::give_up(consumer_id consumer, std::int64_t seq) {
  auto* entry = find(consumer);
  if (entry == nullptr) return no_consumer();
  given_up out;
  out.owner = entry->name;
  out.settled = entry->settled.contains(seq);
  if (out.settled) return out;
  auto* on = find(stream_id{entry->stream});
  if (on == nullptr) return no_stream();
  rows row(on->data_of, seq);
  if (!row.next()) return store_error{store_errc::not_found, "there is no event " + std::to_string(seq)};
  out.created = row->time(0);
  out.blob = row->string(1);
  if (!entry->before) {
    entry->before = std::make_unique<consumer_entry::saved>(consumer_entry::saved{entry->settled, entry->retries});
    snapshots_.push_back(entry);
  }
  settle(*entry, {seq, seq});
  return out;
}

void stream_table::flush() {
  for (const std::int64_t id : dirty_)
    if (auto* entry = find(consumer_id{id})) flush(*entry);
}

void stream_table::flush(consumer_entry& entry) {
  if (entry.settled.position() != entry.stored_position) set_position_.run(entry.id, entry.settled.position());
  const auto& ranges = entry.settled.ranges();
  for (const std::int64_t first : entry.settled.changed()) {
    const auto now = ranges.find(first);
    if (now != ranges.end())
      put_range_.run(entry.id, first, now->second);
    else if (entry.stored_ranges.contains(first))
      remove_range_.run(entry.id, first);
  }
  flush_retries(entry);
  written_.push_back(entry.id);
}

void stream_table::flush_retries(consumer_entry& entry) {
  for (const auto& [seq, state] : entry.retries) {
    if (state) {
      put_retry_.run(entry.id, seq, state->attempts, state->next_attempt, state->first_failure, state->last_status,
                     state->last_error);
    } else {
      remove_retry_.run(entry.id, seq);
    }
  }
}

void stream_table::keep_written(consumer_entry& entry) {
  entry.stored_position = entry.settled.position();
  const auto& ranges = entry.settled.ranges();
  for (const std::int64_t first : entry.settled.changed()) {
    const auto now = ranges.find(first);
    if (now != ranges.end())
      entry.stored_ranges[first] = now->second;
    else
      entry.stored_ranges.erase(first);
  }
  entry.settled.clear_changed();
  for (const auto& [seq, state] : entry.retries) {
    if (state)
      entry.stored_retries.insert(seq);
    else
      entry.stored_retries.erase(seq);
  }
  entry.retries.clear();
  dirty_.erase(entry.id);
}

// --- After a transaction ---

void stream_table::committed() {
  for (const std::int64_t id : written_)
    if (auto* entry = find(consumer_id{id})) keep_written(*entry);
  written_.clear();
  for (auto* entry : snapshots_) entry->before.reset();
  snapshots_.clear();
  undo_.clear();
  fresh_ = 0;
  for (auto* entry : std::exchange(touched_, {})) {
    const bool grew = entry->last != entry->before->last;
    entry->before.reset();
    if (grew && entry->grown) entry->grown(entry->last);
  }
}

void stream_table::rolled_back() {
  written_.clear();
  for (auto* entry : snapshots_) {
    entry->settled = std::move(entry->before->settled);
    entry->retries = std::move(entry->before->retries);
    entry->before.reset();
  }
  snapshots_.clear();
  for (auto* entry : std::exchange(touched_, {})) {
    entry->last = entry->before->last;
    entry->dropped = entry->before->dropped;
    entry->last_time = entry->before->last_time;
    entry->first_known = false;
    entry->before.reset();
  }
  for (; !undo_.empty(); undo_.pop_back()) undo_.back()();
  fresh_ = 0;
}

}  // namespace rouse::gateway::events
