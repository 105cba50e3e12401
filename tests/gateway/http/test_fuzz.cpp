// Seeded mutation of heads. Whatever a parser accepts must be accepted by Beast's parser too, with the same fields (a
// second opinion on where lines, names and values end), and what is composed of it must be accepted again, with the
// same meaning.

#include <boost/beast/http/basic_parser.hpp>
#include <limits>
#include <random>
#include <vector>

#include "gateway/http/compose.hpp"
#include "tests/gateway/http/feeding.hpp"

namespace {

using namespace rouse::gateway::http;
using namespace rouse::test;
using namespace std::string_literals;
namespace beast = boost::beast;

constexpr std::size_t limit = 4096;

template <bool is_request>
class second_opinion final : public beast::http::basic_parser<is_request> {
 public:
  second_opinion() {
    this->header_limit(std::numeric_limits<std::uint32_t>::max());
    this->body_limit(boost::none);
  }
  std::vector<std::pair<std::string, std::string>> fields;
  std::string target;
  unsigned status = 0;

 private:
  using view = beast::string_view;
  using code = beast::error_code;
  void on_request_impl(beast::http::verb, view, view where, int, code&) override { target = std::string(where); }
  void on_response_impl(int number, view, int, code&) override { status = static_cast<unsigned>(number); }
  void on_field_impl(beast::http::field, view name, view value, code&) override {
    fields.emplace_back(std::string(name), std::string(value));
  }
  void on_header_impl(code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, code&) override {}
  std::size_t on_body_impl(view body, code&) override { return body.size(); }
  void on_chunk_header_impl(std::uint64_t, view, code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, view body, code&) override { return body.size(); }
  void on_finish_impl(code&) override {}
};

/// Beast looks into Proxy-Connection, which we only drop: there it may refuse more.
bool has_proxy_connection(const std::vector<field>& fields) {
  for (const field& one : fields) {
    if (one.id == known::proxy_connection) return true;
  }
  return false;
}

template <bool is_request>
void ask_beast(std::string_view text, const std::vector<field>& fields, framing body) {
  if (text.starts_with("\r\n")) text.remove_prefix(2);
  second_opinion<is_request> other;
  beast::error_code ec;
  const std::size_t used = other.put(boost::asio::const_buffer(text.data(), text.size()), ec);
  if (ec && has_proxy_connection(fields)) return;
  INFO(ec.message());
  REQUIRE(!ec);
  REQUIRE(used == text.size());
  REQUIRE(other.fields.size() == fields.size());
  for (std::size_t i = 0; i < fields.size(); ++i) {
    REQUIRE(other.fields[i].first == fields[i].name);
    REQUIRE(other.fields[i].second == fields[i].value);
  }
  if (is_request) REQUIRE(other.chunked() == (body == framing::chunked));
}

const std::vector<std::string>& request_seeds() {
  static const std::vector<std::string> seeds = {
      "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
      "POST /a/b?c=d HTTP/1.1\r\nHost: example.com:80\r\nContent-Length: 12\r\nExpect: 100-continue\r\nAccept: "
      "*/*\r\n\r\n",
      "PUT http://h:8080/x HTTP/1.1\r\nHost: h:8080\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\nConnection: x-a, "
      "close\r\nX-A: 1\r\n\r\n",
      "GET /ws HTTP/1.1\r\nHost: [::1]:80\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n",
      "GET / HTTP/1.0\r\nConnection: keep-alive\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: "
      "for=1.2.3.4\r\nX_Forwarded_Host: x\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\nHost: h\r\nX-Request-Id: r\r\ntraceparent: "
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
      "tracestate: a=b\r\nTE: trailers\r\nKeep-Alive: timeout=1\r\nX-Forwarded-Prefix: /p\r\n\r\n",
      "\r\nDELETE /%2e%2e/x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nCookie: a=b; c=d\r\n\r\n",
  };
  return seeds;
}

const std::vector<std::string>& response_seeds() {
  static const std::vector<std::string> seeds = {
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: s\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\nConnection: close, x-a\r\nX-A: b\r\n\r\n",
      "HTTP/1.0 404 Not Found\r\nDate: d\r\nKeep-Alive: timeout=5, max=3\r\nConnection: keep-alive\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
      "HTTP/1.1 204 \r\nProxy-Authenticate: x\r\nSet-Cookie: a=b\r\n\r\n",
  };
  return seeds;
}

class mutator {
 public:
  explicit mutator(const std::vector<std::string>& seeds) : seeds_(seeds) {}

