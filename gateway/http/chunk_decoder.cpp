// The chunked coding of RFC 9112, 7.1, as a state machine of our own rather than Beast's parser, which cannot be made
// as strict: in the quoted strings of extensions Beast accepts every control character, bare LF included; it has no
// bound on extensions; it wants the last chunk and all trailers in one piece of memory; and it unfolds folded trailers.
// This one also needs no second look at input that was cut, and decodes in place: data is moved only over the framing
// before it.

#include <algorithm>
#include <cstring>

#include "gateway/http/chars.hpp"
#include "gateway/http/field_name.hpp"
#include "gateway/http/message.hpp"

namespace rouse::gateway::http {
namespace {

using detail::is;

constexpr std::uint16_t max_head = 256;
constexpr std::uint16_t max_digits = 16;
constexpr std::uint32_t max_trailers = 8 * 1024;
/// Framing that the data does not pay for: a sender of one-byte chunks with long extensions costs us many times what it
/// sends on. Each chunk may have 16 bytes and twice its data for free.
constexpr std::int64_t max_excess = 16 * 1024;
constexpr std::int64_t free_bytes = 16;

constexpr unsigned hex_value(char c) noexcept {
  if (detail::is_digit(c)) return static_cast<unsigned>(c - '0');
  return static_cast<unsigned>(detail::lower(c) - 'a') + 10;
}

}  // namespace

void chunk_decoder::reset() noexcept {
  state_ = state::size_first;
  head_bytes_ = digits_ = 0;
  trailer_bytes_ = 0;
  excess_ = 0;
  left_ = 0;
  line_.clear();
  trailers_.clear();
  detail_ = "";
}

void chunk_decoder::fail(const char* why) noexcept {
  state_ = state::bad;
  detail_ = why;
}

chunk_decoder::step chunk_decoder::decode(char* data, std::size_t size) {
  const char* in = data;
  const char* const last = data + size;
  char* out = data;
  while (in != last && state_ != state::done && state_ != state::bad) {
    if (state_ == state::data) {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, static_cast<std::uint64_t>(last - in)));
      if (out != in) std::memmove(out, in, n);
      out += n;
      in += n;
      left_ -= n;
      if (left_ == 0) state_ = state::data_cr;
      continue;
    }
    const char c = *in++;
    if (state_ == state::data_cr) {
      if (c != '\r') {
        fail("A chunk's data is longer than its size says, or no CRLF follows it.");
      } else {
        state_ = state::data_lf;
      }
    } else if (state_ == state::data_lf) {
      if (c != '\n') {
        fail("A chunk's data is not followed by CRLF.");
      } else {
        state_ = state::size_first;
      }
    } else if (state_ < state::data) {
      take_head_byte(c);
    } else {
      take_trailer_byte(c);
    }
  }
  return {static_cast<std::size_t>(in - data), static_cast<std::size_t>(out - data), state_ == state::done,
          state_ == state::bad};
}

void chunk_decoder::take_head_byte(char c) noexcept {
  if (++head_bytes_ > max_head) return fail("The head of a chunk is longer than 256 bytes.");
  switch (state_) {
    case state::size_first:
      if (!is(c, detail::hex_char)) return fail("A chunk does not begin with its size, 1 to 16 hexadecimal digits.");
      digits_ = 1;
      left_ = hex_value(c);
      state_ = state::size;
      return;
    case state::size:
      if (is(c, detail::hex_char)) {
        if (++digits_ > max_digits) return fail("The size of a chunk has more than 16 digits.");
        left_ = left_ << 4 | hex_value(c);
      } else if (left_ > static_cast<std::uint64_t>(INT64_MAX)) {
        fail("The size of a chunk is 2^63 or more.");
      } else if (c == '\r') {
        state_ = state::head_lf;
      } else if (c == ';') {
        state_ = state::ext_before_name;
      } else {
        fail("The size of a chunk is followed by something else than CRLF or a semicolon.");
      }
      return;
    case state::head_lf:
      if (c != '\n') return fail("The head of a chunk has a CR that no LF follows.");
      return end_of_head();
    default:
      return take_extension_byte(c);
  }
}

/// chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ); checked and dropped.
void chunk_decoder::take_extension_byte(char c) noexcept {
  constexpr const char* malformed = "A chunk has a malformed extension; it must be ;name or ;name=value.";
  const bool space = c == ' ' || c == '\t';
  const bool token = is(c, detail::token_char);
  switch (state_) {
    case state::ext_before_name:
      if (token) {
        state_ = state::ext_name;
      } else if (!space) {
        fail(malformed);
      }
      return;
    case state::ext_name:
      if (token) return;
      if (c == '=') {
        state_ = state::ext_before_value;
      } else if (space) {
        state_ = state::ext_after_name;
      } else {
        state_ = state::ext_after_value;
        take_extension_byte(c);
      }
      return;
    case state::ext_after_name:  // behind white space, which only = or ; may follow
      if (c == '=') {
        state_ = state::ext_before_value;
        return;
      }
      [[fallthrough]];
    case state::ext_semicolon:
      if (c == ';') {
        state_ = state::ext_before_name;
      } else if (!space) {
        fail(malformed);
      }
      return;
    case state::ext_after_value:
      if (c == '\r') {
        state_ = state::head_lf;
      } else if (c == ';') {
        state_ = state::ext_before_name;
      } else if (space) {
        state_ = state::ext_semicolon;
      } else {
        fail(malformed);
      }
      return;
    case state::ext_before_value:
      if (token || c == '"') {
        state_ = token ? state::ext_value : state::ext_quoted;
      } else if (!space) {
        fail(malformed);
      }
      return;
    case state::ext_value:
      if (token) return;
      state_ = state::ext_after_value;
      return take_extension_byte(c);
    case state::ext_quoted:
      if (c == '"') {
        state_ = state::ext_after_value;
      } else if (c == '\\') {
        state_ = state::ext_escaped;
      } else if (!is(c, detail::value_char)) {
        fail("A chunk's extension holds a control character.");
      }
      return;
    default:  // ext_escaped
      if (!is(c, detail::value_char)) return fail("A chunk's extension holds a control character.");
      state_ = state::ext_quoted;
      return;
  }
}

void chunk_decoder::end_of_head() noexcept {
  const auto data = static_cast<std::int64_t>(std::min<std::uint64_t>(left_, max_excess));
  excess_ = std::max<std::int64_t>(0, excess_ + head_bytes_ - free_bytes - 2 * data);
  if (excess_ > max_excess) return fail("The chunks are mostly extensions.");
  head_bytes_ = 0;
  state_ = left_ > 0 ? state::data : state::trailer_first;
}

void chunk_decoder::take_trailer_byte(char c) {
  if (++trailer_bytes_ > max_trailers) return fail("The trailers are longer than 8 KiB.");
  switch (state_) {
    case state::trailer_first:
      if (c == '\r') {
        state_ = state::end_lf;
        return;
      }
      state_ = state::trailer_line;
      [[fallthrough]];
    case state::trailer_line:
      if (c == '\r') {
        state_ = state::trailer_lf;
      } else if (is(c, detail::value_char)) {
        line_ += c;
      } else {
        fail("A trailer holds a control character or a bare LF.");
      }
      return;
    case state::trailer_lf:
      if (c != '\n') return fail("A trailer holds a CR that no LF follows.");
      return end_of_trailer();
    default:  // end_lf
      if (c != '\n') return fail("The end of the body has a CR that no LF follows.");
      state_ = state::done;
      return;
  }
}

void chunk_decoder::end_of_trailer() {
  const std::size_t colon = line_.find(':');
  const std::string_view line = line_;
  if (colon == std::string::npos || !detail::is_token(line.substr(0, colon))) {
    return fail("A trailer is not `Name: value` (no white space before the colon, no folded lines).");
  }
  if (detail::may_be_trailer(line.substr(0, colon))) {
    trailers_.append(line.substr(0, colon)).append(": ").append(detail::trim(line.substr(colon + 1))).append("\r\n");
  }
  line_.clear();
  state_ = state::trailer_first;
}

}  // namespace rouse::gateway::http
