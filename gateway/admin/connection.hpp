#pragma once
// One caller's connection to the admin interface: reads a request, answers it, and again. Owned by the coroutine that
// runs it; admin thread only. Its deadline is watched by the server.

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/intrusive/list_hook.hpp>

#include "gateway/admin/action_calls.hpp"
#include "gateway/admin/admin_server.hpp"
#include "gateway/admin/endpoints.hpp"
#include "gateway/admin/guard.hpp"
#include "gateway/admin/status_fetch.hpp"
#include "gateway/http/message.hpp"
#include "gateway/net.hpp"

namespace rouse::gateway {

/// What all connections of one admin server use.
struct admin_shared {
  admin_shared(asio::io_context& context, admin_sources from);
  admin_sources sources;
  std::unique_ptr<guard> rules;  ///< set once the port is known, before the first connection
  status_fetch status;
  action_calls calls;
  std::size_t followers = 0;
  bool stopping = false;
};

class admin_connection final
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  admin_connection(admin_shared& shared, tcp_socket socket);

  /// Serves requests until the connection ends.
  awaitable<void> run();

  /// Waits for the first byte of a request.
  [[nodiscard]] bool idle() const noexcept { return idle_; }
  /// The time by which the caller must have done its part.
  [[nodiscard]] steady::time_point deadline() const noexcept { return deadline_; }
  /// Ends it now, whatever it does.
  void close();
  /// Ends it if idle, otherwise after the answer in progress, at most a second.
  void stop();

 private:
  struct reply {
    unsigned status = 200;
    std::string_view type = "text/plain; charset=utf-8";
    std::string body;
    std::string fields;  ///< more header lines, each with CRLF
  };

  awaitable<bool> read_head();
  awaitable<bool> serve_one();
  awaitable<bool> answer();
  awaitable<bool> answer_status(admin_target target);
  awaitable<bool> answer_action(admin_target target);
  awaitable<bool> answer_events(admin_target target);
  awaitable<bool> run_call(action_call call, action_result& result);
  awaitable<bool> answer_logs(std::string_view query);
  awaitable<bool> answer_story(std::string_view query);
  using news_source = std::function<std::string()>;
  awaitable<void> follow(std::string_view type, news_source& news, std::string_view still_here);
  awaitable<bool> send_piece(std::string text);
  awaitable<bool> send_reply();
  awaitable<bool> write(std::string_view text);
  awaitable<void> close_politely();
  awaitable<bool> read_body(std::string& out);
  bool check_caller(const admin_target& target);
  bool check_change();
  void answer_ready();
  void problem(unsigned status, std::string_view type, std::string_view detail);
  void too_many_followers();
  void compose_head(std::string& out, std::string_view framing);
  [[nodiscard]] bool caller_has_left();

  admin_shared& shared_;
  tcp_socket socket_;
  timer poll_;
  steady::time_point deadline_;
  bool idle_ = true;
  bool served_ = false;  ///< one request at least
  bool closed_ = false;
  bool last_ = false;  ///< close after this answer
  std::string in_;     ///< the head in progress and what followed it
  std::size_t head_bytes_ = 0;
  std::size_t body_bytes_ = 0;  ///< of the body, as far as in_ holds it
  http::request_head head_;     ///< views into in_
  reply reply_;
};

}  // namespace rouse::gateway
