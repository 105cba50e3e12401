#pragma once
// Feeds a head to the parsers in every way it may come off a socket: whole, with the next message behind it, and byte
// by byte; each time from memory of exactly that size, so that a look beyond it is seen by ASan.

#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/http/message.hpp"

namespace rouse::test {

using gateway::http::parse_result;
using kind = parse_result::kind;

/// A parser with its limit bound: buffer, seen.
using parser = std::function<parse_result(std::string_view, std::size_t)>;

/// A copy without a spare byte behind it.
class exact {
 public:
  explicit exact(std::string_view text) : size_(text.size()), bytes_(new char[text.size()]) {
    if (!text.empty()) std::memcpy(bytes_.get(), text.data(), text.size());
  }
  [[nodiscard]] std::string_view view() const { return {bytes_.get(), size_}; }
  [[nodiscard]] char* data() { return bytes_.get(); }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  std::unique_ptr<char[]> bytes_;
};

/// `text` with what cannot be read in a log made visible.
inline std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 400)) {
    if (c == '\r') {
      out += "\\r";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c >= 0x20 && c < 0x7f) {
      out += c;
    } else {
      out += "\\x" + std::to_string(static_cast<unsigned char>(c));
    }
  }
  return out;
}

/// Byte by byte: what the parser says first that is not need_more, and after how many bytes.
struct dribbled {
  parse_result result;
  std::size_t at = 0;
};

inline dribbled dribble(std::string_view text, const parser& parse) {
  dribbled last;
  std::size_t seen = 0;
  for (std::size_t n = 1; n <= text.size(); ++n) {
    const exact part(text.substr(0, n));
    last.result = parse(part.view(), seen);
    last.at = n;
    const parse_result from_nothing = parse(part.view(), 0);
    // A parser that is told what it has seen looks at less, and so may see a fault only with the end of its line.
    if (last.result.what == kind::need_more) {
      CHECK(from_nothing.what != kind::done);
    } else {
      CHECK(from_nothing.what == last.result.what);
    }
    if (last.result.what != kind::need_more) break;
    seen = n;
  }
  return last;
}

/// `head` must be accepted, with just its bytes, however it comes.
inline void expect_accepted(std::string_view head, std::string_view next, const parser& parse) {
  INFO(shown(head));
  const exact whole(head);
  const parse_result result = parse(whole.view(), 0);
  INFO(result.why.detail);
  REQUIRE(result.what == kind::done);
  CHECK(result.head_bytes == head.size());
  const exact longer(std::string(head) + std::string(next));
  const parse_result pipelined = parse(longer.view(), 0);
  REQUIRE(pipelined.what == kind::done);
  CHECK(pipelined.head_bytes == head.size());
  const dribbled slow = dribble(head, parse);
  REQUIRE(slow.result.what == kind::done);
  CHECK(slow.at == head.size());
}

/// `head` must be refused with this status, however it comes, and with a sentence that can be shown to people.
inline void expect_refused(std::string_view head, std::string_view next, unsigned status, const parser& parse) {
  INFO(shown(head));
  const exact whole(head);
  const parse_result result = parse(whole.view(), 0);
  REQUIRE(result.what == kind::refused);
  INFO(result.why.detail);
  CHECK(result.why.status == status);
  CHECK(result.why.detail.size() > 20);
  CHECK(result.why.detail.back() == '.');
  for (const char c : result.why.detail) CHECK((c >= 0x20 && c < 0x7f));
  const exact longer(std::string(head) + std::string(next));
  CHECK(parse(longer.view(), 0).what == kind::refused);
  const dribbled slow = dribble(head, parse);
  INFO("after " << slow.at << " bytes: " << slow.result.why.detail);
  REQUIRE(slow.result.what == kind::refused);
  CHECK(slow.result.why.status == status);
}

}  // namespace rouse::test
