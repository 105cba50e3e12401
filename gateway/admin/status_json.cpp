#include "gateway/admin/status_json.hpp"

#include <algorithm>
#include <functional>

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
  out["pool"] = instance.pool;
  out["state"] = instance.state;
  out["address"] = instance.address.empty() ? json() : json(instance.address);
  out["progress"] = instance.progress.empty() ? json() : json(instance.progress);
  out["in_flight"] = instance.in_flight;
  out["age_ms"] = instance.age.count();
  return out;
}

json to_json(const activator::decision_status& decision) {
  json out;
  out["at"] = rfc3339(decision.at);
  out["from"] = decision.from;
  out["to"] = decision.to;
  out["cause"] = to_string(decision.cause);
  out["reason"] = decision.reason;
  return out;
}

json text_or_null(const std::string& text) {
  return text.empty() ? json() : json(text);
}

json to_json(const activator::revision_status& revision) {
  json out;
  out["revision"] = revision.revision;
  out["role"] = revision.role;
  out["weight"] = revision.weight;
  out["parked"] = revision.parked;
  out["in_flight"] = revision.in_flight;
  out["min"] = revision.min;
  out["max"] = revision.max;
  out["desired"] = revision.desired;
  out["waits_for"] = text_or_null(revision.why);
  out["cold_starts"] = revision.cold_starts;
  out["ejections"] = revision.ejections;
  out["thaws"] = revision.thaws;
  out["failure"] = text_or_null(revision.failure);
  return out;
}

/// The lists and sums over all revisions stand beside them: most functions have one, and most readers want these.
json to_json(const activator::function_status& function) {
  json out;
  out["name"] = function.name;
  const activator::revision_status* main = nullptr;
  for (const auto& one : function.revisions) {
    if (!main || one.weight > main->weight) main = &one;
  }
  out["revision"] = main ? json(main->revision) : json();
  out["parked"] = function.parked;
  out["parked_bytes"] = function.parked_bytes;
  out["in_flight"] = function.in_flight;
  unsigned desired = 0;
  std::uint64_t cold_starts = 0;
  std::string failure;
  std::vector<std::pair<const activator::decision_status*, const std::string*>> decisions;
  json instances = json::array();
  json revisions = json::array();
  for (const auto& one : function.revisions) {
    desired += one.desired;
    cold_starts += one.cold_starts;
    if (failure.empty()) failure = one.failure;
    for (const auto& decision : one.decisions) decisions.emplace_back(&decision, &one.revision);
    for (const auto& instance : one.instances) {
      instances.push_back(to_json(instance));
      instances.back()["revision"] = one.revision;
    }
    revisions.push_back(to_json(one));
  }
  out["desired"] = desired;
  out["cold_starts"] = cold_starts;
  out["failure"] = text_or_null(failure);
  out["rollout"] = text_or_null(function.rollout);
  out["set"] = json::object();
  if (function.set_min) out["set"]["min"] = *function.set_min;
  if (function.set_max) out["set"]["max"] = *function.set_max;
  if (function.set_traffic) out["set"]["traffic"] = true;
  out["revisions"] = std::move(revisions);
  out["instances"] = std::move(instances);
  std::ranges::stable_sort(decisions, std::greater<>(), [](const auto& entry) { return entry.first->at; });
  out["decisions"] = json::array();
  for (const auto& [decision, revision] : decisions) {
    if (out["decisions"].size() == 10) break;
    out["decisions"].push_back(to_json(*decision));
    out["decisions"].back()["revision"] = *revision;
  }
  return out;
}

json to_json(const activator::pool_status& pool) {
  json out;
  out["name"] = pool.name;
  out["backend"] = pool.backend;
  out["instances"] = pool.instances;
  out["max_instances"] = pool.max_instances ? json(*pool.max_instances) : json();
  out["reserved"] = pool.reserved;
  out["cost"] = pool.cost;
  out["cost_total"] = pool.cost_total;
  out["cordoned"] = pool.cordoned;
  out["standby"] = pool.standby;
  out["problem"] = pool.problem.empty() ? json() : json(pool.problem);
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

std::string pools_json(const std::vector<activator::pool_status>& pools) {
  json all = json::array();
  for (const auto& pool : pools) all.push_back(to_json(pool));
  json out;
  out["pools"] = std::move(all);
  return dump(out);
}

std::string instances_json(const std::vector<activator::function_status>& functions) {
  json all = json::array();
  for (const auto& function : functions) {
    for (const auto& revision : function.revisions) {
      for (const auto& instance : revision.instances) {
        json one;
        one["function"] = function.name;
        one["revision"] = revision.revision;
        one.update(to_json(instance));
        all.push_back(std::move(one));
      }
    }
  }
  json out;
  out["instances"] = std::move(all);
  return dump(out);
}

std::string triggers_json(const event_numbers& events) {
  json triggers = json::object();
  for (const auto& one : events.triggers) {
    json out;
    out["source"] = one.source;
    out["function"] = one.function;
    out["delivered"] = one.delivered;
    out["retried"] = one.retried;
    out["dead"] = one.dead;
    out["filtered"] = one.filtered;
    out["in_flight"] = one.in_flight;
    out["waiting"] = one.waiting;
    out["waiting_retry"] = one.waiting_retry;
    out["oldest_ms"] = one.oldest ? json(one.oldest->count()) : json(nullptr);
    out["paused"] = one.paused;
    out["problem"] = one.problem;
    json lanes = json::object();
    for (const auto& lane : one.lanes) lanes[lane.name] = {{"lag", lane.lag}, {"held_by", lane.held_by}};
    out["partitions"] = std::move(lanes);
    triggers[one.name] = std::move(out);
  }
  json queues = json::object();
  for (const auto& one : events.queues) {
    json out;
    out["requests"] = one.requests;
    out["bytes"] = one.bytes;
    out["in_flight"] = one.in_flight;
    out["paused"] = one.paused;
    queues[one.function] = std::move(out);
  }
  json out;
  out["triggers"] = std::move(triggers);
  out["queues"] = std::move(queues);
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

void append_event(std::string& out, const activator::chronicle::entry& entry) {
  const auto& what = entry.what;
  fmt::format_to(std::back_inserter(out), "id: {}\nevent: {}\ndata: {{\"number\":{},\"at\":\"", entry.number, what.type,
                 entry.number);
  append_rfc3339(out, entry.at);
  out += "\",\"type\":";
  append_json_string(out, what.type);
  const auto add = [&](std::string_view name, const std::string& value) {
    if (value.empty()) return;
    fmt::format_to(std::back_inserter(out), ",\"{}\":", name);
    append_json_string(out, value);
  };
  add("function", what.function);
  add("revision", what.revision);
  add("instance", what.instance);
  add("pool", what.pool);
  add("cause", what.cause);
  if (what.count) fmt::format_to(std::back_inserter(out), ",\"from\":{},\"to\":{}", what.count->from, what.count->to);
  add("text", what.text);
  out += "}\n\n";
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
