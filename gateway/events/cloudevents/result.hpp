#pragma once
// A value, or why there is none. Values; any thread.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace rouse::gateway::events {

/// What kind of mistake it was: HTTP answers 400, 413 and 415.
enum class fault : std::uint8_t { invalid, too_large, unsupported };

/// Why something is no event that we take. What came from outside stands in the message only as config::shown() puts
/// it.
struct event_error {
  fault what = fault::invalid;
  std::string attribute;             ///< whose rule was broken; `data` for the data; empty for the message as a whole
  std::string message;               ///< one sentence: what is wrong, and what would be right
  std::optional<std::size_t> index;  ///< of the event in its batch, from 0
};

template <class Value>
class [[nodiscard]] result {
 public:
  result(Value value) : state_(std::move(value)) {}
  result(event_error why) : state_(std::move(why)) {}

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }

  /// Only where there is a value.
  [[nodiscard]] Value& operator*() & noexcept { return *std::get_if<0>(&state_); }
  [[nodiscard]] const Value& operator*() const& noexcept { return *std::get_if<0>(&state_); }
  [[nodiscard]] Value&& operator*() && noexcept { return std::move(*std::get_if<0>(&state_)); }
  [[nodiscard]] Value* operator->() noexcept { return std::get_if<0>(&state_); }
  [[nodiscard]] const Value* operator->() const noexcept { return std::get_if<0>(&state_); }

  /// Only where there is none.
  [[nodiscard]] const event_error& error() const noexcept { return *std::get_if<1>(&state_); }
  [[nodiscard]] event_error& error() noexcept { return *std::get_if<1>(&state_); }

 private:
  std::variant<Value, event_error> state_;
};

}  // namespace rouse::gateway::events
