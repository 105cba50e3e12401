#include "gateway/simulate.hpp"

#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <ostream>
#include <stdexcept>

#include <fmt/format.h>

#include "activator/simulator/report.hpp"
#include "activator/simulator/simulation.hpp"
#include "activator/simulator/trace.hpp"
#include "config/units.hpp"
#include "gateway/escape.hpp"

namespace rouse::gateway {
namespace {

using std::chrono::nanoseconds;
using std::chrono::system_clock;

/// What the user gave is of no use; the text says why and what would be right.
class bad_use : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A file cannot be written.
class cannot_write : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

nanoseconds duration(const char* option, const std::string& text, bool zero_is_fine) {
  const auto parsed = config::parse_duration(text);
  if (!parsed.value) throw bad_use(fmt::format("{} {}", option, parsed.error));
  if (!zero_is_fine && parsed.value->count() == 0)
    throw bad_use(fmt::format("{} must be more than 0, such as `1m`", option));
  return *parsed.value;
}

system_clock::time_point moment(const std::string& text) {
  const auto wrong = [&] {
    return bad_use(
        fmt::format("--begin `{}` is no moment: a date such as 2026-01-05, or one with a time and an offset, "
                    "such as 2026-01-05T08:00:00Z or 2026-01-05T08:00:00+08:00",
                    text));
  };
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, used = 0;
  const bool dated = std::sscanf(text.c_str(), "%4d-%2d-%2d%n", &year, &month, &day, &used) == 3 && used == 10;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!dated || !date.ok() || year < 1970 || year > 2200) throw wrong();
  if (text.size() == 10) return std::chrono::sys_days(date);
  int zone_hour = 0, zone_minute = 0, rest = 0;
  const char* const time = text.c_str() + 10;
  if (std::sscanf(time, "T%2d:%2d:%2d%n", &hour, &minute, &second, &used) != 3 || used != 9) throw wrong();
  const std::string zone = text.substr(19);
  const bool offset = zone.size() == 6 && (zone[0] == '+' || zone[0] == '-') &&
                      std::sscanf(zone.c_str() + 1, "%2d:%2d%n", &zone_hour, &zone_minute, &rest) == 2 && rest == 5;
  if (zone != "Z" && !offset) throw wrong();
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) throw wrong();
  const int ahead = (zone_hour * 60 + zone_minute) * (zone[0] == '-' ? -1 : 1);
  return std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute - ahead) +
         std::chrono::seconds(second);
}

std::ifstream opened(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw bad_use(path + ": cannot be read; is the name right?");
  return in;
}

simulator::options options_of(const simulate_options& given) {
  simulator::options out;
  out.arrivals = given.arrivals == "even" ? simulator::spread::even : simulator::spread::poisson;
  out.services = given.services == "fixed" ? simulator::service_times::fixed : simulator::service_times::exponential;
  out.seed = given.seed;
  out.step = duration("--step", given.step, false);
  if (!given.begin.empty()) out.begin = moment(given.begin);
  return out;
}

/// Nothing when the files are wrong; then `io.err` has why.
std::optional<simulator::trace> trace_of(const simulate_options& given, const config::snapshot& snapshot, cli_io& io) {
  simulator::trace_defaults defaults;
  defaults.start = duration("--start", given.start, true);
  defaults.service = duration("--service", given.service, true);
  if (!given.interval.empty()) defaults.interval = duration("--interval", given.interval, false);
  auto rows = opened(given.trace_path);
  std::optional<std::ifstream> table;
  if (!given.functions_path.empty()) table = opened(given.functions_path);
  auto result = simulator::read_trace(rows, given.trace_path, table ? &*table : nullptr, given.functions_path, snapshot,
                                      defaults);
  for (const auto& problem : result.problems) {
    std::string line;
    append_line_text(line, problem);
    io.err << line << '\n';
  }
  return std::move(result.value);
}

int run(const simulate_options& given, cli_io& io) {
  auto how = options_of(given);
  auto loaded = load_or_explain(given.config_path, io);
  if (!loaded) return exit_usage;
  const auto snapshot = std::make_shared<const config::snapshot>(std::move(*loaded->value));
  const auto trace = trace_of(given, *snapshot, io);
  if (!trace) return exit_usage;

  std::ofstream csv;
  if (!given.csv_path.empty()) {
    csv.open(given.csv_path);
    if (!csv) throw cannot_write(given.csv_path + ": cannot be written");
    simulator::write_csv_head(csv);
    how.on_sample = [&csv](const simulator::sample& row) { simulator::write_csv(csv, row); };
  }
  const auto found = simulator::simulate(snapshot, *trace, how);
  csv.close();
  if (!given.csv_path.empty() && !csv) throw cannot_write(given.csv_path + ": could not be written to its end");
  if (given.json) {
    simulator::write_json(io.out, found);
  } else {
    simulator::write_text(io.out, found);
  }
  return exit_done;
}

}  // namespace

int simulate_command(const simulate_options& options, cli_io& io) {
  const auto explain = [&io](const std::exception& error, int code) {
    std::string line = "rouse: ";
    append_line_text(line, error.what());
    io.err << line << '\n';
    return code;
  };
  try {
    return run(options, io);
  } catch (const bad_use& error) {
    return explain(error, exit_usage);
  } catch (const cannot_write& error) {
    return explain(error, exit_failed);
  }
}

}  // namespace rouse::gateway
