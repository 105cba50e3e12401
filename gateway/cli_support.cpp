#include "gateway/cli_support.hpp"

#include <algorithm>
#include <ostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "gateway/escape.hpp"

namespace rouse::gateway {

using nlohmann::json;

std::string shown(const json& value) {
  if (value.is_null()) return "-";
  if (!value.is_string()) return value.dump();
  std::string out;
  append_line_text(out, value.get_ref<const std::string&>());
  return out;
}

int report(cli_io& io, std::string_view what, int code) {
  std::string line = "rouse: ";
  append_line_text(line, what);
  io.err << line << '\n';
  return code;
}

int refused(const admin_reply& reply, const std::string& function, cli_io& io) {
  const auto problem = json::parse(reply.body, nullptr, false);
  const bool known = problem.is_object() && problem.contains("detail") && problem["detail"].is_string();
  const auto type = known && problem.contains("type") ? problem["type"] : json();
  if (reply.status == 401) {
    return report(io, "the daemon wants a token: set ROUSE_ADMIN_TOKEN to server.admin_token of its configuration",
                  exit_failed);
  }
  if (type == "no-function") {
    return report(io, "the daemon has no function `" + function + "`; `rouse status` lists those it has", exit_failed);
  }
  if (problem.is_object() && problem.contains("lines") && problem["lines"].is_array()) {
    for (const auto& line : problem["lines"]) io.err << shown(line) << '\n';
  }
  const auto detail =
      known ? problem["detail"].get<std::string>() : "nothing that this program understands; is it rouse?";
  return report(io, fmt::format("the daemon answered {}: {}", reply.status, detail), exit_failed);
}

int with_daemon(const client_options& client, cli_io& io, const std::function<int(const admin_address&)>& command) {
  try {
    return command(find_admin(client.admin, io.env));
  } catch (const bad_admin_url& error) {
    return report(io, error.what(), exit_usage);
  } catch (const admin_unreachable& error) {
    return report(io, error.what(), exit_failed);
  } catch (const json::exception& error) {
    return report(io,
                  fmt::format("the answer cannot be understood ({}); is it rouse, and of this version?", error.what()),
                  exit_failed);
  }
}

bool is_label(const std::string& name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

int bad_name(const std::string& name, cli_io& io) {
  return report(io, "`" + name + "` cannot be a function's name: those are lower-case letters, digits and hyphens",
                exit_usage);
}

}  // namespace rouse::gateway
