// The chunk decoder against a plain oracle, at every split and over mutated bodies; and what it must refuse.

#include <optional>
#include <random>

#include "tests/gateway/http/feeding.hpp"

namespace {

using namespace rouse::gateway::http;
using namespace rouse::test;
using namespace std::string_literals;

enum class verdict : std::uint8_t { more, done, bad };

struct outcome {
  verdict what = verdict::more;
  std::string body;
  std::string trailers;
  std::size_t used = 0;
};

/// Decodes in pieces; `next_size` says how long the next one is.
template <typename Next>
outcome decode(chunk_decoder& decoder, std::string_view text, Next next_size) {
  outcome out;
  decoder.reset();
  while (out.used < text.size() && out.what == verdict::more) {
    exact piece(text.substr(out.used, next_size()));
    const chunk_decoder::step step = decoder.decode(piece.data(), piece.size());
    REQUIRE(step.produced <= step.consumed);
    REQUIRE(step.consumed <= piece.size());
    out.body.append(piece.data(), step.produced);
    out.used += step.consumed;
    if (step.done) out.what = verdict::done;
    if (step.bad) out.what = verdict::bad;
    if (out.what == verdict::more) REQUIRE(step.consumed == piece.size());
  }
  if (out.what == verdict::done) out.trailers = decoder.trailers();
  if (out.what == verdict::bad) CHECK(std::strlen(decoder.detail()) > 10);
  return out;
}

outcome whole(std::string_view text) {
  chunk_decoder decoder;
  return decode(decoder, text, [&] { return text.size(); });
}

outcome bytewise(std::string_view text) {
  chunk_decoder decoder;
  return decode(decoder, text, [] { return std::size_t{1}; });
}

void refuses(std::string_view text) {
  INFO(shown(text));
  CHECK(whole(text).what == verdict::bad);
  CHECK(bytewise(text).what == verdict::bad);
}

void decodes(std::string_view text, std::string_view body, std::string_view trailers = "") {
  INFO(shown(text));
  for (const outcome& out : {whole(std::string(text) + "GET /next"), bytewise(text)}) {
    CHECK(out.what == verdict::done);
    CHECK(out.body == body);
    CHECK(out.trailers == trailers);
    CHECK(out.used == text.size());
  }
}

/// The same grammar read another way: over the whole text, with positions, for bodies within the limits.
class oracle {
 public:
  explicit oracle(std::string_view text) : text_(text) {}

  outcome run() {
    while (out_.what == verdict::more && chunk()) {
    }
    out_.used = at_;
    return out_;
  }

