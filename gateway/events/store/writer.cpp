#include "gateway/events/store/writer.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "gateway/events/store/file.hpp"

namespace rouse::gateway::events {
namespace {

constexpr int cache_kib = 8 * 1024;
constexpr std::size_t group_operations = 4096;
constexpr std::size_t group_bytes = 1024 * 1024;
constexpr std::chrono::seconds maintenance_interval{1};
constexpr std::chrono::seconds pause_when_failing{1};
constexpr std::chrono::milliseconds slice{4};
constexpr std::int64_t slice_beside = 64;     // rows dropped in a commit that has something else to do
constexpr std::int64_t slice_alone = 100000;  // the time bounds it
constexpr std::chrono::milliseconds longest_gathering{1};

wall_time system_time() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

store_options complete(store_options options) {
  if (!options.clock) options.clock = system_time;
  return options;
}

connection& prepare(connection& on, const store_options& options) {
  set_up(on, cache_kib);
  on.run("PRAGMA journal_size_limit=67108864");
  if (options.max_pages > 0) on.run("PRAGMA max_page_count=" + std::to_string(options.max_pages));
  if (on.integer("SELECT count(*) FROM sqlite_schema") != 0) return on;
  on.run("BEGIN IMMEDIATE");
  try {
    make_tables(on);
    on.run("COMMIT");
  } catch (...) {
    on.roll_back();
    throw;
  }
  return on;
}

}  // namespace

writer::writer(const std::string& path, const store_options& options)
    : path_(path),
      options_(complete(options)),
      on_(path, true),
      tables_(prepare(on_, options_)),
      checkpointer_(path, options_.checkpoint_pages, gate_),
      maintain_at_(steady::now()) {
  const auto hook = [](void* self, sqlite3*, const char*, int pages) {
    static_cast<writer*>(self)->checkpointer_.log_has(pages);
    return SQLITE_OK;
  };
  sqlite3_wal_hook(on_.handle(), hook, this);
  thread_ = std::thread([this] { run(); });
}

writer::~writer() {
  stop();
}

void writer::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  work_.notify_one();
  thread_.join();
}

// --- Any thread ---

bool writer::submit(std::unique_ptr<operation>& what, bool bounded) {
  const std::size_t bytes = what->bytes();
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    const std::size_t waiting = waiting_bytes_.load(std::memory_order_relaxed);
    // One is always taken, however large, or it could never be.
    if (bounded && waiting > 0 && waiting + bytes > options_.max_waiting_bytes) return false;
    waiting_bytes_.store(waiting + bytes, std::memory_order_relaxed);
    const bool first = waiting_.empty();
    if (what->what() != operation::kind::note) ++urgent_;
    waiting_.push_back(std::move(what));
    wake = asleep_ && (first || urgent_ >= wake_at_);
  }
  if (wake) work_.notify_one();
  return true;
}

void writer::sweep(completion<void> done) {
  {
    const std::lock_guard lock(mutex_);
    new_sweeps_.push_back(std::move(done));
  }
  work_.notify_one();
}

// --- The thread ---

void writer::run() {
  group work;
  while (next(work)) {
    perform(work);
    work.clear();
  }
  {
    const std::lock_guard lock(mutex_);
    std::move(new_sweeps_.begin(), new_sweeps_.end(), std::back_inserter(sweeps_));
    new_sweeps_.clear();
  }
  dropped(store_error{store_errc::closed, "the store is closed"});
}

writer::steady::time_point writer::alarm() const {
  return dropping_ ? steady::time_point::min() : std::min(flush_at_, maintain_at_);
}

bool writer::next(group& out) {
  std::unique_lock lock(mutex_);
  wake_at_ = 1;
  while (urgent_ == 0 && !ending_ && new_sweeps_.empty()) {
    if (!waiting_.empty() && flush_at_ == steady::time_point::max()) flush_at_ = steady::now() + options_.lazy_flush;
    if (steady::now() >= alarm()) break;
    asleep_ = true;
    work_.wait_until(lock, alarm());
    asleep_ = false;
  }
  last_round_ = ending_;
  if (last_round_ && waiting_.empty() && flush_at_ == steady::time_point::max()) return false;
  if (last_round_) flush_at_ = steady::time_point::min();
  if (!new_sweeps_.empty()) dropping_ = true;
  std::move(new_sweeps_.begin(), new_sweeps_.end(), std::back_inserter(sweeps_));
  new_sweeps_.clear();
  if (urgent_ > 0 && !last_round_) gather(lock);
  carve(out);
  return true;
}