  std::string next() {
    std::string text = seeds_[upto(seeds_.size() - 1)];
    for (std::size_t changes = upto(3); changes > 0; --changes) change(text);
    return text;
  }
  std::size_t upto(std::size_t most) { return std::uniform_int_distribution<std::size_t>(0, most)(random_); }

 private:
  void change(std::string& text) {
    static const std::string bytes = "\r\n\t :,;/#@[]\"\\_-0aZ\x01\x7f\x80\xff"s + '\0';
    static const char* const lines[] = {"Content-Length: 3\r\n",
                                        "Transfer-Encoding: chunked\r\n",
                                        "Host: h\r\n",
                                        "A: b\r\n",
                                        "\r\n",
                                        "Connection: host, content-length\r\n",
                                        " folded\r\n",
                                        "Upgrade: h2c\r\n",
                                        "A:\n"};
    if (text.empty()) return;
    const std::size_t at = upto(text.size() - 1);
    switch (upto(5)) {
      case 0:
        text[at] = bytes[upto(bytes.size() - 1)];
        break;
      case 1:
        text.insert(at, 1, bytes[upto(bytes.size() - 1)]);
        break;
      case 2:
        text.erase(at, 1 + upto(3));
        break;
      case 3:
        text[at] = static_cast<char>(upto(255));
        break;
      case 4: {
        const std::size_t line = text.find('\n', at);
        text.insert(line == std::string::npos ? text.size() : line + 1, lines[upto(std::size(lines) - 1)]);
        break;
      }
      default: {
        const std::string& other = seeds_[upto(seeds_.size() - 1)];
        text = text.substr(0, at) + other.substr(upto(other.size() - 1));
      }
    }
  }

  const std::vector<std::string>& seeds_;
  std::mt19937 random_{977};
};

/// Every field that leaves was the caller's and may pass, or is one of ours.
void check_origin(const request_head& from, const request_head& to) {
  for (const field& one : to.fields) {
    const bool ours = one.id == known::host || one.id == known::x_request_id || one.id == known::traceparent ||
                      one.id == known::x_forwarded_for || one.id == known::x_forwarded_proto ||
                      one.id == known::x_forwarded_host || one.id == known::forwarded ||
                      one.id == known::content_length || one.id == known::transfer_encoding;
    const bool upgrade = from.upgrade_websocket && (one.id == known::connection || one.id == known::upgrade);
    if (ours || upgrade) continue;
    INFO(one.name);
    bool found = false;
    for (const field& given : from.fields)
      found = found || (given.id == one.id && given.name == one.name && given.value == one.value);
    REQUIRE(found);
    const bool may_pass = one.id == known::other || one.id == known::date || one.id == known::server ||
                          one.id == known::tracestate || (one.id == known::trailer && from.body == framing::chunked);
    REQUIRE(may_pass);
  }
}

void check_forwarded(const request_head& head) {
  std::string request_scratch;
  std::string trace_scratch;
  forward_info info;
  info.target = head.target;
  info.caller = "192.0.2.1";
  info.fallback_host = "fallback";
  info.request_id = choose_request_id(head, 1, 2, request_scratch);
  info.traceparent = choose_traceparent(head, 1, 2, 3, trace_scratch);
  std::string out;
  compose_request(out, head, info);
  INFO(shown(out));
  request_head again;
  const parse_result result = parse_request(out, limit + 1024, again);
  INFO(result.why.detail);
  REQUIRE(result.what == kind::done);
  REQUIRE(result.head_bytes == out.size());
  REQUIRE(again.method == head.method);
  REQUIRE(again.target == head.target);
  REQUIRE(again.host == (head.host.empty() ? "fallback" : head.host));
  REQUIRE(again.body == head.body);
  REQUIRE(again.content_length == head.content_length);
  REQUIRE(again.upgrade_websocket == head.upgrade_websocket);
  REQUIRE(again.find(known::x_forwarded_for)->value == "192.0.2.1");
  check_origin(head, again);
}

void check_replied(const response_head& head) {
  reply_info info;
  info.body = head.body == framing::length    ? body_out::length
              : head.body == framing::chunked ? body_out::chunked
              : head.body == framing::none    ? body_out::none
                                              : body_out::until_close;
  std::string out;
  compose_response(out, head, info);
  INFO(shown(out));
  response_head again;
  const parse_result result = parse_response(out, limit + 1024, "GET", again);
  INFO(result.why.detail);
  REQUIRE(result.what == kind::done);
  REQUIRE(result.head_bytes == out.size());
  REQUIRE(again.status == head.status);
  REQUIRE(again.reason == head.reason);
  REQUIRE(again.body == head.body);
  if (head.body == framing::length) REQUIRE(again.content_length == head.content_length);
}

}  // namespace