 private:
  bool stop(verdict what) {
    out_.what = what;
    return false;
  }
  /// The line at at_, without CRLF; nothing when it is not complete or not a line.
  std::optional<std::string_view> line() {
    const std::size_t end = text_.find_first_of("\r\n", at_);
    if (end == std::string_view::npos || end + 1 == text_.size()) {
      if (end != std::string_view::npos && text_[end] == '\n') stop(verdict::bad);
      return std::nullopt;
    }
    if (text_[end] == '\n' || text_[end + 1] != '\n') {
      stop(verdict::bad);
      return std::nullopt;
    }
    const std::string_view found = text_.substr(at_, end - at_);
    at_ = end + 2;
    return found;
  }
  static std::size_t span_of(std::string_view text, const char* set) {
    const std::size_t n = text.find_first_not_of(set);
    return n == std::string_view::npos ? text.size() : n;
  }
  static constexpr const char* token = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  static void skip(std::string_view& text, const char* set) { text.remove_prefix(span_of(text, set)); }
  static bool name(std::string_view& text) {
    const std::size_t n = span_of(text, token);
    text.remove_prefix(n);
    return n > 0;
  }
  static bool quoted(std::string_view& text) {
    text.remove_prefix(1);
    while (!text.empty() && text[0] != '"')
      text.remove_prefix(text[0] == '\\' ? std::min<std::size_t>(2, text.size()) : 1);
    if (text.empty()) return false;
    text.remove_prefix(1);
    return true;
  }
  static bool extensions(std::string_view text) {
    while (!text.empty()) {
      skip(text, " \t");
      if (text.empty() || text[0] != ';') return false;
      text.remove_prefix(1);
      skip(text, " \t");
      if (!name(text)) return false;
      std::string_view value = text;
      skip(value, " \t");
      if (value.empty() || value[0] != '=') continue;
      value.remove_prefix(1);
      skip(value, " \t");
      if (value.empty() || !(value[0] == '"' ? quoted(value) : name(value))) return false;
      text = value;
    }
    return true;
  }
  static bool clean(std::string_view text) {
    for (const char c : text) {
      if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
  }
  bool chunk() {
    const auto head = line();
    if (!head) return false;
    const std::size_t digits = span_of(*head, "0123456789abcdefABCDEF");
    const std::string_view rest = head->substr(digits);
    if (digits == 0 || digits > 16 || !clean(*head) || (!rest.empty() && rest[0] != ';') || !extensions(rest)) {
      return stop(verdict::bad);
    }
    const std::uint64_t size = std::stoull(std::string(head->substr(0, digits)), nullptr, 16);
    if (size >> 63 != 0) return stop(verdict::bad);
    if (size == 0) return trailers();
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(size, text_.size() - at_));
    out_.body += text_.substr(at_, n);
    at_ += n;
    if (n < size || at_ == text_.size()) return false;
    if (text_[at_] != '\r') return stop(verdict::bad);
    if (at_ + 1 == text_.size()) return false;
    if (text_[at_ + 1] != '\n') return stop(verdict::bad);
    at_ += 2;
    return true;
  }
  bool trailers() {
    while (const auto field = line()) {
      if (field->empty()) return stop(verdict::done);
      const std::size_t colon = span_of(*field, token);
      if (colon == 0 || colon == field->size() || (*field)[colon] != ':' || !clean(*field)) return stop(verdict::bad);
    }
    return false;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  outcome out_;
};

struct source {
  std::mt19937 random{20240607};
  std::size_t upto(std::size_t most) { return std::uniform_int_distribution<std::size_t>(0, most)(random); }
  std::string encoded(std::string& body) {
    static const char* const extensions[] = {"",           "", "", ";a", ";a=b", "; a = b;c", ";q=\"x;\\\"\\\\y\"",
                                             ";a\t;b=\"\""};
    static const char* const trailer[] = {"A: b\r\n", "X-Sum:1\r\n", "Content-Length: 3\r\n", "B:\r\n"};
    std::string text;
    for (std::size_t chunks = upto(6); chunks > 0; --chunks) {
      std::string data(1 + upto(40), '\0');
      for (char& c : data) c = "ab\r\n0;x\0"[upto(7)];
      char size[32];
      std::snprintf(size, sizeof size, upto(1) == 0 ? "%zx" : "00%zX", data.size());
      text += size + std::string(extensions[upto(7)]) + "\r\n" + data + "\r\n";
      body += data;
    }
    text += "0" + std::string(extensions[upto(7)]) + "\r\n";
    for (std::size_t fields = upto(3); fields > 0; --fields) text += trailer[upto(3)];
    return text + "\r\n";
  }
};

}  // namespace

TEST_CASE("chunked bodies are decoded, extensions dropped") {
  decodes("0\r\n\r\n", "");
  decodes("5\r\nhello\r\n0\r\n\r\n", "hello");
  decodes("5\r\nhello\r\n6\r\n world\r\n00000\r\n\r\n", "hello world");
  decodes("A\r\n0123456789\r\na\r\n0123456789\r\n0000000000000000\r\n\r\n", "01234567890123456789");
  decodes("1;a;b=c;d=\"e\\\"f\t\x80\"\r\nx\r\n0;z\r\n\r\n", "x");
  decodes("1; a = b ; c\r\nx\r\n0\r\n\r\n", "x");
  decodes("2\r\n\r\n\r\n0\r\n\r\n", "\r\n");
}

TEST_CASE("bad sizes, extensions and line ends are refused") {
  for (const char* text : {
           "\r\n",
           ";a\r\n",
           "-1\r\n",
           "+1\r\n",
           "0x1\r\n",
           "1 \r\n",
           " 1\r\n",
           "1\t\r\n",
           "1 ;a\r\n",
           "g\r\n",
           "1g\r\n",
           "1,\r\n",
           "1.0\r\n",
           "00000000000000001\r\n",
           "FFFFFFFFFFFFFFFF\r\n",
           "8000000000000000\r\n",
           "1\n",
           "1\rx",
           "1\r\r\n",
           "1;\r\n",
           "1;=a\r\n",
           "1;a=\r\n",
           "1;a b\r\n",
           "1;a=b c\r\n",
           "1;a=\"b\r\n",
           "1;a=\"b\n\"\r\n",
           "1;a=\"\x01\"\r\n",
           "1;a\x01\r\n",
           "1;a\n",
           "1;a=\"\\\x7f\"\r\n",
           "1;a=\"\"x\r\n",
           "1;a=(\r\n",
           "1;;a\r\n",
           "1;a;\r\n",
           "1;a=\"b\\\r\n\"\r\n",
           "1;\x80\r\n",
           "1;a \r\n",
           "1;a=b\t\r\n",
           "1;a=\"\" \r\n",
           "1\r\nxy",
           "1\r\nx\n",
           "1\r\nx\rz",
           "1\r\nx0\r\n\r\n",
           "0\r\n\n",
           "0\r\n\rx",
           "0\n\n",
           "0\r\nA: b\n",
           "0\r\nA : b\r\n",
           "0\r\n A: b\r\n",
           "0\r\nA: b\r\n c\r\n",
           "0\r\nA\r\n",
           "0\r\n: b\r\n",
           "0\r\nA: \x01\r\n",
           "0\r\nA: b\rc\r\n",
           "0\r\nGET / HTTP/1.1\r\n",
       }) {
    refuses(text);
  }
  refuses("1;a=\"\0\"\r\n"s);
  refuses("1\0\r\n"s);
}

TEST_CASE("heads of chunks, extensions and trailers are bounded") {
  decodes("1;" + std::string(252, 'a') + "\r\nx\r\n0\r\n\r\n", "x");
  refuses("1;" + std::string(253, 'a') + "\r\nx\r\n0\r\n\r\n");
  refuses("1;" + std::string(100000, 'a'));
  std::string mostly_extensions;
  for (int i = 0; i < 100; ++i) mostly_extensions += "1;" + std::string(240, 'a') + "\r\nx\r\n";
  refuses(mostly_extensions);
  std::string small;
  for (int i = 0; i < 20000; ++i) small += "1\r\nx\r\n";
  decodes(small + "0\r\n\r\n", std::string(20000, 'x'));
  const std::string kept = "A: " + std::string(8180, 'b') + "\r\n";
  decodes("0\r\n" + kept + "\r\n", "", kept);
  refuses("0\r\nA: " + std::string(8190, 'b') + "\r\n\r\n");
  refuses("0\r\n" + std::string(10000, 'A'));
}

TEST_CASE("trailers that would change how a message is read are dropped") {
  decodes("0\r\nX-Sum:  abc \r\nGrpc-Status: 0\r\nEmpty:\r\n\r\n", "", "X-Sum: abc\r\nGrpc-Status: 0\r\nEmpty: \r\n");
  for (const char* name : {"Content-Length",
                           "Transfer-Encoding",
                           "Host",
                           "Authorization",
                           "Cookie",
                           "Set-Cookie",
                           "Trailer",
                           "TE",
                           "Connection",
                           "Upgrade",
                           "Keep-Alive",
                           "Content-Type",
                           "Content-Encoding",
                           "X-Forwarded-For",
                           "X-Forwarded-Prefix",
                           "Forwarded",
                           "X-Request-Id",
                           "traceparent",
                           "Cache-Control",
                           "If-Match",
                           "Expect",
                           "Proxy-Authorization",
                           "WWW-Authenticate",
                           "content_length",
                           "Date",
                           "Location"}) {
    decodes("0\r\n"s + name + ": 1\r\nB: 2\r\n\r\n", "", "B: 2\r\n");
  }
}

TEST_CASE("a decoder is as new after reset") {
  chunk_decoder decoder;
  decode(decoder, "0\r\nA: b\r\n\r\n", [] { return std::size_t{64}; });
  CHECK(decoder.trailers() == "A: b\r\n");
  decode(decoder, "1;aa", [] { return std::size_t{64}; });
  const outcome out = decode(decoder, "1\r\nx\r\n0\r\n\r\n", [] { return std::size_t{64}; });
  CHECK(out.what == verdict::done);
  CHECK(out.body == "x");
  CHECK(out.trailers.empty());
}

TEST_CASE("random bodies at random splits") {
  source random;
  chunk_decoder decoder;
  for (int i = 0; i < 2000; ++i) {
    std::string body;
    const std::string text = random.encoded(body);
    INFO(shown(text));
    const std::size_t most = random.upto(20);
    const outcome out = decode(decoder, text + "GET /", [&] { return 1 + random.upto(most); });
    REQUIRE(out.what == verdict::done);
    REQUIRE(out.body == body);
    REQUIRE(out.used == text.size());
  }
}

TEST_CASE("mutated bodies get the oracle's verdict") {
  source random;
  chunk_decoder decoder;
  const std::string bytes = "\r\n;= \t\"\\09afFgx:\x01\x7f\x80"s + '\0';
  int verdicts[3] = {};
  for (int i = 0; i < 20000; ++i) {
    std::string body;
    std::string text = random.encoded(body);
    for (std::size_t changes = 1 + random.upto(2); changes > 0; --changes) {
      const std::size_t at = random.upto(text.size() - 1);
      const char c = bytes[random.upto(bytes.size() - 1)];
      switch (random.upto(2)) {
        case 0:
          text[at] = c;
          break;
        case 1:
          text.insert(at, 1, c);
          break;
        default:
          text.erase(at, 1);
          break;
      }
    }
    INFO(shown(text));
    const outcome out = decode(decoder, text, [&] { return 1 + random.upto(9); });
    const outcome expected = oracle(text).run();
    // Cut short, the decoder may see a fault before the line is whole, the oracle only then.
    if (expected.what == verdict::more && out.what == verdict::bad) continue;
    REQUIRE(out.what == expected.what);
    if (out.what == verdict::done) {
      REQUIRE(out.body == expected.body);
      REQUIRE(out.used == expected.used);
    }
    ++verdicts[static_cast<int>(out.what)];
  }
  CHECK(verdicts[0] > 200);
  CHECK(verdicts[1] > 200);
  CHECK(verdicts[2] > 200);
}
