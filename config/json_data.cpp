#include "config/json_data.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace rouse::config {
namespace {

bool one_of(std::string_view text, std::array<std::string_view, 3> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

/// The digits at the front of `text`, which are taken from it.
std::string_view take_digits(std::string_view& text) {
  std::size_t const end = std::min(text.find_first_not_of("0123456789"), text.size());
  std::string_view const digits = text.substr(0, end);
  text.remove_prefix(end);
  return digits;
}

/// JSON has no leading zeros, and no number begins with the point.
std::string whole_part(std::string_view digits) {
  std::size_t const first = digits.find_first_not_of('0');
  return first == digits.npos ? "0" : std::string(digits.substr(first));
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, whole numbers among them; empty when it is another text.
std::string decimal(std::string_view text) {
  std::string out;
  if (text.starts_with('-')) out = "-";
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  std::string_view const whole = take_digits(text);
  out += whole_part(whole);
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    std::string_view const fraction = take_digits(text);
    if (whole.empty() && fraction.empty()) return {};
    out += "." + std::string(fraction.empty() ? "0" : fraction);
  } else if (whole.empty()) {
    return {};
  }
  if (text.empty()) return out;
  if (text.front() != 'e' && text.front() != 'E') return {};
  text.remove_prefix(1);
  out += 'e';
  if (text.starts_with('-') || text.starts_with('+')) {
    out += text.front();
    text.remove_prefix(1);
  }
  std::string_view const exponent = take_digits(text);
  return exponent.empty() || !text.empty() ? "" : out += exponent;
}

/// `0x1F` and `0o17`, without sign.
parsed<std::string> other_base(std::string_view text, int base) {
  std::string_view const digits = text.substr(2);
  std::uint64_t value = 0;
  auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error == std::errc::result_out_of_range)
    return {std::nullopt, shown(text) + " is too large a number: put it into quotes for a text"};
  if (error != std::errc{} || end != digits.data() + digits.size()) return {};
  return {std::to_string(value), {}};
}

std::string quoted(std::string_view text) {
  constexpr std::string_view hex = "0123456789abcdef";
  std::string out = "\"";
  for (char c : text) {
    auto const byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20) {
      out += std::string("\\u00") + hex[byte >> 4U] + hex[byte & 15U];
    } else {
      out += c;
    }
  }
  return out += '"';
}

/// Writes a tree of values, at most largest_json of it.
class json_writer {
 public:
  json_writer(const scope& in, const member& entry) : in_(in), entry_(entry) {}

  void write(const node& value) {
    if (stopped_) return;
    if (value.broken) {
      right = false;
    } else if (value.type == node::kind::map) {
      write_map(value);
    } else if (value.type == node::kind::sequence) {
      write_list(value);
    } else if (value.type == node::kind::null) {
      text += "null";
    } else {
      write_scalar(value);
    }
    // Aliases make much of little.
    if (text.size() > largest_json && !stopped_) {
      in_.fail(entry_, "is more than " + format_size(largest_json) +
                           " as JSON: let the function fetch what it needs, by a name that stands here");
      right = false;
      stopped_ = true;
    }
  }

  std::string text;
  bool right = true;

 private:
  void write_map(const node& value) {
    char before = '{';
    for (const member& item : value.members) {
      text += before;
      text += quoted(item.key) + ":";
      write(*item.value);
      before = ',';
    }
    text += value.members.empty() ? "{}" : "}";
  }

  void write_list(const node& value) {
    char before = '[';
    for (const node* item : value.items) {
      text += before;
      write(*item);
      before = ',';
    }
    text += value.items.empty() ? "[]" : "]";
  }

  void write_scalar(const node& value) {
    parsed<std::string> made;
    if (first_invalid_utf8(value.text) != std::string::npos) {
      made.error = "the text holds bytes that are not UTF-8, which JSON cannot hold";
    } else if (value.plain) {
      made = plain_to_json(value.text);
    } else {
      made.value = quoted(value.text);
    }
    if (made.value) {
      text += *made.value;
    } else {
      right = false;
      in_.fail(value.at, made.error);
    }
  }

  const scope& in_;
  const member& entry_;
  bool stopped_ = false;
};

}  // namespace

parsed<std::string> plain_to_json(std::string_view text) {
  if (text.empty() || text == "~" || one_of(text, {"null", "Null", "NULL"})) return {"null", {}};
  if (one_of(text, {"true", "True", "TRUE"})) return {"true", {}};
  if (one_of(text, {"false", "False", "FALSE"})) return {"false", {}};
  std::string_view const unsigned_text = text.substr(text.front() == '-' || text.front() == '+' ? 1 : 0);
  if (one_of(unsigned_text, {".inf", ".Inf", ".INF"}) || one_of(text, {".nan", ".NaN", ".NAN"}))
    return {std::nullopt, shown(text) + " is a number that JSON does not have: put it into quotes for a text"};
  if (text.starts_with("0x") || text.starts_with("0o")) {
    auto made = other_base(text, text[1] == 'x' ? 16 : 8);
    if (made.value || !made.error.empty()) return made;
  } else if (std::string number = decimal(text); !number.empty()) {
    if (std::isinf(std::strtod(number.c_str(), nullptr)))
      return {std::nullopt, shown(text) + " is too large a number: put it into quotes for a text"};
    return {std::move(number), {}};
  }
  return {quoted(text), {}};
}

void read_json(const scope& in, const member& entry, std::string& out) {
  if (entry.value->type == node::kind::null && !entry.value->broken)
    return in.fail(entry, "has no value: give it one, or remove the key " + shown(entry.key));
  json_writer made(in, entry);
  made.write(*entry.value);
  if (made.right) out = std::move(made.text);
}

}  // namespace rouse::config
