#include "gateway/events/store/sqlite.hpp"

#include <sqlite3.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace rouse::gateway::events {
namespace {

bool is_full(int error) {
  return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

// SQLite knows ENOSPC as SQLITE_FULL in most places, a quota or a file size limit nowhere.
store_errc classify(int code, int system_error) {
  const int primary = code & 0xff;
  if (primary == SQLITE_FULL) return store_errc::storage_full;
  if (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN) {
    if (is_full(system_error)) return store_errc::storage_full;
    return store_errc::io;
  }
  if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) return store_errc::corrupt;
  return store_errc::io;
}

int last_error_of(sqlite3* on, int which) {
  sqlite3_file* file = nullptr;
  int error = 0;
  if (sqlite3_file_control(on, "main", which, &file) != SQLITE_OK || file == nullptr || file->pMethods == nullptr)
    return 0;
  file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &error);
  return error;
}

// sqlite3_system_errno() is errno at the end of the call, when what undid it may have changed it; the files remember.
// They also remember errors of long ago, so only what explains this one is believed.
int system_error_of(sqlite3* on, int code) {
  if ((code & 0xff) == SQLITE_IOERR) {
    for (const int which : {SQLITE_FCNTL_JOURNAL_POINTER, SQLITE_FCNTL_FILE_POINTER}) {
      const int error = last_error_of(on, which);
      const bool writing = code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_TRUNCATE;
      if (writing && is_full(error)) return error;
    }
  }
  return sqlite3_system_errno(on);
}

}  // namespace

sql_error::sql_error(int code, int system_error, std::string text)
    : system_error_(system_error), kind_(classify(code, system_error)), text_(std::move(text)) {}

store_error sql_error::explain(const std::string& path) const {
  std::string system = system_error_ != 0 ? std::string(" (") + std::strerror(system_error_) + ")" : std::string();
  switch (kind_) {
    case store_errc::storage_full:
      return {kind_, "no room left for " + path + system + "; it goes on by itself once there is room"};
    case store_errc::corrupt:
      return {kind_, path + " is damaged: " + text_ + "; a restart says what to do"};
    default:
      return {kind_, "cannot use " + path + ": " + text_ + system};
  }
}

connection::connection(const std::string& path, bool create) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
  const int code = sqlite3_open_v2(path.c_str(), &handle_, flags, nullptr);
  if (code != SQLITE_OK) {
    const sql_error error(code, handle_ ? sqlite3_system_errno(handle_) : 0,
                          handle_ ? sqlite3_errmsg(handle_) : sqlite3_errstr(code));
    sqlite3_close_v2(handle_);
    throw error;
  }
  sqlite3_extended_result_codes(handle_, 1);
  sqlite3_busy_timeout(handle_, 10000);
}

connection::~connection() {
  sqlite3_close_v2(handle_);
}

void connection::fail(int code) const {
  throw sql_error(code, system_error_of(handle_, code), sqlite3_errmsg(handle_));
}

void connection::run(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(code);
}

std::int64_t connection::integer(const std::string& sql) {
  statement query(*this, sql);
  return query.step() ? query.integer(0) : 0;
}

std::string connection::text(const std::string& sql) {
  statement query(*this, sql);
  return query.step() ? query.string(0) : std::string();
}

std::int64_t connection::changes() const {
  return sqlite3_changes64(handle_);
}
std::int64_t connection::last_rowid() const {
  return sqlite3_last_insert_rowid(handle_);
}

void connection::roll_back() noexcept {
  if (sqlite3_get_autocommit(handle_) == 0) sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
}

void statement::finalizer::operator()(sqlite3_stmt* handle) const {
  sqlite3_finalize(handle);
}

statement::statement(connection& on, const std::string& sql) {
  sqlite3_stmt* handle = nullptr;
  const int code = sqlite3_prepare_v3(on.handle(), sql.c_str(), static_cast<int>(sql.size()) + 1,
                                      SQLITE_PREPARE_PERSISTENT, &handle, nullptr);
  if (code != SQLITE_OK) on.fail(code);
  handle_.reset(handle);
}

bool statement::step() {
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  sqlite3* on = sqlite3_db_handle(handle_.get());
  sql_error error(code, system_error_of(on, code), sqlite3_errmsg(on));
  sqlite3_reset(handle_.get());
  throw error;
}

void statement::reset() noexcept {
  sqlite3_reset(handle_.get());
}

std::int64_t statement::finish() {
  while (step()) {
  }
  reset();
  return sqlite3_changes64(sqlite3_db_handle(handle_.get()));
}

std::int64_t statement::integer(int column) const {
  return sqlite3_column_int64(handle_.get(), column);
}
bool statement::null(int column) const {
  return sqlite3_column_type(handle_.get(), column) == SQLITE_NULL;
}

std::string_view statement::bytes(int column) const {
  const void* data = sqlite3_column_blob(handle_.get(), column);
  const int size = sqlite3_column_bytes(handle_.get(), column);
  if (data == nullptr) return {};
  return {static_cast<const char*>(data), static_cast<std::size_t>(size)};
}

void statement::bind(int index, std::int64_t value) {
  sqlite3_bind_int64(handle_.get(), index, value);
}
void statement::bind(int index, std::nullptr_t) {
  sqlite3_bind_null(handle_.get(), index);
}

// A null pointer would bind as NULL, so an empty view gets a pointer to something.
void statement::bind(int index, std::string_view value) {
  sqlite3_bind_text64(handle_.get(), index, value.empty() ? "" : value.data(), value.size(), SQLITE_STATIC,
                      SQLITE_UTF8);
}

void statement::bind(int index, blob value) {
  sqlite3_bind_blob64(handle_.get(), index, value.bytes.empty() ? "" : value.bytes.data(), value.bytes.size(),
                      SQLITE_STATIC);
}

}  // namespace rouse::gateway::events
