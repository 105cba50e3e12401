#pragma once
// A request of rouse's own on its way to a function: an event or a queued invocation. It walks as a caller's request
// does (choose a revision, take a slot or park, forward, give the slot back), but its body is at hand, its reply is
// kept in memory (site::bodies; it is read on when there is room), and it waits for its slot without `max_wait` and
// outside of `queue`, for it is safe where it came from. One worker's; owned by the coroutine that runs it.
//
//   delivery one(worker, request);
//   if (co_await one.acquire()) co_await one.send();
//   one.result()

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "activator/parking_lot.hpp"
#include "gateway/dial.hpp"
#include "gateway/http/message.hpp"
#include "gateway/memory_budget.hpp"
#include "gateway/sweep.hpp"
#include "gateway/worker.hpp"

namespace rouse::gateway {

/// What is to be delivered. Views live as long as the delivery.
struct delivery_request {
  std::string_view function;
  std::string_view revision;     ///< empty: lanes, stickiness and weights decide
  std::string_view head;         ///< a whole HTTP/1.1 request head, as http::compose_request writes it
  std::string_view body;         ///< as long as the head says
  std::uint64_t most_reply = 0;  ///< bytes of the reply's body that are kept; what is beyond is read and dropped
};

struct delivery_result {
  enum class kind : std::uint8_t {
    answered,   ///< the function's whole response is here
    broken,     ///< the connection broke before the response was over, or what came is not valid
    timed_out,  ///< `timeout`, `stream_idle_timeout` or `max_duration`
    refused,    ///< by rouse itself, or cut off by its end: no attempt
  } how = kind::refused;
  unsigned status = 0;
  std::vector<std::pair<std::string, std::string>> fields;  ///< of the response, hop-by-hop ones left out
  std::string body;
  memory_share share;                        ///< of the daemon's budget, for the body
  bool cut = false;                          ///< the response's body was longer than most_reply
  std::string detail;                        ///< why there is no response; a sentence without its full stop
  const char* type = "";                     ///< of a refusal: the word of the contract, such as start-failed
  std::chrono::milliseconds retry_after{0};  ///< of a refusal: when to come again at the earliest
};

class delivery final : public sweep_entry, public worker_task {
 public:
  delivery(worker& on, const delivery_request& what);
  ~delivery();
  delivery(const delivery&) = delete;
  delivery& operator=(const delivery&) = delete;

  /// Takes a slot, or parks until there is one. False with a result() that is `refused`.
  [[nodiscard]] awaitable<bool> acquire();
  /// After acquire(): forwards, and reads the response to its end. A kept connection that is found dead is replaced.
  [[nodiscard]] awaitable<void> send();
  /// Moved out once.
  [[nodiscard]] delivery_result& result() noexcept { return result_; }

  /// Ends the wait for a slot; what was sent goes on.
  void drain() override;
  void close() override;
  void on_sweep(steady::time_point now) override;

 private:
  enum class interruption : std::uint8_t { none, withdrawn, timeout, stream_idle, max_duration, daemon_ends };
  enum class try_end : std::uint8_t { answered, stale, failed };
  bool choose();
  bool refuse(const char* type, std::string detail, std::chrono::milliseconds retry_after);
  bool refuse_start(const std::shared_ptr<const activator::start_failure>& failure);
  bool refuse_interrupted();
  awaitable<bool> park(bool& moved);
  awaitable<try_end> attempt();
  awaitable<error_code> write_all();
  awaitable<bool> read_head();
  awaitable<bool> read_body();
  awaitable<bool> hold_piece();
  bool take_piece(bool& done);
  bool fail(std::string detail);
  void release(bool reusable, bool failed);
  void explain();
  void enter(std::chrono::milliseconds allowed);
  void interrupt(interruption why);
  awaitable<void> pause(std::chrono::milliseconds time);

  worker& worker_;
  const delivery_request what_;
  timer pause_;
  dialler dial_;
  http::request_head head_;
  view_pin view_;
  activator::revision_runtime* revision_ = nullptr;
  const config::revision* limits_ = nullptr;  ///< of revision_
  activator::revision_counters* counters_ = nullptr;
  activator::slot slot_;
  std::unique_ptr<upstream> upstream_;
  http::response_head response_;
  http::chunk_decoder decoder_;
  std::uint64_t body_left_ = 0;
  delivery_result result_;
  steady::time_point began_;
  std::optional<std::chrono::nanoseconds> parked_for_;
  steady::time_point deadline_ = steady::time_point::max();
  steady::time_point overall_deadline_ = steady::time_point::max();
  interruption on_deadline_ = interruption::none;
  interruption interrupted_ = interruption::none;
  bool wrote_any_ = false;
  bool parked_ = false;  ///< waits for a slot
};

}  // namespace rouse::gateway
