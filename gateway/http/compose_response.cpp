// The head of a response on its way to the caller.

#include <cmath>

#include "gateway/http/compose.hpp"
#include "gateway/http/writer.hpp"

namespace rouse::gateway::http {
namespace {

using namespace detail;

constexpr std::size_t fixed_room = 512;  // all names and punctuation written here, and numbers

void put_status(head_writer& to, unsigned status, std::string_view reason) noexcept {
  to.put("HTTP/1.1 ");
  to.number(status);
  to.put(' ');
  to.put(reason);
  to.put("\r\n");
}

void put_fields(head_writer& to, const response_head& head, bool chunked) noexcept {
  for (const field& one : head.fields) {
    if (!hop_by_hop.has(one.id) || (one.id == known::trailer && chunked)) to.copy(one);
  }
}

/// Milliseconds with three decimals.
void put_ms(head_writer& to, double ms) noexcept {
  constexpr double longest = 1e12;
  if (!(ms > 0)) ms = 0;  // also for what is not a number
  const auto us = static_cast<std::uint64_t>(std::llround((ms < longest ? ms : longest) * 1000));
  to.number(us / 1000);
  to.put('.');
  to.put(static_cast<char>('0' + us / 100 % 10));
  to.put(static_cast<char>('0' + us / 10 % 10));
  to.put(static_cast<char>('0' + us % 10));
}

void put_server_timing(head_writer& to, const reply_info& info) noexcept {
  if (!info.park_ms && !info.cold_ms) return;
  to.put("Server-Timing: ");
  if (info.park_ms) {
    to.put("park;dur=");
    put_ms(to, *info.park_ms);
  }
  if (info.cold_ms) {
    to.put(info.park_ms ? std::string_view(", cold;dur=") : std::string_view("cold;dur="));
    put_ms(to, *info.cold_ms);
  }
  to.put("\r\n");
}

/// Content-Length where a body follows, and where it only tells of one (HEAD, 304); never for 1xx and 204.
void put_framing(head_writer& to, const response_head& head, body_out body) noexcept {
  const bool told = body == body_out::none && head.has_content_length && head.status >= 200 && head.status != 204;
  if (body == body_out::chunked) {
    to.put("Transfer-Encoding: chunked\r\n");
  } else if (body == body_out::length || told) {
    to.put("Content-Length: ");
    to.number(head.content_length);
    to.put("\r\n");
  }
}

void put_connection(head_writer& to, const reply_info& info) noexcept {
  if (!info.keep_alive || info.body == body_out::until_close) {
    to.put("Connection: close\r\n");
  } else if (info.caller_version < 11) {
    to.put("Connection: keep-alive\r\n");
  }
}

void put_upgrade(head_writer& to, const response_head& head) noexcept {
  to.put("Connection: Upgrade\r\n");
  for (const field& one : head.fields) {
    if (one.id == known::upgrade) to.copy(one);
  }
}

bool has_date(const response_head& head) noexcept {
  for (const field& one : head.fields) {
    if (one.id == known::date) return true;
  }
  return false;
}

}  // namespace

void compose_response(std::string& out, const response_head& head, const reply_info& info) {
  head_writer to(out, fixed_room + head.reason.size() + size_of(head.fields) + info.date.size());
  put_status(to, head.status, head.reason);
  put_fields(to, head, info.body == body_out::chunked);
  if (!info.date.empty() && !has_date(head)) to.line("Date: ", info.date);
  if (head.status == 101) {
    put_upgrade(to, head);
  } else {
    put_framing(to, head, info.body);
    put_connection(to, info);
  }
  put_server_timing(to, info);
  to.put("\r\n");
}

void compose_interim(std::string& out, const response_head& head) {
  head_writer to(out, fixed_room + head.reason.size() + size_of(head.fields));
  put_status(to, head.status, head.reason);
  put_fields(to, head, false);
  to.put("\r\n");
}

}  // namespace rouse::gateway::http
