#pragma once
// Reads the head of a message in one pass over its bytes: lines, names and values as RFC 9112 has them, and nothing
// else. Where Beast's parser repairs or guesses, this one refuses. For this folder's sources only; lives on the stack
// of one call.
//
// Why not Beast's basic_parser: it unfolds obs-fold, takes lists and repeats of Content-Length, reads an unknown
// Transfer-Encoding as "no body", and does not look at Host, so that a check of the raw lines had to come before it and
// one of the values after it, and every byte was looked at twice. Measured over the three requests of
// bench/http_bench.cpp (40, 144 and 995 bytes) with g++ 12 at -O2, instructions by callgrind, times on quiet cores:
//   Beast, callbacks that do nothing        17,000 instructions   83 + 305 + 1200 ns
//   Beast and the checks around it          24,000 instructions   (over 500 ns for the 144 bytes alone)
//   this parser, all checks                 11,400 instructions   103 + 250 + 710 ns
// Beast stays where it is good: as the second opinion in tests/gateway/http/test_fuzz.cpp, which must accept, with the
// same fields, every head that this parser accepts.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http/framing.hpp"
#include "gateway/http/message.hpp"

namespace rouse::gateway::http::detail {

/// Most fields in a head.
inline constexpr std::size_t max_fields = 256;

[[nodiscard]] refusal bad_request(std::string detail);
/// "0x1B", for messages: the bytes of a peer never stand in a message themselves.
[[nodiscard]] std::string hex_of(char c);

/// What requests and responses have in common; derived classes say what is special.
class head_parser {
 public:
  head_parser(const head_parser&) = delete;
  head_parser& operator=(const head_parser&) = delete;

  /// As parse_request.
  [[nodiscard]] parse_result parse(std::string_view buffer, std::size_t limit, std::size_t seen);

 protected:
  enum class role : std::uint8_t { request, response };

  head_parser(role what, std::vector<field>& fields) : role_(what), fields_(fields) {}
  ~head_parser() = default;

  /// The first line, without its CRLF. This and the others: false when refused, with `why` set.
  virtual bool take_first_line(std::string_view line) = 0;
  /// The beginning of a first line of which the rest has not come yet; it is not empty.
  virtual bool check_first_part(std::string_view part) = 0;
  /// A known field other than those of framing_facts.
  virtual bool take_special(known id, std::string_view value) = 0;
  /// After the last field.
  virtual bool finish() = 0;

  bool fail(refusal because) {
    why = std::move(because);
    return false;
  }

  framing_facts facts;
  refusal why;

 private:
  enum class progress : std::uint8_t { need_more, done, refused };

  bool check_begin(std::string_view rest);
  progress walk(std::string_view text, std::size_t begin, std::size_t& at);
  progress walk_fields(std::string_view text, std::size_t& at);
  const char* take_line(const char* line, const char* last);
  bool take_field(std::string_view name, std::string_view value);
  bool check_bytes(std::string_view text, std::size_t begin, std::size_t from);
  bool bad_line(const char* what);

  role role_;
  std::vector<field>& fields_;
};

}  // namespace rouse::gateway::http::detail
