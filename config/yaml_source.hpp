#pragma once
// The text of one YAML file, for what the parser does not tell: which bytes cannot be YAML, quotes that never close,
// where an empty list item stands, and what a syntax error most likely means to the person who made it. Borrows the
// text.

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "config/problems.hpp"

namespace rouse::config {

class yaml_source {
 public:
  /// Skips a UTF-8 byte order mark.
  explicit yaml_source(std::string_view text);

  /// The text without its byte order mark; positions below count from its start.
  [[nodiscard]] std::string_view text() const { return text_; }

  /// Refuses what yaml-cpp would silently read as something else: other encodings, control characters (it takes 0x04
  /// for the end of the file).
  [[nodiscard]] std::optional<std::pair<mark, std::string>> check() const;

  [[nodiscard]] bool starts_with(int position, std::string_view what) const;

  /// Whether the scalar whose mark is `position` is quoted and its quote never closes (yaml-cpp takes the end of the
  /// file for the missing quote).
  [[nodiscard]] bool unclosed_quote(int position) const;

  /// The mark of the `-` of a list item without a value; yaml-cpp marks the next thing in the file instead. `reported`
  /// when the value is written out (`~`).
  [[nodiscard]] mark empty_item(int position, mark reported) const;

  /// A syntax error in words, at the place where it is best shown.
  [[nodiscard]] std::pair<mark, std::string> explain(mark at, int position, const std::string& message) const;

 private:
  [[nodiscard]] mark mark_of(std::size_t position) const;
  [[nodiscard]] std::string_view line_of(std::size_t position) const;

  std::string_view text_;
};

}  // namespace rouse::config
