#include "config/yaml_source.hpp"

#include <yaml-cpp/exceptions.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "config/text.hpp"

namespace rouse::config {
namespace {

struct explanation {
  std::string_view original;
  std::string_view text;
};

/// yaml-cpp's words, and ours. What is not here is shown as it is.
const std::array<explanation, 19> explanations{{
    {YAML::ErrorMsg::END_OF_MAP,
     "this does not belong to the mapping above it: check its indentation, a missing `:`, or a quote that ends too "
     "early"},
    {YAML::ErrorMsg::END_OF_MAP_FLOW, "a `{` is not closed: a `,` or `}` is missing before this"},
    {YAML::ErrorMsg::END_OF_SEQ,
     "this does not belong to the list above it: check its indentation, or begin the item with `- `"},
    {YAML::ErrorMsg::END_OF_SEQ_FLOW, "a `[` is not closed: a `,` or `]` is missing before this"},
    {YAML::ErrorMsg::FLOW_END,
     "this bracket closes nothing that is open: check the brackets before it, or put the text in quotes"},
    {YAML::ErrorMsg::MAP_VALUE,
     "a `:` is not possible here: check the indentation, or put the text in quotes if it holds a `: `"},
    {YAML::ErrorMsg::MAP_KEY, "a key is not possible here: check the indentation"},
    {YAML::ErrorMsg::BLOCK_ENTRY,
     "a list item (`- `) is not possible here: put it on a line of its own and check the indentation"},
    {YAML::ErrorMsg::TAB_IN_INDENTATION, "a tab cannot indent in YAML: use spaces"},
    {YAML::ErrorMsg::UNKNOWN_TOKEN, "this character is not possible here without quotes: put the text in quotes"},
    {YAML::ErrorMsg::UNKNOWN_ANCHOR, "there is no anchor of this name: text that begins with `*` must be in quotes"},
    {YAML::ErrorMsg::ALIAS_NOT_FOUND, "text that begins with `*` must be in quotes"},
    {YAML::ErrorMsg::CHAR_IN_ALIAS, "text that begins with `*` must be in quotes"},
    {YAML::ErrorMsg::ANCHOR_NOT_FOUND, "text that begins with `&` must be in quotes"},
    {YAML::ErrorMsg::CHAR_IN_ANCHOR, "text that begins with `&` must be in quotes"},
    {YAML::ErrorMsg::TAG_WITH_NO_SUFFIX, "text that begins with `!` must be in quotes"},
    {YAML::ErrorMsg::CHAR_IN_TAG_HANDLE, "text that begins with `!` must be in quotes"},
    {YAML::ErrorMsg::EOF_IN_SCALAR, "this quote is never closed: end the text with the same quote"},
    {YAML::ErrorMsg::DOC_IN_SCALAR, "a quote is still open at this `---` or `...`: end the text with the same quote"},
}};

/// Offset in `line`, before `end`, of a `${` that stands without quotes where `{` and `}` mean a mapping.
std::size_t bare_reference(std::string_view line, std::size_t end) {
  char quote = 0;
  for (std::size_t i = 0; i < line.size() && i < end; ++i) {
    char const c = line[i];
    if (quote != 0) {
      if (c == '\\' && quote == '"') ++i;
      if (c == quote) quote = 0;
    } else if ((c == '"' || c == '\'') &&
               (i == 0 || std::string_view(" [{,:").find(line[i - 1]) != std::string_view::npos)) {
      quote = c;
    } else if (c == '$' && line.substr(i, 2) == "${") {
      return i;
    }
  }
  return std::string_view::npos;
}

/// An unquoted `[v6]:port`: the text up to the end of the value, or nothing.
std::string_view bracketed_address(std::string_view line) {
  std::size_t const open = line.find('[');
  std::size_t const close = line.find("]:", open == line.npos ? line.size() : open);
  if (close == line.npos) return {};
  std::string_view const inside = line.substr(open + 1, close - open - 1);
  bool const address = !inside.empty() && std::all_of(inside.begin(), inside.end(), [](char c) {
    return std::isxdigit(static_cast<unsigned char>(c)) != 0 || c == ':' || c == '.';
  });
  return address ? line.substr(open, line.find_first_of(" \t\r,", close) - open) : std::string_view();
}

}  // namespace

yaml_source::yaml_source(std::string_view text) : text_(text) {
  if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
}

std::optional<std::pair<mark, std::string>> yaml_source::check() const {
  if (text_.starts_with("\xFF\xFE") || text_.starts_with("\xFE\xFF") ||
      text_.starts_with(std::string_view("\0\0\xFE\xFF", 4))) {
    return std::pair{mark{1, 1}, std::string("the file is in UTF-16 or UTF-32: save it as UTF-8")};
  }
  auto const control = [](char c) {
    auto const u = static_cast<unsigned char>(c);
    return (u < 0x20 && c != '\t' && c != '\n' && c != '\r') || u == 0x7F;
  };
  auto const found = std::find_if(text_.begin(), text_.end(), control);
  if (found != text_.end()) {
    auto const at = static_cast<std::size_t>(found - text_.begin());
    return std::pair{mark_of(at),
                     "a control character (" + shown(text_.substr(at, 1)) + ") is not allowed in YAML: remove it"};
  }
  std::size_t const invalid = first_invalid_utf8(text_);
  if (invalid == text_.npos) return std::nullopt;
  return std::pair{mark_of(invalid),
                   "the byte " + shown(text_.substr(invalid, 1)) + " is not UTF-8: save the file as UTF-8"};
}

bool yaml_source::starts_with(int position, std::string_view what) const {
  auto const at = static_cast<std::size_t>(position);
  return position >= 0 && at <= text_.size() && text_.substr(at).starts_with(what);
}

bool yaml_source::unclosed_quote(int position) const {
  auto at = static_cast<std::size_t>(position);
  // The mark of a scalar is that of its anchor or tag, where it has one.
  while (at < text_.size() && (text_[at] == '&' || text_[at] == '!')) {
    at = text_.find_first_of(" \t\r\n", at);
    at = at == text_.npos ? at : text_.find_first_not_of(" \t\r\n", at);
  }
  if (at >= text_.size() || (text_[at] != '"' && text_[at] != '\'')) return false;
  char const quote = text_[at];
  for (++at; at < text_.size(); ++at) {
    if (text_[at] == '\\' && quote == '"') {
      ++at;
    } else if (text_[at] == quote) {
      if (quote == '"' || at + 1 >= text_.size() || text_[at + 1] != '\'') return false;
      ++at;
    }
  }
  return true;
}

mark yaml_source::empty_item(int position, mark reported) const {
  for (std::string_view written : {"~", "null", "Null", "NULL", ",", "]", "&", "!"}) {
    if (starts_with(position, written)) return reported;
  }
  // Go up to the nearest line that ends in a bare `-`; comments and empty lines may lie between.
  std::size_t end = std::min(static_cast<std::size_t>(position), text_.size());
  while (end > 0) {
    std::size_t const newline = text_.rfind('\n', end - 1);
    std::size_t const begin = newline == text_.npos ? 0 : newline + 1;
    std::string_view line = text_.substr(begin, end - begin);
    if (std::size_t const comment = line.find(" #"); comment != line.npos) line = line.substr(0, comment);
    std::size_t const last = line.find_last_not_of(" \t\r");
    if (last != line.npos && line[last] == '-') return mark_of(begin + last);
    if (last != line.npos && line.find_first_not_of(" \t") != line.find('#')) return reported;
    if (newline == text_.npos) return reported;
    end = newline;
  }
  return reported;
}

std::pair<mark, std::string> yaml_source::explain(mark at, int position, const std::string& message) const {
  auto const found = std::find_if(explanations.begin(), explanations.end(),
                                  [&](const explanation& e) { return e.original == message; });
  std::string const words =
      found == explanations.end() ? "this is not valid YAML: " + message : std::string(found->text);
  if (position < 0) return {at, words};
  std::string_view const line = line_of(static_cast<std::size_t>(position));
  auto const end = static_cast<std::size_t>(std::max(at.column, 1));
  std::size_t const reference = bare_reference(line, end);
  if (reference != line.npos) {
    std::size_t const close = line.find('}', reference);
    std::string const written(line.substr(reference, close == line.npos ? close : close - reference + 1));
    return {{at.line, static_cast<int>(reference) + 1},
            "inside `{}` and `[]` a reference must be in quotes: \"" + written + "\""};
  }
  if (std::string_view const address = bracketed_address(line); !address.empty()) {
    return {at, "an IPv6 address must be in quotes, because `[` begins a list: \"" + std::string(address) + "\""};
  }
  if (message == YAML::ErrorMsg::MAP_VALUE && line.find_first_not_of(' ') == line.find('\t')) {
    return {{at.line, static_cast<int>(line.find('\t')) + 1}, "a tab cannot indent in YAML: use spaces"};
  }
  return {at, words};
}

mark yaml_source::mark_of(std::size_t position) const {
  std::string_view const before = text_.substr(0, position);
  std::size_t const newline = before.rfind('\n');
  auto const line = std::count(before.begin(), before.end(), '\n') + 1;
  return {static_cast<int>(line), static_cast<int>(position - (newline == before.npos ? 0 : newline + 1)) + 1};
}

std::string_view yaml_source::line_of(std::size_t position) const {
  position = std::min(position, text_.size());
  std::size_t const newline = position == 0 ? text_.npos : text_.rfind('\n', position - 1);
  std::size_t const begin = newline == text_.npos ? 0 : newline + 1;
  return text_.substr(begin, text_.find('\n', begin) - begin);
}

}  // namespace rouse::config
