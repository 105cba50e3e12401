#include <algorithm>

#include "gateway/http/chars.hpp"
#include "gateway/http/head_parser.hpp"

namespace rouse::gateway::http {
namespace {

using namespace detail;

class response_parser final : public head_parser {
 public:
  response_parser(response_head& out, std::string_view to_method)
      : head_parser(role::response, out.fields), out_(out), to_method_(to_method) {}

 private:
  bool take_first_line(std::string_view line) override;
  bool check_first_part(std::string_view part) override;
  bool take_special(known id, std::string_view value) override {
    if (id == known::keep_alive) take_keep_alive(value);
    return true;
  }
  bool finish() override;
  void take_keep_alive(std::string_view value);
  bool end_bodiless(bool interim);

  response_head& out_;
  std::string_view to_method_;
  bool no_longer_ = false;  ///< Keep-Alive: timeout=0
};

bool response_parser::check_first_part(std::string_view part) {
  constexpr std::string_view version = "HTTP/1.";
  const std::size_t n = std::min(part.size(), version.size());
  if (part.substr(0, n) == version.substr(0, n)) return true;
  return fail(
      bad_request("The answer does not begin with HTTP/1.1 or HTTP/1.0; perhaps something else than an HTTP server "
                  "listens there."));
}

/// status-line = HTTP-version SP 3DIGIT SP [ reason-phrase ]
bool response_parser::take_first_line(std::string_view line) {
  if (line.empty()) return fail(bad_request("An empty line stands before the status-line."));
  if (!check_first_part(line)) return false;
  const bool formed = line.size() >= 13 && (line[7] == '0' || line[7] == '1') && line[8] == ' ' && is_digit(line[9]) &&
                      is_digit(line[10]) && is_digit(line[11]) && line[12] == ' ';
  if (!formed) {
    return fail(
        bad_request("The status-line must be HTTP/1.1 SP STATUS SP REASON, with a status of three digits; the second "
                    "space is needed even without a reason."));
  }
  out_.version = line[7] == '1' ? 11 : 10;
  out_.status = static_cast<unsigned>((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
  out_.reason = line.substr(13);
  if (out_.status < 100 || out_.status > 599) return fail(bad_request("The status is not a number from 100 to 599."));
  if (!all(out_.reason, value_char))
    return fail(bad_request("The reason in the status-line holds a control character."));
  return true;
}

/// `timeout=5, max=100`. Only a hint, so what cannot be read is passed over.
void response_parser::take_keep_alive(std::string_view value) {
  constexpr std::string_view name = "timeout=";
  while (!value.empty()) {
    std::string_view element = next_element(value);
    if (!starts_with_nocase(element, name)) continue;
    element.remove_prefix(name.size());
    if (element.empty() || element.size() > 9 || !std::all_of(element.begin(), element.end(), is_digit)) continue;
    std::uint32_t seconds = 0;
    for (const char c : element) seconds = seconds * 10 + static_cast<std::uint32_t>(c - '0');
    out_.keep_alive_seconds = seconds;
    no_longer_ = seconds == 0;
  }
}

/// A response that never has a body, whatever its fields say (RFC 9112, 6.3). False: refused.
bool response_parser::end_bodiless(bool interim) {
  const bool announced = facts.transfer_encodings > 0 || facts.content_length > 0;
  out_.body = framing::none;
  if (interim && announced) {
    return fail(bad_request("An interim (1xx) response announces a body, which it cannot have."));
  }
  // A 204 that announces a body may be followed by it: its connection is not used again.
  if (announced && out_.status == 204) out_.keep_alive = false;
  return true;
}

bool response_parser::finish() {
  if (!facts.check_together(out_.version, why)) return false;
  facts.mark_listed(out_.fields);
  out_.keep_alive = !facts.close && !no_longer_ && (out_.version == 11 || facts.keep_alive);
  out_.has_content_length = facts.content_lengths > 0;
  out_.content_length = facts.content_length;
  const bool interim = out_.status < 200;
  if (out_.status == 101) out_.keep_alive = false;  // what follows is not HTTP
  if (interim || out_.status == 204 || out_.status == 304 || to_method_ == "HEAD") return end_bodiless(interim);
  if (facts.transfer_encodings > 0) {
    out_.body = framing::chunked;
  } else if (out_.has_content_length) {
    out_.body = framing::length;
  } else {
    out_.body = framing::until_close;
    out_.keep_alive = false;
  }
  return true;
}

}  // namespace

void response_head::clear() noexcept {
  status = 0;
  reason = {};
  version = 11;
  keep_alive = true;
  keep_alive_seconds = 0;
  body = framing::none;
  content_length = 0;
  has_content_length = false;
  fields.clear();
}

parse_result parse_response(std::string_view buffer, std::size_t limit, std::string_view to_method, response_head& out,
                            std::size_t seen) {
  out.clear();
  parse_result result = response_parser(out, to_method).parse(buffer, limit, seen);
  if (result.what == parse_result::kind::refused) {
    result.why.status = 502;
    result.why.type = "instance-failed";
  }
  return result;
}

}  // namespace rouse::gateway::http
