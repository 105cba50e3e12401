#pragma once
// SQLite's handles as C++ values, for the files of this folder. A connection and its statements belong to one thread at
// a time. Errors are thrown as sql_error and caught at the root of each operation, where the transaction is undone.

#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/events/store/types.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace rouse::gateway::events {

class sql_error : public std::exception {
 public:
  sql_error(int code, int system_error, std::string text);
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }
  [[nodiscard]] store_errc kind() const { return kind_; }
  /// For whoever called: what happened to `path`, and what helps.
  [[nodiscard]] store_error explain(const std::string& path) const;

 private:
  int system_error_;
  store_errc kind_;
  std::string text_;
};

class connection {
 public:
  /// Opens (and with `create` makes) the file. The caller sets the pragmas.
  connection(const std::string& path, bool create);
  ~connection();
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  void run(const char* sql);
  void run(const std::string& sql) { run(sql.c_str()); }
  /// The first column of the first row.
  std::int64_t integer(const std::string& sql);
  std::string text(const std::string& sql);
  /// Rows that the last statement changed.
  [[nodiscard]] std::int64_t changes() const;
  [[nodiscard]] std::int64_t last_rowid() const;
  /// Ends the transaction without its changes, if one is open.
  void roll_back() noexcept;
  [[noreturn]] void fail(int code) const;
  [[nodiscard]] sqlite3* handle() const { return handle_; }

 private:
  sqlite3* handle_ = nullptr;
};

/// Binds as a blob rather than as text.
struct blob {
  std::string_view bytes;
};

class statement {
 public:
  statement() = default;
  statement(connection& on, const std::string& sql);

  /// Binds, runs to the end and gives the number of rows changed. Borrows the arguments for the call.
  template <class... arguments>
  std::int64_t run(const arguments&... values) {
    bind_all(values...);
    return finish();
  }
  template <class... arguments>
  void bind_all(const arguments&... values) {
    int index = 0;
    (bind(++index, values), ...);
  }

  bool step();
  void reset() noexcept;
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] bool null(int column) const;
  [[nodiscard]] std::string_view bytes(int column) const;  ///< until the next step
  [[nodiscard]] std::string string(int column) const { return std::string(bytes(column)); }
  [[nodiscard]] wall_time time(int column) const { return wall_time(std::chrono::milliseconds(integer(column))); }
  explicit operator bool() const { return static_cast<bool>(handle_); }

 private:
  struct finalizer {
    void operator()(sqlite3_stmt* handle) const;
  };
  std::int64_t finish();
  void bind(int index, std::int64_t value);
  void bind(int index, std::string_view value);
  void bind(int index, const std::string& value) { bind(index, std::string_view(value)); }
  void bind(int index, blob value);
  void bind(int index, std::nullptr_t);
  void bind(int index, wall_time value) { bind(index, value.time_since_epoch().count()); }
  template <class value_type>
  void bind(int index, const std::optional<value_type>& value) {
    if (value)
      bind(index, *value);
    else
      bind(index, nullptr);
  }
  template <std::integral integer_type>
  void bind(int index, integer_type value) {
    bind(index, static_cast<std::int64_t>(value));
  }

  std::unique_ptr<sqlite3_stmt, finalizer> handle_;
};

/// The rows of a statement with its arguments, which must outlive it; resets the statement at the end of the scope.
class rows {
 public:
  template <class... arguments>
  explicit rows(statement& of, const arguments&... values) : of_(of) {
    of_.bind_all(values...);
  }
  ~rows() { of_.reset(); }
  rows(const rows&) = delete;
  rows& operator=(const rows&) = delete;
  bool next() { return of_.step(); }
  statement* operator->() { return &of_; }

 private:
  statement& of_;
};

}  // namespace rouse::gateway::events
