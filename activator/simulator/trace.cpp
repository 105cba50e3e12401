#include "activator/simulator/trace.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "activator/simulator/csv.hpp"

namespace rouse::simulator {
namespace {

constexpr std::size_t most_problems = 20;
/// Ten years, as everywhere in the configuration: no sum of times can overflow.
constexpr double longest_seconds = 3650.0 * 86400;
constexpr std::uint64_t most_requests = 1'000'000'000'000;

/// A number that is not below 0 and not above `most`; the whole field.
std::optional<double> number(std::string_view text, double most) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0 && value <= most)) return std::nullopt;
  return value;
}

nanoseconds from_seconds(double seconds) {
  return nanoseconds(static_cast<std::int64_t>(seconds * 1e9 + 0.5));
}

class reader {
 public:
  reader(const config::snapshot& snapshot, const trace_defaults& defaults) : defaults_(defaults) {
    trace_.functions.resize(snapshot.functions.size());
    for (std::size_t i = 0; i < snapshot.functions.size(); ++i) {
      index_.emplace(snapshot.functions[i].name, i);
      names_.push_back(snapshot.functions[i].name);
      trace_.functions[i].start = defaults.start;
      trace_.functions[i].service = defaults.service;
    }
  }

  void read_table(std::istream& in, const std::string& name) {
    csv_reader lines(in);
    name_ = &name;
    for (bool first = true; lines.next() && !full(); first = false) {
      const auto fields = lines.fields();
      if (first && fields[0] == "function") continue;
      if (fields.size() != 3) {
        problem(lines, "expected function,start_ms,service_ms, found " + std::to_string(fields.size()) + " fields");
        continue;
      }
      auto* const function = find(lines, fields[0]);
      const auto start = milliseconds(lines, "start_ms", fields[1]);
      const auto service = milliseconds(lines, "service_ms", fields[2]);
      if (!function || !start || !service) continue;
      function->start = *start;
      function->service = *service;
    }
  }

  void read_rows(std::istream& in, const std::string& name) {
    csv_reader lines(in);
    name_ = &name;
    for (bool first = true; lines.next() && !full(); first = false) {
      if (first && lines.fields()[0] == "time") continue;
      read_row(lines);
    }
    if (problems_.empty()) finish();
  }

  trace_result result() && {
    if (!problems_.empty()) return {std::nullopt, std::move(problems_)};
    return {std::move(trace_), {}};
  }

 private:
  void read_row(const csv_reader& lines) {
    const auto fields = lines.fields();
    if (fields.size() != 3 && fields.size() != 4) {
      return problem(lines, "expected time,function,requests or time,function,requests,service_ms, found " +
                                std::to_string(fields.size()) + " fields");
    }
    trace_row row;
    const auto at = number(fields[0], longest_seconds);
    if (!at) problem(lines, "`" + std::string(fields[0]) + "` is no time: seconds since the begin, such as 60 or 0.5");
    auto* const function = find(lines, fields[1]);
    const auto [end, error] = std::from_chars(fields[2].data(), fields[2].data() + fields[2].size(), row.requests);
    const bool counted = error == std::errc() && end == fields[2].data() + fields[2].size();
    if (!counted || row.requests > most_requests)
      problem(lines, "`" + std::string(fields[2]) + "` is no number of requests: a whole number, such as 250");
    if (fields.size() == 4 && !fields[3].empty())
      row.service = milliseconds(lines, "service_ms", fields[3]).value_or(nanoseconds(0));
    if (!at || !function || full()) return;
    row.at = from_seconds(*at);
    times_.push_back(row.at);
    trace_.requests += row.requests;
    if (row.requests > 0) function->rows.push_back(row);
  }

  /// The interval, the end, and the order of rows.
  void finish() {
    std::ranges::sort(times_);
    times_.erase(std::unique(times_.begin(), times_.end()), times_.end());
    if (times_.empty()) {
      problems_.push_back(*name_ + ": there is no row; expected time,function,requests[,service_ms]");
      return;
    }
    trace_.interval = defaults_.interval.value_or(shortest_step());
    trace_.end = times_.back() + trace_.interval;
    for (std::size_t i = 0; i < trace_.functions.size(); ++i) check_order(trace_.functions[i].rows, i);
  }

  void check_order(std::vector<trace_row>& rows, std::size_t function) {
    std::ranges::stable_sort(rows, {}, &trace_row::at);
    for (std::size_t i = 1; i < rows.size() && !full(); ++i) {
      const auto apart = rows[i].at - rows[i - 1].at;
      if (apart >= trace_.interval) continue;
      problems_.push_back(fmt::format(
          "{}: function {} has rows for {:g} and {:g} seconds, which is less than the interval "
          "of {:g} seconds: add them up, or give a shorter --interval",
          *name_, names_[function], seconds(rows[i - 1].at), seconds(rows[i].at), seconds(trace_.interval)));
    }
  }

  static double seconds(nanoseconds time) { return std::chrono::duration<double>(time).count(); }

  nanoseconds shortest_step() const {
    nanoseconds least = nanoseconds::max();
    for (std::size_t i = 1; i < times_.size(); ++i) least = std::min(least, times_[i] - times_[i - 1]);
    return times_.size() > 1 ? least : std::chrono::minutes(1);
  }

  function_load* find(const csv_reader& lines, std::string_view name) {
    const auto found = index_.find(name);
    if (found != index_.end()) return &trace_.functions[found->second];
    problem(lines, "the configuration has no function `" + std::string(name) + "`");
    return nullptr;
  }

  std::optional<nanoseconds> milliseconds(const csv_reader& lines, const char* what, std::string_view text) {
    const auto value = number(text, longest_seconds * 1000);
    if (value) return from_seconds(*value / 1000);
    problem(lines, "`" + std::string(text) + "` is no " + what + ": milliseconds, such as 120 or 0.5");
    return std::nullopt;
  }

  void problem(const csv_reader& lines, const std::string& what) {
    if (full()) return;
    problems_.push_back(*name_ + ":" + std::to_string(lines.line()) + ": " + what);
  }
  [[nodiscard]] bool full() const noexcept { return problems_.size() >= most_problems; }

  const trace_defaults& defaults_;
  trace trace_;
  std::unordered_map<std::string_view, std::size_t> index_;
  std::vector<std::string_view> names_;
  std::vector<nanoseconds> times_;
  std::vector<std::string> problems_;
  const std::string* name_ = nullptr;
};

}  // namespace

trace_result read_trace(std::istream& in, const std::string& name, std::istream* table, const std::string& table_name,
                        const config::snapshot& snapshot, const trace_defaults& defaults) {
  reader reads(snapshot, defaults);
  if (table) reads.read_table(*table, table_name);
  reads.read_rows(in, name);
  return std::move(reads).result();
}

}  // namespace rouse::simulator
