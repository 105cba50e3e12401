#pragma once
// The store's file at start: the lock against a second daemon, what is wrong with a file that cannot be used and what
// to do about it, the tables of a new one. It holds the lock as long as it lives.

#include <string>

#include "gateway/events/store/sqlite.hpp"
#include "gateway/events/store/store.hpp"

namespace rouse::gateway::events {

/// Written to `user_version`; a file with a higher one is refused.
inline constexpr int schema_version = 1;

class store_file {
 public:
  /// Makes the directory and the file where there are none, takes the lock, checks. Throws open_error.
  store_file(const std::string& directory, const store_options& options);
  ~store_file();
  store_file(const store_file&) = delete;
  store_file& operator=(const store_file&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  /// What to say when something turns out to be damaged after the checks.
  [[nodiscard]] open_error damaged(const std::string& what) const;

 private:
  void make_directory();
  void lock();
  void make_file();
  void check(const store_options& options);
  [[noreturn]] void fail(open_error::kind why, const std::string& text);

  std::string directory_;
  std::string path_;
  int lock_ = -1;
};

/// The settings that every connection to the file needs.
void set_up(connection& on, int cache_kib);
/// The tables of a new file; the connection is in a transaction.
void make_tables(connection& on);
/// The table of the events of a stream.
std::string event_table(std::int64_t stream);

}  // namespace rouse::gateway::events
