#include "gateway/events/cloudevents/media_type.hpp"

#include <string>

#include "config/text.hpp"

namespace rouse::gateway::events {
namespace detail {
namespace {

using config::lower;

bool is_space(char c) {
  return c == ' ' || c == '\t';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

/// `type/subtype` of a media type, in lower case.
std::string essence(std::string_view content_type) {
  return lower(trimmed(content_type.substr(0, content_type.find(';'))));
}

/// The end of a token or of a quoted string at the beginning of `text`; 0 when neither is there.
std::size_t value_end(std::string_view text) {
  if (!text.starts_with('"')) {
    std::size_t end = 0;
    while (end < text.size() && config::is_token(text.substr(end, 1))) ++end;
    return end;
  }
  for (std::size_t at = 1; at < text.size(); ++at) {
    if (text[at] == '"') return at + 1;
    if (text[at] == '\\') ++at;
  }
  return 0;
}

/// Calls `each(name, value)` for every parameter; false when they are not well-formed. `rest` begins behind the
/// subtype.
template <class Each>
bool walk_parameters(std::string_view rest, Each&& each) {
  for (rest = trimmed(rest); !rest.empty(); rest = trimmed(rest)) {
    if (rest.front() != ';') return false;
    rest = trimmed(rest.substr(1));
    if (rest.empty() || rest.front() == ';') continue;  // an empty parameter, as RFC 9110 allows
    std::size_t const equals = rest.find('=');
    if (equals == rest.npos || !config::is_token(rest.substr(0, equals))) return false;
    std::string_view const name = rest.substr(0, equals);
    rest.remove_prefix(equals + 1);
    std::size_t const end = value_end(rest);
    if (end == 0) return false;
    each(name, rest.substr(0, end));
    rest.remove_prefix(end);
  }
  return true;
}

/// Whether no parameter says that the text is other than UTF-8.
bool is_utf8(std::string_view content_type) {
  std::size_t const parameters = content_type.find(';');
  if (parameters == content_type.npos) return true;
  bool utf8 = true;
  bool const formed = walk_parameters(content_type.substr(parameters), [&](std::string_view name, std::string_view v) {
    if (lower(name) != "charset") return;
    std::string const charset = lower(v.starts_with('"') ? v.substr(1, v.size() - 2) : v);
    utf8 = utf8 && (charset == "utf-8" || charset == "us-ascii");
  });
  return formed && utf8;
}

}  // namespace

bool is_media_type(std::string_view text) {
  for (char const c : text) {
    if ((c < 0x20 && c != '\t') || c > 0x7E) return false;
  }
  std::size_t const end = text.find(';');
  std::string_view type = text.substr(0, end);
  while (!type.empty() && is_space(type.back())) type.remove_suffix(1);
  std::size_t const slash = type.find('/');
  if (slash == type.npos || !config::is_token(type.substr(0, slash)) || !config::is_token(type.substr(slash + 1))) {
    return false;
  }
  return end == text.npos || walk_parameters(text.substr(end), [](std::string_view, std::string_view) {});
}

bool is_json_type(std::string_view content_type) {
  std::string const type = essence(content_type);
  return type.ends_with("/json") || type.ends_with("+json");
}

bool is_text_type(std::string_view content_type) {
  std::string const type = essence(content_type);
  return (type.starts_with("text/") || type.ends_with("/xml") || type.ends_with("+xml")) && is_utf8(content_type);
}

bool is_utf8_type(std::string_view content_type, std::string_view expected) {
  return essence(content_type) == expected && is_utf8(content_type);
}

}  // namespace detail

content_mode mode_of(std::string_view content_type) {
  constexpr std::string_view batch = "application/cloudevents-batch";
  constexpr std::string_view structured = "application/cloudevents";
  auto const begins = [&](std::string_view with) { return config::lower(content_type.substr(0, with.size())) == with; };
  if (begins(batch)) return content_mode::batch;
  return begins(structured) ? content_mode::structured : content_mode::binary;
}

}  // namespace rouse::gateway::events
