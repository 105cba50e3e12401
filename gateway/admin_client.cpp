#include "gateway/admin_client.hpp"

#include <charconv>
#include <chrono>
#include <cstddef>
#include <system_error>
#include <utility>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

namespace rouse::gateway {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::seconds usual_patience{10};

/// One request on one connection. Asynchronous operations, run one at a time, because those can be timed out.
class exchange {
 public:
  explicit exchange(const admin_address& at, std::chrono::seconds patience = usual_patience)
      : at_(at), patience_(patience), stream_(context_) {}

  void connect() {
    error_code error;
    tcp::resolver resolver(context_);
    const auto found = resolver.resolve(at_.host, std::to_string(at_.port), tcp::resolver::numeric_service, error);
    if (error) fail("cannot be resolved", error);
    stream_.expires_after(usual_patience);
    stream_.async_connect(found, [&error](const error_code& result, const tcp::endpoint&) { error = result; });
    run();
    if (error) fail("cannot be reached", error);
  }

  /// Without a body where `body` is empty.
  void send(const std::string& method, const std::string& target, const std::string& body) {
    http::request<http::string_body> request(http::string_to_verb(method), target, 11);
    if (!body.empty()) {
      request.set(http::field::content_type, "application/json");
      request.body() = body;
      request.prepare_payload();
    }
    request.set(http::field::host, at_.authority);
    request.set(http::field::user_agent, "rouse");
    request.set(http::field::connection, "close");
    if (!at_.token.empty()) request.set(http::field::authorization, "Bearer " + at_.token);
    error_code error;
    stream_.expires_after(patience_);
    http::async_write(stream_, request, [&error](const error_code& result, std::size_t) { error = result; });
    run();
    if (error) fail("broke the connection", error);
  }

  unsigned read_head() {
    parser_.body_limit(boost::none);
    error_code error;
    stream_.expires_after(patience_);
    http::async_read_header(stream_, buffer_, parser_,
                            [&error](const error_code& result, std::size_t) { error = result; });
    run();
    if (error) fail("gave no answer that is HTTP", error);
    return parser_.get().result_int();
  }

  void read_body(const std::function<void(std::string_view)>& piece, bool for_ever) {
    char space[16 * 1024];
    while (!parser_.is_done()) {
      parser_.get().body().data = space;
      parser_.get().body().size = sizeof space;
      error_code error;
      if (for_ever) {
        stream_.expires_never();
      } else {
        stream_.expires_after(patience_);
      }
      // A piece as soon as it is there, not when the space is full.
      http::async_read_some(stream_, buffer_, parser_,
                            [&error](const error_code& result, std::size_t) { error = result; });
      run();
      if (error == http::error::need_buffer) error = {};
      const std::size_t got = sizeof space - parser_.get().body().size;
      if (got) piece({space, got});
      if (error) fail("broke off its answer", error);
    }
  }

 private:
  void run() {
    context_.restart();
    context_.run();
  }

  [[noreturn]] void fail(const char* what, const error_code& error) const {
    const bool late = error == beast::error::timeout;
    const auto why = late ? "no answer for " + std::to_string(patience_.count()) + " s" : error.message();
    throw admin_unreachable("the daemon's admin interface at http://" + at_.authority + ' ' + what + ": " + why +
                            ". Is `rouse serve` running there? Say where it is with --admin URL or ROUSE_ADMIN "
                            "(server.admin of its configuration).");
  }

  const admin_address& at_;
  const std::chrono::seconds patience_;
  asio::io_context context_{1};
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  http::response_parser<http::buffer_body> parser_;
};

bool parse_port(std::string_view text, std::uint16_t& port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port != 0;
}

admin_reply get(const admin_address& at, const std::string& target,
                const std::function<void(std::string_view)>& stream) {
  exchange one(at);
  one.connect();
  one.send("GET", target, {});
  admin_reply reply;
  reply.status = one.read_head();
  const bool streams = stream && reply.status == 200;
  const auto keep = [&reply](std::string_view piece) { reply.body += piece; };
  one.read_body(streams ? stream : keep, streams);
  return reply;
}

}  // namespace

admin_address find_admin(const std::string& option, const config::environment& env) {
  const auto get_env = [&env](const char* name) { return env(name).value_or(""); };
  std::string text = !option.empty() ? option : get_env("ROUSE_ADMIN");
  if (text.empty()) text = "http://127.0.0.1:9080";
  if (text.find("://") == std::string::npos) text.insert(0, "http://");

  const auto parsed = boost::urls::parse_uri(text);
  const auto refuse = [&text](const std::string& why) -> bad_admin_url {
    return bad_admin_url("`" + text + "` is not the URL of an admin interface: " + why +
                         ". It looks like http://127.0.0.1:9080");
  };
  if (!parsed) throw refuse(parsed.error().message());
  if (parsed->scheme() != "http") throw refuse("only http is spoken there");
  if (parsed->has_userinfo() || parsed->has_query() || parsed->has_fragment()) {
    throw refuse("it must hold no user, query or fragment");
  }
  if (!parsed->encoded_path().empty() && parsed->encoded_path() != "/") throw refuse("it must hold no path");
  admin_address at;
  at.host = parsed->host_address();
  if (at.host.empty()) throw refuse("the host is missing");
  if (parsed->has_port() && !parse_port(parsed->port(), at.port))
    throw refuse("the port must be a number from 1 to 65535");
  at.authority = std::string(parsed->encoded_host_and_port());
  at.token = get_env("ROUSE_ADMIN_TOKEN");
  if (at.token.find_first_of("\r\n") != std::string::npos) throw refuse("ROUSE_ADMIN_TOKEN holds a line break");
  return at;
}

admin_reply admin_get(const admin_address& at, const std::string& target) {
  return get(at, target, {});
}

admin_reply admin_send(const admin_address& at, const std::string& method, const std::string& target,
                       const std::string& body, std::chrono::seconds patience) {
  exchange one(at, patience);
  one.connect();
  one.send(method, target, body);
  admin_reply reply;
  reply.status = one.read_head();
  one.read_body([&reply](std::string_view piece) { reply.body += piece; }, false);
  return reply;
}

admin_reply admin_stream(const admin_address& at, const std::string& target,
                         const std::function<void(std::string_view)>& piece) {
  return get(at, target, piece);
}

}  // namespace rouse::gateway
