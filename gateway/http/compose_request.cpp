// The head of a request on its way to an instance.

#include "gateway/http/chars.hpp"
#include "gateway/http/compose.hpp"
#include "gateway/http/writer.hpp"

namespace rouse::gateway::http {
namespace {

using namespace detail;

/// Written by us, or not at all.
constexpr field_set not_copied = hop_by_hop.with(field_set(
    known::host, known::expect, known::x_request_id, known::traceparent, known::tracestate, known::x_forwarded_for,
    known::x_forwarded_proto, known::x_forwarded_host, known::x_forwarded_other, known::forwarded));

/// A parameter's value in Forwarded (RFC 7239, 4): a token, or a quoted string.
void put_forwarded_value(head_writer& to, std::string_view value) noexcept {
  if (is_token(value)) return to.put(value);
  to.put('"');
  for (const char c : value) {
    if (c == '"' || c == '\\') to.put('\\');
    to.put(c);
  }
  to.put('"');
}

/// All values of the caller's fields of this kind, each with `, ` behind it.
void put_earlier(head_writer& to, const request_head& head, known id) noexcept {
  for (const field& one : head.fields) {
    if (one.id != id || one.value.empty()) continue;
    to.put(one.value);
    to.put(", ");
  }
}

/// What a trusted proxy said (the last one, if several did), else our own.
std::string_view believed(const request_head& head, const forward_info& info, known id,
                          std::string_view ours) noexcept {
  if (info.trusted) {
    for (auto one = head.fields.rbegin(); one != head.fields.rend(); ++one) {
      if (one->id == id && !one->value.empty()) return one->value;
    }
  }
  return ours;
}

void put_forwarding(head_writer& to, const request_head& head, const forward_info& info,
                    std::string_view host) noexcept {
  const bool ipv6 = info.caller.find(':') != std::string_view::npos;
  to.put("X-Forwarded-For: ");
  if (info.trusted) put_earlier(to, head, known::x_forwarded_for);
  to.put(info.caller);
  to.line("\r\nX-Forwarded-Proto: ", believed(head, info, known::x_forwarded_proto, info.scheme));
  const std::string_view told = believed(head, info, known::x_forwarded_host, host);
  if (!told.empty()) to.line("X-Forwarded-Host: ", told);
  to.put("Forwarded: ");
  if (info.trusted) put_earlier(to, head, known::forwarded);
  to.put("for=");
  if (ipv6) to.put("\"[");
  if (ipv6 || is_token(info.caller)) {
    to.put(info.caller);
  } else {
    to.put("unknown");  // such as a Unix socket's peer
  }
  if (ipv6) to.put("]\"");
  if (!host.empty()) {
    to.put(";host=");
    put_forwarded_value(to, host);
  }
  to.put(";proto=");
  put_forwarded_value(to, info.scheme);
  to.put("\r\n");
}

/// tracestate belongs to its traceparent: it goes on only if that does.
bool passes_tracestate(const request_head& head, const forward_info& info) noexcept {
  const field* given = head.find(known::traceparent);
  return given != nullptr && given->value == info.traceparent;
}

void put_fields(head_writer& to, const request_head& head, const forward_info& info, bool chunked) noexcept {
  for (const field& one : head.fields) {
    if (!not_copied.has(one.id)) {
      to.copy(one);
    } else if (one.id == known::trailer && chunked) {
      to.copy(one);
    } else if (one.id == known::tracestate && passes_tracestate(head, info)) {
      to.copy(one);
    } else if (one.id == known::x_forwarded_other && info.trusted) {
      to.copy(one);
    }
  }
}

std::size_t most(const request_head& head, const forward_info& info, std::string_view host) noexcept {
  constexpr std::size_t fixed = 512;  // all names and punctuation written here, and a number
  return fixed + head.method.size() + info.target.size() + size_of(head.fields) + 4 * host.size() +
         2 * info.caller.size() + 3 * info.scheme.size() + info.request_id.size() + info.traceparent.size();
}

}  // namespace

void compose_request(std::string& out, const request_head& head, const forward_info& info) {
  const std::string_view host = head.host.empty() ? info.fallback_host : head.host;
  const bool chunked = info.chunked || head.body == framing::chunked;
  head_writer to(out, most(head, info, host));
  to.put(head.method);
  to.put(' ');
  to.put(info.target);
  to.line(" HTTP/1.1\r\nHost: ", host);
  put_fields(to, head, info, chunked);
  if (chunked) {
    to.put("Transfer-Encoding: chunked\r\n");
  } else if (head.body == framing::length) {
    to.put("Content-Length: ");
    to.number(head.content_length);
    to.put("\r\n");
  }
  to.line("X-Request-Id: ", info.request_id);
  to.line("traceparent: ", info.traceparent);
  if (!info.caller.empty()) put_forwarding(to, head, info, host);
  to.put(head.upgrade_websocket ? std::string_view("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                                : std::string_view("\r\n"));
}

}  // namespace rouse::gateway::http
