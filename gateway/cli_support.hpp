#pragma once
// What the client commands share: how they speak of the daemon's answers and refusals. Main thread only.

#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "gateway/admin_client.hpp"
#include "gateway/cli.hpp"

namespace rouse::gateway {

/// A value from the daemon, made safe for a terminal; `-` for null.
[[nodiscard]] std::string shown(const nlohmann::json& value);
/// Says "rouse: WHAT" and returns `code`.
int report(cli_io& io, std::string_view what, int code);
/// Says what the daemon refused, in its own words and with what to do; what else it had to say before that, line by
/// line. `function` is the one that was asked about, if any. Returns exit_failed.
int refused(const admin_reply& reply, const std::string& function, cli_io& io);
/// Runs a client command; its errors become words and an exit code.
int with_daemon(const client_options& client, cli_io& io, const std::function<int(const admin_address&)>& command);
/// Whether this can be a function's name.
[[nodiscard]] bool is_label(const std::string& name);
/// Says that it cannot; returns exit_usage.
int bad_name(const std::string& name, cli_io& io);

}  // namespace rouse::gateway
