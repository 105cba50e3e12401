#pragma once
// Events on their way to a function and back: the request that delivers one, and what a reply says. Pure; any thread.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "gateway/delivery.hpp"
#include "gateway/events/cloudevents/event.hpp"
#include "gateway/events/cloudevents/result.hpp"

namespace rouse::gateway::events {

struct event_request {
  std::string head;  ///< as delivery_request wants it
  std::string body;
};

/// POST / with the event. The event's `traceparent` (the extension for distributed tracing) goes on as the header, else
/// there is a new one; so does `X-Request-Id`, made of the numbers given.
[[nodiscard]] event_request make_request(const cloud_event& event, config::event_delivery how,
                                         std::string_view function, std::uint64_t random_a, std::uint64_t random_b,
                                         std::uint64_t random_c);

/// What becomes of an event by what its function did.
enum class verdict : std::uint8_t {
  done,      ///< 2xx
  retry,     ///< no answer, 404, 408, 409, 429, 5xx
  hopeless,  ///< any other answer
  refused,   ///< rouse itself had no way: no attempt
};
[[nodiscard]] verdict judge(const delivery_result& result) noexcept;

/// `Retry-After` in seconds (a date counts as none); 0: none.
[[nodiscard]] std::chrono::milliseconds retry_after_of(const delivery_result& result) noexcept;

/// "the function answered 500: the beginning of its reply", for people.
[[nodiscard]] std::string describe(const delivery_result& result);

/// The events that a function replied with; empty where the reply is no event.
[[nodiscard]] result<std::vector<cloud_event>> events_in_reply(const delivery_result& result);

}  // namespace rouse::gateway::events
