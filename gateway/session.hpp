#pragma once
// One caller's connection, and the walk of each of its requests: read the head, match, take a slot or park, forward,
// relay the response, give the slot back. Requests on one connection are served in order. Lives on one worker; owned by
// the coroutine that runs it (worker::serve). The main coroutine waits for one thing at a time; deadlines, a leaving
// caller and the end of the daemon interrupt it by naming a reason and cancelling whatever it waits for.
//
// The code stands in the order of the walk: session.cpp (heads, refusals), exchange.cpp (match, slot, attempts),
// relay.cpp (bodies), tunnel.cpp (after 101), hand_in.cpp (what is kept instead).

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/intrusive/list_hook.hpp>

#include "gateway/dial.hpp"
#include "gateway/fd_watch.hpp"
#include "gateway/http/compose.hpp"
#include "gateway/http/message.hpp"
#include "gateway/intake.hpp"
#include "gateway/memory_budget.hpp"
#include "gateway/net.hpp"
#include "gateway/stats.hpp"
#include "gateway/sweep.hpp"
#include "gateway/worker.hpp"
#include "router/routes.hpp"

namespace rouse::gateway {

class session final : public sweep_entry, public fd_watch::client, public worker_task {
 public:
  session(worker& on, tcp_socket socket, const tcp::endpoint& peer);
  ~session();

  /// Serves requests until the connection ends. Throws only what is a bug.
  awaitable<void> run();

  /// No more requests after the one in progress; ends an idle connection.
  void drain() override;
  /// The daemon ends now.
  void close() override;

  void on_sweep(steady::time_point now) override;
  void on_peer_closed() override;

 private:
  /// Where the walk stands; decides what a deadline means.
  enum class phase : std::uint8_t { idle, head, parked, dialling, uploading, waiting, streaming, tunnel, closing };
  enum class interruption : std::uint8_t {
    none,
    caller_left,
    too_slow,
    park_timeout,
    function_timeout,
    stream_idle,
    max_duration,
    bad_body,
    body_too_large,
    daemon_ends
  };
  /// How one attempt on one instance ended.
  enum class attempt_end : std::uint8_t {
    finished,     ///< the response went out whole
    broken,       ///< the response had begun and could not be finished: the caller's connection must be reset
    untouched,    ///< failed before any byte was written to the instance
    no_response,  ///< failed after bytes were written, before any came back
    refused,      ///< the answer to the caller is in refusal_ (502, 504, ...)
  };
  struct answer {
    unsigned status = 502;
    const char* type = "instance-failed";
    std::string detail;
    std::optional<std::uint64_t> retry_after;
    bool expose_lines = false;
  };

  // session.cpp
  awaitable<bool> refuse(answer why);
  [[nodiscard]] const config::fallback* fallback_for(unsigned status) const noexcept;
  awaitable<void> close_politely();
  void reset_connection();
  void interrupt(interruption why);
  void cancel_waits();
  void enter(phase next, std::chrono::milliseconds allowed, steady::time_point now);  ///< 0: no deadline
  [[nodiscard]] bool keeps_connection() const noexcept;
  void consume_request();
  void end_soon();

  // exchange.cpp
  awaitable<bool> exchange();
  void begin_exchange();
  bool match(answer& why);
  void match_kept(const router::route_match& found);
  bool choose(const activator::service& among, std::string_view revision);
  void arrive(steady::time_point at);
  bool choose_again();
  bool admit(answer& why);
  bool admit_rate(answer& why);
  awaitable<bool> take_or_park(activator::parking_lot::turn as);
  awaitable<bool> obtain_slot(activator::parking_lot::turn as, activator::park_place& kept);
  void note_outcome(bool failed);
  void note_failure(attempt_end end);
  awaitable<bool> let_crash_be_seen(std::chrono::milliseconds at_most);
  bool explain_failure(const std::shared_ptr<const activator::start_failure>& failure);
  awaitable<attempt_end> attempt();
  attempt_end refuse_response(std::string detail);
  awaitable<bool> conclude(attempt_end end);
  [[nodiscard]] bool may_retry(attempt_end end) const noexcept;
  [[nodiscard]] bool within_retry_budget() const noexcept;
  [[nodiscard]] answer explain_interruption() const;
  void abandon_upstream();
  void end_exchange(unsigned status);
  awaitable<void> pause(std::chrono::milliseconds time);

  // relay.cpp
  bool prepare_body(answer& why);
  std::string compose_request_tail(std::string& out);
  static std::size_t try_write(tcp_socket& to, std::string_view a, std::string_view b, std::string_view c,
                               error_code& ec);
  void begin_upload();
  awaitable<error_code> write_rest(tcp_socket& to, std::size_t sent, std::string_view a, std::string_view b = {},
                                   std::string_view c = {});
  awaitable<void> upload();
  awaitable<bool> upload_piece();
  awaitable<void> stop_upload();
  struct piece {
    std::string_view body;
    std::size_t used = 0;  ///< bytes of the upstream buffer that it stands for
    bool done = false;     ///< it ends the response
  };
  awaitable<attempt_end> relay_response();
  void compose_caller_head();
  bool next_piece(piece& next);
  awaitable<error_code> send_piece(const piece& next, bool first);
  awaitable<void> finish_response();
  awaitable<error_code> pass_interim();
  void request_is_sent();
  void progress();

