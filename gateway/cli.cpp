#include "gateway/cli.hpp"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "gateway/admin_client.hpp"
#include "gateway/escape.hpp"
#include "gateway/table.hpp"
#include "gateway/version.hpp"
#include "router/routes.hpp"

namespace rouse::gateway {
namespace {

using nlohmann::json;

std::string count_of(std::size_t count, std::string_view one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

/// Text from the daemon, made safe for a terminal.
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

/// "4s", "3m", "2h", "5d"
std::string rough(std::int64_t ms) {
  const std::int64_t s = std::max<std::int64_t>(ms, 0) / 1000;
  if (s < 100) return fmt::format("{}s", s);
  if (s < 100 * 60) return fmt::format("{}m", s / 60);
  if (s < 48 * 3600) return fmt::format("{}h", s / 3600);
  return fmt::format("{}d", s / 86400);
}

/// RFC 3339 as the daemon writes it; nothing when it is something else.
std::optional<std::chrono::sys_seconds> parse_time(const std::string& text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d", &year, &month, &day, &hour, &minute, &second) != 6)
    return {};
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return {};
  return std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second);
}

std::string ago(const json& at) {
  const auto when = parse_time(at.get<std::string>());
  if (!when) return shown(at);
  const auto age = std::chrono::system_clock::now() - *when;
  return rough(std::chrono::duration_cast<std::chrono::milliseconds>(age).count()) + " ago";
}

std::string describe(const json& decision) {
  return fmt::format("{}: {} -> {}, {}", ago(decision.at("at")), shown(decision.at("from")), shown(decision.at("to")),
                     shown(decision.at("reason")));
}

void add_function(table& to, const json& function) {
  std::size_t ready = 0, starting = 0;
  for (const auto& instance : function.at("instances")) {
    ready += instance.at("state") == "ready";
    starting += instance.at("state") == "starting";
  }
  const auto& decisions = function.at("decisions");
  std::string last = decisions.empty() ? "-" : describe(decisions.front());
  const bool failed = !function.at("failure").is_null();
  if (failed) last = "start failed: " + shown(function.at("failure"));
  to.add({shown(function.at("name")), shown(function.at("revision")), std::to_string(ready), std::to_string(starting),
          shown(function.at("parked")), shown(function.at("in_flight")), shown(function.at("desired")), last},
         failed ? table::tone::bad : table::tone::plain);
}

table functions_table() {
  return table({{"FUNCTION"},
                {"REVISION"},
                {"READY", true},
                {"STARTING", true},
                {"PARKED", true},
                {"IN FLIGHT", true},
                {"DESIRED", true},
                {"LAST DECISION"}});
}

void print_details(const json& function, cli_io& io) {
  table instances({{"INSTANCE"}, {"STATE"}, {"ADDRESS"}, {"IN FLIGHT", true}, {"AGE", true}});
  for (const auto& one : function.at("instances")) {
    instances.add({shown(one.at("name")), shown(one.at("state")), shown(one.at("address")), shown(one.at("in_flight")),
                   rough(one.at("age_ms").get<std::int64_t>())});
  }
  io.out << '\n';
  if (function.at("instances").empty()) {
    io.out << "no instances\n";
  } else {
    instances.print(io.out, io.colour);
  }
  if (function.at("decisions").empty()) return;
  table decisions({{"DECIDED"}, {"FROM", true}, {"TO", true}, {"WHY"}});
  for (const auto& one : function.at("decisions")) {
    decisions.add({ago(one.at("at")), shown(one.at("from")), shown(one.at("to")), shown(one.at("reason"))});
  }
  io.out << '\n';
  decisions.print(io.out, io.colour);
}

void print_status(const std::string& body, bool one_function, cli_io& io) {
  const auto parsed = json::parse(body);
  auto overview = functions_table();
  if (one_function) {
    add_function(overview, parsed);
    overview.print(io.out, io.colour);
    print_details(parsed, io);
    return;
  }
  if (parsed.at("functions").empty()) {
    io.out << "no functions are configured\n";
    return;
  }
  for (const auto& function : parsed.at("functions")) add_function(overview, function);
  overview.print(io.out, io.colour);
}

/// Says what the daemon refused, in its own words and with what to do.
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
  const auto detail =
      known ? problem["detail"].get<std::string>() : "nothing that this program understands; is it rouse?";
  return report(io, fmt::format("the daemon answered {}: {}", reply.status, detail), exit_failed);
}

/// Runs a client command; its errors become words and an exit code.
template <typename Command>
int with_daemon(const client_options& client, cli_io& io, Command command) {
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

/// Cuts a stream of newline-delimited JSON into lines for people.
class log_printer {
 public:
  explicit log_printer(cli_io& io) : io_(io) {}
  void operator()(std::string_view piece) {
    rest_ += piece;
    std::size_t begin = 0;
    for (auto end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', begin)) {
      print(std::string_view(rest_).substr(begin, end - begin));
      begin = end + 1;
    }
    rest_.erase(0, begin);
    io_.out.flush();
  }

 private:
  void print(std::string_view text) {
    const auto line = json::parse(text);
    const char* dim = io_.colour ? "\x1b[2m" : "";
    const char* plain = io_.colour ? "\x1b[0m" : "";
    io_.out << dim << shown(line.at("at")) << ' ' << shown(line.at("instance")) << " |" << plain << ' '
            << shown(line.at("text")) << '\n';
  }

  cli_io& io_;
  std::string rest_;
};

std::optional<config::snapshot> load_or_explain(const std::string& path, cli_io& io) {
  auto loaded = config::load(path, io.env);
  ::malloc_trim(0);  // the parser's tree of a large file is not kept
  if (loaded.value) {
    try {
      // The route table knows a few more spellings that servers read in different ways, and refuses them.
      const router::route_table routes(*loaded.value);
      return std::move(loaded.value);
    } catch (const std::invalid_argument& refused) {
      io.err << path << ": " << refused.what() << '\n';
      return {};
    }
  }
  for (const auto& problem : loaded.problems) io.err << problem.to_string() << '\n';
  return {};
}

}  // namespace

int check_command(const std::string& config_path, cli_io& io) {
  const auto loaded = load_or_explain(config_path, io);
  if (!loaded) return exit_usage;
  io.out << config_path << ": ok, " << count_of(loaded->functions.size(), "function") << ", "
         << count_of(loaded->routes.size(), "route") << '\n';
  return exit_done;
}

int serve_command(const serve_options& options, cli_io& io,
                  const std::function<int(config::snapshot, const serve_options&)>& run) {
  auto loaded = load_or_explain(options.config_path, io);
  if (!loaded) return exit_usage;
  return run(std::move(*loaded), options);
}

int status_command(const client_options& client, const std::string& function, bool as_json, cli_io& io) {
  if (!function.empty() && !is_label(function)) return bad_name(function, io);
  return with_daemon(client, io, [&](const admin_address& at) -> int {
    const auto reply = admin_get(at, "/api/v1/functions" + (function.empty() ? "" : "/" + function));
    if (reply.status != 200) return refused(reply, function, io);
    if (as_json) {
      io.out << reply.body;
    } else {
      print_status(reply.body, !function.empty(), io);
    }
    return exit_done;
  });
}

int logs_command(const client_options& client, const std::string& function, bool follow, cli_io& io) {
  if (!is_label(function)) return bad_name(function, io);
  return with_daemon(client, io, [&](const admin_address& at) -> int {
    const auto target = "/api/v1/logs?function=" + function + (follow ? "&follow=true" : "");
    const auto reply = follow ? admin_stream(at, target, log_printer(io)) : admin_get(at, target);
    if (reply.status != 200) return refused(reply, function, io);
    if (!follow) {
      log_printer print(io);
      print(reply.body);
      return exit_done;
    }
    return report(io, "the daemon ended", exit_done);
  });
}

int version_command(cli_io& io) {
  io.out << "rouse " << version() << '\n';
  return exit_done;
}

}  // namespace rouse::gateway
