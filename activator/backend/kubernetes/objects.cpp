#include "activator/backend/kubernetes/objects.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "activator/backend/http/origin.hpp"

namespace rouse::kubernetes {

namespace {

using nlohmann::json;

const json nothing;

const json& at(const json& map, const char* key) {
  if (!map.is_object()) return nothing;
  const auto found = map.find(key);
  return found == map.end() ? nothing : *found;
}

std::string text(const json& map, const char* key) {
  const json& value = at(map, key);
  return value.is_string() ? value.get_ref<const std::string&>() : std::string();
}

bool truth(const json& map, const char* key, bool otherwise) {
  const json& value = at(map, key);
  return value.is_boolean() ? value.get<bool>() : otherwise;
}

std::int64_t number(const json& map, const char* key, std::int64_t otherwise = 0) {
  const json& value = at(map, key);
  return value.is_number_integer() ? value.get<std::int64_t>() : otherwise;
}

std::uint64_t as_number(const std::string& text) {
  std::uint64_t out = 0;
  const auto end = text.data() + text.size();
  const auto got = std::from_chars(text.data(), end, out);
  return got.ec == std::errc() && got.ptr == end ? out : 0;
}

const json* condition(const json& object, const char* type) {
  for (const auto& one : at(at(object, "status"), "conditions"))
    if (text(one, "type") == type) return &one;
  return nullptr;
}

/// NAME of its controller NAME-HASH.
std::string deployment_of(const json& meta) {
  const std::string hash = text(at(meta, "labels"), "pod-template-hash");
  if (hash.empty()) return {};
  for (const auto& owner : at(meta, "ownerReferences")) {
    if (!truth(owner, "controller", false) || text(owner, "kind") != "ReplicaSet") continue;
    const std::string name = text(owner, "name");
    if (name.size() > hash.size() + 1 && name.ends_with(hash) && name[name.size() - hash.size() - 1] == '-')
      return name.substr(0, name.size() - hash.size() - 1);
  }
  return {};
}

bool is_one_of(const std::string& word, std::initializer_list<const char*> of) {
  return std::any_of(of.begin(), of.end(), [&](const char* one) { return word == one; });
}

std::string end_in_words(const std::string& container, const json& terminated) {
  std::string out = "container " + container + " ended with ";
  if (const auto signal = number(terminated, "signal"))
    out += "signal " + std::to_string(signal);
  else
    out += "status " + std::to_string(number(terminated, "exitCode"));
  const auto reason = text(terminated, "reason");
  if (!reason.empty() && reason != "Error" && reason != "Completed") out += " (" + reason + ")";
  if (const auto message = text(terminated, "message"); !message.empty()) out += ": " + message.substr(0, 1024);
  return out;
}

const char* word_for(const std::string& reason) {
  if (is_one_of(reason, {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull",
                         "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"}))
    return "image";
  if (reason == "CrashLoopBackOff") return "crash-loop";
  if (is_one_of(reason, {"CreateContainerConfigError", "CreateContainerError", "RunContainerError",
                         "PreCreateHookError", "PreStartHookError", "PostStartHookError"}))
    return "container";
  return nullptr;
}

void look_at_container(const json& status, bool is_main, pod& out) {
  const std::string name = text(status, "name");
  const json& state = at(status, "state");
  const json& waiting = at(state, "waiting");
  const json& terminated = at(state, "terminated");
  const json& last = at(at(status, "lastState"), "terminated");
  const std::string reason = text(waiting, "reason");
  if (is_main) {
    out.ends += static_cast<std::uint32_t>(std::max<std::int64_t>(0, number(status, "restartCount")));
    if (terminated.is_object() || reason == "CrashLoopBackOff") ++out.ends;
  }
  const json& end = terminated.is_object() ? terminated : last;
  if (end.is_object()) out.last_end = end_in_words(name, end);
  if (waiting.is_object()) {
    std::string what = reason.empty() ? "waits" : reason;
    if (const auto message = text(waiting, "message"); !message.empty()) what += ": " + message.substr(0, 1024);
    if (const char* word = word_for(reason); word && out.failure.empty()) {
      out.failure = word;
      out.detail = "container " + name + ": " + what;
      if (end.is_object()) out.detail = end_in_words(name, end) + ", again and again (" + reason + ")";
    } else if (out.detail.empty()) {
      out.detail = "container " + name + ": " + what;
    }
  } else if (out.detail.empty() && !truth(status, "ready", true)) {
    out.detail = "container " + name + (terminated.is_object() ? " has ended" : " runs and is not ready");
  }
}

void look_at_phase(const json& status, pod& out) {
  const std::string phase = text(status, "phase");
  const std::string reason = text(status, "reason");
  if (phase != "Failed" && phase != "Succeeded") return;
  // The kubelet had no room for it, or took the room back.
  const bool room = reason.starts_with("OutOf") || is_one_of(reason, {"UnexpectedAdmissionError", "NodeAffinity"});
  out.failure = room ? "no-capacity" : reason == "Evicted" ? "evicted" : "exited";
  out.detail = reason.empty() ? "it has ended" : reason;
  if (const auto message = text(status, "message"); !message.empty()) out.detail += ": " + message.substr(0, 1024);
  if (reason.empty() && !out.last_end.empty()) out.detail = out.last_end;
}

bool is_for_room(const std::string& message) {
  return message.find("exceeded quota") != std::string::npos || message.find("failed quota") != std::string::npos;
}

constexpr std::array never_needed{"managedFields",  "template", "containers",
                                  "initContainers", "volumes",  "env",
                                  "tolerations",    "affinity", "kubectl.kubernetes.io/last-applied-configuration",
                                  "volumeMounts"};

}  // namespace

nlohmann::json parse_object(std::string_view text) {
  const auto wanted = [](int /*depth*/, json::parse_event_t event, json& parsed) {
    if (event != json::parse_event_t::key) return true;
    const auto& key = parsed.get_ref<const std::string&>();
    return std::none_of(never_needed.begin(), never_needed.end(), [&](const char* one) { return key == one; });
  };
  json out = json::parse(text, wanted, false);
  return out.is_discarded() ? json() : out;
}

list_end parse_list_end(std::string_view text_of) {
  const json all = json::parse(text_of, nullptr, false);
  const json& meta = at(all, "metadata");
  return {text(meta, "resourceVersion"), text(meta, "continue")};
}

std::string name_of(const nlohmann::json& object) {
  return text(at(object, "metadata"), "name");
}

std::string version_of(const nlohmann::json& object) {
  return text(at(object, "metadata"), "resourceVersion");
}

std::optional<pod> read_pod(const nlohmann::json& object) {
  const json& meta = at(object, "metadata");
  pod out;
  out.name = text(meta, "name");
  out.deployment = deployment_of(meta);
  if (out.name.empty() || out.deployment.empty()) return std::nullopt;
  out.terminating = at(meta, "deletionTimestamp").is_string();
  out.marked = text(at(meta, "annotations"), deletion_cost) == cost_of_a_victim;
  const json& status = at(object, "status");
  for (const auto& one : at(status, "initContainerStatuses")) look_at_container(one, false, out);
  if (out.failure.empty() && out.detail.empty()) out.last_end.clear();  // an init container that ended well
  for (const auto& one : at(status, "containerStatuses")) look_at_container(one, true, out);
  look_at_phase(status, out);
  if (const json* is_ready = condition(object, "Ready"); is_ready) out.unready = text(*is_ready, "status") != "True";
  if (const json* scheduled = condition(object, "PodScheduled"); scheduled && text(*scheduled, "status") == "False") {
    const std::string message = text(*scheduled, "message").substr(0, 1024);
    if (text(*scheduled, "reason") == "Unschedulable") {
      out.failure = "no-capacity";
      out.detail = "it cannot be scheduled: " + message;
    } else if (out.detail.empty()) {
      out.detail = "it is not scheduled yet: " + message;
    }
  }
  return out;
}

std::optional<slice> read_slice(const nlohmann::json& object) {
  slice out;
  out.name = name_of(object);
  const std::string type = text(object, "addressType");
  if (out.name.empty() || (type != "IPv4" && type != "IPv6")) return std::nullopt;
  for (const auto& one : at(object, "endpoints")) {
    const json& target = at(one, "targetRef");
    const json& addresses = at(one, "addresses");
    if (text(target, "kind") != "Pod" || !addresses.is_array() || addresses.empty() || !addresses[0].is_string())
      continue;
    const auto where = backend_http::parse_address(addresses[0].get_ref<const std::string&>(), 0);
    if (!where) continue;
    endpoint made;
    made.pod = text(target, "name");
    made.where = *where;
    const json& conditions = at(one, "conditions");
    made.terminating = truth(conditions, "terminating", false);
    made.ready = truth(conditions, "ready", true) && !made.terminating;
    out.endpoints.push_back(std::move(made));
  }
  for (const auto& one : at(object, "ports")) {
    if (const auto protocol = text(one, "protocol"); !protocol.empty() && protocol != "TCP") continue;
    const auto port = number(one, "port");
    if (port > 0 && port < 65536) out.ports.push_back({text(one, "name"), static_cast<std::uint16_t>(port)});
  }
  return out;
}

std::optional<deployment> read_deployment(const nlohmann::json& object) {
  deployment out;
  out.name = name_of(object);
  if (out.name.empty()) return std::nullopt;
  out.version = as_number(version_of(object));
  out.replicas = static_cast<unsigned>(std::clamp<std::int64_t>(number(at(object, "spec"), "replicas", 1), 0, 1 << 30));
  if (const json* failed = condition(object, "ReplicaFailure"); failed && text(*failed, "status") == "True") {
    out.refusal = text(*failed, "message").substr(0, 1024);
    if (out.refusal.empty()) out.refusal = "its pods cannot be created";
    out.refused_for_room = is_for_room(out.refusal);
  }
  return out;
}

std::optional<change> read_change(const nlohmann::json& line) {
  const std::string type = text(line, "type");
  if (!at(line, "object").is_object()) return std::nullopt;
  if (type == "ADDED") return change::added;
  if (type == "MODIFIED") return change::modified;
  if (type == "DELETED") return change::deleted;
  if (type == "BOOKMARK") return change::bookmark;
  if (type == "ERROR") return change::error;
  return std::nullopt;
}

std::optional<scale> parse_scale(std::string_view body) {
  const json all = json::parse(body, nullptr, false);
  if (text(all, "kind") != "Scale") return std::nullopt;
  const auto replicas = number(at(all, "spec"), "replicas");  // 0 is left out
  return scale{static_cast<unsigned>(std::clamp<std::int64_t>(replicas, 0, 1 << 30)), as_number(version_of(all))};
}

std::string parse_status_message(std::string_view body) {
  return text(json::parse(body, nullptr, false), "message");
}

}  // namespace rouse::kubernetes
