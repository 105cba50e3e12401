#pragma once
// A parsed head as the router looks at it. Any worker; views into the head.

#include <string>
#include <string_view>

#include "gateway/http/message.hpp"
#include "router/routes.hpp"

namespace rouse::gateway {

/// `head` must outlive the view.
[[nodiscard]] router::request_view view_of(const http::request_head& head);

/// router::request_view::field over a request_head: all values of one name (in lower case), joined as HTTP joins them.
[[nodiscard]] bool field_value(const void* fields, std::string_view name, std::string& value);

}  // namespace rouse::gateway
