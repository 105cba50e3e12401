#pragma once
// Polls an address until an instance answers there: until it accepts a connection, or GET of a path is answered with
// 2xx. Belongs to the thread of its io_context. It may be destroyed at any time; its handler is not called after that,
// and never from inside a call.

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "router/address.hpp"

namespace rouse::backend_http {

struct readiness_settings {
  router::address where;
  std::optional<std::string> path;  ///< unset: it is enough that the port accepts
  std::string host;                 ///< for the Host field; empty: the address
  std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();  ///< when the start began
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  /// The next look comes after max(1 ms, 2 % of the time since `begun`), but no later than this.
  std::chrono::milliseconds longest_gap{100};
  std::chrono::milliseconds connect_timeout{1000};  ///< then the connect is abandoned, and tried again
  std::chrono::milliseconds answer_timeout{5000};   ///< for the path's answer
  bool once = false;                                ///< one look, whatever comes of it: a health check
};

struct readiness_result {
  bool ready = false;
  /// Of one that is ready: a connected, non-blocking, unused socket, which the receiver owns; -1 where there is none to
  /// give away (the answer of the path ended its connection).
  int socket = -1;
  std::string problem;  ///< of one that is not: readiness::problem() at the end
};

class readiness {
 public:
  readiness(boost::asio::io_context& io, readiness_settings settings, std::function<void(readiness_result)> done);
  ~readiness();
  readiness(const readiness&) = delete;
  readiness& operator=(const readiness&) = delete;

  /// What was wrong at the last look, as the end of a sentence that begins with the address: "refuses connections",
  /// "answers GET /healthz with 503". Empty before the first look.
  [[nodiscard]] std::string problem() const;

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace rouse::backend_http
