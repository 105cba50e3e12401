#include "activator/backend/kubernetes/json_stream.hpp"

#include <utility>

namespace rouse::kubernetes {

bool list_splitter::feed(std::string_view bytes) {
  for (const char c : bytes) {
    const bool inside = in_items_ && depth_ >= 3;
    look(c);
    if (depth_ < 0) return false;
    if (inside || (in_items_ && depth_ >= 3)) {
      object_.push_back(c);
      if (object_.size() > most) return false;
      if (depth_ == 2) {
        to_(object_);
        object_.clear();
      }
    } else if (!in_items_ || depth_ < 2 || c == '[') {
      rest_.push_back(c);
      if (rest_.size() > most) return false;
    }
  }
  return true;
}

void list_splitter::look(char c) {
  if (in_string_) {
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else if (c == '"') {
      in_string_ = reading_key_ = false;
    }
    if (reading_key_) key_.push_back(c);
    return;
  }
  switch (c) {
    case '"':
      in_string_ = true;
      if (depth_ == 1 && key_next_) {
        reading_key_ = true;
        key_next_ = false;
        key_.clear();
      }
      break;
    case '{':
      if (++depth_ == 1) key_next_ = true;
      break;
    case '[':
      if (++depth_ == 2 && key_ == "items") in_items_ = true;
      break;
    case '}':
    case ']':
      if (--depth_ == 1) in_items_ = false;
      break;
    case ',':
      if (depth_ == 1) key_next_ = true;
      break;
    default:
      break;
  }
}

bool line_splitter::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto end = bytes.find('\n');
    if (end == std::string_view::npos) {
      rest_.append(bytes);
      return rest_.size() <= list_splitter::most;
    }
    if (rest_.empty()) {
      if (end > 0) to_(bytes.substr(0, end));
    } else {
      rest_.append(bytes.substr(0, end));
      const std::string line = std::exchange(rest_, {});
      to_(line);
    }
    bytes.remove_prefix(end + 1);
  }
  return true;
}

}  // namespace rouse::kubernetes
