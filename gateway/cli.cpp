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
#include "gateway/cli_support.hpp"
#include "gateway/events/kafka/client_settings.hpp"
#include "gateway/table.hpp"
#include "gateway/version.hpp"
#include "router/routes.hpp"

namespace rouse::gateway {
namespace {

using nlohmann::json;

std::string count_of(std::size_t count, std::string_view one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
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

/// One row: of a function, or of one of its revisions where it has several.
void add_row(table& to, const json& function, const json& of, const std::string& revision, bool all) {
  std::size_t ready = 0, starting = 0;
  for (const auto& instance : function.at("instances")) {
    if (!all && instance.at("revision") != of.at("revision")) continue;
    ready += instance.at("state") == "ready";
    starting += instance.at("state") == "starting";
  }
  std::string last = "-";
  for (const auto& decision : function.at("decisions")) {
    if (!all && decision.at("revision") != of.at("revision")) continue;
    last = describe(decision);
    break;
  }
  const bool failed = !of.at("failure").is_null();
  if (failed) last = "start failed: " + shown(of.at("failure"));
  to.add({shown(function.at("name")), revision, std::to_string(ready), std::to_string(starting), shown(of.at("parked")),
          shown(of.at("in_flight")), shown(of.at("desired")), last},
         failed ? table::tone::bad : table::tone::plain);
}

void add_function(table& to, const json& function) {
  const auto& revisions = function.at("revisions");
  if (revisions.size() <= 1) return add_row(to, function, function, shown(function.at("revision")), true);
  for (const auto& one : revisions) {
    const auto note = one.at("role") == "serving" ? "weight " + shown(one.at("weight")) : shown(one.at("role"));
    add_row(to, function, one, shown(one.at("revision")) + " (" + note + ")", false);
  }
}

/// What is not as in the file, or on its way to be.
void print_notes(const json& function, cli_io& io) {
  if (!function.at("rollout").is_null()) io.out << "rollout: " << shown(function.at("rollout")) << '\n';
  const auto& set = function.at("set");
  for (const auto& [key, value] : set.items())
    io.out << key << (value.is_boolean() ? "" : " " + shown(value)) << " set by command, in place of the file's\n";
  for (const auto& one : function.at("revisions")) {
    if (!one.at("waits_for").is_null())
      io.out << shown(one.at("revision")) << ": " << shown(one.at("waits_for")) << '\n';
  }
}

/// Nothing for the one pool that everybody has, as long as there is nothing to say of it.
void print_pools(const std::string& body, cli_io& io) {
  const auto parsed = json::parse(body);
  const auto& pools = parsed.at("pools");
  if (pools.size() == 1 && pools[0].at("max_instances").is_null() && pools[0].at("cordoned") == false &&
      pools[0].at("problem").is_null() && pools[0].at("standby") == false)
    return;
  table list({{"POOL"}, {"BACKEND"}, {"INSTANCES", true}, {"MAX", true}, {"COST", true}, {"STATE"}});
  for (const auto& pool : pools) {
    const bool cordoned = pool.at("cordoned") == true;
    const bool standby = pool.at("standby") == true;
    const bool fails = !pool.at("problem").is_null();
    list.add({shown(pool.at("name")), shown(pool.at("backend")), shown(pool.at("instances")),
              shown(pool.at("max_instances")), fmt::format("{:.2f}", pool.at("cost_total").get<double>()),
              cordoned  ? "cordoned"
              : standby ? "standby"
              : fails   ? "in trouble"
                        : "open"},
             cordoned || standby || fails ? table::tone::bad : table::tone::plain);
  }
  io.out << '\n';
  list.print(io.out, io.colour);
  for (const auto& pool : pools) {
    if (!pool.at("problem").is_null()) io.out << shown(pool.at("name")) << ": " << shown(pool.at("problem")) << '\n';
  }
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
    const auto progress = one.at("progress").is_null() ? "" : ": " + shown(one.at("progress"));
    instances.add({shown(one.at("name")), shown(one.at("state")) + progress, shown(one.at("address")),
                   shown(one.at("in_flight")), rough(one.at("age_ms").get<std::int64_t>())});
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
    print_notes(parsed, io);
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

}  // namespace

std::optional<config::load_result> load_or_explain(const std::string& path, cli_io& io) {
  auto loaded = config::load(path, io.env, events::kafka_checks());
  ::malloc_trim(0);  // the parser's tree of a large file is not kept
  if (loaded.value) {
    try {
      // The route table knows a few more spellings that servers read in different ways, and refuses them.
      const router::route_table routes(*loaded.value);
      return loaded;
    } catch (const std::invalid_argument& refused) {
      io.err << path << ": " << refused.what() << '\n';
      return {};
    }
  }
  for (const auto& problem : loaded.problems) io.err << problem.to_string() << '\n';
  return {};
}

int check_command(const std::string& config_path, cli_io& io) {
  const auto loaded = load_or_explain(config_path, io);
  if (!loaded) return exit_usage;
  io.out << config_path << ": ok, " << count_of(loaded->value->functions.size(), "function") << ", "
         << count_of(loaded->value->routes.size(), "route") << '\n';
  return exit_done;
}

int serve_command(const serve_options& options, cli_io& io,
                  const std::function<int(config::snapshot, const serve_options&)>& run) {
  auto loaded = load_or_explain(options.config_path, io);
  if (!loaded) return exit_usage;
  auto with_sources = options;
  with_sources.sources = std::move(loaded->sources);
  return run(std::move(*loaded->value), with_sources);
}

int status_command(const client_options& client, const std::string& function, bool as_json, cli_io& io) {
  if (!function.empty() && !is_label(function)) return bad_name(function, io);
  return with_daemon(client, io, [&](const admin_address& at) -> int {
    const auto reply = admin_get(at, "/api/v1/functions" + (function.empty() ? "" : "/" + function));
    if (reply.status != 200) return refused(reply, function, io);
    if (as_json) {
      io.out << reply.body;
      return exit_done;
    }
    print_status(reply.body, !function.empty(), io);
    if (!function.empty()) return exit_done;
    const auto pools = admin_get(at, "/api/v1/pools");
    if (pools.status != 200) return refused(pools, {}, io);
    print_pools(pools.body, io);
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
