#include "gateway/admin/status_json.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "gateway/escape.hpp"

#include "gateway/http/compose.hpp"

namespace rouse::gateway {
namespace {

using json = nlohmann::ordered_json;

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string rfc3339(std::chrono::system_clock::time_point at) {
  std::string text;
  append_rfc3339(text, at);
  return text;
}

json to_json(const activator::instance_status& instance) {
  json out;
  out["id"] = instance.id;
  out["name"] = instance.name;
  out["state"] = instance.state;
  out["address"] = instance.address.empty() ? json() : json(instance.address);
  out["in_flight"] = instance.in_flight;
  out["age_ms"] = instance.age.count();
  return out;
}

json to_json(const activator::decision_status& decision) {
  json out;
  out["at"] = rfc3339(decision.at);
  out["from"] = decision.from;
  out["to"] = decision.to;
  out["reason"] = decision.reason;
  return out;
}

json to_json(const activator::function_status& function) {
  json out;
  out["name"] = function.name;
  out["revision"] = function.revision;
  out["parked"] = function.parked;
  out["parked_bytes"] = function.parked_bytes;
  out["in_flight"] = function.in_flight;
  out["desired"] = function.desired;
  out["cold_starts"] = function.cold_starts;
  out["failure"] = function.failure.empty() ? json() : json(function.failure);
  out["instances"] = json::array();
  for (const auto& instance : function.instances) out["instances"].push_back(to_json(instance));
  out["decisions"] = json::array();
  for (const auto& decision : function.decisions) out["decisions"].push_back(to_json(decision));
  return out;
}

}  // namespace

std::string functions_json(const std::vector<activator::function_status>& functions) {
  json all = json::array();
  for (const auto& function : functions) all.push_back(to_json(function));
  json out;
  out["functions"] = std::move(all);
  return dump(out);
}

std::string function_json(const activator::function_status& function) {
  return dump(to_json(function));
}

std::string instances_json(const std::vector<activator::function_status>& functions) {
  json all = json::array();
  for (const auto& function : functions) {
    for (const auto& instance : function.instances) {
      json one;
      one["function"] = function.name;
      one["revision"] = function.revision;
      one.update(to_json(instance));
      all.push_back(std::move(one));
    }
  }
  json out;
  out["instances"] = std::move(all);
  return dump(out);
}

void append_log_line(std::string& out, const activator::output_ring::line& line) {
  fmt::format_to(std::back_inserter(out), R"({{"number":{},"at":")", line.number);
  append_rfc3339(out, line.at);
  out += R"(","instance":)";
  append_json_string(out, line.instance);
  out += R"(,"text":)";
  append_json_string(out, line.text);
  out += "}\n";
}

std::string problem_json(unsigned status, std::string_view type, std::string_view detail) {
  std::string title(type);
  std::replace(title.begin(), title.end(), '-', ' ');
  if (!title.empty() && title[0] >= 'a' && title[0] <= 'z') title[0] = static_cast<char>(title[0] - 'a' + 'A');
  json out;
  out["type"] = type;
  out["title"] = http::status_text(status);
  out["status"] = status;
  out["detail"] = detail;
  return dump(out);
}

}  // namespace rouse::gateway
