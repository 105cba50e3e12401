#pragma once
// Attribute values as HTTP header values (CloudEvents HTTP binding 1.0.2, section 3.1.3.2). Pure; any thread.

#include <optional>
#include <string>
#include <string_view>

namespace rouse::gateway::events {

/// Space, `"`, `%` and everything outside U+0021 to U+007E as percent-encoded UTF-8 in upper case; the rest as it is.
[[nodiscard]] std::string encode_header_value(std::string_view text);

/// The value, or what is wrong with it: the end of a sentence that begins with the attribute.
struct decoded_value {
  std::optional<std::string> value;
  std::string error;
};

/// Unquotes a value that stands in double quotes, then decodes percent-encoding, once and in either case. Bytes that
/// are not UTF-8 are an error, and so is a `%` without two hexadecimal digits.
[[nodiscard]] decoded_value decode_header_value(std::string_view text);

}  // namespace rouse::gateway::events
