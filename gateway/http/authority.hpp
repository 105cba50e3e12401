#pragma once
// The value of Host and of an absolute-form target. Pure; any thread.

#include <string_view>

namespace rouse::gateway::http::detail {

/// Whether `text` is HOST or HOST:PORT; HOST is a name of letters, digits and - . _ ~ without empty labels, an IPv4
/// address, or an IPv6 address in brackets; PORT is 1 to 65535. No userinfo, no list, no percent-encoding. On refusal
/// `why` is a sentence.
[[nodiscard]] bool valid_authority(std::string_view text, const char*& why) noexcept;

/// Whether two valid authorities are one and the same: case aside, and the default port of `https` or else `http` left
/// out.
[[nodiscard]] bool same_authority(std::string_view a, std::string_view b, bool https) noexcept;

}  // namespace rouse::gateway::http::detail
