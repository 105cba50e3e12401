#include "gateway/events/store/reader.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "gateway/events/store/file.hpp"
#include "gateway/events/store/invocation_table.hpp"

namespace rouse::gateway::events {
namespace {

constexpr int cache_kib = 2 * 1024;
constexpr std::size_t most_waiting = 10000;

store_error no_invocation() {
  return {store_errc::not_found, "there is no such invocation, or its result is no longer kept"};
}

/// One snapshot for several statements.
class snapshot {
 public:
  explicit snapshot(connection& on) : on_(on) { on_.run("BEGIN"); }
  ~snapshot() { on_.roll_back(); }
  snapshot(const snapshot&) = delete;
  snapshot& operator=(const snapshot&) = delete;

 private:
  connection& on_;
};

connection& prepare(connection& on) {
  set_up(on, cache_kib);
  on.run("PRAGMA query_only=ON");
  return on;
}

}  // namespace

queries::queries(const std::string& path)
    : on_(path, false),
      ids_(prepare(on_)),
      request_(on_, "SELECT meta, body FROM request WHERE seq = ?"),
      invocation_(on_,
                  "SELECT f.name, i.state, i.attempts, i.created, i.due, i.finished, i.last_status, i.last_error, "
                  "i.random FROM invocation i JOIN function f ON f.id = i.function WHERE i.seq = ?"),
      response_(on_, "SELECT data FROM response WHERE seq = ?"),
      letter_(on_, std::string("SELECT ") + dead_letter_columns + " FROM dead_letter WHERE id = ?"),
      content_(on_, std::string("SELECT ") + dead_letter_columns + ", meta, data FROM dead_letter WHERE id = ?"),
      streams_(on_, "SELECT id, name, dropped FROM stream ORDER BY name"),
      consumers_(on_,
                 "SELECT c.id, c.name, c.stream, s.name, c.position FROM consumer c JOIN stream s ON s.id = c.stream "
                 "ORDER BY c.name"),
      settled_(on_, "SELECT sum(last - first + 1) FROM settled WHERE consumer = ?"),
      functions_(on_, "SELECT name, requests, bytes, results, result_bytes FROM function ORDER BY name"),
      due_(on_,
           "SELECT name, requests - (SELECT count(*) FROM (SELECT 1 FROM queue WHERE function = function.id AND due > "
           "?1 "
           "LIMIT 10000)) FROM function WHERE requests > 0"),
      letters_(on_, "SELECT owner, kind, count(*) FROM dead_letter GROUP BY owner, kind") {}

std::vector<record> queries::read(stream_id stream, std::int64_t after, std::size_t max_count, std::size_t max_bytes) {
  const auto id = static_cast<std::int64_t>(stream);
  auto& events = events_[id];
  if (!events) {
    events = statement(on_, "SELECT seq, time, only, data FROM " + event_table(id) + " WHERE seq > ? ORDER BY seq");
  }
  std::vector<record> out;
  std::size_t bytes = 0;
  rows found(events, after);
  while (out.size() < max_count && found.next()) {
    bytes += found->bytes(3).size();
    if (!out.empty() && bytes > max_bytes) break;
    record one;
    one.seq = found->integer(0);
    one.time = found->time(1);
    if (!found->null(2)) one.only = consumer_id{found->integer(2)};
    one.blob = found->string(3);
    out.push_back(std::move(one));
  }
  return out;
}

void queries::fill(std::vector<taken_invocation>& invocations) {
  for (auto& one : invocations) {
    rows found(request_, one.id.seq);
    if (!found.next()) continue;
    one.meta = found->string(0);
    one.body = found->string(1);
  }
}

store_result<invocation_status> queries::look_up(const invocation_id& id) {
  rows found(invocation_, id.seq);
  if (!found.next() || !same_bits(id.random, found->bytes(8))) return no_invocation();
  invocation_status out;
  out.function = found->string(0);
  out.state = static_cast<invocation_state>(found->integer(1));
  out.attempts = static_cast<int>(found->integer(2));
  out.created = found->time(3);
  if (out.state == invocation_state::queued) out.next_attempt = found->time(4);
  if (!found->null(5)) out.finished = found->time(5);
  out.last_status = static_cast<int>(found->integer(6));
  out.last_error = found->string(7);
  return out;
}

store_result<std::string> queries::response(const invocation_id& id) {
  const snapshot both(on_);
  const auto status = look_up(id);
  if (!status) return status.error();
  rows found(response_, id.seq);
  if (found.next()) return found->string(0);
  const char* why = status->state == invocation_state::cancelled ? "the invocation was cancelled and has no response"
                                                                 : "the invocation has no response yet";
  return store_error{store_errc::conflict, why};
}

std::vector<dead_letter> queries::dead_letters(const std::string& owner, std::int64_t after, std::size_t max_count) {
  const snapshot all(on_);
  dead_letter_choice choice;
  if (!owner.empty()) choice.owner = owner;
  const auto ids =
      ids_.next(choice, after, std::numeric_limits<std::int64_t>::max(), static_cast<std::int64_t>(max_count));
  std::vector<dead_letter> out;
  for (const std::int64_t id : ids) {
    rows found(letter_, id);
    if (found.next()) out.push_back(read_dead_letter(*found.operator->(), false));
  }
  return out;
}

store_result<dead_letter> queries::show_dead_letter(std::int64_t id) {
  rows found(content_, id);
  if (!found.next()) return store_error{store_errc::not_found, "there is no dead letter " + std::to_string(id)};
  return read_dead_letter(*found.operator->(), true);
}

std::vector<queue_due> queries::due(wall_time now) {
  std::vector<queue_due> out;
  rows functions(due_, now);
  while (functions.next()) out.push_back({functions->string(0), std::max<std::int64_t>(0, functions->integer(1))});
  return out;
}

store_usage queries::usage() {
  const snapshot all(on_);
  store_usage out;
  add_streams(out);
  add_consumers(out);
  rows functions(functions_);
  while (functions.next()) {
    out.queues.push_back({functions->string(0), functions->integer(1), functions->integer(2), functions->integer(3),
                          functions->integer(4)});
  }
  rows letters(letters_);
  while (letters.next()) {
    out.dead_letters.push_back(
        {letters->string(0), static_cast<dead_letter_kind>(letters->integer(1)), letters->integer(2)});
  }
  return out;
}

void queries::add_streams(store_usage& out) {
  rows streams(streams_);
  while (streams.next()) {
    stream_usage one;
    one.name = streams->string(1);
    one.first = streams->integer(2) + 1;
    const auto last = on_.integer("SELECT max(seq) FROM " + event_table(streams->integer(0)));
    one.last = std::max(last, streams->integer(2));
    out.streams.push_back(std::move(one));
  }
}

void queries::add_consumers(store_usage& out) {
  rows consumers(consumers_);
  while (consumers.next()) {
    consumer_usage one;
    one.name = consumers->string(1);
    one.stream = consumers->string(3);
    one.position = consumers->integer(4);
    const auto stream = std::find_if(out.streams.begin(), out.streams.end(),
                                     [&one](const stream_usage& candidate) { return candidate.name == one.stream; });
    if (stream != out.streams.end())
      one.unsettled = std::max<std::int64_t>(0, stream->last - one.position - settled_beyond(consumers->integer(0)));
    if (one.unsettled > 0) {
      statement first(on_, "SELECT time FROM " + event_table(consumers->integer(2)) + " WHERE seq > " +
                               std::to_string(one.position) + " ORDER BY seq LIMIT 1");
      if (first.step()) one.oldest = first.time(0);
    }
    out.consumers.push_back(std::move(one));
  }
}

std::int64_t queries::settled_beyond(std::int64_t consumer) {
  rows sum(settled_, consumer);
  return sum.next() ? sum->integer(0) : 0;
}

// --- The thread ---

store_reader::store_reader(const std::string& path) : queries_(path) {
  thread_ = std::thread([this] { run(); });
}

store_reader::~store_reader() {
  stop();
}

void store_reader::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  work_.notify_one();
  thread_.join();
}

bool store_reader::submit(task what) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= most_waiting) return false;
    waiting_.push_back(std::move(what));
  }
  work_.notify_one();
  return true;
}

void store_reader::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    task what = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    what(queries_);
    lock.lock();
  }
}

}  // namespace rouse::gateway::events
