#include "gateway/events/store/file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace rouse::gateway::events {
namespace {

constexpr std::int64_t application_id = 0x726f7573;  // "rous"
constexpr int samples = 256;

// Rows are in the order of their numbers, so that a commit dirties the last page of a table and little else. What is
// large stands in tables of its own, because SQLite writes a row as a whole; the queue is one small row for each
// waiting invocation, in the order of taking, for each function apart.
constexpr const char* tables = R"(
CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE stream(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, dropped INTEGER NOT NULL);
CREATE TABLE consumer(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, stream INTEGER NOT NULL,
  position INTEGER NOT NULL);
CREATE TABLE settled(consumer INTEGER, first INTEGER, last INTEGER NOT NULL,
  PRIMARY KEY(consumer, first)) WITHOUT ROWID;
CREATE TABLE retry(consumer INTEGER, seq INTEGER, attempts INTEGER NOT NULL, next_attempt INTEGER NOT NULL,
  first_failure INTEGER NOT NULL, last_status INTEGER NOT NULL, last_error TEXT NOT NULL,
  PRIMARY KEY(consumer, seq)) WITHOUT ROWID;
CREATE TABLE function(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, requests INTEGER NOT NULL,
  bytes INTEGER NOT NULL, results INTEGER NOT NULL, result_bytes INTEGER NOT NULL);
CREATE TABLE invocation(seq INTEGER PRIMARY KEY, function INTEGER NOT NULL, random BLOB NOT NULL,
  state INTEGER NOT NULL, attempts INTEGER NOT NULL, due INTEGER NOT NULL, ticket INTEGER NOT NULL,
  size INTEGER NOT NULL, created INTEGER NOT NULL, finished INTEGER, expires INTEGER, last_status INTEGER NOT NULL,
  last_error TEXT NOT NULL, idempotency_key TEXT);
CREATE TABLE request(seq INTEGER PRIMARY KEY, meta BLOB NOT NULL, body BLOB NOT NULL);
CREATE TABLE response(seq INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE queue(function INTEGER, due INTEGER, ticket INTEGER, seq INTEGER NOT NULL,
  PRIMARY KEY(function, due, ticket)) WITHOUT ROWID;
CREATE TABLE idempotency(function INTEGER, key TEXT, seq INTEGER NOT NULL, PRIMARY KEY(function, key)) WITHOUT ROWID;
CREATE TABLE expiry(at INTEGER, seq INTEGER, PRIMARY KEY(at, seq)) WITHOUT ROWID;
CREATE TABLE dead_letter(id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, owner TEXT NOT NULL,
  seq INTEGER NOT NULL, random BLOB, created INTEGER NOT NULL, given_up INTEGER NOT NULL, attempts INTEGER NOT NULL,
  last_status INTEGER NOT NULL, last_error TEXT NOT NULL, size INTEGER NOT NULL, meta BLOB NOT NULL,
  data BLOB NOT NULL);
CREATE INDEX dead_letter_owner ON dead_letter(owner, kind);
)";

std::string system_text(int error) {
  return std::strerror(error);
}

// Numbers have no gaps, so that one in the middle can be asked for; what is not found there is missing.
std::string check_samples(connection& on, const std::string& table) {
  const std::int64_t first = on.integer("SELECT min(seq) FROM " + table);
  const std::int64_t last = on.integer("SELECT max(seq) FROM " + table);
  if (last == 0) return "ok";
  statement event(on, "SELECT seq, time, data FROM " + table + " WHERE seq = ?");
  for (int sample = 0; sample <= samples; ++sample) {
    const std::int64_t seq = first + (last - first) / samples * sample;
    rows one(event, seq);
    if (!one.next()) return "event " + std::to_string(seq) + " of " + table + " is missing";
  }
  return "ok";
}

// A large file is read in part only, or a start would take minutes: all that is small, and samples of the events. What
// that does not find is found when it is read.
std::string check_in_part(connection& on) {
  statement names(on, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'");
  while (names.step()) {
    const std::string table = names.string(0);
    if (table == "request" || table == "response" || table == "dead_letter") continue;
    const std::string found =
        table.starts_with("event_") ? check_samples(on, table) : on.text("PRAGMA quick_check(" + table + ")");
    if (found != "ok") return found;
  }
  return "ok";
}

std::string read_all(int file) {
  char text[64];
  const ssize_t size = ::pread(file, text, sizeof text, 0);
  return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
}

}  // namespace

void set_up(connection& on, int cache_kib) {
  on.run("PRAGMA journal_mode=WAL");
  on.run("PRAGMA synchronous=FULL");
  // Debian's SQLite overwrites what is deleted with zeros unless it is told not to.
  on.run("PRAGMA secure_delete=OFF");
  // Another connection does that; see checkpointer.hpp.
  on.run("PRAGMA wal_autocheckpoint=0");
  on.run("PRAGMA temp_store=MEMORY");
  on.run("PRAGMA cache_size=-" + std::to_string(cache_kib));
}

void make_tables(connection& on) {
  on.run(tables);
  on.run("PRAGMA application_id=" + std::to_string(application_id));
  on.run("PRAGMA user_version=" + std::to_string(schema_version));
}

std::string event_table(std::int64_t stream) {
  return "event_" + std::to_string(stream);
}

store_file::store_file(const std::string& directory, const store_options& options)
    : directory_(directory), path_(directory + "/events.db") {
  try {
    make_directory();
    lock();
    make_file();
    check(options);
  } catch (...) {
    if (lock_ >= 0) ::close(lock_);
    throw;
  }
}

store_file::~store_file() {
  ::close(lock_);
}

void store_file::fail(open_error::kind why, const std::string& text) {
  throw open_error{why, text};
}

void store_file::make_directory() {
  if (::mkdir(directory_.c_str(), 0700) == 0 || errno == EEXIST) return;
  const int error = errno;
  std::error_code problem;
  std::filesystem::create_directories(directory_, problem);
  if (!problem) return;
  fail(open_error::kind::io, "cannot make the data_dir " + directory_ + ": " + system_text(error));
}

// The lock is on a file of its own: closing any descriptor of the database would drop SQLite's own locks on it.
void store_file::lock() {
  const std::string name = directory_ + "/events.lock";
  lock_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) fail(open_error::kind::io, "cannot open " + name + ": " + system_text(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) fail(open_error::kind::io, "cannot lock " + name + ": " + system_text(errno));
    const std::string holder = read_all(lock_);
    fail(open_error::kind::in_use, "data_dir " + directory_ + " is in use by another rouse" +
                                       (holder.empty() ? std::string() : " (process " + holder + ")") +
                                       "; stop it, or give this one a data_dir of its own");
  }
  const std::string self = std::to_string(::getpid());
  // For that message only, so nothing depends on it.
  if (::ftruncate(lock_, 0) != 0 || ::pwrite(lock_, self.data(), self.size(), 0) < 0) return;
}

