// What leaves rouse: golden heads to instances and callers, ids, and the errors of its own.

#include <catch2/catch.hpp>
#include <limits>
#include <nlohmann/json.hpp>

#include "gateway/http/compose.hpp"

namespace {

using namespace rouse::gateway::http;
using namespace std::string_literals;

constexpr std::size_t limit = 65536;

std::string forwarded(const std::string& text, forward_info info) {
  request_head head;
  const parse_result result = parse_request(text, limit, head);
  INFO(result.why.detail);
  REQUIRE(result.what == parse_result::kind::done);
  if (info.target.empty()) info.target = head.target;
  if (info.request_id.empty()) info.request_id = "id";
  std::string scratch;
  if (info.traceparent.empty()) info.traceparent = choose_traceparent(head, 1, 2, 3, scratch);
  std::string out = "kept";
  compose_request(out, head, info);
  REQUIRE(out.starts_with("kept"));
  return out.substr(4);
}

forward_info from(std::string_view caller) {
  forward_info info;
  info.caller = caller;
  return info;
}

std::string replied(const std::string& text, const reply_info& info, std::string_view method = "GET") {
  response_head head;
  const parse_result result = parse_response(text, limit, method, head);
  INFO(result.why.detail);
  REQUIRE(result.what == parse_result::kind::done);
  std::string out;
  compose_response(out, head, info);
  return out;
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

const std::string made_trace = "00-00000000000000010000000000000002-0000000000000003-00";

}  // namespace

TEST_CASE("a request on its way to an instance") {
  forward_info info = from("192.0.2.7");
  info.target = "/rest?x=1";
  CHECK(
      forwarded(
          "POST /function/f/rest?x=1 HTTP/1.1\r\nHost: example.com:8080\r\nAccept:  */* \r\nContent-Length: 5\r\n"
          "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nTrailer: X-Sum\r\n"
          "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nProxy-Authenticate: Basic\r\nUpgrade: "
          "h2c\r\n"
          "HTTP2-Settings: AAM\r\nExpect: 100-continue\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\n"
          "X-Forwarded-Proto: https\r\nX-Forwarded-Prefix: /evil\r\nX_Forwarded_For: 6.6.6.6\r\nForwarded: "
          "for=6.6.6.6\r\n"
          "X-Request-Id: old\r\ntraceparent: bad\r\ntracestate: a=b\r\nX-Last: caf\xc3\xa9\r\n\r\n",
          info) ==
      "POST /rest?x=1 HTTP/1.1\r\nHost: example.com:8080\r\nAccept: */*\r\nX-Last: caf\xc3\xa9\r\nContent-Length: 5\r\n"
      "X-Request-Id: id\r\ntraceparent: " +
          made_trace +
          "\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n"
          "X-Forwarded-Host: example.com:8080\r\nForwarded: "
          "for=192.0.2.7;host=\"example.com:8080\";proto=http\r\n\r\n");
}

TEST_CASE("a trusted proxy is believed and extended") {
  const std::string text =
      "GET / HTTP/1.1\r\nHost: inner\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\nX-Forwarded-For: 3.3.3.3\r\n"
      "X-Forwarded-Proto: https\r\nX-Forwarded-Host: outer\r\nX-Forwarded-Port: 443\r\n"
      "Forwarded: for=1.1.1.1;proto=https\r\n\r\n";
  forward_info info = from("2001:db8::1");
  info.trusted = true;
  const std::string out = forwarded(text, info);
  CHECK(has(out, "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 2001:db8::1\r\n"));
  CHECK(has(out, "X-Forwarded-Proto: https\r\nX-Forwarded-Host: outer\r\n"));
  CHECK(has(out, "X-Forwarded-Port: 443\r\n"));
  CHECK(has(out, "Forwarded: for=1.1.1.1;proto=https, for=\"[2001:db8::1]\";host=inner;proto=http\r\n"));
  const std::string bare = forwarded("GET / HTTP/1.1\r\nHost: h\r\n\r\n", info);
  CHECK(has(bare, "X-Forwarded-For: 2001:db8::1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h\r\n"));
}

TEST_CASE("HTTP/1.0, chunked and WebSocket requests") {
  forward_info info = from("192.0.2.7");
  info.fallback_host = "[::1]:80";
  const std::string old = forwarded("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", info);
  CHECK(old.starts_with("GET / HTTP/1.1\r\nHost: [::1]:80\r\n"));
  CHECK(has(old, "host=\"[::1]:80\""));
  CHECK_FALSE(has(old, "Connection"));
  const std::string chunked =
      forwarded("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\nTrailer: X-Sum\r\n\r\n", info);
  CHECK(has(chunked, "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n"));
  CHECK_FALSE(has(chunked, "Content-Length"));
  const std::string upgrade = forwarded(
      "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n", info);
  CHECK(upgrade.ends_with("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
  CHECK(has(upgrade, "Sec-WebSocket-Key: k\r\n"));
  CHECK(has(forwarded("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", info), "Content-Length: 0\r\n"));
  CHECK_FALSE(has(forwarded("GET / HTTP/1.1\r\nHost: h\r\n\r\n", info), "Content-Length"));
  CHECK(has(forwarded("GET http://h:80/a HTTP/1.1\r\nHost: h\r\n\r\n", info), "GET /a HTTP/1.1\r\nHost: h:80\r\n"));
  CHECK(has(forwarded("GET / HTTP/1.1\r\nHost: h\r\n\r\n", from("/run/x")), "Forwarded: for=unknown;host=h;"));
}

TEST_CASE("tracestate goes with its traceparent only") {
  const std::string trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const std::string text = "GET / HTTP/1.1\r\nHost: h\r\ntraceparent: " + trace + "\r\ntracestate: a=b\r\n";
  const std::string passed = forwarded(text + "\r\n", from("::1"));
  CHECK(has(passed, "traceparent: " + trace + "\r\n"));
  CHECK(has(passed, "tracestate: a=b\r\n"));
  const std::string twice = forwarded(text + "traceparent: " + trace + "\r\n\r\n", from("::1"));
  CHECK(has(twice, "traceparent: " + made_trace + "\r\n"));
  CHECK_FALSE(has(twice, "tracestate"));
  CHECK_FALSE(has(twice, trace));
}

TEST_CASE("ids are taken over when usable, else made") {
  std::string scratch;
  const auto id_of = [&](const std::string& value) {
    request_head head;
    head.fields.push_back({"X-Request-Id", value, known::x_request_id});
    return std::string(choose_request_id(head, 0x0123456789abcdef, 0xfedcba9876543210, scratch));
  };
  const std::string made = "0123456789abcdeffedcba9876543210";
  CHECK(id_of("Ab9._:@/+=-") == "Ab9._:@/+=-");
  CHECK(id_of(std::string(128, 'a')) == std::string(128, 'a'));
  for (const std::string& bad :
       {""s, std::string(129, 'a'), "a b"s, "a\"b"s, "a,b"s, "a;b"s, "\xc3\xa9"s, "<a>"s, "a%41"s})
    CHECK(id_of(bad) == made);
  CHECK(choose_request_id(request_head{}, 0, 1, scratch) == "00000000000000000000000000000001");

  const auto trace_of = [&](const std::string& value) {
    request_head head;
    head.fields.push_back({"traceparent", value, known::traceparent});
    return std::string(choose_traceparent(head, 1, 2, 3, scratch));
  };
  const std::string ids = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-";
  for (const std::string& good : {"00-" + ids + "01", "00-" + ids + "ff", "01-" + ids + "01",
                                  "cc-" + ids + "01-what-comes", "fe-" + ids + "00-"}) {
    CHECK(trace_of(good) == good);
  }
  for (const std::string& bad : {""s, "ff-" + ids + "01", "00-" + ids + "01-x", "00-" + ids + "1", "01-" + ids + "01x",
                                 "00-" + ids + "0g", "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"s,
                                 "0g-" + ids + "01", "00-00000000000000000000000000000000-b7ad6b7169203331-01"s,
                                 "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"s, "00_" + ids + "01"}) {
    CHECK(trace_of(bad) == made_trace);
  }
  CHECK(choose_traceparent(request_head{}, 0, 0, 0, scratch) ==
        "00-00000000000000000000000000000001-0000000000000001-00");
}

TEST_CASE("a response on its way to the caller") {
  reply_info info;
  info.body = body_out::length;
  const std::string text =
      "HTTP/1.1 200 Fine\r\nServer: s\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
      "Proxy-Authenticate: x\r\nUpgrade: h2\r\nTrailer: X-Sum\r\nContent-Length: 13\r\nSet-Cookie: a\r\nSet-Cookie: "
      "b\r\n\r\n";
  CHECK(replied(text, info) ==
        "HTTP/1.1 200 Fine\r\nServer: s\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 13\r\n\r\n");
  info.date = "Sun, 06 Nov 1994 08:49:37 GMT";
  info.park_ms = 1.2344;
  CHECK(replied("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", info) ==
        "HTTP/1.1 200 \r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\nServer-Timing: "
        "park;dur=1.234\r\n\r\n");
  CHECK_FALSE(has(replied("HTTP/1.1 200 OK\r\ndate: x\r\nContent-Length: 0\r\n\r\n", info), "Date: Sun"));
  info.cold_ms = 1999.9996;
  CHECK(has(replied(text, info), "Server-Timing: park;dur=1.234, cold;dur=2000.000\r\n"));
  info.park_ms.reset();
  info.cold_ms = -1;
  CHECK(has(replied(text, info), "Server-Timing: cold;dur=0.000\r\n"));
  info.cold_ms = std::numeric_limits<double>::quiet_NaN();
  CHECK(has(replied(text, info), "cold;dur=0.000\r\n"));
  info.cold_ms = 1e300;
  CHECK(has(replied(text, info), "cold;dur=1000000000000.000\r\n"));
}

TEST_CASE("framing and Connection of responses") {
  reply_info info;
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n";
  info.body = body_out::chunked;
  CHECK(replied(chunked, info) == "HTTP/1.1 200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n");
  info.body = body_out::until_close;
  CHECK(replied(chunked, info) == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
  info.body = body_out::none;
  const std::string length = "Content-Length: 9\r\n\r\n";
  CHECK(replied("HTTP/1.1 200 OK\r\n" + length, info, "HEAD") == "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
  CHECK(replied("HTTP/1.1 304 N\r\n" + length, info) == "HTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\n");
  CHECK(replied("HTTP/1.1 204 N\r\n" + length, info) == "HTTP/1.1 204 N\r\n\r\n");
  CHECK(replied("HTTP/1.1 200 OK\r\n\r\n", info, "HEAD") == "HTTP/1.1 200 OK\r\n\r\n");
  info.caller_version = 10;
  CHECK(has(replied("HTTP/1.1 204 N\r\n\r\n", info), "\r\nConnection: keep-alive\r\n"));
  info.keep_alive = false;
  CHECK(has(replied("HTTP/1.1 204 N\r\n\r\n", info), "\r\nConnection: close\r\n"));
  const std::string tunnel =
      replied("HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: k\r\n\r\n", info);
  CHECK(tunnel == "HTTP/1.1 101 Go\r\nSec-WebSocket-Accept: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  response_head hints;
  const std::string early =
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: y\r\nContent-Length: 0\r\n\r\n";
  REQUIRE(parse_response(early, limit, "GET", hints).what == parse_result::kind::done);
  std::string out;
  compose_interim(out, hints);
  CHECK(out == "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
}

TEST_CASE("rouse's own errors are problem details") {
  problem_reply problem;
  problem.status = 503;
  problem.type = "queue-full";
  problem.detail = "a \"quoted\"\r\nline \x01 and \xff\xc3 bytes \xc3\xa9";
  problem.function = "thumb";
  problem.request_id = "id-1";
  problem.retry_after = 7;
  problem.keep_alive = true;
  problem.date = "now";
  std::string out;
  compose_problem(out, problem);
  const std::size_t end = out.find("\r\n\r\n") + 4;
  const std::string head = out.substr(0, end);
  const std::string body = out.substr(end);
  CHECK(head ==
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\n"
        "Content-Length: " +
            std::to_string(body.size()) + "\r\nX-Request-Id: id-1\r\nRetry-After: 7\r\nDate: now\r\n\r\n");
  const auto json = nlohmann::ordered_json::parse(body);
  CHECK(json["type"] == "queue-full");
  CHECK(json["title"] == "Queue full");
  CHECK(json["status"] == 503);
  CHECK(json["detail"] == "a \"quoted\"\r\nline \x01 and \xef\xbf\xbd\xef\xbf\xbd bytes \xc3\xa9");
  CHECK(json["function"] == "thumb");
  CHECK(json["request_id"] == "id-1");
  CHECK(body.starts_with("{\"type\":"));

  problem.function = {};
  problem.keep_alive = false;
  problem.head_only = true;
  problem.retry_after.reset();
  problem.request_id = "a\r\nSet-Cookie: b";
  out.clear();
  compose_problem(out, problem);
  CHECK(out.ends_with("Connection: close\r\n\r\n"));
  CHECK_FALSE(has(out, "Set-Cookie"));
  CHECK_FALSE(has(out, "Retry-After"));
  CHECK_FALSE(has(out, "Content-Length: 0"));
  response_head parsed;
  CHECK(parse_response(out, limit, "HEAD", parsed).what == parse_result::kind::done);

  problem.head_only = false;
  problem.keep_alive = true;
  problem.caller_version = 10;
  out.clear();
  compose_problem(out, problem);
  CHECK(has(out, "Connection: keep-alive\r\n"));
  CHECK_FALSE(nlohmann::json::parse(out.substr(out.find("\r\n\r\n"))).contains("function"));
}

TEST_CASE("status texts and dates") {
  CHECK(status_text(429) == "Too Many Requests");
  CHECK(status_text(431) == "Request Header Fields Too Large");
  CHECK(status_text(299) == "Unknown");
  std::string date;
  write_date(date, std::chrono::system_clock::from_time_t(784111777));
  CHECK(date == "Sun, 06 Nov 1994 08:49:37 GMT");
  write_date(date, std::chrono::system_clock::from_time_t(0));
  CHECK(date == "Thu, 01 Jan 1970 00:00:00 GMT");
}

TEST_CASE("problems: what the function's fallback says takes the problem's place") {
  rouse::config::fallback instead;
  instead.status = 200;
  instead.content_type = "application/json";
  instead.body = "{}";
  problem_reply problem;
  problem.status = 503;
  problem.type = "queue-full";
  problem.retry_after = 1;
  problem.request_id = "id-1";
  problem.keep_alive = true;
  problem.instead = &instead;
  std::string out;
  compose_problem(out, problem);
  CHECK(out ==
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: 2\r\n"
        "X-Request-Id: id-1\r\n\r\n{}");
  instead.status = 204;
  instead.body.clear();
  out.clear();
  compose_problem(out, problem);
  CHECK(out == "HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\nX-Request-Id: id-1\r\n\r\n");
}
