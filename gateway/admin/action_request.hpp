#pragma once
// From a request's target and body to a call of an action, and from its result to JSON. Pure; admin thread.

#include <functional>
#include <string>
#include <string_view>

#include "gateway/admin/actions.hpp"
#include "gateway/admin/endpoints.hpp"

namespace rouse::gateway {

/// A call of an action, with everything but where the result goes.
using action_call = std::function<void(actions&, actions::done)>;

/// The call that a request to an action's endpoint asks for. Every key must be known, valid and given once; otherwise
/// the result is empty, and `why` is a sentence for the caller. Actions without parameters take an empty body, or {}.
[[nodiscard]] action_call parse_action(const admin_target& target, std::string_view body, std::string& why);

/// {"detail": ..., "lines": [...]}; of 400 and above RFC 9457's problem with the same `lines`, which stand there only
/// if there are any.
[[nodiscard]] std::string action_json(const action_result& result);

}  // namespace rouse::gateway
