// The grammar of the command line. What the commands do is in cli.cpp.

#include <array>
#include <cstdlib>
#include <functional>
#include <optional>
#include <ostream>

#include <CLI/CLI.hpp>

#include "gateway/cli.hpp"
#include "gateway/simulate.hpp"
#include "gateway/version.hpp"

namespace rouse::gateway {
namespace {

/// What was given, for all commands.
struct given {
  serve_options serve;
  client_options client;
  std::string check_path = "rouse.yaml";
  simulate_options simulate;
  std::string log_format = "text";
  std::string function;
  bool json = false;
  bool follow = false;
  std::optional<unsigned> min, max;
  std::vector<std::string> weights;
  std::string pool;
  std::string which;  ///< dead letters
};

void add_config(CLI::App& command, std::string& path) {
  path = "rouse.yaml";
  command.add_option("-c,--config", path, "The configuration file")->type_name("FILE")->capture_default_str();
}

void add_admin(CLI::App& command, given& to) {
  command
      .add_option("--admin", to.client.admin,
                  "The daemon's admin address; else ROUSE_ADMIN, else http://127.0.0.1:9080. "
                  "Its token, if it has one, is taken from ROUSE_ADMIN_TOKEN")
      ->type_name("URL");
}

void add_serve(CLI::App& app, given& to) {
  auto& command = *app.add_subcommand("serve", "Run the daemon");
  add_config(command, to.serve.config_path);
  command.add_option("--log-format", to.log_format, "Of what the daemon says on standard error")
      ->check(CLI::IsMember({"text", "json"}))
      ->type_name("text|json")
      ->capture_default_str();
  command.add_option("--log-level", to.serve.log_level, "The least important lines to write")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->type_name("debug|info|warn|error")
      ->capture_default_str();
  command.add_flag("--quickstart", to.serve.print_quickstart,
                   "Print a curl line for each function once it can be called");
  command.add_flag("--watch", to.serve.watch, "Reload when the configuration's files change");
  command.footer("Example:\n  rouse serve -c rouse.yaml\n  curl http://127.0.0.1:8080/function/hello");
}

void add_check(CLI::App& app, given& to) {
  auto& command = *app.add_subcommand("check", "Validate a configuration: FILE:LINE:COLUMN: what is wrong");
  add_config(command, to.check_path);
  command.footer("Example:\n  rouse check -c rouse.yaml");
}

void add_simulate(CLI::App& app, given& to) {
  auto& command = *app.add_subcommand("simulate", "Replay a load trace in virtual time: cost, cold starts, waits");
  auto& what = to.simulate;
  add_config(command, what.config_path);
  command.add_option("--trace", what.trace_path, "CSV: time,function,requests[,service_ms]")
      ->required()
      ->type_name("FILE");
  command.add_option("--functions", what.functions_path, "CSV: function,start_ms,service_ms")->type_name("FILE");
  const auto text = [&command](const char* name, std::string& value, const char* help, const char* type) {
    auto* const option = command.add_option(name, value, help)->type_name(type);
    if (!value.empty()) option->capture_default_str();
  };
  text("--start", what.start, "How long an instance takes to start, where --functions says nothing", "DURATION");
  text("--service", what.service, "How long a request takes, where no file says it", "DURATION");
  text("--interval", what.interval, "Of a row; else the smallest difference between two times of the trace",
       "DURATION");
  text("--begin", what.begin, "When the trace begins, for schedules; else 2026-01-05, a Monday (UTC)", "MOMENT");
  command.add_option("--arrivals", what.arrivals, "Of a row's requests: at random moments, or at equal distances")
      ->check(CLI::IsMember({"poisson", "even"}))
      ->type_name("poisson|even")
      ->capture_default_str();
  command.add_option("--service-times", what.services, "Around the average, or always exactly that")
      ->check(CLI::IsMember({"exponential", "fixed"}))
      ->type_name("exponential|fixed")
      ->capture_default_str();
  command.add_option("--seed", what.seed, "Another one, other random numbers")->type_name("N")->capture_default_str();
  command.add_flag("--json", what.json, "For programs, with all functions");
  text("--csv", what.csv_path, "Write load, desired, ready and parked over time there", "FILE");
  text("--step", what.step, "Of --csv", "DURATION");
  command.footer("Example:\n  rouse simulate -c rouse.yaml --trace monday.csv --start 800ms --csv monday-scaling.csv");
}

void add_status(CLI::App& app, given& to) {
  auto& command =
      *app.add_subcommand("status", "Functions, instances, parked, in flight, last scale decisions and why");
  command.add_option("FUNCTION", to.function, "Only this one, with its instances and decisions")->type_name("");
  command.add_flag("--json", to.json, "For programs: what the admin interface answers");
  add_admin(command, to);
  command.footer("Example:\n  rouse status\n  rouse status hello --json");
}

void add_logs(CLI::App& app, given& to) {
  auto& command = *app.add_subcommand("logs", "What the instances of a function write");
  command.add_option("FUNCTION", to.function, "Its name")->required()->type_name("");
  command.add_flag("-f,--follow", to.follow, "Go on with new lines, until ^C");
  add_admin(command, to);
  command.footer("Example:\n  rouse logs hello -f");
}

CLI::Option* add_function(CLI::App& command, given& to) {
  return command.add_option("FUNCTION", to.function, "Its name")->required()->type_name("");
}

void add_scale(CLI::App& app, given& to) {
  auto& command = *app.add_subcommand("scale", "Change the bounds of a function's instances, until the file does");
  add_function(command, to);
  command.add_option("--min", to.min, "At least so many instances of each revision with traffic")->type_name("N");
  command.add_option("--max", to.max, "At most so many")->type_name("N");
  add_admin(command, to);
  command.footer("Example:\n  rouse scale hello --min 2 --max 20");
}

void add_traffic(CLI::App& app, given& to) {
  auto& command = *app.add_subcommand("traffic", "Move a function's traffic between its revisions, at once");
  add_function(command, to);
  command.add_option("REV=WEIGHT", to.weights, "Revisions and their weights; those not named get 0")
      ->required()
      ->type_name("");
  add_admin(command, to);
  command.footer("Example:\n  rouse traffic hello v1=90 v2=10");
}

void add_restart(CLI::App& app, given& to) {
  auto& command = *app.add_subcommand("restart", "Replace a function's instances one by one; nothing is dropped");
  add_function(command, to);
  add_admin(command, to);
  command.footer("Example:\n  rouse restart hello");
}

void add_pool(CLI::App& app, given& to) {
  auto& command = *app.add_subcommand("pool", "Say whether a pool takes new instances");
  command.require_subcommand(1);
  command.footer("Example:\n  rouse pool cordon cloud\n  rouse pool uncordon cloud");
  for (const char* const name : {"cordon", "uncordon"}) {
    const bool on = name[0] == 'c';
    auto& one = *command.add_subcommand(name, on ? "No new instances there" : "New instances there, as ever");
    one.add_option("POOL", to.pool, "Its name")->required()->type_name("");
    add_admin(one, to);
    one.footer(std::string("Example:\n  rouse pool ") + name + " cloud");
  }
}

void add_dead_letters(CLI::App& app, given& to) {
  auto& command = *app.add_subcommand("dead-letters", "Events and queued invocations that were given up");
  command.require_subcommand(1);
  command.footer("Example:\n  rouse dead-letters list\n  rouse dead-letters redrive bill");
  const std::array<std::array<const char*, 3>, 4> verbs{{
      {"list", "Show them, of all or of one trigger or function", "rouse dead-letters list bill"},
      {"show", "One with its content", "rouse dead-letters show 12"},
      {"redrive", "Deliver one, or all of a trigger or function, again", "rouse dead-letters redrive bill"},
      {"purge", "Remove one, or all of a trigger or function", "rouse dead-letters purge 12"},
  }};
  for (const auto& [name, what, example] : verbs) {
    auto& one = *command.add_subcommand(name, what);
    auto* const which = one.add_option("WHICH", to.which, "A trigger, a function, or the number of a dead letter");
    which->type_name("");
    if (std::string_view(name) != "list") which->required();
    add_admin(one, to);
    one.footer(std::string("Example:\n  ") + example);
  }
}

void add_daemon_wide(CLI::App& app, given& to) {
  auto& reload = *app.add_subcommand("reload", "Make the daemon read its configuration again: all of it, or nothing");
  add_admin(reload, to);
  reload.footer("Example:\n  rouse check && rouse reload");
  auto& drain = *app.add_subcommand("drain", "End the daemon as SIGTERM does: what is in flight is finished first");
  add_admin(drain, to);
  drain.footer("Example:\n  rouse drain");
}

/// CLI11's own exit codes are not ours.
int explain(const CLI::App& app, const CLI::ParseError& error, cli_io& io) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
    app.exit(error, io.out, io.err);  // --help
    return exit_done;
  }
  std::string command = "rouse";
  for (auto used = app.get_subcommands(); !used.empty(); used = used.front()->get_subcommands())
    command += " " + used.front()->get_name();
  io.err << "rouse: " << error.what() << "\nRun `" << command << " --help` for what it takes, with an example.\n";
  return exit_usage;
}

}  // namespace

