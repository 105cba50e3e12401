// The grammar of the command line. What the commands do is in cli.cpp.

#include <cstdlib>
#include <functional>
#include <ostream>

#include <CLI/CLI.hpp>

#include "gateway/cli.hpp"
#include "gateway/version.hpp"

namespace rouse::gateway {
namespace {

/// What was given, for all commands.
struct given {
  serve_options serve;
  client_options client;
  std::string check_path = "rouse.yaml";
  std::string log_format = "text";
  std::string function;
  bool json = false;
  bool follow = false;
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
  command.footer("Example:\n  rouse serve -c rouse.yaml\n  curl http://127.0.0.1:8080/function/hello");
}

void add_check(CLI::App& app, given& to) {
  auto& command = *app.add_subcommand("check", "Validate a configuration: FILE:LINE:COLUMN: what is wrong");
  add_config(command, to.check_path);
  command.footer("Example:\n  rouse check -c rouse.yaml");
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

/// CLI11's own exit codes are not ours.
int explain(const CLI::App& app, const CLI::ParseError& error, cli_io& io) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
    app.exit(error, io.out, io.err);  // --help
    return exit_done;
  }
  const auto used = app.get_subcommands();
  const std::string command = used.empty() ? "rouse" : "rouse " + used.front()->get_name();
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
  add_status(app, to);
  add_logs(app, to);
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
  if (name == "status") return status_command(to.client, to.function, to.json, io);
  if (name == "logs") return logs_command(to.client, to.function, to.follow, io);
  if (name == "version") return version_command(io);
  to.serve.log_json = to.log_format == "json";
  return serve_command(to.serve, io, serve);
}

}  // namespace rouse::gateway
