#include "activator/simulator/report.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace rouse::simulator {
namespace {

constexpr std::size_t most_rows = 20;

double milliseconds(std::uint64_t ns) {
  return static_cast<double>(ns) / 1e6;
}

/// "0", "0.4 ms", "12 ms", "1.25 s"
std::string in_words(std::uint64_t ns) {
  const double ms = milliseconds(ns);
  if (ns == 0) return "0";
  if (ms < 10) return fmt::format("{:.1f} ms", ms);
  if (ms < 1000) return fmt::format("{:.0f} ms", ms);
  return fmt::format("{:.2f} s", ms / 1000);
}

std::string span_in_words(std::chrono::nanoseconds span) {
  const double hours = std::chrono::duration<double, std::ratio<3600>>(span).count();
  return hours >= 1 ? fmt::format("{:.4g} h", hours) : fmt::format("{:.4g} s", hours * 3600);
}

std::string share(std::uint64_t part, std::uint64_t of) {
  return of == 0 ? "-" : fmt::format("{:.2f} %", 100.0 * static_cast<double>(part) / static_cast<double>(of));
}

/// Columns wide enough for what is in them; all but the first to the right.
void write_table(std::ostream& out, const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  for (const auto& row : rows) {
    out << fmt::format("{:<{}}", row[0], widths[0]);
    for (std::size_t i = 1; i < row.size(); ++i) out << fmt::format("  {:>{}}", row[i], widths[i]);
    out << '\n';
  }
}

std::vector<std::string> row_of(const function_report& one, std::string name) {
  return {std::move(name),
          std::to_string(one.requests),
          std::to_string(one.lost()),
          share(one.waits.waited(), one.waits.total()),
          in_words(one.waits.quantile(0.5)),
          in_words(one.waits.quantile(0.99)),
          in_words(one.waits.max()),
          std::to_string(one.cold_starts),
          std::to_string(one.peak_instances),
          fmt::format("{:.2f}", one.instance_hours)};
}

void write_functions(std::ostream& out, const report& what) {
  std::vector<const function_report*> shown;
  for (const auto& one : what.functions)
    if (one.requests > 0 || one.instance_hours > 0) shown.push_back(&one);
  std::ranges::stable_sort(shown, std::greater<>(), [](const function_report* one) { return one->instance_hours; });
  const auto hidden = shown.size() > most_rows ? shown.size() - most_rows : 0;
  shown.resize(shown.size() - hidden);
  std::vector<std::vector<std::string>> rows{
      {"FUNCTION", "REQUESTS", "LOST", "WAITED", "WAIT P50", "P99", "MAX", "COLD STARTS", "PEAK", "INSTANCE-HOURS"}};
  for (const auto* one : shown) rows.push_back(row_of(*one, one->name));
  rows.push_back(row_of(what.all, "all"));
  write_table(out, rows);
  if (hidden > 0) out << "(" << hidden << " functions with fewer instance-hours are not shown; --json has all)\n";
}

void write_pools(std::ostream& out, const report& what) {
  std::vector<std::vector<std::string>> rows{{"POOL", "INSTANCE-HOURS", "RESERVED", "PRICE", "COST"}};
  for (const auto& one : what.pools) {
    rows.push_back({one.name, fmt::format("{:.2f}", one.instance_hours), std::to_string(one.reserved),
                    fmt::format("{:g}", one.price), fmt::format("{:.2f}", one.cost)});
  }
  write_table(out, rows);
}

nlohmann::ordered_json json_of(const function_report& one) {
  nlohmann::ordered_json out;
  out["name"] = one.name;
  out["requests"] = one.requests;
  out["lost"] = one.lost();
  out["timed_out"] = one.timed_out;
  out["queue_full"] = one.queue_full;
  out["start_failed"] = one.start_failed;
  out["waited"] = one.waits.waited();
  out["wait_ms"] = {{"mean", milliseconds(static_cast<std::uint64_t>(one.waits.mean()))},
                    {"p50", milliseconds(one.waits.quantile(0.5))},
                    {"p90", milliseconds(one.waits.quantile(0.9))},
                    {"p99", milliseconds(one.waits.quantile(0.99))},
                    {"p999", milliseconds(one.waits.quantile(0.999))},
                    {"max", milliseconds(one.waits.max())}};
  out["cold_starts"] = one.cold_starts;
  out["failed_starts"] = one.failed_starts;
  out["instance_hours"] = one.instance_hours;
  out["busy_hours"] = one.busy_hours;
  out["peak_instances"] = one.peak_instances;
  out["peak_parked"] = one.peak_parked;
  out["decisions"] = {{"up", one.decisions_up}, {"down", one.decisions_down}};
  return out;
}

}  // namespace

void write_text(std::ostream& out, const report& what) {
  const auto& all = what.all;
  out << fmt::format("{}, {} requests, {} functions\n", span_in_words(what.span), all.requests, what.functions.size());
  out << fmt::format("lost: {} ({} gave up waiting, {} found the queue full, {} met a failed start)\n", all.lost(),
                     all.timed_out, all.queue_full, all.start_failed);
  out << fmt::format("instances: at most {} at once; decisions: {} up, {} down; parked: at most {} at once\n\n",
                     all.peak_instances, all.decisions_up, all.decisions_down, all.peak_parked);
  write_functions(out, what);
  out << '\n';
  write_pools(out, what);
}

void write_json(std::ostream& out, const report& what) {
  nlohmann::ordered_json made;
  made["seconds"] = std::chrono::duration<double>(what.span).count();
  made["all"] = json_of(what.all);
  made["all"].erase("name");
  made["pools"] = nlohmann::ordered_json::array();
  for (const auto& one : what.pools) {
    made["pools"].push_back({{"name", one.name},
                             {"instance_hours", one.instance_hours},
                             {"reserved", one.reserved},
                             {"price", one.price},
                             {"cost", one.cost}});
  }
  made["functions"] = nlohmann::ordered_json::array();
  for (const auto& one : what.functions) made["functions"].push_back(json_of(one));
  out << made.dump(2) << '\n';
}

void write_csv_head(std::ostream& out) {
  out << "time,function,requests,load,desired,ready,starting,parked\n";
}

void write_csv(std::ostream& out, const sample& row) {
  out << fmt::format("{:g},{},{},{:.3f},{},{},{},{}\n", std::chrono::duration<double>(row.at).count(), row.function,
                     row.requests, row.load, row.desired, row.ready, row.starting, row.parked);
}

}  // namespace rouse::simulator
