#pragma once
// Media types (RFC 2045, RFC 6838) as far as events need them. Pure; any thread.

#include <cstdint>
#include <optional>
#include <string_view>

namespace rouse::gateway::events {

/// How an event travels in a message (CloudEvents HTTP binding 1.0.2, section 3).
enum class content_mode : std::uint8_t { binary, structured, batch };

/// By the Content-Type, in any case: `application/cloudevents-batch...` batch, `application/cloudevents...` structured,
/// anything else binary. Whether we know the format is for the parsers to say.
[[nodiscard]] content_mode mode_of(std::string_view content_type);

namespace detail {

/// Whether `text` is `type/subtype` with well-formed parameters, in visible ASCII.
[[nodiscard]] bool is_media_type(std::string_view text);

/// Whether the subtype is `json` or ends in `+json`.
[[nodiscard]] bool is_json_type(std::string_view content_type);

/// Whether it is text that a JSON string can hold as well: `text/...` or XML, in UTF-8 as far as it says.
[[nodiscard]] bool is_text_type(std::string_view content_type);

/// Whether it is the type `type/subtype` (lower case), with no charset other than UTF-8.
[[nodiscard]] bool is_utf8_type(std::string_view content_type, std::string_view expected);

}  // namespace detail
}  // namespace rouse::gateway::events
