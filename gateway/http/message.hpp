#pragma once
// Strict HTTP/1.1 messages, apart from any socket: a head is checked byte by byte for everything ambiguous, then parsed with
// Beast; a chunked body is decoded with Beast. What is not valid is refused, never repaired. Used by one worker at a time;
// all views point into the caller's buffer.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rouse::gateway::http {

/// Fields that a gateway treats in some way of its own; every other is `other`.
enum class known : std::uint8_t {
  other, connection, keep_alive, proxy_connection, proxy_authenticate, proxy_authorization, te, trailer, transfer_encoding,
  upgrade, content_length, host, expect, x_request_id, traceparent, x_forwarded_for, x_forwarded_proto, x_forwarded_host,
  forwarded, date, server, http2_settings, connection_listed  ///< connection_listed: named in Connection, so hop-by-hop
};

struct field {
  std::string_view name;
  std::string_view value;   ///< without surrounding white space
  known id = known::other;
};

enum class framing : std::uint8_t { none, length, chunked, until_close };

/// A request's head. Reused from request to request; clear() keeps the memory of `fields`.
struct request_head {
  std::string_view method;
  std::string_view target;             ///< origin-form (an absolute-form target is reduced to it), `*`, or the authority of CONNECT
  std::string_view host;               ///< value of Host (or of the absolute-form target), port included; empty: none
  unsigned version = 11;               ///< 10 or 11
  bool keep_alive = true;              ///< what the caller wants of this connection after the exchange
  bool expect_continue = false;
  bool upgrade_websocket = false;      ///< GET, HTTP/1.1, Connection: upgrade, Upgrade: websocket, no body
  bool idempotent = false;             ///< GET, HEAD, OPTIONS, TRACE, PUT, DELETE
  framing body = framing::none;
  std::uint64_t content_length = 0;    ///< when body is `length`
  std::vector<field> fields;
  void clear() noexcept;
  [[nodiscard]] const field* find(known id) const noexcept;
};

struct response_head {
  unsigned status = 0;
  std::string_view reason;
  unsigned version = 11;
  bool keep_alive = true;              ///< whether the connection can be used again after the body
  std::uint32_t keep_alive_seconds = 0;///< `Keep-Alive: timeout=N`; 0: not given
  framing body = framing::none;        ///< with HEAD, 1xx, 204 and 304 taken into account
  std::uint64_t content_length = 0;
  bool has_content_length = false;     ///< also for HEAD and 304, where there is no body
  std::vector<field> fields;
  void clear() noexcept;
};

/// A refusal: the status and the problem type to answer with (a response's refusal is always answered as 502 instance-failed)
/// and a sentence that names the place and the mend.
struct refusal {
  unsigned status = 400;
  const char* type = "bad-request";
  std::string detail;
};

struct parse_result {
  enum class kind : std::uint8_t { need_more, done, refused } what = kind::need_more;
  std::size_t head_bytes = 0;          ///< when done: how many bytes the head took, up to where the body begins
  refusal why;                         ///< when refused
};

/// Decodes a chunked body in place. Made by the parsers for a message whose framing is `chunked`.
class chunk_decoder {
 public:
  chunk_decoder();
  ~chunk_decoder();
  chunk_decoder(const chunk_decoder&) = delete;
  chunk_decoder& operator=(const chunk_decoder&) = delete;
  void reset();

  struct step {
    std::size_t consumed = 0;          ///< bytes of input used up
    std::size_t produced = 0;          ///< bytes of body, moved to the front of the input buffer
    bool done = false;                 ///< the last chunk and the trailers were read
    bool bad = false;                  ///< not valid; `detail()` says what
  };
  /// Decodes as much of [data, data + size) as possible, compacting body bytes to `data`. Input that was not consumed (part of
  /// a chunk's head) must be given again with more behind it. Chunk heads over 256 bytes and trailers over 8 KiB are bad.
  [[nodiscard]] step decode(char* data, std::size_t size);
  /// Trailer lines that may be passed on, each with CRLF ("Name: value\r\n"); fields for framing, routing, authentication and
  /// hop-by-hop are dropped. Valid when done.
  [[nodiscard]] const std::string& trailers() const noexcept;
  [[nodiscard]] const char* detail() const noexcept;

 private:
  struct impl;
  impl* impl_;
};

/// Parses the head at the start of `buffer`. `limit` is the most bytes that a head may have (431 above).
[[nodiscard]] parse_result parse_request(std::string_view buffer, std::size_t limit, request_head& out);

/// Parses the head of a response to a request of method `to_method`. 1xx heads are returned like any other (framing none).
[[nodiscard]] parse_result parse_response(std::string_view buffer, std::size_t limit, std::string_view to_method,
                                          response_head& out);

}  // namespace rouse::gateway::http
