#include "gateway/admin/action_request.hpp"

#include <limits>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "gateway/admin/status_json.hpp"

namespace rouse::gateway {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

/// The body as an object whose keys are all different; otherwise a value that is none, and `why`.
json parse_object(std::string_view body, std::string& why) {
  std::set<std::string> keys;
  std::string twice;
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    if (depth == 1 && event == json::parse_event_t::key && !keys.insert(value.get<std::string>()).second)
      twice = value.get<std::string>();
    return true;
  };
  json parsed = json::parse(body.begin(), body.end(), watch, false);
  if (parsed.is_discarded()) {
    why = "the body is not JSON";
  } else if (!parsed.is_object()) {
    why = "the body is not a JSON object";
    parsed = json();
  } else if (!twice.empty()) {
    why = "`" + twice + "` is given twice";
    parsed = json();
  }
  return parsed;
}

/// A whole number that fits; otherwise nothing, and `why`.
std::optional<std::uint32_t> whole(const json& value, const std::string& name, std::string& why) {
  if (value.is_number_unsigned() && value.get<std::uint64_t>() <= std::numeric_limits<std::uint32_t>::max())
    return value.get<std::uint32_t>();
  why = fmt::format("`{}` must be a whole number from 0, not {}", name,
                    value.dump(-1, ' ', false, json::error_handler_t::replace));
  return {};
}

action_call parse_scale(std::string name, const json& body, std::string& why) {
  std::optional<unsigned> min, max;
  for (const auto& [key, value] : body.items()) {
    if (key != "min" && key != "max") {
      why = "there is no key `" + key + "`; this takes `min`, `max` or both";
      return {};
    }
    const auto number = whole(value, key, why);
    if (!number) return {};
    (key == "min" ? min : max) = *number;
  }
  if (max == 0u) {
    why = "`max` must be at least 1";
  } else if (!min && !max) {
    why = "neither `min` nor `max` is given; for example {\"min\": 2}";
  } else if (min && max && *min > *max) {
    why = fmt::format("`min` ({}) is above `max` ({})", *min, *max);
  } else {
    return [name = std::move(name), min, max](actions& of, actions::done then) {
      of.scale(name, min, max, std::move(then));
    };
  }
  return {};
}

action_call parse_traffic(std::string name, const json& body, std::string& why) {
  std::map<std::string, std::uint32_t> weights;
  std::uint64_t sum = 0;
  for (const auto& [key, value] : body.items()) {
    const auto number = whole(value, key, why);
    if (!number) return {};
    sum += *number;
    weights[key] = *number;
  }
  if (sum == 0) {
    why = "at least one revision must have a weight above 0; for example {\"v1\": 90, \"v2\": 10}";
    return {};
  }
  return [name = std::move(name), weights = std::move(weights)](actions& of, actions::done then) {
    of.traffic(name, weights, std::move(then));
  };
}

action_call parse_cordon(std::string name, const json& body, std::string& why) {
  const auto found = body.find("cordoned");
  if (body.size() != 1 || found == body.end() || !found->is_boolean()) {
    why = "the body must be {\"cordoned\": true} or {\"cordoned\": false}";
    return {};
  }
  return [name = std::move(name), on = found->get<bool>()](actions& of, actions::done then) {
    of.cordon(name, on, std::move(then));
  };
}

action_call parse_dead_letters(endpoint what, const json& body, std::string& why) {
  dead_letter_question which;
  const auto owner = body.find("owner");
  const auto id = body.find("id");
  const bool good =
      body.size() == 1 && ((owner != body.end() && owner->is_string() && !owner->get<std::string>().empty()) ||
                           (id != body.end() && id->is_number_integer()));
  if (!good) {
    why = "the body must be {\"owner\": NAME}, of a trigger or a function, or {\"id\": NUMBER}";
    return {};
  }
  if (owner != body.end()) which.owner = owner->get<std::string>();
  if (id != body.end()) which.id = id->get<std::int64_t>();
  if (what == endpoint::purge) return [which](actions& of, actions::done then) { of.purge(which, std::move(then)); };
  return [which](actions& of, actions::done then) { of.redrive(which, std::move(then)); };
}

action_call parse_plain(endpoint what, std::string name, const json& body, std::string& why) {
  if (!body.empty()) {
    why = "this takes no keys; send {}";
    return {};
  }
  if (what == endpoint::reload) return [](actions& of, actions::done then) { of.reload(std::move(then)); };
  if (what == endpoint::drain) return [](actions& of, actions::done then) { of.drain(std::move(then)); };
  return [name = std::move(name)](actions& of, actions::done then) { of.restart(name, std::move(then)); };
}

}  // namespace

action_call parse_action(const admin_target& target, std::string_view body, std::string& why) {
  if (!target.query.empty()) {
    why = "this takes no query; what it needs stands in the body";
    return {};
  }
  const bool plain =
      target.what == endpoint::restart || target.what == endpoint::reload || target.what == endpoint::drain;
  const json parsed = plain && body.empty() ? json::object() : parse_object(body, why);
  if (!parsed.is_object()) return {};
  std::string name(target.name);
  switch (target.what) {
    case endpoint::scale:
      return parse_scale(std::move(name), parsed, why);
    case endpoint::traffic:
      return parse_traffic(std::move(name), parsed, why);
    case endpoint::cordon:
      return parse_cordon(std::move(name), parsed, why);
    case endpoint::redrive:
    case endpoint::purge:
      return parse_dead_letters(target.what, parsed, why);
    default:
      return parse_plain(target.what, std::move(name), parsed, why);
  }
}

std::string action_json(const action_result& result) {
  if (!result.body.empty()) return result.body;
  auto out = result.status >= 400 ? ordered_json::parse(problem_json(result.status, result.type, result.detail))
                                  : ordered_json{{"detail", result.detail}};
  if (!result.lines.empty()) out["lines"] = result.lines;
  return out.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace rouse::gateway
