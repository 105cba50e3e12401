#pragma once
// The rules for attributes, whichever way they come. For the sources of this folder and of kafka/ only. Pure; any
// thread.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/events/cloudevents/event.hpp"

namespace rouse::gateway::events::detail {

/// Longest name of an attribute that is taken; the specification recommends 20.
inline constexpr std::size_t longest_name = 64;

/// "attribute `NAME` RULE".
[[nodiscard]] event_error broken(std::string_view name, const std::string& rule);

/// Whether `name` is an attribute of the specification rather than an extension.
[[nodiscard]] bool is_core(std::string_view name);

/// [a-z0-9]+, not too long, and not `data`.
[[nodiscard]] std::optional<event_error> check_name(std::string_view name);

/// The same, and not that of an attribute of the specification.
[[nodiscard]] std::optional<event_error> check_extension_name(std::string_view name);

/// The rule of the attribute `name` (which is a valid name), or of any extension.
[[nodiscard]] std::optional<event_error> check_value(std::string_view name, std::string_view value,
                                                     extension_type type);

/// RFC 3339 `date-time`, lower-case `t` and `z` and leap seconds (23:59:60 by UTC) included.
[[nodiscard]] bool is_timestamp(std::string_view text);

/// Collects the attributes of one event, each once.
class event_builder {
 public:
  /// Checks and keeps one attribute; an error leaves the event as it was.
  [[nodiscard]] std::optional<event_error> set(std::string_view name, std::string value,
                                               extension_type type = extension_type::string);
  void set_data(data_kind kind, std::string bytes);
  /// The event, when nothing that is required is missing.
  [[nodiscard]] result<cloud_event> finish() &&;
  [[nodiscard]] const cloud_event& event() const { return event_; }

 private:
  [[nodiscard]] bool place(std::string_view name, std::string&& value, extension_type type);

  cloud_event event_;
  bool has_version_ = false;
};

}  // namespace rouse::gateway::events::detail
