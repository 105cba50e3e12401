// Request heads: what is refused, with which status, and what is understood of what is accepted.

#include "tests/gateway/http/feeding.hpp"

namespace {

using namespace rouse::gateway::http;
using namespace rouse::test;
using namespace std::string_literals;

constexpr std::size_t limit = 65536;
constexpr std::string_view next = "GET /next HTTP/1.1\r\nHost: other\r\n\r\n";

parser with_limit(std::size_t most) {
  return [most](std::string_view buffer, std::size_t seen) {
    request_head head;
    return parse_request(buffer, most, head, seen);
  };
}

void accepts(std::string_view head) {
  expect_accepted(head, next, with_limit(limit));
}
void refuses(std::string_view head, unsigned status = 400) {
  expect_refused(head, next, status, with_limit(limit));
}

/// A GET with Host and these lines.
std::string get(std::string_view lines) {
  return "GET /a HTTP/1.1\r\nHost: h\r\n" + std::string(lines) + "\r\n";
}
std::string post(std::string_view lines) {
  return "POST /a HTTP/1.1\r\nHost: h\r\n" + std::string(lines) + "\r\n";
}

struct parsed {
  std::string text;  // `head` points into it
  request_head head;
  explicit parsed(std::string_view from) : text(from) {
    const parse_result result = parse_request(text, limit, head);
    INFO(shown(text) << ": " << result.why.detail);
    REQUIRE(result.what == kind::done);
  }
};

std::string detail_of(std::string_view text) {
  request_head head;
  const parse_result result = parse_request(text, limit, head);
  REQUIRE(result.what == kind::refused);
  return result.why.detail;
}

}  // namespace

