#pragma once
// Writes heads: of the request to an instance, of the response to the caller, and of the errors that rouse makes
// itself. Everything is appended to one reused string, so that a head leaves in one piece. Pure; any thread.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "gateway/http/message.hpp"

namespace rouse::gateway::http {

/// What rouse adds to a request on its way to an instance.
struct forward_info {
  std::string_view target;           ///< as the function shall see it
  std::string_view caller;           ///< the peer's address as text, IPv6 without brackets; empty: no X-Forwarded-*
  std::string_view scheme = "http";  ///< how the caller reached us
  std::string_view fallback_host;    ///< Host for a caller who sent none (HTTP/1.0)
  bool trusted = false;  ///< the peer is in trusted_proxies: its X-Forwarded-*, Forwarded are believed and extended
  std::string_view request_id;   ///< the id in use; see choose_request_id
  std::string_view traceparent;  ///< the value in use; see choose_traceparent
  bool chunked = false;          ///< the body goes on chunked (because it came so)
};

/// The caller's X-Request-Id when it is usable (1 to 128 characters of [A-Za-z0-9._:@/+=-]), else 32 hex digits from
/// `random`, written to `scratch`.
[[nodiscard]] std::string_view choose_request_id(const request_head& head, std::uint64_t random_a,
                                                 std::uint64_t random_b, std::string& scratch);
/// The caller's traceparent when it is valid (W3C Trace Context, version 00 and later ones by its forward rule), else a
/// new one with the sampled flag off.
[[nodiscard]] std::string_view choose_traceparent(const request_head& head, std::uint64_t random_a,
                                                  std::uint64_t random_b, std::uint64_t random_c, std::string& scratch);

/// Appends the head of the request to the instance: HTTP/1.1, the caller's fields without hop-by-hop ones and Expect,
/// Host kept, framing by Content-Length or chunked, Connection: Upgrade only for WebSocket, then what forward_info
/// says.
void compose_request(std::string& out, const request_head& head, const forward_info& info);

/// How the response's body goes on to the caller.
enum class body_out : std::uint8_t { none, length, chunked, until_close };

struct reply_info {
  unsigned caller_version = 11;
  bool keep_alive = true;  ///< what to tell the caller of the connection
  body_out body = body_out::none;
  std::optional<double> park_ms;  ///< Server-Timing, after a wait
  std::optional<double> cold_ms;
  std::string_view date;  ///< written as Date when the instance sent none (see write_date); empty: left out
};

/// Appends the head of the response to the caller: the instance's fields without hop-by-hop ones, framing, Connection,
/// and Server-Timing. For 101 the Upgrade and Connection fields pass.
void compose_response(std::string& out, const response_head& head, const reply_info& info);

/// Appends an interim response (1xx other than 101) as the instance sent it, without hop-by-hop fields.
void compose_interim(std::string& out, const response_head& head);

/// An error of rouse's own: RFC 9457 application/problem+json.
struct problem_reply {
  unsigned status = 500;
  std::string_view type;  ///< the word of the contract, e.g. "park-timeout"
  std::string_view detail;
  std::string_view function;  ///< empty: left out
  std::string_view request_id;
  std::optional<std::uint64_t> retry_after;  ///< seconds
  bool keep_alive = false;
  bool head_only = false;  ///< answer to HEAD: the length without the body
  unsigned caller_version = 11;
  std::string_view date;                      ///< written as Date; empty: left out
  const config::fallback* instead = nullptr;  ///< what the caller gets in place of the problem; the status is its own
};

/// Appends head and body.
void compose_problem(std::string& out, const problem_reply& problem);

/// An answer of rouse's own that is no error, or the kept response of a function.
struct local_reply {
  unsigned status = 200;
  const std::vector<std::pair<std::string, std::string>>* fields = nullptr;  ///< none about framing or connection
  std::string_view body;
  std::string_view request_id;
  bool keep_alive = false;
  bool head_only = false;
  unsigned caller_version = 11;
};

/// Appends head and body.
void compose_local(std::string& out, const local_reply& reply);

/// "Too Many Requests" for 429, and so on; "Unknown" for what has no name.
[[nodiscard]] std::string_view status_text(unsigned status) noexcept;

/// Replaces `out` with `now` as an HTTP date ("Sun, 06 Nov 1994 08:49:37 GMT"); for a worker to keep, and renew each
/// second.
void write_date(std::string& out, std::chrono::system_clock::time_point now);

}  // namespace rouse::gateway::http
