#pragma once
// A small asynchronous HTTP/1.1 client for the APIs that backends talk to: over TCP, TLS or a unix socket, one origin
// each. Belongs to the thread of its io_context, which outlives it. It may be destroyed at any time, also from inside a
// handler; no handler is called after that, and none from inside a call.

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "activator/backend/http/origin.hpp"
#include "activator/backend/http/response_reader.hpp"

namespace rouse::backend_http {

struct tls_settings {
  bool verify = true;       ///< false: anybody is believed; for a kubeconfig that says insecure-skip-tls-verify
  std::string ca;           ///< certificates that are believed, PEM; empty, and `ca_file` too: the system's
  std::string ca_file;      ///< the same as a file
  std::string server_name;  ///< who must answer; empty: the origin's host
  std::string certificate;  ///< the client's chain, PEM; empty: none
  std::string key;          ///< its key, PEM
};

struct client_settings {
  origin to;
  tls_settings tls;            ///< for https
  header_list headers;         ///< sent with every request, such as Authorization; set_header() changes them
  std::size_t most_open = 32;  ///< connections for ordinary requests; more requests wait. Streams have theirs beside
  std::size_t most_idle = 4;   ///< kept for the next request
  std::chrono::milliseconds idle_for{30'000};  ///< how long
};

struct request {
  std::string method = "GET";
  std::string target = "/";
  header_list headers;
  std::string body;
  /// Until the response is whole, waiting for a connection included; of a stream, until its head is there.
  std::chrono::milliseconds timeout{30'000};
  /// Of a stream: the longest silence after the head, then it ends with fault::timeout. 0: any.
  std::chrono::milliseconds silence{0};
  std::size_t most_body = 16 * 1024 * 1024;  ///< a longer one is an error; not for streams
  /// Whether it may be sent again when a kept connection turns out dead before a byte of the answer: so it is for GET,
  /// HEAD, PUT, DELETE and OPTIONS, and for others where this says so.
  bool repeatable = false;
};

enum class fault {
  none,
  unreachable,  ///< no connection: nothing was sent
  broken,       ///< the connection ended, or what came is not HTTP: the request may have been carried out
  timeout,      ///< the same, for want of an answer in time
  too_big,      ///< the answer is longer than the request allows
};

struct failure {
  fault what = fault::none;
  std::string problem;  ///< a sentence: "connection refused by /var/run/docker.sock"
  explicit operator bool() const noexcept { return what != fault::none; }
};

struct response {
  int status = 0;  ///< 0: there is none, see `error`
  header_list headers;
  std::string body;
  failure error;
};

struct stream_handlers {
  std::function<void(int status, const header_list& headers)> on_head;
  std::function<void(std::string_view bytes)> on_data;
  /// The last word: without a fault where the response ended as it should. It may come without a head.
  std::function<void(failure)> on_end;
};

class exchange;

/// A request under way. Destroying it gives the request up (the connection is closed) and no handler is called any
/// more.
class call {
 public:
  call() noexcept = default;
  explicit call(std::shared_ptr<exchange> what) noexcept : what_(std::move(what)) {}
  call(call&&) noexcept = default;
  call& operator=(call&& other) noexcept;
  ~call() { cancel(); }

  void cancel();
  /// Lets it go on without the handle, until it ends or the client is destroyed.
  void detach() noexcept { what_.reset(); }
  /// Of a stream: reads no more until resume(), so that the other side must wait.
  void pause();
  void resume();
  /// Whether there is a request that has not ended.
  [[nodiscard]] bool active() const noexcept;

 private:
  std::shared_ptr<exchange> what_;
};

class client {
 public:
  client(boost::asio::io_context& io, client_settings settings);
  /// Gives up what is under way.
  ~client();
  client(const client&) = delete;
  client& operator=(const client&) = delete;

  /// `done` is called once. A status of any kind is a response and no failure.
  [[nodiscard]] call send(request what, std::function<void(response)> done);
  /// Hands on the body as it comes. It has a connection of its own.
  [[nodiscard]] call stream(request what, stream_handlers handlers);
  /// Changes what is sent with every request from now on; an empty value takes the field away.
  void set_header(const std::string& name, const std::string& value);
  [[nodiscard]] const origin& to() const noexcept;

  struct impl;

 private:
  std::shared_ptr<impl> impl_;
};

}  // namespace rouse::backend_http