  // hand_in.cpp
  awaitable<bool> hand_in();
  awaitable<bool> read_whole_body(std::string& out, std::uint64_t most, memory_share& share, answer& why);
  bool make_body_room(std::string& out, std::size_t more, std::uint64_t most, memory_share& share, answer& why);
  intake_request make_intake_request(std::string body);
  awaitable<bool> end_hand_in(answer why);
  awaitable<bool> answer_kept(const intake_reply& reply);

  // tunnel.cpp
  awaitable<attempt_end> tunnel();
  awaitable<void> tunnel_up();
  awaitable<void> pass(tcp_socket& from, tcp_socket& to, boost::beast::flat_buffer& buffer, std::uint64_t& count);

  worker& worker_;
  tcp_socket socket_;
  timer pause_;  ///< waits of the main coroutine that are not on a socket
  dialler dial_;
  const std::string caller_;
  const bool trusted_;
  boost::beast::flat_buffer in_;  ///< the head in progress and what followed it; stable during an exchange
  std::size_t read_size_;
  phase phase_ = phase::idle;
  steady::time_point deadline_ = steady::time_point::max();
  steady::time_point phase_began_;
  interruption interrupted_ = interruption::none;
  bool last_ = false;    ///< close after the exchange in progress
  bool unread_ = false;  ///< the caller may still be sending: close politely

  // the exchange in progress
  http::request_head head_;
  std::size_t head_bytes_ = 0;
  view_pin view_;                      ///< that the request was matched by; what is pointed to below lives in it ...
  std::vector<view_pin> later_views_;  ///< ... or in one by which it chose its revision anew
  const activator::service* service_ = nullptr;
  activator::revision_runtime* revision_ = nullptr;
  const config::revision* limits_ = nullptr;  ///< of revision_
  activator::revision_counters* counters_ = nullptr;
  bool moved_ = false;           ///< obtain_slot(): the revision has to be chosen again
  bool revision_named_ = false;  ///< by the caller, as NAME@REV
  router::route_kind kind_ = router::route_kind::function;
  std::string kept_for_;      ///< of what is handed in: the bus, or the revision that the caller names
  bool last_resort_ = false;  ///< the revision is not in the configuration any more, and no other stands in for it
  bool metered_ = false;      ///< in the load of counters_
  std::string route_scratch_;
  std::string_view target_;
  std::string id_scratch_;
  std::string trace_scratch_;
  std::string_view request_id_;
  std::string_view traceparent_;
  steady::time_point began_;
  steady::time_point overall_deadline_ = steady::time_point::max();
  activator::slot slot_;
  std::unique_ptr<upstream> upstream_;
  std::optional<double> park_ms_;
  std::optional<double> cold_ms_;
  answer refusal_;
  unsigned counted_attempts_ = 0;
  bool on_reused_ = false;  ///< the attempt in progress goes over a connection that was used before
  std::uint64_t bytes_in_ = 0;
  std::uint64_t bytes_out_ = 0;

  // the request's body
  std::string_view first_body_;     ///< what of it (decoded) came with the head
  std::size_t first_consumed_ = 0;  ///< bytes of in_ behind the head that belong to it
  std::uint64_t body_left_ = 0;     ///< of a Content-Length, still to be read from the caller
  bool body_complete_ = false;      ///< read from the caller to its end
  bool body_held_ = true;           ///< all that was read of it can be sent again
  std::string held_;                ///< what was read after first_body_, while it is held
  std::optional<http::chunk_decoder> decoder_;
  std::unique_ptr<boost::beast::flat_buffer> pump_;  ///< reads of the body behind first_body_
  bool uploading_ = false;                           ///< the upload coroutine runs
  bool upload_stop_ = false;
  bool reading_body_ = false;  ///< the upload waits for the caller, not for the instance
  bool request_sent_ = false;
  bool wrote_any_ = false;
  bool continue_sent_ = false;

  // the response
  static constexpr std::size_t response_head_limit = 256 * 1024;
  http::response_head response_;
  std::size_t response_head_bytes_ = 0;
  std::optional<http::chunk_decoder> response_decoder_;
  bool response_began_ = false;  ///< a byte of it went to the caller
  http::body_out body_out_ = http::body_out::none;
  bool announced_keep_ = false;  ///< what the caller was told of its connection
  std::uint64_t response_left_ = 0;
  bool tunnel_up_runs_ = false;
};

}  // namespace rouse::gateway
