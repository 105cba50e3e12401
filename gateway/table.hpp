#pragma once
// Aligned columns for a terminal. Main thread of the client commands.

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace rouse::gateway {

class table {
 public:
  struct column {
    std::string title;
    bool number = false;  ///< to the right
  };
  enum class tone : std::uint8_t { plain, bad };

  explicit table(std::vector<column> columns);
  /// As many cells as columns; each one line, without control characters.
  void add(std::vector<std::string> cells, tone with = tone::plain);
  /// Header and rows, two spaces between columns, no spaces at line ends. With colour the header is bold, a bad row's
  /// last cell red.
  void print(std::ostream& out, bool colour) const;

 private:
  struct row {
    std::vector<std::string> cells;
    tone with;
  };
  std::vector<column> columns_;
  std::vector<row> rows_;
};

}  // namespace rouse::gateway
