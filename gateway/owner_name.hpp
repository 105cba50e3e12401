#pragma once
// The name by which instances and Leases are known as this rouse's: random, and kept in data_dir, so that after a
// restart (or a kill -9) it is the same. It is never that of two who run at a time: the file is locked for as long as
// this lives.

#include <string>

namespace rouse::gateway {

class owner_name {
 public:
  /// Reads or makes DATA_DIR/owner.
  explicit owner_name(const std::string& data_dir);
  ~owner_name();
  owner_name(const owner_name&) = delete;
  owner_name& operator=(const owner_name&) = delete;

  /// 32 hexadecimal digits.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// Why the name will not be the same after a restart, in a sentence; empty: it will.
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

 private:
  void take(const std::string& folder);

  std::string name_, problem_;
  int file_ = -1;
};

}  // namespace rouse::gateway
