#include "gateway/http/head_parser.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "gateway/http/chars.hpp"
#include "gateway/http/field_name.hpp"

namespace rouse::gateway::http::detail {
namespace {

constexpr const char* bare_lf = "it ends with a bare LF; every line of the head must end with CRLF.";
constexpr const char* bare_cr =
    "it holds a CR that no LF follows; a CR may stand only in the CRLF at the end of a line.";
constexpr const char* folded =
    "it begins with white space (a folded line), which is not allowed any more; write each field in one line.";
constexpr const char* bad_name =
    "before the colon there must be a name of letters, digits and !#$%&'*+-.^_`|~ only, without white space.";

refusal head_too_large(std::size_t limit) {
  return {431, "request-header-fields-too-large",
          "The head is larger than " + std::to_string(limit) +
              " bytes (server.limits.header_bytes); send fewer or shorter fields."};
}

refusal too_many_fields() {
  return {431, "request-header-fields-too-large",
          "The head has more than " + std::to_string(max_fields) + " fields; send fewer."};
}

std::string at_line(std::size_t line, std::string_view what) {
  std::string text = "Line " + std::to_string(line) + " of the head is not valid: ";
  text += what;
  return text;
}

std::string control(char c) {
  return "it holds the control character " + hex_of(c) + "; control characters are not allowed.";
}

constexpr std::uint64_t every(unsigned byte) {
  return 0x0101010101010101ULL * byte;
}

/// The first control character (HTAB is none) in [p, last), or `last`. Eight bytes at a time: in `below` the lowest bit
/// that is set belongs to the first byte under 0x20, in `del` to the first 0x7F (bits above it may be wrong, by the
/// borrow).
const char* find_control(const char* p, const char* last) noexcept {
  if constexpr (std::endian::native == std::endian::little) {
    while (last - p >= 8) {
      std::uint64_t x;
      std::memcpy(&x, p, 8);
      const std::uint64_t y = x ^ every(0x7f);
      const std::uint64_t below = (x - every(0x20)) & ~x;
      const std::uint64_t del = (y - every(1)) & ~y;
      const std::uint64_t hits = (below | del) & every(0x80);
      if (hits == 0) {
        p += 8;
        continue;
      }
      p += std::countr_zero(hits) / 8;
      if (*p != '\t') return p;
      ++p;
    }
  }
  while (p != last && is(*p, value_char)) ++p;
  return p;
}

std::size_t line_of(std::string_view text, std::size_t begin, std::size_t at) {
  const std::string_view before = text.substr(begin, at - begin);
  return 1 + static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
}

}  // namespace

refusal bad_request(std::string detail) {
  return {400, "bad-request", std::move(detail)};
}

std::string hex_of(char c) {
  constexpr char digits[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  return std::string("0x") + digits[byte >> 4] + digits[byte & 15];
}

bool head_parser::bad_line(const char* what) {
  return fail(bad_request(at_line(fields_.size() + 2, what)));
}

parse_result head_parser::parse(std::string_view buffer, std::size_t limit, std::size_t seen) {
  parse_result result;
  const std::string_view text = buffer.substr(0, limit);
  if (seen > text.size()) seen = 0;
  const std::size_t begin = role_ == role::request && text.starts_with("\r\n") ? 2 : 0;
  std::size_t at = begin;
  progress got = progress::need_more;
  // A head that goes on arriving is walked again only when a line was completed: at most max_fields times.
  const bool walked = seen == 0 || text.find('\n', seen) != std::string_view::npos;
  if (walked) got = walk(text, begin, at);
  if (got == progress::done) {
    if (finish()) {
      result.what = parse_result::kind::done;
      result.head_bytes = at;
      return result;
    }
    got = progress::refused;
  } else if (got == progress::need_more) {
    const std::size_t from = walked ? at : std::max(begin, seen - 1);
    const bool good = (walked || check_begin(text.substr(begin))) && check_bytes(text, begin, from);
    if (good && buffer.size() >= limit) why = head_too_large(limit);
    if (!good || buffer.size() >= limit) got = progress::refused;
  }
  if (got == progress::refused) {
    result.what = parse_result::kind::refused;
    result.why = std::move(why);
  }
  return result;
}

/// `rest` is without the empty line that a request may have before it. Looks at a few bytes only.
bool head_parser::check_begin(std::string_view rest) {
  const bool half_line = role_ == role::request && rest == "\r";  // the LF may still come
  return rest.empty() || half_line || check_first_part(rest);
}

/// `at`: behind the head when done, else the beginning of the first line that is not complete.
head_parser::progress head_parser::walk(std::string_view text, std::size_t begin, std::size_t& at) {
  const std::string_view rest = text.substr(begin);
  const std::size_t lf = rest.find('\n');
  const std::string_view line = rest.substr(0, lf);
  if (lf == std::string_view::npos) {
    return check_begin(rest) ? progress::need_more : progress::refused;
  }
  if (!line.ends_with('\r')) {
    // What is no HTTP at all is told so, rather than of its line ends.
    if (line.empty() || check_first_part(line)) why = bad_request(at_line(1, bare_lf));
    return progress::refused;
  }
  if (!take_first_line(line.substr(0, lf - 1))) return progress::refused;
  at = begin + lf + 1;
  return walk_fields(text, at);
}

head_parser::progress head_parser::walk_fields(std::string_view text, std::size_t& at) {
  const char* const first = text.data();
  const char* const last = first + text.size();
  const char* p = first + at;
  for (;;) {
    at = static_cast<std::size_t>(p - first);
    if (p == last) return progress::need_more;
    if (*p == '\r') {
      if (p + 1 == last) return progress::need_more;
      if (p[1] != '\n') {
        bad_line(bare_cr);
        return progress::refused;
      }
      at += 2;
      return progress::done;
    }
    const char* const next = take_line(p, last);
    if (next == nullptr) return why.detail.empty() ? progress::need_more : progress::refused;
    p = next;
  }
}

/// One line with a field. Gives where the next line begins; null when the line is not complete, or refused (`why` is
/// set).
const char* head_parser::take_line(const char* line, const char* last) {
  const auto refuse = [this](const char* what) -> const char* {
    bad_line(what);
    return nullptr;
  };
  const char* p = line;
  while (p != last && is(*p, token_char)) ++p;
  if (p == last) return nullptr;
  if (*p != ':' || p == line)
    return refuse(*p == '\n' ? bare_lf : p == line && (*p == ' ' || *p == '\t') ? folded : bad_name);
  const std::string_view name(line, static_cast<std::size_t>(p - line));
  const char* const value = p + 1;
  const char* const end = find_control(value, last);
  if (end == last) return nullptr;
  if (*end != '\r') return refuse(*end == '\n' ? bare_lf : control(*end).c_str());
  if (end + 1 == last) return nullptr;
  if (end[1] != '\n') return refuse(bare_cr);
  return take_field(name, trim({value, static_cast<std::size_t>(end - value)})) ? end + 2 : nullptr;
}

bool head_parser::take_field(std::string_view name, std::string_view value) {
  if (fields_.size() == max_fields) return fail(too_many_fields());
  bool lookalike = false;
  known id = classify(name, lookalike);
  if (lookalike) {
    const bool frames = id == known::content_length || id == known::transfer_encoding;
    if (frames && role_ == role::request) {
      return bad_line(
          "its name is that of Content-Length or Transfer-Encoding with an underscore, which some servers read as "
          "the real one; leave it out.");
    }
    id = role_ == role::request ? known::connection_listed : known::other;
  }
  fields_.push_back({name, value, id});
  switch (id) {
    case known::other:
      return true;
    case known::content_length:
      return facts.take_content_length(value, why);
    case known::transfer_encoding:
      return facts.take_transfer_encoding(value, why);
    case known::connection:
      return facts.take_connection(value, why);
    default:
      return take_special(id, value);
  }
}

/// The bytes from `from` on, in lines that are not complete: what can be refused before their end is there.
bool head_parser::check_bytes(std::string_view text, std::size_t begin, std::size_t from) {
  for (std::size_t i = from; i < text.size(); ++i) {
    const char c = text[i];
    const char before = i > begin ? text[i - 1] : '\n';
    if (c == '\r' && (i + 1 == text.size() || text[i + 1] == '\n')) continue;
    if (is(c, value_char) && !(before == '\n' && (c == ' ' || c == '\t'))) continue;
    if (c == '\n' && before == '\r') continue;
    const std::size_t line = line_of(text, begin, i);
    if (c == '\r') return fail(bad_request(at_line(line, bare_cr)));
    if (c == '\n') return fail(bad_request(at_line(line, bare_lf)));
    if (is(c, value_char)) return fail(bad_request(at_line(line, folded)));
    return fail(bad_request(at_line(line, control(c))));
  }
  return true;
}

}  // namespace rouse::gateway::http::detail
