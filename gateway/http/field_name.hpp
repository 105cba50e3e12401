#pragma once
// Which of the fields that a gateway treats in some way of its own a name stands for. Pure; any thread.

#include <string_view>

#include "gateway/http/message.hpp"

namespace rouse::gateway::http::detail {

/// What `name` (a token) stands for. `lookalike` is set when it only does so with `-` for `_`: CGI and WSGI servers
/// read `X_Forwarded_For` and `X-Forwarded-For` as one field, so such a name must not slip past us.
[[nodiscard]] known classify(std::string_view name, bool& lookalike) noexcept;

/// Whether a trailer of this name may be passed on: not one for framing, routing, authentication, request control or
/// content processing (RFC 9110, 6.5.1), and no hop-by-hop one.
[[nodiscard]] bool may_be_trailer(std::string_view name) noexcept;

}  // namespace rouse::gateway::http::detail
