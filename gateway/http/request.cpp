#include <algorithm>

#include "gateway/http/authority.hpp"
#include "gateway/http/chars.hpp"
#include "gateway/http/head_parser.hpp"

namespace rouse::gateway::http {
namespace {

using namespace detail;

constexpr std::size_t max_method = 32;

class request_parser final : public head_parser {
 public:
  explicit request_parser(request_head& out) : head_parser(role::request, out.fields), out_(out) {}

 private:
  bool take_first_line(std::string_view line) override;
  bool check_first_part(std::string_view part) override;
  bool take_special(known id, std::string_view value) override;
  bool finish() override;
  bool take_version(std::string_view version);
  bool take_host(std::string_view value);
  bool check_method();
  bool reduce_target();
  bool check_expect();
  bool is_websocket() const;

  request_head& out_;
  unsigned hosts_ = 0;
  unsigned upgrades_ = 0;
  bool websocket_ = false;
  bool expects_ = false;
  bool expects_other_ = false;
};

/// Prefer is a list of preferences, each perhaps with a value and parameters behind it (RFC 7240, 2).
bool prefers_async(std::string_view value) noexcept {
  while (!value.empty()) {
    const std::size_t comma = std::min(value.find(','), value.size());
    std::string_view one = value.substr(0, comma);
    value.remove_prefix(std::min(comma + 1, value.size()));
    one = one.substr(0, one.find(';'));
    while (!one.empty() && (one.front() == ' ' || one.front() == '\t')) one.remove_prefix(1);
    while (!one.empty() && (one.back() == ' ' || one.back() == '\t')) one.remove_suffix(1);
    if (iequals(one, "respond-async")) return true;
  }
  return false;
}

std::size_t method_length(std::string_view line) noexcept {
  const std::size_t most = std::min(line.size(), max_method + 1);
  std::size_t n = 0;
  while (n < most && is(line[n], upper_char)) ++n;
  return n;
}

/// The method, and the space behind it as far as it is there.
bool request_parser::check_first_part(std::string_view part) {
  const std::size_t n = method_length(part);
  if (n > max_method) {
    return fail({501, "not-implemented", "The method is longer than " + std::to_string(max_method) + " characters."});
  }
  if (n == part.size() || (n > 0 && part[n] == ' ')) return true;
  if (part[0] == 0x16) {
    return fail(bad_request(
        "This looks like a TLS handshake, but the port speaks plain HTTP; use http:// instead of https://."));
  }
  if (part[n] >= 'a' && part[n] <= 'z') {
    return fail(bad_request(
        "The method has lower-case letters; methods are case-sensitive, and all known ones are upper case."));
  }
  if (n == 0) {
    return fail(bad_request("The request-line begins with the byte " + hex_of(part[0]) +
                            ", not with a method; this is not an HTTP/1.1 request."));
  }
  return fail(bad_request("The byte " + hex_of(part[n]) +
                          " stands in the method or behind it; one space must follow the method."));
}

bool request_parser::take_first_line(std::string_view line) {
  constexpr const char* form = "it must be METHOD SP TARGET SP HTTP/1.1.";
  if (line.empty()) {
    return fail(bad_request("More than one empty line stands before the request-line; at most one is skipped."));
  }
  const std::size_t space = method_length(line);
  if (space == line.size()) return fail(bad_request(std::string("The request-line has no target; ") + form));
  if (space == 0 || space > max_method || line[space] != ' ') return check_first_part(line);
  std::size_t end = space + 1;
  while (end < line.size() && is(line[end], target_char)) ++end;
  if (end == line.size()) {
    return fail(bad_request(std::string("The request-line has no version (HTTP/0.9 is not spoken); ") + form));
  }
  if (line[end] == '#') {
    return fail(
        bad_request("The target has a fragment (#...); a fragment is never sent, and a # in a path is written %23."));
  }
  if (line[end] != ' ') {
    return fail(bad_request("The byte " + hex_of(line[end]) + " stands in the target; percent-encode it."));
  }
  if (end == space + 1)
    return fail(bad_request(std::string("The request-line has two spaces behind the method; ") + form));
  out_.method = line.substr(0, space);
  out_.target = line.substr(space + 1, end - space - 1);
  return take_version(line.substr(end + 1));
}

bool request_parser::take_version(std::string_view version) {
  const bool formed = version.size() == 8 && version.starts_with("HTTP/") && is_digit(version[5]) &&
                      version[6] == '.' && is_digit(version[7]);
  if (formed && version[5] == '1' && version[7] <= '1') {
    out_.version = version[7] == '1' ? 11 : 10;
    return true;
  }
  if (formed) {
    return fail({505, "http-version-not-supported",
                 "Only HTTP/1.1 and HTTP/1.0 are spoken here; send the request with one of these."});
  }
  if (version.find(' ') != std::string_view::npos) {
    return fail(bad_request(
        "The request-line must be METHOD SP TARGET SP HTTP/1.1, with single spaces and none in the target."));
  }
  return fail(bad_request("The request-line does not end with HTTP/1.1 or HTTP/1.0 (in capitals) behind the target."));
}

bool request_parser::take_special(known id, std::string_view value) {
  switch (id) {
    case known::host:
      return take_host(value);
    case known::upgrade:
      ++upgrades_;
      websocket_ = iequals(value, "websocket");
      return true;
    case known::expect:
      expects_ = true;
      expects_other_ = expects_other_ || !iequals(value, "100-continue");
      return true;
    case known::prefer:
      out_.respond_async = out_.respond_async || prefers_async(value);
      return true;
    default:
      return true;
  }
}

bool request_parser::take_host(std::string_view value) {
  if (++hosts_ > 1) return fail(bad_request("Host is there twice; send it once."));
  if (const char* reason = nullptr; !valid_authority(value, reason)) {
    return fail(bad_request(std::string("Host is not valid: ") + reason));
  }
  out_.host = value;
  return true;
}

bool is_idempotent(std::string_view method) noexcept {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" || method == "OPTIONS";
}

bool request_parser::check_method() {
  const std::string_view method = out_.method;
  out_.idempotent = is_idempotent(method);
  if (method == "CONNECT") {
    return fail(
        {501, "not-implemented", "CONNECT is not supported: this is a gateway to functions, not a forward proxy."});
  }
  if (method == "TRACE") {
    return fail({501, "not-implemented", "TRACE is not supported: it would show what the gateway adds to a request."});
  }
  return true;
}

/// Makes origin-form of absolute-form, and its authority the host (RFC 9112, 3.2.2).
bool request_parser::reduce_target() {
  std::string_view& target = out_.target;
  if (target.front() == '*' && target.size() == 1) {
    return out_.method == "OPTIONS" ||
           fail(bad_request("The target * is only for OPTIONS; send a path that begins with /."));
  }
  if (target.front() != '/') {
    const bool https = starts_with_nocase(target, "https://");
    if (!https && !starts_with_nocase(target, "http://")) {
      return fail(bad_request("The target must be a path that begins with /, or begin with http:// or https://."));
    }
    const std::string_view rest = target.substr(https ? 8 : 7);
    const std::size_t slash = rest.find_first_of("/?");
    const std::string_view authority = rest.substr(0, slash);
    if (const char* reason = nullptr; !valid_authority(authority, reason)) {
      return fail(bad_request(std::string("The host in the target is not valid: ") + reason));
    }
    if (hosts_ > 0 && !same_authority(authority, out_.host, https)) {
      return fail(bad_request("The target and Host name different hosts; they must be the same."));
    }
    if (slash == std::string_view::npos) {
      target = out_.method == "OPTIONS" ? "*" : "/";
    } else if (rest[slash] == '?') {
      return fail(bad_request("The target has a query right behind the host; write a / between them."));
    } else {
      target = rest.substr(slash);
    }
    out_.host = authority;
  }
  // Some servers read \ in a path as /, so that it would name another place there than here.
  const std::size_t backslash = target.find('\\');
  if (backslash != std::string_view::npos && backslash < target.find('?')) {
    return fail(bad_request("The path in the target holds a backslash; write it as %5C."));
  }
  return true;
}

bool request_parser::check_expect() {
  if (!expects_ || out_.version < 11) return true;  // RFC 9110, 10.1.1: from HTTP/1.0 it is ignored
  if (expects_other_) {
    return fail({417, "expectation-failed",
                 "Expect asks for something else than 100-continue, the only expectation there is."});
  }
  out_.expect_continue = out_.body == framing::chunked || out_.content_length > 0;
  return true;
}

bool request_parser::is_websocket() const {
  const bool no_body = out_.body != framing::chunked && out_.content_length == 0;
  return websocket_ && upgrades_ == 1 && facts.upgrade && out_.version == 11 && out_.method == "GET" && no_body;
}

bool request_parser::finish() {
  if (!check_method() || !facts.check_together(out_.version, why)) return false;
  if (hosts_ == 0 && out_.version == 11) {
    return fail(bad_request("Host is missing; HTTP/1.1 needs it."));
  }
  if (!reduce_target()) return false;
  if (facts.transfer_encodings > 0) {
    out_.body = framing::chunked;
  } else if (facts.content_lengths > 0) {
    out_.body = framing::length;
    out_.content_length = facts.content_length;
  }
  facts.mark_listed(out_.fields);
  out_.keep_alive = !facts.close && (out_.version == 11 || facts.keep_alive);
  out_.upgrade_websocket = is_websocket();
  return check_expect();
}

}  // namespace

void request_head::clear() noexcept {
  method = target = host = {};
  version = 11;
  keep_alive = true;
  expect_continue = upgrade_websocket = respond_async = idempotent = false;
  body = framing::none;
  content_length = 0;
  fields.clear();
}

const field* request_head::find(known id) const noexcept {
  for (const field& one : fields) {
    if (one.id == id) return &one;
  }
  return nullptr;
}

parse_result parse_request(std::string_view buffer, std::size_t limit, request_head& out, std::size_t seen) {
  out.clear();
  return request_parser(out).parse(buffer, limit, seen);
}

}  // namespace rouse::gateway::http
