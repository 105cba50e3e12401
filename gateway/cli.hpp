#pragma once
// The command line: what `rouse` says and does apart from being the daemon. The commands work on streams and an
// environment that are given to them, so that tests run them in-process. Main thread only.

#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"
#include "gateway/daemon.hpp"

namespace rouse::gateway {

/// Exit codes, for all commands.
enum exit_code : int { exit_done = 0, exit_failed = 1, exit_usage = 2 };

/// Where a command writes and what it knows of its surroundings. Borrowed.
struct cli_io {
  std::ostream& out;
  std::ostream& err;
  config::environment env;
  bool colour = false;      ///< of `out`
  bool err_colour = false;  ///< of `err`
};

/// Client commands: how they find the daemon.
struct client_options {
  std::string admin;  ///< --admin; empty: ROUSE_ADMIN, else http://127.0.0.1:9080
};

/// A configuration that can be run, or nothing; then every problem has gone to `err`, one per line.
[[nodiscard]] std::optional<config::load_result> load_or_explain(const std::string& path, cli_io& io);

/// Validates a config file. Every problem goes to `err`, one per line.
int check_command(const std::string& config_path, cli_io& io);
/// Loads a config file and runs the daemon with it through `run`.
int serve_command(const serve_options& options, cli_io& io,
                  const std::function<int(config::snapshot, const serve_options&)>& run);
/// A table of all functions, or one with its instances and decisions; or the admin interface's JSON as it is.
int status_command(const client_options& client, const std::string& function, bool json, cli_io& io);
/// What a function's instances wrote lately; with `follow` also what they write from now on.
int logs_command(const client_options& client, const std::string& function, bool follow, cli_io& io);
/// Bounds of a function's instances in place of the file's; at least one of the two.
int scale_command(const client_options& client, const std::string& function, std::optional<unsigned> min,
                  std::optional<unsigned> max, cli_io& io);
/// `weights` as REV=WEIGHT; revisions that are not named get 0.
int traffic_command(const client_options& client, const std::string& function, const std::vector<std::string>& weights,
                    cli_io& io);
int restart_command(const client_options& client, const std::string& function, cli_io& io);
int cordon_command(const client_options& client, const std::string& pool, bool cordoned, cli_io& io);
/// What is wrong with the configuration goes to `err`, one problem per line.
int reload_command(const client_options& client, cli_io& io);
int drain_command(const client_options& client, cli_io& io);
/// `verb`: list, show, redrive or purge. `which`: a trigger, a function, or a dead letter's number; empty only for
/// list.
int dead_letters_command(const client_options& client, const std::string& verb, const std::string& which, cli_io& io);
int version_command(cli_io& io);

/// Parses the command line (without the program's name) and runs the command. `serve` is injected because the daemon is
/// the one thing here that a test does not want.
int run_command_line(const std::vector<std::string>& arguments, cli_io& io,
                     const std::function<int(config::snapshot, const serve_options&)>& serve);

}  // namespace rouse::gateway
