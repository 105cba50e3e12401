#pragma once
// Where something stands in the files that were read, and the list of what is wrong with them. One load, one thread.

#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "config/load.hpp"

namespace rouse::config {

/// Line and column from 1 (columns count bytes); 0 where there is no such place.
struct mark {
  int line = 0;
  int column = 0;
  friend bool operator==(const mark&, const mark&) = default;
};

/// A mark in a file. Borrows the file's name, which must outlive it.
struct place {
  const std::string* file = nullptr;
  mark at;
};

/// Collects problems in any order; take() gives them in the order a reader of the files expects.
class problem_list {
 public:
  void add(const std::string& file, mark at, std::string message) {
    found_.push_back({file, at.line, at.column, std::move(message)});
  }
  void add(const place& where, std::string message) { add(*where.file, where.at, std::move(message)); }

  /// Adds everything that `other` holds.
  void append(problem_list&& other) {
    found_.insert(found_.end(), std::make_move_iterator(other.found_.begin()),
                  std::make_move_iterator(other.found_.end()));
    other.found_.clear();
  }

  [[nodiscard]] bool empty() const { return found_.empty(); }
  [[nodiscard]] std::size_t size() const { return found_.size(); }

  /// Everything found: files in the order in which they first had a problem, then by line and column; what was found
  /// twice (an aliased value is read more than once) stands once. The list is empty afterwards.
  [[nodiscard]] std::vector<problem> take();

 private:
  std::vector<problem> found_;
};

}  // namespace rouse::config
