#pragma once
// One readiness request: GET of the function's `ready.path` over a connection that is already open, answered by its
// status. Control thread. Small on purpose: it needs a status line, not an HTTP client.

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "activator/backend/process/descriptor.hpp"
#include "router/address.hpp"

namespace rouse::process {

/// The status of the first final response in `head`: 0 when more bytes are needed, -1 when it is not an HTTP/1
/// response. Interim (1xx) responses are removed from `head`.
[[nodiscard]] int final_status(std::string& head);

class http_probe : public std::enable_shared_from_this<http_probe> {
 public:
  struct answer {
    int status = 0;       ///< 0: there was none
    std::string problem;  ///< then why, as the end of a sentence: "closed the connection"
  };
  using handler = std::function<void(answer)>;

  /// Sends the request on `connected`, a non-blocking socket to `where`. `done` is called once, not from inside, and
  /// not after cancel(). What remains of the response is read on, to a bound, so that the function's write does not
  /// fail.
  static std::shared_ptr<http_probe> begin(boost::asio::io_context& control, descriptor connected,
                                           const router::address& where, std::string_view path,
                                           std::chrono::milliseconds timeout, handler done);
  void cancel();

  /// For begin() only.
  http_probe(boost::asio::io_context& control, descriptor connected, bool v6, handler done);

 private:
  void write();
  void read();
  void on_bytes(std::size_t count);
  void finish(answer with);
  void close();

  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer deadline_;
  handler done_;
  std::string request_;
  std::string head_;
  std::array<char, 4096> part_;
  std::size_t read_ = 0;
};

}  // namespace rouse::process