TEST_CASE("plain requests are accepted") {
  accepts("GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n");
  accepts("GET / HTTP/1.0\r\n\r\n");
  accepts("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
  accepts("M-SEARCH /a?b=c&d=%20 HTTP/1.1\r\nHost: h\r\n\r\n");
  accepts("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
  accepts(
      get("Empty:\r\nBlank: \t \r\nSpaced:\t  a  b\t \r\nobs-text: caf\xc3\xa9 \xff\r\n!#$%&'*+-.^_`|~9: token\r\n"));
  accepts(get("Name:colons:in:value\r\nA: a\tb\r\n"));
  accepts("GET /a{b}|c?x[0]=\"<>\\^` HTTP/1.1\r\nHost: h\r\n\r\n");
}

TEST_CASE("a request-line that is not exact is refused") {
  const std::string rest = "\r\nHost: h\r\n\r\n";
  for (const char* line : {
           "GET  / HTTP/1.1",
           "GET /  HTTP/1.1",
           " GET / HTTP/1.1",
           "GET / HTTP/1.1 ",
           "GET\t/ HTTP/1.1",
           "GET /\tHTTP/1.1",
           "GET /",
           "GET",
           "GET / HTTP/1.1 x",
           "GET /a b HTTP/1.1",
           "GET / http/1.1",
           "GET / HTTP/1.10",
           "GET / HTTP/11.1",
           "GET / HTTP/1",
           "GET / HTTP/ 1.1",
           "GET / HTTP /1.1",
           "GET / HTTP/1,1",
           "GET / HTTPS/1.1",
           "GET / HTTP/-1.1",
           "GET  HTTP/1.1",
           "get / HTTP/1.1",
           "Get / HTTP/1.1",
           "G(T / HTTP/1.1",
           "GET: / HTTP/1.1",
           "/ HTTP/1.1",
           "GET /a#b HTTP/1.1",
           "GET a HTTP/1.1",
           "GET ?a HTTP/1.1",
           "GET *a HTTP/1.1",
           "GET * HTTP/1.1",
           "POST * HTTP/1.1",
           "GET ftp://h/ HTTP/1.1",
           "GET http:/h/ HTTP/1.1",
           "GET h:80 HTTP/1.1",
           "GET \\a HTTP/1.1",
           "GET /..\\a HTTP/1.1",
           "GET /caf\xc3\xa9 HTTP/1.1",
           "GET /a\x7f HTTP/1.1",
           "G\xc3T / HTTP/1.1",
           "GET /\x80 HTTP/1.1",
           "GET /\x01 HTTP/1.1",
       }) {
    refuses(line + rest);
  }
  refuses("GET /\0a HTTP/1.1"s + rest);
  refuses("\r\n\r\nGET / HTTP/1.1" + rest);
  refuses("\nGET / HTTP/1.1" + rest);
  refuses("\rGET / HTTP/1.1" + rest);
  refuses(rest);
}

TEST_CASE("versions, methods and expectations that are not served have their own status") {
  const std::string rest = "\r\nHost: h\r\n\r\n";
  for (const char* line :
       {"GET / HTTP/2.0", "GET / HTTP/1.2", "GET / HTTP/0.9", "GET / HTTP/3.0", "GET / HTTP/9.9", "PRI * HTTP/2.0"}) {
    refuses(line + rest, 505);
  }
  refuses("CONNECT h:443 HTTP/1.1" + rest, 501);
  refuses("TRACE / HTTP/1.1" + rest, 501);
  refuses(std::string(33, 'A') + " / HTTP/1.1" + rest, 501);
  accepts(std::string(32, 'A') + " / HTTP/1.1" + rest);
  refuses(post("Expect: 200-ok\r\n"), 417);
  refuses(post("Expect: 100-continue, x\r\n"), 417);
  refuses(post("Expect:\r\n"), 417);
}

TEST_CASE("the head's lines and fields are not repaired") {
  for (const char* lines : {
           "A: b\n",          "A: b\r\r\n",
           "A: b\rc\r\n",     "A: b\nc: d\r\n",
           "A\r: b\r\n",      "A: b\r\n c\r\n",
           "A: b\r\n\tc\r\n", " A: b\r\n",
           "\tA: b\r\n",      "A : b\r\n",
           "A\t: b\r\n",      ": b\r\n",
           " : b\r\n",        "A\r\n",
           "A b: c\r\n",      "A(: b\r\n",
           "A\"b: c\r\n",     "A/b: c\r\n",
           "A[: b\r\n",       "A{: b\r\n",
           "A@b: c\r\n",      "A,b: c\r\n",
           "A;b: c\r\n",      "A=b: c\r\n",
           "A?b: c\r\n",      "caf\xc3\xa9: b\r\n",
           "A\x80: b\r\n",    "A\x7f: b\r\n",
           "A: b\x7f\r\n",    "A: \x01\r\n",
           "A: b\x1b[0m\r\n", "A: \x0b\r\n",
           "A: b\x0c\r\n",    "A: b\x08\r\n",
           "\x01: b\r\n",     "\r\r\n",
           "\rA: b\r\n",
       }) {
    refuses(get(lines));
  }
  refuses(get("A: b\0c\r\n"s));
  refuses(get("A\0: b\r\n"s));
  refuses("GET / HTTP/1.1\r\n Host: h\r\n\r\n");
  refuses("GET / HTTP/1.1\r\nHost: h\r\n\n");
  refuses("GET / HTTP/1.1\nHost: h\n\n");
  refuses("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\r\n");
}

TEST_CASE("Content-Length is one plain number") {
  for (const char* value : {"-1",
                            "+1",
                            "1 1",
                            "1,1",
                            "1, 1",
                            "2,",
                            ",2",
                            "0x10",
                            "1.0",
                            "1e3",
                            "",
                            " ",
                            "a",
                            "1a",
                            "\"1\"",
                            "1;",
                            "18446744073709551616",
                            "9223372036854775808",
                            "99999999999999999999",
                            "\xd9\xa1"}) {
    refuses(post("Content-Length: "s + value + "\r\n"));
  }
  refuses(post("Content-Length: 2\r\nContent-Length: 2\r\n"));
  refuses(post("Content-Length: 2\r\nContent-length: 3\r\n"));
  refuses(post("Content-Length : 2\r\n"));
  refuses(post("Content-Length: 2\r\n 3\r\n"));
  refuses(post("Content_Length: 2\r\n"));
  CHECK(parsed(post("content-LENGTH:9223372036854775807\r\n")).head.content_length == 9223372036854775807U);
  const parsed none(post("Content-Length: 0\r\n"));
  CHECK(none.head.body == framing::length);
  CHECK(none.head.content_length == 0);
  CHECK(parsed(get("")).head.body == framing::none);
}

TEST_CASE("Transfer-Encoding is exactly chunked, and alone") {
  for (const char* value :
       {"xchunked", "identity", "gzip", "chunked, chunked", "chunked, gzip", "", ",", "chunked,", ",chunked",
        "chunked;a=b", "\"chunked\"", "chunked x", "x chunked", "chunked\x0b", "chunke", "chunkedd", "'chunked'"}) {
    refuses(post("Transfer-Encoding: "s + value + "\r\n"));
  }
  refuses(post("Transfer-Encoding: gzip, chunked\r\n"), 501);
  refuses(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"));
  refuses(post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"));
  refuses(post("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n"));
  refuses(post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"));
  refuses(post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"));
  refuses(post("Transfer-Encoding : chunked\r\n"));
  refuses(post("Transfer-Encoding:\r\n chunked\r\n"));
  refuses(post("Transfer_Encoding: chunked\r\n"));
  refuses("POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  CHECK(parsed(post("Transfer-Encoding: chunked\r\n")).head.body == framing::chunked);
  CHECK(parsed(post("transfer-encoding:\tCHUNKED \t\r\n")).head.body == framing::chunked);
}

TEST_CASE("Host is one valid authority") {
  for (const char* value : {"",       " ",      "a@b",         "user:pw@h",  "a b",    "a,b",  "a, b",
                            "h:",     "h:0",    "h:65536",     "h:99999999", "h:+1",   "h:8a", "h:80:80",
                            "h/",     "h/a",    "h?a",         "http://h",   "[::1",   "::1",  "[]",
                            "[g::1]", "[::1]x", "[::1]:",      "[::1%eth0]", "[v1.a]", "a..b", ".a",
                            "%41",    "a%00",   "caf\xc3\xa9", "a\\b",       "a;b",    "a\"b", "<a>",
                            "h#",     "*"}) {
    refuses("GET / HTTP/1.1\r\nHost: "s + value + "\r\n\r\n");
    refuses("GET / HTTP/1.0\r\nHost: "s + value + "\r\n\r\n");
  }
  refuses("GET / HTTP/1.1\r\nHost: " + std::string(256, 'a') + "\r\n\r\n");
  refuses("GET / HTTP/1.1\r\n\r\n");
  refuses("GET / HTTP/1.1\r\nHostname: h\r\n\r\n");
  refuses("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n");
  refuses("GET / HTTP/1.1\r\nHost: h\r\nhost: i\r\n\r\n");
  refuses("GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n");
  refuses("GET / HTTP/1.1\r\nHost : h\r\n\r\n");
  for (const char* value :
       {"h", "a.b.c.", "A-b_c~1.example", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::ffff:1.2.3.4]:65535", "h:1"}) {
    const std::string text = "GET / HTTP/1.1\r\nHost: "s + value + "\r\n\r\n";
    accepts(text);
    CHECK(parsed(text).head.host == value);
  }
}

TEST_CASE("absolute-form gives the host and is reduced to a path") {
  const parsed full("GET http://Example.com:80/a?b=//c HTTP/1.1\r\nHost: example.com\r\n\r\n");
  CHECK(full.head.target == "/a?b=//c");
  CHECK(full.head.host == "Example.com:80");
  CHECK(parsed("GET HTTPS://h:8443/ HTTP/1.1\r\nHost: h:8443\r\n\r\n").head.target == "/");
  CHECK(parsed("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n").head.target == "/");
  CHECK(parsed("OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n").head.target == "*");
  CHECK(parsed("GET http://h/x HTTP/1.0\r\n\r\n").head.host == "h");
  for (const char* target : {"http://i/", "http://h:81/", "https://h:80/", "http:///", "http://", "http://u@h/",
                             "http://h:x/", "http://h?a", "http://h\\a/", "http://[h]/"}) {
    refuses("GET "s + target + " HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  refuses("GET http://h/ HTTP/1.1\r\n\r\n");
  CHECK(parsed("GET //evil/a HTTP/1.1\r\nHost: h\r\n\r\n").head.host == "h");
}

TEST_CASE("a head has limits in bytes and fields") {
  const std::string text = get("A: " + std::string(1000, 'x') + "\r\n");
  expect_accepted(text, next, with_limit(text.size()));
  expect_refused(text, next, 431, with_limit(text.size() - 1));
  expect_refused("GET /" + std::string(5000, 'x'), "x", 431, with_limit(4096));
  std::string many;
  for (int i = 0; i < 255; ++i) many += "a: b\r\n";
  accepts(get(many));
  refuses(get(many + "a: b\r\n"), 431);
}

TEST_CASE("what can never become a request is refused before it is complete") {
  const auto refused_after = [](std::string_view text, std::size_t bytes) {
    const dribbled slow = dribble(text, with_limit(limit));
    INFO(shown(text) << " after " << slow.at << ": " << slow.result.why.detail);
    CHECK(slow.result.what == kind::refused);
    CHECK(slow.at == bytes);
  };
  refused_after("\x16\x03\x01\x02\x01", 1);
  refused_after("\x80garbage", 1);
  refused_after("<html>", 1);
  refused_after("GEt", 3);
  refused_after(std::string(40, 'A'), 33);
  refused_after("GET / HTTP/1.1\n", 15);
  refused_after("GET /\r\n", 7);
  refused_after("GET / HTTP/2.0\r\n", 16);
  refused_after("GET / HTTP/1.1\rx", 16);
  refused_after("GET /\x01", 6);
  refused_after("GET / HTTP/1.1\r\n A", 17);
  refused_after("GET / HTTP/1.1\r\nA: b\n", 21);
  refused_after("GET / HTTP/1.1\r\nA: b\x7f", 21);
  refused_after("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", 34);
  CHECK(detail_of("\x16\x03\x01").find("TLS") != std::string::npos);
  CHECK(detail_of("GET / HTTP/1.1\n").find("bare LF") != std::string::npos);
  CHECK(detail_of(get("A: b\r\n c: d\r\n")).find("Line 4") != std::string::npos);
  CHECK(detail_of(get("A: b\x02\r\n")).find("Line 3") != std::string::npos);
  CHECK(detail_of(get("A: b\x02\r\n")).find("0x02") != std::string::npos);
}

TEST_CASE("a wrong `seen` never makes a head of something else") {
  const std::string text = get("") + std::string(next);
  for (std::size_t seen = 0; seen < text.size() + 3; ++seen) {
    request_head head;
    const parse_result result = parse_request(text, limit, head, seen);
    if (result.what == kind::done) CHECK(result.head_bytes == get("").size());
  }
}

TEST_CASE("keep-alive follows version and Connection") {
  const auto kept = [](const char* version, const char* connection) {
    return parsed("GET / HTTP/"s + version + "\r\nHost: h\r\n" + connection + "\r\n").head.keep_alive;
  };
  CHECK(kept("1.1", ""));
  CHECK_FALSE(kept("1.1", "Connection: close\r\n"));
  CHECK_FALSE(kept("1.1", "Connection: keep-alive\r\nConnection: Close\r\n"));
  CHECK(kept("1.1", "Connection: closed, ,x\r\n"));
  CHECK_FALSE(kept("1.0", ""));
  CHECK(kept("1.0", "Connection: Keep-Alive\r\n"));
  CHECK_FALSE(kept("1.0", "Connection: keep-alive, close\r\n"));
  CHECK_FALSE(kept("1.0", "Proxy-Connection: keep-alive\r\n"));
}

TEST_CASE("Connection names hop-by-hop fields, but never takes away what rouse relies on") {
  const parsed one(
      get("X-Secret: 1\r\nConnection: x-secret, Host, X-Forwarded-For, content-length\r\nx-SECRET: 2\r\nX-Other: 3\r\n"
          "X-Forwarded-For: 1.2.3.4\r\nContent-Length: 5\r\n"));
  CHECK(one.head.fields[1].id == known::connection_listed);
  CHECK(one.head.fields[3].id == known::connection_listed);
  CHECK(one.head.fields[4].id == known::other);
  CHECK(one.head.fields[5].id == known::x_forwarded_for);
  CHECK(one.head.find(known::host) != nullptr);
  CHECK(one.head.content_length == 5);
  refuses(get("Connection: a b\r\n"));
  refuses(get("Connection: \"close\"\r\n"));
  refuses(get("Connection: close;x\r\n"));
  std::string options = "Connection: a";
  for (int i = 1; i < 32; ++i) options += ",a";
  accepts(get(options + "\r\n"));
  refuses(get(options + ",a\r\n"));
  refuses(get(options + "\r\nConnection: a\r\n"));
}

TEST_CASE("fields that rouse treats in its own way are told from all others") {
  const parsed one(
      get("TE: trailers\r\nx_forwarded_for: 1\r\nX_Request_Id: 2\r\nX-Forwarded-Prefix: /\r\nX-Forwarded-: 1\r\n"
          "Forwarded: for=a\r\nHTTP2-Settings: x\r\nX-Real_IP: 1\r\nProxy-Authorization: y\r\nTraceState: a=b\r\n"));
  const known ids[] = {known::host,
                       known::te,
                       known::connection_listed,
                       known::connection_listed,
                       known::x_forwarded_other,
                       known::other,
                       known::forwarded,
                       known::http2_settings,
                       known::other,
                       known::proxy_authorization,
                       known::tracestate};
  REQUIRE(one.head.fields.size() == std::size(ids));
  for (std::size_t i = 0; i < std::size(ids); ++i) {
    INFO(i);
    CHECK(one.head.fields[i].id == ids[i]);
  }
}

TEST_CASE("Expect: 100-continue counts when there is a body, in HTTP/1.1") {
  CHECK(parsed(post("Expect: 100-Continue\r\nContent-Length: 3\r\n")).head.expect_continue);
  CHECK(parsed(post("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n")).head.expect_continue);
  CHECK_FALSE(parsed(post("Expect: 100-continue\r\nContent-Length: 0\r\n")).head.expect_continue);
  CHECK_FALSE(parsed(post("Expect: 100-continue\r\n")).head.expect_continue);
  CHECK_FALSE(parsed("POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: anything\r\n\r\n").head.expect_continue);
}

TEST_CASE("a WebSocket upgrade is the only one") {
  const std::string good = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
  CHECK(parsed(get(good)).head.upgrade_websocket);
  CHECK(parsed(get(good + "Content-Length: 0\r\n")).head.upgrade_websocket);
  CHECK_FALSE(parsed(get(good + "Content-Length: 1\r\n")).head.upgrade_websocket);
  CHECK_FALSE(parsed(get(good + "Transfer-Encoding: chunked\r\n")).head.upgrade_websocket);
  CHECK_FALSE(parsed(post(good)).head.upgrade_websocket);
  CHECK_FALSE(parsed(get("Upgrade: websocket\r\n")).head.upgrade_websocket);
  CHECK_FALSE(parsed(get("Connection: upgrade\r\n")).head.upgrade_websocket);
  CHECK_FALSE(parsed(get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n"))
                  .head.upgrade_websocket);
  CHECK_FALSE(parsed(get("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n")).head.upgrade_websocket);
  CHECK_FALSE(parsed(get(good + "Upgrade: h2c\r\n")).head.upgrade_websocket);
  CHECK_FALSE(parsed("GET / HTTP/1.0\r\nHost: h\r\n" + good + "\r\n").head.upgrade_websocket);
}

TEST_CASE("idempotent methods") {
  for (const char* method : {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}) {
    CHECK(parsed(method + " / HTTP/1.1\r\nHost: h\r\n\r\n"s).head.idempotent);
  }
  for (const char* method : {"POST", "PATCH", "GETS", "LOCK"}) {
    CHECK_FALSE(parsed(method + " / HTTP/1.1\r\nHost: h\r\n\r\n"s).head.idempotent);
  }
}

TEST_CASE("a head is reused: nothing is left of the one before") {
  request_head head;
  const std::string first = post("Content-Length: 7\r\nExpect: 100-continue\r\nConnection: close\r\n");
  REQUIRE(parse_request(first, limit, head).what == kind::done);
  const std::string second = "POST /b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
  REQUIRE(parse_request(second, limit, head).what == kind::done);
  CHECK(head.host.empty());
  CHECK(head.body == framing::none);
  CHECK(head.content_length == 0);
  CHECK(head.keep_alive);
  CHECK_FALSE(head.expect_continue);
  CHECK(head.fields.size() == 1);
  CHECK(head.target == "/b");
}