int run_command_line(const std::vector<std::string>& arguments, cli_io& io,
                     const std::function<int(config::snapshot, const serve_options&)>& serve) {
  given to;
  CLI::App app("Runs functions behind HTTP: from zero when they are called, and back to zero when they are not.",
               "rouse");
  app.require_subcommand(0, 1);
  bool show_version = false;
  app.add_flag("--version", show_version, "Print the version");
  app.footer("Example:\n  rouse serve -c rouse.yaml\n\n`rouse COMMAND --help` says more, with an example.");
  add_serve(app, to);
  add_check(app, to);
  add_simulate(app, to);
  add_status(app, to);
  add_logs(app, to);
  add_scale(app, to);
  add_traffic(app, to);
  add_restart(app, to);
  add_pool(app, to);
  add_dead_letters(app, to);
  add_daemon_wide(app, to);
  auto* const version = app.add_subcommand("version", "Print the version");
  version->footer("Example:\n  rouse version");
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 wants them backwards
  } catch (const CLI::ParseError& error) {
    return explain(app, error, io);
  }

  const auto used = app.get_subcommands();
  if (used.empty() && show_version) return version_command(io);
  if (used.empty()) {
    io.err << app.help();
    return exit_usage;
  }
  const auto name = used.front()->get_name();
  if (name == "check") return check_command(to.check_path, io);
  if (name == "simulate") return simulate_command(to.simulate, io);
  if (name == "status") return status_command(to.client, to.function, to.json, io);
  if (name == "logs") return logs_command(to.client, to.function, to.follow, io);
  if (name == "scale") return scale_command(to.client, to.function, to.min, to.max, io);
  if (name == "traffic") return traffic_command(to.client, to.function, to.weights, io);
  if (name == "restart") return restart_command(to.client, to.function, io);
  if (name == "reload") return reload_command(to.client, io);
  if (name == "drain") return drain_command(to.client, io);
  if (name == "dead-letters")
    return dead_letters_command(to.client, used.front()->get_subcommands().front()->get_name(), to.which, io);
  if (name == "pool")
    return cordon_command(to.client, to.pool, used.front()->get_subcommands().front()->get_name() == "cordon", io);
  if (name == "version") return version_command(io);
  to.serve.log_json = to.log_format == "json";
  return serve_command(to.serve, io, serve);
}

}  // namespace rouse::gateway
