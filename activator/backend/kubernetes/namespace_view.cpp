#include "activator/backend/kubernetes/namespace_view.hpp"

#include <algorithm>

namespace rouse::kubernetes {

namespace {

/// Nothing, with `why`, when the rule does not name one.
std::optional<std::uint16_t> choose(const std::vector<slice_port>& ports, const port_rule& rule, std::string& why) {
  if (!rule.name.empty()) {
    const auto at = std::find_if(ports.begin(), ports.end(), [&](const auto& one) { return one.name == rule.name; });
    if (at != ports.end()) return at->number;
    why = "its Service has no port called \"" + rule.name + "\"";
    return std::nullopt;
  }
  // A number needs no Service's word: the pod listens there, whatever the Service forwards to.
  if (rule.number != 0) return rule.number;
  if (ports.size() == 1) return ports.front().number;
  why = ports.empty() ? "its Service has no TCP port: give the function a `port`"
                      : "its Service has " + std::to_string(ports.size()) + " ports: say which with `port`";
  return std::nullopt;
}

template <class Map>
std::vector<std::string> of_earlier_rounds(const Map& all, std::uint32_t round) {
  std::vector<std::string> out;
  for (const auto& [name, one] : all)
    if (one.round != round) out.push_back(name);
  return out;
}

}  // namespace

void namespace_view::put(pod one) {
  auto& kept = pods_[one.name];
  kept.round = pod_round_;
  kept.is = std::move(one);
}

void namespace_view::put(deployment one) {
  auto& kept = deployments_[one.name];
  kept.round = deployment_round_;
  kept.is = std::move(one);
}

std::vector<std::pair<std::string, std::string>> namespace_view::end_pods() {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& name : of_earlier_rounds(pods_, pod_round_)) {
    const auto at = pods_.find(name);
    out.emplace_back(name, std::move(at->second.is.deployment));
    pods_.erase(at);
  }
  return out;
}

namespace_view::names namespace_view::end_deployments() {
  auto out = of_earlier_rounds(deployments_, deployment_round_);
  for (const auto& name : out) deployments_.erase(name);
  return out;
}

namespace_view::names namespace_view::end_slices() {
  names out;
  for (const auto& name : of_earlier_rounds(slices_, slice_round_))
    for (auto& one : remove_slice(name)) out.push_back(std::move(one));
  return out;
}

namespace_view::names namespace_view::put(slice one) {
  names changed;
  auto& kept = slices_[one.name];
  kept.round = slice_round_;
  const bool same_ports =
      std::equal(kept.ports.begin(), kept.ports.end(), one.ports.begin(), one.ports.end(),
                 [](const auto& a, const auto& b) { return a.name == b.name && a.number == b.number; });
  const auto in = [](const std::vector<endpoint>& all, const endpoint& which) {
    return std::find(all.begin(), all.end(), which) != all.end();
  };
  for (const auto& before : kept.endpoints)
    if (!same_ports || !in(one.endpoints, before)) changed.push_back(before.pod);
  for (const auto& now : one.endpoints)
    if (!same_ports || !in(kept.endpoints, now)) changed.push_back(now.pod);
  unlink(one.name, kept);
  kept.endpoints = std::move(one.endpoints);
  kept.endpoints.shrink_to_fit();
  kept.ports = std::move(one.ports);
  for (const auto& now : kept.endpoints) {
    auto& names_of = slices_of_[now.pod];
    if (std::find(names_of.begin(), names_of.end(), one.name) == names_of.end()) names_of.push_back(one.name);
  }
  std::sort(changed.begin(), changed.end());
  changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
  return changed;
}

void namespace_view::unlink(const std::string& slice_name, const kept_slice& of) {
  for (const auto& one : of.endpoints) {
    const auto at = slices_of_.find(one.pod);
    if (at == slices_of_.end()) continue;
    std::erase(at->second, slice_name);
    if (at->second.empty()) slices_of_.erase(at);
  }
}

namespace_view::names namespace_view::remove_slice(const std::string& name) {
  names out;
  const auto at = slices_.find(name);
  if (at == slices_.end()) return out;
  for (const auto& one : at->second.endpoints) out.push_back(one.pod);
  unlink(name, at->second);
  slices_.erase(at);
  return out;
}

const pod* namespace_view::find_pod(const std::string& name) const {
  const auto at = pods_.find(name);
  return at == pods_.end() ? nullptr : &at->second.is;
}

const deployment* namespace_view::find_deployment(const std::string& name) const {
  const auto at = deployments_.find(name);
  return at == deployments_.end() ? nullptr : &at->second.is;
}

void namespace_view::each_pod(const std::function<void(const pod&)>& with) const {
  for (const auto& [name, one] : pods_) with(one.is);
}

pod_look namespace_view::look(const pod& one, const port_rule& rule) const {
  pod_look out;
  out.is.detail = one.detail;
  if (one.terminating) {
    out.is.now = counted::phase::leaving;
    out.is.detail = "the pod is being deleted";
    return out;
  }
  std::string why;
  bool seen = false;
  if (const auto in = slices_of_.find(one.name); in != slices_of_.end()) {
    for (const auto& slice_name : in->second) {
      const auto& of = slices_.at(slice_name);
      for (const auto& each : of.endpoints) {
        if (each.pod != one.name) continue;
        seen = true;
        if (!each.ready || one.unready || (out.where && !out.where->v6)) continue;
        const auto port = choose(of.ports, rule, why);
        if (!port) continue;
        out.where = each.where;
        out.where->port = *port;
      }
    }
  }
  if (out.where) {
    out.is.now = counted::phase::ready;
    out.is.detail.clear();
  } else if (!one.failure.empty()) {
    out.is.now = counted::phase::failed;
    out.is.reason = one.failure;
    out.is.detail = "pod " + one.name + ": " + one.detail;
  } else if (!why.empty()) {
    out.is.detail = why;
  } else if (one.detail.empty() && !seen) {
    out.is.detail = "no EndpointSlice has it: is there a Service that selects the Deployment's pods?";
  }
  return out;
}

}  // namespace rouse::kubernetes
