#pragma once
// Lines of comma-separated values as traces have them: no quotes, blanks around a value ignored, `#` begins a comment
// line. A cursor over a stream; the fields are views into its line.

#include <cstddef>
#include <istream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rouse::simulator {

class csv_reader {
 public:
  explicit csv_reader(std::istream& in) : in_(in) {}

  /// The next line that is neither empty nor a comment; false at the end.
  bool next() {
    while (std::getline(in_, text_)) {
      ++line_;
      const auto line = trimmed(text_);
      if (line.empty() || line.front() == '#') continue;
      split(line);
      return true;
    }
    return false;
  }

  /// Of the line that next() found; valid until the next call.
  [[nodiscard]] std::span<const std::string_view> fields() const noexcept { return fields_; }
  /// From 1.
  [[nodiscard]] std::size_t line() const noexcept { return line_; }

 private:
  static std::string_view trimmed(std::string_view text) noexcept {
    constexpr std::string_view blanks = " \t\r";
    const auto from = text.find_first_not_of(blanks);
    if (from == std::string_view::npos) return {};
    return text.substr(from, text.find_last_not_of(blanks) - from + 1);
  }

  void split(std::string_view line) {
    fields_.clear();
    for (;;) {
      const auto comma = line.find(',');
      fields_.push_back(trimmed(line.substr(0, comma)));
      if (comma == std::string_view::npos) return;
      line.remove_prefix(comma + 1);
    }
  }

  std::istream& in_;
  std::string text_;
  std::vector<std::string_view> fields_;
  std::size_t line_ = 0;
};

}  // namespace rouse::simulator
