#pragma once
// Strict HTTP/1.1 messages, apart from any socket: heads are parsed, chunked bodies decoded in place. What is not valid
// is refused, never repaired (gateway/http/README.md has the table of decisions). Used by one worker at a time; all
// views point into the caller's buffer (or to static text).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rouse::gateway::http {

/// Fields that a gateway treats in some way of its own; every other is `other`.
enum class known : std::uint8_t {
  other,
  connection,
  keep_alive,
  proxy_connection,
  proxy_authenticate,
  proxy_authorization,
  te,
  trailer,
  transfer_encoding,
  upgrade,
  content_length,
  host,
  expect,
  x_request_id,
  traceparent,
  tracestate,
  x_forwarded_for,
  x_forwarded_proto,
  x_forwarded_host,
  x_forwarded_other,  ///< x_forwarded_other: any other X-Forwarded-*
  forwarded,
  date,
  server,
  http2_settings,
  prefer,
  connection_listed  ///< named in Connection, so hop-by-hop; or a look-alike with `_` of a field that rouse writes
};

struct field {
  std::string_view name;
  std::string_view value;  ///< without surrounding white space
  known id = known::other;
};

enum class framing : std::uint8_t { none, length, chunked, until_close };

/// A request's head. Reused from request to request; clear() keeps the memory of `fields`.
struct request_head {
  std::string_view method;
  std::string_view target;         ///< origin-form (an absolute-form target is reduced to it), or `*` of OPTIONS
  std::string_view host;           ///< value of Host (or of the absolute-form target), port included; empty: none
  unsigned version = 11;           ///< 10 or 11
  bool keep_alive = true;          ///< what the caller wants of this connection after the exchange
  bool expect_continue = false;    ///< and there is a body to wait for
  bool upgrade_websocket = false;  ///< GET, HTTP/1.1, Connection: upgrade, Upgrade: websocket (alone), no body
  bool respond_async = false;      ///< Prefer: respond-async (RFC 7240)
  bool idempotent = false;         ///< GET, HEAD, OPTIONS, PUT, DELETE (TRACE is refused)
  framing body = framing::none;
  std::uint64_t content_length = 0;  ///< when body is `length`; may be 0
  std::vector<field> fields;
  void clear() noexcept;
  [[nodiscard]] const field* find(known id) const noexcept;
};

struct response_head {
  unsigned status = 0;
  std::string_view reason;
  unsigned version = 11;
  bool keep_alive = true;                ///< whether the connection can be used again after the body
  std::uint32_t keep_alive_seconds = 0;  ///< `Keep-Alive: timeout=N`; 0: not given
  framing body = framing::none;          ///< with HEAD, 1xx, 204 and 304 taken into account
  std::uint64_t content_length = 0;
  bool has_content_length = false;  ///< also for HEAD and 304, where there is no body
  std::vector<field> fields;
  void clear() noexcept;
};

/// A refusal: the status and the problem type to answer with (a response's refusal is always answered as 502
/// instance-failed) and a sentence that names the place and the mend.
struct refusal {
  unsigned status = 400;
  const char* type = "bad-request";
  std::string detail;
};

struct parse_result {
  enum class kind : std::uint8_t { need_more, done, refused } what = kind::need_more;
  std::size_t head_bytes = 0;  ///< when done: how many bytes the head took, up to where the body begins
  refusal why;                 ///< when refused
};

/// Decodes a chunked body in place. Made by the parsers for a message whose framing is `chunked`.
class chunk_decoder {
 public:
  /// Makes it as new, for the next body; keeps its memory.
  void reset() noexcept;

  struct step {
    std::size_t consumed = 0;  ///< bytes of input used up
    std::size_t produced = 0;  ///< bytes of body, moved to the front of the input buffer
    bool done = false;         ///< the last chunk and the trailers were read
    bool bad = false;          ///< not valid; `detail()` says what
  };
  /// Decodes [data, data + size), compacting body bytes to `data`. All input is consumed, be it cut within a chunk's
  /// head, unless the body ends (done) or is not valid (bad) before. Chunk heads over 256 bytes, extensions that
  /// outweigh the data by 16 KiB, and trailers over 8 KiB are bad.
  [[nodiscard]] step decode(char* data, std::size_t size);
  /// Trailer lines that may be passed on, each with CRLF ("Name: value\r\n"); fields for framing, routing,
  /// authentication and hop-by-hop are dropped. Valid when done.
  [[nodiscard]] const std::string& trailers() const noexcept { return trailers_; }
  /// Why the body is bad; for the reader, a full sentence.
  [[nodiscard]] const char* detail() const noexcept { return detail_; }

 private:
  enum class state : std::uint8_t {
    size_first,
    size,
    ext_before_name,
    ext_name,
    ext_after_name,
    ext_before_value,
    ext_value,
    ext_quoted,
    ext_escaped,
    ext_after_value,
    ext_semicolon,
    head_lf,
    data,
    data_cr,
    data_lf,
    trailer_first,
    trailer_line,
    trailer_lf,
    end_lf,
    done,
    bad
  };
  void fail(const char* why) noexcept;
  void take_head_byte(char c) noexcept;  ///< of chunk-size and chunk-ext
  void take_extension_byte(char c) noexcept;
  void end_of_head() noexcept;
  void take_trailer_byte(char c);
  void end_of_trailer();

  state state_ = state::size_first;
  std::uint16_t head_bytes_ = 0;  ///< of the chunk's head so far
  std::uint16_t digits_ = 0;
  std::uint32_t trailer_bytes_ = 0;  ///< of all trailers so far, dropped ones included
  std::int64_t excess_ = 0;          ///< bytes of framing beyond what the data pays for
  std::uint64_t left_ = 0;           ///< of the chunk's data
  std::string line_;                 ///< the trailer line being read
  std::string trailers_;
  const char* detail_ = "";
};

/// Parses the head at the start of `buffer`. `limit` is the most bytes that a head may have (431 above).
/// `seen` makes a head that arrives byte by byte cost linear time: give the size that `buffer` had when the last call
/// for this same head returned need_more, else 0. (A wrong value costs a refusal, never a misread head.) A head that
/// can never become valid is refused as soon as that shows. When not done, `out` is not defined.
[[nodiscard]] parse_result parse_request(std::string_view buffer, std::size_t limit, request_head& out,
                                         std::size_t seen = 0);

/// Parses the head of a response to a request of method `to_method`. 1xx heads are returned like any other (framing
/// none).
[[nodiscard]] parse_result parse_response(std::string_view buffer, std::size_t limit, std::string_view to_method,
                                          response_head& out, std::size_t seen = 0);

}  // namespace rouse::gateway::http