// Those who waited for the last commit come back within microseconds. Without waiting for them the first to come would
// have a commit for itself, and all others would wait for that one to end.
void writer::gather(std::unique_lock<std::mutex>& lock) {
  if (urgent_ >= last_group_) return;
  const auto limit = std::min<steady::duration>(usual_commit_ / 5, longest_gathering);
  wake_at_ = last_group_;
  asleep_ = true;
  work_.wait_for(lock, limit, [this] { return urgent_ >= wake_at_ || ending_; });
  asleep_ = false;
}

// Takes what goes together: so much that an fdatasync is worth it, and not so much that others wait for long.
void writer::carve(group& out) {
  std::size_t bytes = 0;
  std::size_t count = 0;
  while (count < waiting_.size() && count < group_operations && bytes < group_bytes)
    bytes += waiting_[count++]->bytes();
  for (; count > 0; --count) {
    if (waiting_.front()->what() != operation::kind::note) --urgent_;
    out.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

void writer::perform(group& work) {
  std::size_t bytes = 0;
  group durable;
  for (auto& one : work) {
    bytes += one->bytes();
    if (one->what() == operation::kind::durable)
      durable.push_back(std::move(one));
    else
      look(one);
  }
  last_group_ = durable.size();
  const auto began = steady::now();
  const bool dirty = tables_.streams.unwritten();
  if (!dirty)
    flush_at_ = steady::time_point::max();
  else if (flush_at_ == steady::time_point::max())
    flush_at_ = began + options_.lazy_flush;
  if (!dropping_ && began >= maintain_at_) dropping_ = true;
  std::optional<store_error> error;
  if (!durable.empty() || began >= flush_at_ || dropping_) {
    error = commit(durable);
    // Settles that could not be written are kept, but the disk is not tried in a tight loop.
    const bool again = error && dirty && !last_round_;
    flush_at_ = again ? steady::now() + pause_when_failing : steady::time_point::max();
  }
  {
    const std::lock_guard lock(mutex_);
    waiting_bytes_.store(waiting_bytes_.load(std::memory_order_relaxed) - bytes, std::memory_order_relaxed);
  }
  if (!durable.empty() && !error) usual_commit_ = (usual_commit_ * 7 + (steady::now() - began)) / 8;
  for (auto& one : durable) one->finish(error ? &*error : nullptr);
  if (error && error->code == store_errc::storage_full) checkpointer_.make_room();
}

void writer::look(std::unique_ptr<operation>& what) {
  try {
    what->apply(tables_, options_.clock());
    what->finish(nullptr);
  } catch (const sql_error& problem) {
    const store_error error = problem.explain(path_);
    what->finish(&error);
  }
}

std::optional<store_error> writer::commit(const group& work) {
  std::optional<store_error> error;
  bool more = false;
  gate_.enter();
  try {
    on_.run("BEGIN IMMEDIATE");
    const wall_time now = options_.clock();
    for (const auto& one : work) one->apply(tables_, now);
    tables_.streams.flush();
    if (dropping_) more = drop(now, work.empty());
    tables_.invocations.flush();
    on_.run("COMMIT");
  } catch (const sql_error& problem) {
    error = problem.explain(path_);
    on_.roll_back();
  }
  gate_.leave();
  if (error) {
    tables_.streams.rolled_back();
    tables_.invocations.rolled_back();
  } else {
    tables_.streams.committed();
    tables_.invocations.committed();
  }
  if (dropping_ && !more) dropped(error);
  return error;
}

// A slice of what is over. Beside other work it goes at least as fast as work comes, so that the file does not grow for
// want of time, and takes about as long as that work did.
bool writer::drop(wall_time now, bool alone) {
  const auto until = steady::now() + slice;
  const std::int64_t rows = alone ? slice_alone : std::max(slice_beside, 2 * tables_.streams.fresh());
  const bool events = tables_.streams.drop_old(now, rows, until);
  const bool results = tables_.invocations.expire(now, rows, until);
  return events || results;
}

void writer::dropped(const std::optional<store_error>& error) {
  dropping_ = false;
  maintain_at_ = steady::now() + maintenance_interval;
  for (const auto& done : std::exchange(sweeps_, {})) {
    if (error)
      done(*error);
    else
      done(store_result<void>());
  }
}

}  // namespace rouse::gateway::events
