#pragma once
// JSON that is cut into objects as it comes, so that of a list or a watch no more than one object is in memory. They
// look for the bounds alone; whoever parses the pieces finds what is wrong in them. Pure.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace rouse::kubernetes {

/// The text of a Kubernetes list: hands on the objects in `items`, and keeps the rest.
class list_splitter {
 public:
  using on_object = std::function<void(std::string_view object)>;
  explicit list_splitter(on_object to) : to_(std::move(to)) {}

  /// False when one object is longer than `most`, or it is no list; nothing more is to be fed then.
  [[nodiscard]] bool feed(std::string_view bytes);
  /// The list without its objects, once all of it was fed: {"kind":...,"metadata":{...},"items":[]}.
  [[nodiscard]] const std::string& rest() const noexcept { return rest_; }

  static constexpr std::size_t most = 8u << 20;

 private:
  void look(char c);

  on_object to_;
  std::string rest_, object_, key_;
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false;
  bool in_items_ = false;  ///< inside the array of the list
  bool key_next_ = false;  ///< a string that begins now is a key of the list itself
  bool reading_key_ = false;
};

/// One object on each line, as a watch sends them.
class line_splitter {
 public:
  using on_line = std::function<void(std::string_view line)>;
  explicit line_splitter(on_line to) : to_(std::move(to)) {}
  /// False when a line is longer than list_splitter::most.
  [[nodiscard]] bool feed(std::string_view bytes);
  void reset() { rest_.clear(); }

 private:
  on_line to_;
  std::string rest_;
};

}  // namespace rouse::kubernetes
