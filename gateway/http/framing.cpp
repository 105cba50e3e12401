#include "gateway/http/framing.hpp"

#include "gateway/http/chars.hpp"
#include "gateway/http/head_parser.hpp"

namespace rouse::gateway::http::detail {
namespace {

/// Most options in all Connection fields of a head; each is looked for among all fields.
constexpr unsigned max_options = 32;
/// 19 digits cannot overflow 64 bits, and the largest is above 2^63 by little: checked.
constexpr std::size_t max_digits = 19;

/// How a Transfer-Encoding that is not `chunked` is refused, by RFC 9112, 6.3 and 7: where `chunked` stands last, once,
/// the body's end could be found but the other coding is not known here (501); else the end cannot be found (400).
refusal bad_coding(std::string_view value) {
  bool formed = true;
  unsigned count = 0;
  unsigned chunked = 0;
  bool last_chunked = false;
  while (!value.empty()) {
    const std::string_view coding = next_element(value);
    formed = formed && is_token(coding);
    last_chunked = iequals(coding, "chunked");
    chunked += last_chunked ? 1 : 0;
    ++count;
  }
  if (formed && count > 1 && chunked == 1 && last_chunked) {
    return {501, "not-implemented",
            "Transfer-Encoding names a coding besides chunked; only `Transfer-Encoding: chunked` is known here."};
  }
  return bad_request("Transfer-Encoding is not exactly `chunked`, so the end of the body cannot be found.");
}

}  // namespace

bool framing_facts::take_content_length(std::string_view value, refusal& why) {
  if (++content_lengths > 1) {
    why = bad_request("Content-Length is there twice; send it once.");
    return false;
  }
  std::uint64_t length = 0;
  bool good = !value.empty() && value.size() <= max_digits;
  for (const char c : value) {
    good = good && is_digit(c);
    length = length * 10 + static_cast<std::uint64_t>(c - '0');
  }
  if (!good || length > static_cast<std::uint64_t>(INT64_MAX)) {
    why = bad_request("Content-Length is not one plain number (digits only, below 2^63).");
    return false;
  }
  content_length = length;
  return true;
}

bool framing_facts::take_transfer_encoding(std::string_view value, refusal& why) {
  if (++transfer_encodings > 1) {
    why = bad_request("Transfer-Encoding is there twice; send it once.");
    return false;
  }
  if (iequals(value, "chunked")) return true;
  why = bad_coding(value);
  return false;
}

bool framing_facts::check_together(unsigned version, refusal& why) const {
  if (transfer_encodings == 0) return true;
  if (content_lengths > 0) {
    why = bad_request(
        "Content-Length and Transfer-Encoding are both there, so the end of the body is ambiguous; send one of them.");
    return false;
  }
  if (version < 11) {
    why = bad_request("Transfer-Encoding does not exist in HTTP/1.0; use HTTP/1.1 or Content-Length.");
    return false;
  }
  return true;
}

bool framing_facts::take_connection(std::string_view value, refusal& why) {
  while (!value.empty()) {
    const std::string_view option = next_element(value);
    if (++options_ > max_options) {
      why = bad_request("Connection names more than 32 options.");
      return false;
    }
    if (option.empty()) continue;  // RFC 9110, 5.6.1.2: empty elements of a list are passed over
    if (iequals(option, "keep-alive")) {
      keep_alive = true;
    } else if (iequals(option, "close")) {
      close = true;
    } else if (iequals(option, "upgrade")) {
      upgrade = true;
    } else if (is_token(option)) {
      names_fields_ = true;
    } else {
      why = bad_request("Connection is not a comma-separated list of names.");
      return false;
    }
  }
  return true;
}

void framing_facts::mark_listed(std::vector<field>& fields) const noexcept {
  if (!names_fields_) return;
  for (const field& connection : fields) {
    if (connection.id != known::connection) continue;
    std::string_view list = connection.value;
    while (!list.empty()) {
      const std::string_view option = next_element(list);
      for (field& one : fields) {
        const bool ours = one.id != known::other && one.id != known::date && one.id != known::server;
        if (!ours && iequals(one.name, option)) one.id = known::connection_listed;
      }
    }
  }
}

}  // namespace rouse::gateway::http::detail