TEST_CASE("mutated requests") {
  mutator source(request_seeds());
  unsigned accepted = 0;
  unsigned refused = 0;
  for (int i = 0; i < 40000; ++i) {
    const std::string text = source.next();
    INFO(shown(text));
    const exact whole(text);
    request_head head;
    const parse_result result = parse_request(whole.view(), limit, head);
    if (result.what == kind::refused) {
      ++refused;
      REQUIRE(!result.why.detail.empty());
      continue;
    }
    if (result.what != kind::done) continue;
    ++accepted;
    const std::string_view used = whole.view().substr(0, result.head_bytes);
    ask_beast<true>(used, head.fields, head.body);
    check_forwarded(head);
  }
  CHECK(accepted > 4000);
  CHECK(refused > 4000);
}

TEST_CASE("mutated responses") {
  mutator source(response_seeds());
  unsigned accepted = 0;
  unsigned refused = 0;
  for (int i = 0; i < 30000; ++i) {
    const std::string text = source.next();
    INFO(shown(text));
    const exact whole(text);
    response_head head;
    const parse_result result = parse_response(whole.view(), limit, "GET", head);
    if (result.what == kind::refused) ++refused;
    if (result.what != kind::done) continue;
    ++accepted;
    ask_beast<false>(whole.view().substr(0, result.head_bytes), head.fields, head.body);
    check_replied(head);
  }
  CHECK(accepted > 4000);
  CHECK(refused > 4000);
}

TEST_CASE("what is accepted or refused does not depend on how it is cut") {
  mutator source(request_seeds());
  for (int i = 0; i < 3000; ++i) {
    const std::string text = source.next();
    INFO(shown(text));
    request_head head;
    const parse_result whole = parse_request(text, limit, head);
    parse_result last;
    std::size_t seen = 0;
    for (std::size_t n = 1; n <= text.size() && last.what == kind::need_more; n += 1 + source.upto(30)) {
      const exact part(std::string_view(text).substr(0, n));
      request_head cut;
      last = parse_request(part.view(), limit, cut, seen);
      seen = n;
    }
    if (last.what == kind::need_more) {
      const exact all(text);
      request_head cut;
      last = parse_request(all.view(), limit, cut, seen);
    }
    REQUIRE(last.what == whole.what);
    if (whole.what == kind::done) REQUIRE(last.head_bytes == whole.head_bytes);
  }
}
