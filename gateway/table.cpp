#include "gateway/table.hpp"

#include <algorithm>
#include <cstddef>
#include <ostream>
#include <string_view>
#include <utility>

namespace rouse::gateway {
namespace {

/// Characters, not bytes: continuation bytes of UTF-8 do not count.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; }));
}

}  // namespace

table::table(std::vector<column> columns) : columns_(std::move(columns)) {}

void table::add(std::vector<std::string> cells, tone with) {
  cells.resize(columns_.size());
  rows_.push_back({std::move(cells), with});
}

void table::print(std::ostream& out, bool colour) const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = width_of(columns_[i].title);
    for (const auto& row : rows_) width = std::max(width, width_of(row.cells[i]));
    widths.push_back(width);
  }
  const auto print_cell = [&](std::size_t i, std::string_view text, std::string_view colour_on) {
    const std::string padding(widths[i] - width_of(text), ' ');
    const bool last = i + 1 == columns_.size();
    if (i) out << "  ";
    if (columns_[i].number) out << padding;
    out << colour_on << text << (colour_on.empty() ? "" : "\x1b[0m");
    if (!columns_[i].number && !last) out << padding;
  };

  for (std::size_t i = 0; i < columns_.size(); ++i) print_cell(i, columns_[i].title, colour ? "\x1b[1m" : "");
  out << '\n';
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const bool red = colour && row.with == tone::bad && i + 1 == columns_.size();
      print_cell(i, row.cells[i], red ? "\x1b[31m" : "");
    }
    out << '\n';
  }
}

}  // namespace rouse::gateway
