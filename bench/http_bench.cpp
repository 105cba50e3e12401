// What a head costs: parse_request + compose_request and parse_response + compose_response, in nanoseconds on one core,
// for the requests of load generators and of a browser. `http_bench [ROUNDS]`; prints the median and the best of many
// short rounds (on a busy machine the best is the one to compare). The lines "Beast alone" are Beast's basic_parser
// over the same bytes with callbacks that do nothing, to compare with.

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "gateway/http/compose.hpp"
#include "gateway/http/message.hpp"

namespace {

namespace http = rouse::gateway::http;
namespace beast = boost::beast;
using clock_type = std::chrono::steady_clock;

constexpr int per_round = 200;

template <bool is_request>
class idle_parser final : public beast::http::basic_parser<is_request> {
 public:
  idle_parser() {
    this->header_limit(std::numeric_limits<std::uint32_t>::max());
    this->body_limit(boost::none);
  }

 private:
  using view = beast::string_view;
  using code = beast::error_code;
  void on_request_impl(beast::http::verb, view, view, int, code&) override {}
  void on_response_impl(int, view, int, code&) override {}
  void on_field_impl(beast::http::field, view, view, code&) override {}
  void on_header_impl(code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, code&) override {}
  std::size_t on_body_impl(view body, code&) override { return body.size(); }
  void on_chunk_header_impl(std::uint64_t, view, code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, view body, code&) override { return body.size(); }
  void on_finish_impl(code&) override {}
};

/// Runs `body` per_round times in each of `rounds` rounds; the median, in nanoseconds per call. Each call gives a
/// number that depends on its work, so that none can be left out.
template <typename Body>
void measure(const char* name, std::size_t bytes, int rounds, Body body) {
  std::vector<double> figures;
  std::size_t sum = 0;
  for (int round = 0; round < rounds; ++round) {
    const auto begin = clock_type::now();
    for (int i = 0; i < per_round; ++i) sum += body();
    const std::chrono::duration<double, std::nano> took = clock_type::now() - begin;
    figures.push_back(took.count() / per_round);
  }
  std::sort(figures.begin(), figures.end());
  std::printf("%-44s %5zu bytes  %7.1f ns  (best %.1f)\n", name, bytes, figures[figures.size() / 2], figures.front());
  if (sum == 0) std::abort();
}

template <bool is_request>
std::size_t beast_alone(const std::string& text) {
  idle_parser<is_request> parser;
  beast::error_code ec;
  return parser.put(boost::asio::const_buffer(text.data(), text.size()), ec);
}

[[noreturn]] void refused(const http::refusal& why) {
  std::fprintf(stderr, "refused: %s\n", why.detail.c_str());
  std::exit(1);
}

void bench_request(const std::string& name, const std::string& text, int rounds) {
  http::request_head head;
  std::string out;
  http::forward_info info;
  info.caller = "127.0.0.1";
  info.request_id = "00112233445566778899aabbccddeeff";
  info.traceparent = "00-00112233445566778899aabbccddeeff-0011223344556677-00";
  const auto parse = [&] {
    const http::parse_result result = http::parse_request(text, 65536, head);
    if (result.what != http::parse_result::kind::done) refused(result.why);
    return result.head_bytes;
  };
  const auto compose = [&] {
    out.clear();
    info.target = head.target;
    http::compose_request(out, head, info);
    return out.size();
  };
  measure((name + ": Beast alone").c_str(), text.size(), rounds, [&] { return beast_alone<true>(text); });
  measure((name + ": parse").c_str(), text.size(), rounds, parse);
  measure((name + ": compose").c_str(), text.size(), rounds, compose);
  measure((name + ": parse + compose").c_str(), text.size(), rounds, [&] { return parse() + compose(); });
}

void bench_response(const std::string& name, const std::string& text, int rounds) {
  http::response_head head;
  std::string out;
  http::reply_info info;
  info.body = http::body_out::length;
  const auto parse = [&] {
    const http::parse_result result = http::parse_response(text, 65536, "GET", head);
    if (result.what != http::parse_result::kind::done) refused(result.why);
    return result.head_bytes;
  };
  const auto compose = [&] {
    out.clear();
    http::compose_response(out, head, info);
    return out.size();
  };
  measure((name + ": Beast alone").c_str(), text.size(), rounds, [&] { return beast_alone<false>(text); });
  measure((name + ": parse + compose").c_str(), text.size(), rounds, [&] { return parse() + compose(); });
}

void bench_chunks(int rounds) {
  std::string body;
  for (int i = 0; i < 16; ++i) body += "400\r\n" + std::string(1024, 'x') + "\r\n";
  body += "0\r\n\r\n";
  std::string buffer = body;
  http::chunk_decoder decoder;
  measure("chunked body, 16 chunks of 1 KiB: decode", body.size(), rounds / 4 + 1, [&] {
    buffer.assign(body);  // decoding is in place, so each call needs a copy; its cost is in the figure
    decoder.reset();
    return decoder.decode(buffer.data(), buffer.size()).produced;
  });
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 3001;
  bench_request("wrk", "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n", rounds);
  bench_request(
      "curl",
      "GET /function/hello/some/path?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
      "X-Tier: gold\r\nConnection: keep-alive\r\n\r\n",
      rounds);
  bench_request(
      "browser",
      "GET /function/shop/catalogue/items?category=shoes&page=3&sort=price HTTP/1.1\r\nHost: shop.example.com\r\n"
      "Connection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"124\", \"Google Chrome\";v=\"124\", "
      "\"Not-A.Brand\";v=\"99\"\r\n"
      "sec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\n"
      "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 "
      "Safari/537.36\r\n"
      "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
      "application/signed-exchange;v=b3;q=0.7\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\n"
      "Sec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\nReferer: "
      "https://shop.example.com/catalogue?category=shoes&page=2\r\n"
      "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7\r\n"
      "Cookie: session=8c1f0a4b7e2d4f6a9b3c5d7e9f1a2b4c; theme=dark; consent=granted; "
      "cart=eyJpdGVtcyI6W3siaWQiOjQyLCJxdHkiOjF9XX0\r\n"
      "If-None-Match: \"33a64df551425fcc55e4d42a148795d9f25f89d4\"\r\n\r\n",
      rounds);
  bench_response(
      "response",
      "HTTP/1.1 200 OK\r\nServer: function/1.0\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain; "
      "charset=utf-8\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\n",
      rounds);
  bench_chunks(rounds);
}
