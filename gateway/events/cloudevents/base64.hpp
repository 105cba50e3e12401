#pragma once
// Base64 of RFC 4648, section 4, with padding. For the sources of this folder and of kafka/ only. Pure; any thread.

#include <optional>
#include <string>
#include <string_view>

namespace rouse::gateway::events::detail {

[[nodiscard]] std::string encode_base64(std::string_view bytes);

/// nullopt for anything that encode_base64() would not write: other alphabets, white space, missing padding, bits that
/// no byte has.
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);

}  // namespace rouse::gateway::events::detail
