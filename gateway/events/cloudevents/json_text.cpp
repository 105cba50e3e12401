#include "gateway/events/cloudevents/json_text.hpp"

#include <nlohmann/json.hpp>

namespace rouse::gateway::events::detail {
namespace {

using json = nlohmann::json;

/// Looks at nothing but the depth; the parser does the rest, without recursion.
class depth_check final : public json::json_sax_t {
 public:
  explicit depth_check(std::size_t most) : most_(most) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool key(string_t&) override { return true; }
  bool start_object(std::size_t) override { return enter(); }
  bool start_array(std::size_t) override { return enter(); }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }
  bool parse_error(std::size_t position, const std::string&, const json::exception&) override {
    problem = "is not valid JSON at byte " + std::to_string(position);
    return false;
  }

  std::string problem;

 private:
  bool enter() {
    if (++depth_ <= most_) return true;
    problem = "is nested deeper than " + std::to_string(most_) + " levels";
    return false;
  }
  bool leave() {
    --depth_;
    return true;
  }

  std::size_t most_;
  std::size_t depth_ = 0;
};

/// Walks JSON that is known to be valid.
class cursor {
 public:
  explicit cursor(std::string_view text) : text_(text) {}

  /// The next character that is not white space, without taking it; 0 at the end.
  char peek() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  void skip() { ++at_; }

  std::string_view value() {
    char const first = peek();
    std::size_t const begin = at_;
    if (first == '"') {
      skip_string();
    } else if (first == '{' || first == '[') {
      skip_nested();
    } else {
      while (at_ < text_.size() && !is_space(text_[at_]) && std::string_view(",]}").find(text_[at_]) == npos) ++at_;
    }
    return text_.substr(begin, at_ - begin);
  }

 private:
  static constexpr std::size_t npos = std::string_view::npos;
  static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

  void skip_string() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;
    }
    ++at_;
  }
  void skip_nested() {
    std::size_t depth = 0;
    do {
      char const c = text_[at_];
      if (c == '"') {
        skip_string();
        continue;
      }
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') --depth;
      ++at_;
    } while (depth > 0 && at_ < text_.size());
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::optional<std::string> json_problem(std::string_view text, std::size_t most_depth) {
  // The parser takes NUL for the end of the text, and passes over a byte order mark.
  if (std::size_t const nul = text.find('\0'); nul != text.npos) {
    return "is not valid JSON at byte " + std::to_string(nul + 1);
  }
  if (text.starts_with("\xEF\xBB\xBF")) return "begins with a byte order mark";
  depth_check check(most_depth);
  if (json::sax_parse(text, &check)) return std::nullopt;
  return check.problem;
}

json_type type_of(std::string_view value) {
  switch (value.front()) {
    case '{':
      return json_type::object;
    case '[':
      return json_type::array;
    case '"':
      return json_type::string;
    case 't':
    case 'f':
      return json_type::boolean;
    case 'n':
      return json_type::null;
    default:
      return json_type::number;
  }
}

std::string_view json_trimmed(std::string_view text) {
  return cursor(text).value();
}

std::vector<std::pair<std::string, std::string_view>> json_members(std::string_view object) {
  std::vector<std::pair<std::string, std::string_view>> out;
  cursor in(object);
  in.peek();
  in.skip();
  while (in.peek() != '}') {
    std::string key = json_string(in.value());
    in.peek();
    in.skip();
    out.emplace_back(std::move(key), in.value());
    if (in.peek() == ',') in.skip();
  }
  return out;
}

std::vector<std::string_view> json_items(std::string_view array) {
  std::vector<std::string_view> out;
  cursor in(array);
  in.peek();
  in.skip();
  while (in.peek() != ']') {
    out.push_back(in.value());
    if (in.peek() == ',') in.skip();
  }
  return out;
}

std::string json_string(std::string_view value) {
  if (value.find('\\') == value.npos) return std::string(value.substr(1, value.size() - 2));
  return json::parse(value).get<std::string>();
}

void append_json_string(std::string& out, std::string_view text) {
  constexpr std::string_view hex = "0123456789abcdef";
  out += '"';
  for (char const c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += "\\u00";
      out += hex[static_cast<unsigned char>(c) >> 4U];
      out += hex[static_cast<unsigned char>(c) & 15U];
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace rouse::gateway::events::detail
