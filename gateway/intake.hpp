#pragma once
// Where requests go that are not forwarded but kept: events for a bus, invocations to be made later, and questions
// about these. The seam between callers' sessions and the events behind them (gateway/events).

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rouse::gateway {

/// One request, whole.
struct intake_request {
  enum class kind : std::uint8_t {
    event,       ///< POST /bus/NAME
    invoke,      ///< /async-function/NAME, or Prefer: respond-async
    invocation,  ///< /invocations/...
  } what = kind::event;
  std::string name;      ///< of the bus or the function; of an invocation: ID or ID/response
  std::string revision;  ///< of invoke: named by the caller, or empty
  std::string method;
  std::vector<std::pair<std::string, std::string>> fields;  ///< of an event
  std::string head;                                         ///< of invoke: as the instance is to receive it
  std::optional<std::string> idempotency_key;               ///< of invoke
  std::string body;
};

struct intake_reply {
  unsigned status = 202;
  const char* type = "";  ///< of an error: its word in the contract
  std::string detail;     ///< of an error
  std::string inside;  ///< in its place where errors are exposed (server.expose_errors): names what is inside; or empty
  std::optional<std::uint64_t> retry_after;
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
};

class intake {
 public:
  /// The largest body that is taken; beyond it the caller is told 413. `name`: of the bus or the function. Any worker.
  [[nodiscard]] virtual std::uint64_t most_body(intake_request::kind what, std::string_view name) const = 0;
  /// Calls `done` once, on any thread, perhaps before this returns. What a 202 says is on the disk by then. Any worker.
  virtual void take(intake_request request, std::function<void(intake_reply)> done) = 0;

 protected:
  ~intake() = default;
};

}  // namespace rouse::gateway