// Events are nobody else's business: the file and what SQLite puts beside it are the user's alone.
void store_file::make_file() {
  const int file = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) fail(open_error::kind::io, "cannot open " + path_ + ": " + system_text(errno));
  ::close(file);
  const int directory = ::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool kept = directory >= 0 && ::fsync(directory) == 0;
  const int error = errno;
  if (directory >= 0) ::close(directory);
  if (!kept) fail(open_error::kind::io, "cannot write " + directory_ + ": " + system_text(error));
}

void store_file::check(const store_options& options) {
  try {
    connection on(path_, false);
    const auto version = on.integer("PRAGMA user_version");
    const auto application = on.integer("PRAGMA application_id");
    if (version > schema_version && application == application_id) {
      fail(open_error::kind::newer_version, path_ + " was written by a newer rouse (schema " + std::to_string(version) +
                                                "; this one knows up to " + std::to_string(schema_version) +
                                                "): run the newer one, or give this one another data_dir");
    }
    if (on.integer("SELECT count(*) FROM sqlite_schema") == 0) return;
    if (application != application_id) throw damaged("it is not a store of rouse");
    const auto bytes = static_cast<std::size_t>(on.integer("PRAGMA page_count") * on.integer("PRAGMA page_size"));
    const std::string found = bytes <= options.check_bytes ? on.text("PRAGMA quick_check(1)") : check_in_part(on);
    if (found != "ok") throw damaged(found);
  } catch (const sql_error& error) {
    if (error.kind() == store_errc::corrupt) throw damaged(error.what());
    fail(open_error::kind::io, error.explain(path_).text);
  }
}

open_error store_file::damaged(const std::string& what) const {
  const std::string aside = directory_ + "/damaged";
  return {
      open_error::kind::corrupt,
      path_ + " is damaged (" + what + ") and rouse does not start with it. To start with an empty store: mkdir '" +
          aside + "' && mv '" + path_ + "'* '" + aside +
          "/'. That leaves behind the events in embedded buses and how far each trigger is, queued async invocations "
          "and their results, and dead letters; events in Kafka are not touched. To save what can be read, before "
          "that: sqlite3 '" +
          path_ + "' .recover | sqlite3 '" + directory_ + "/recovered.db', check it, and put it in the place of " +
          path_};
}

}  // namespace rouse::gateway::events
