#include "activator/backend/fixed/roster.hpp"

#include <algorithm>
#include <cstddef>

#include "activator/backend/http/origin.hpp"

namespace rouse::fixed {
namespace {

/// So many endpoints are named in a sentence.
constexpr std::size_t most_named = 3;

}  // namespace

void roster::start(std::uint64_t id, time_point deadline) {
  waiting_[id] = deadline;
  settle();
}

void roster::stop(std::uint64_t id, const std::string& reason) {
  if (waiting_.erase(id) > 0) return exit(id, false, true, reason, "was stopped before an endpoint was free");
  for (auto at = members_.begin(); at != members_.end(); ++at) {
    if (at->second.id != id) continue;
    at->second.id = 0;
    exit(id, true, true, reason, backend_http::to_string(at->first) + " is not used any more");
    if (!at->second.listed) members_.erase(at);
    return settle();
  }
}

void roster::set_addresses(const std::vector<router::address>& all, bool complete, const std::string& problem) {
  complete_ = complete;
  problem_ = problem;
  std::map<router::address, member, address_order> rest;
  rest.swap(members_);
  for (const auto& where : all) {
    auto node = rest.extract(where);
    if (node.empty()) {
      members_.try_emplace(where);
    } else {
      node.mapped().listed = true;
      members_.insert(std::move(node));
    }
  }
  for (auto& [where, one] : rest) {
    if (one.id == 0) continue;
    if (std::exchange(one.listed, false)) {
      event out;
      out.what = event::kind::leaving;
      out.id = one.id;
      out.detail = backend_http::to_string(where) + " is no endpoint any more: no name has it";
      events_.push_back(std::move(out));
    }
    members_.emplace(where, std::move(one));
  }
  settle();
}

void roster::passed(const router::address& where) {
  const auto at = members_.find(where);
  if (at == members_.end()) return;
  at->second.is = health::healthy;
  at->second.failures = 0;
  at->second.problem.clear();
  settle();
}

void roster::failed(const router::address& where, const std::string& problem) {
  const auto at = members_.find(where);
  if (at == members_.end()) return;
  member& one = at->second;
  ++one.failures;
  one.problem = problem;
  if (one.is == health::unknown || one.failures >= fall) {
    one.is = health::unhealthy;
    if (const auto id = std::exchange(one.id, 0); id != 0)
      exit(id, true, false, "unhealthy",
           backend_http::to_string(where) + " " + problem + ", " + std::to_string(one.failures) + " checks in a row");
    if (!one.listed) members_.erase(at);
  }
  settle();
}

void roster::expire(time_point now) {
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    const auto [id, deadline] = *at;
    if (deadline > now) {
      ++at;
      continue;
    }
    at = waiting_.erase(at);
    exit(id, false, false, "timeout", "no endpoint was found to be healthy within start_timeout: " + words());
  }
}

/// Gives out what is free, and ends who waits for nothing.
void roster::settle() {
  for (auto at = members_.begin(); at != members_.end() && !waiting_.empty(); ++at) {
    member& one = at->second;
    if (one.is != health::healthy || one.id != 0) continue;
    one.id = waiting_.begin()->first;
    waiting_.erase(waiting_.begin());
    event out;
    out.what = event::kind::ready;
    out.id = one.id;
    out.where = at->first;
    events_.push_back(std::move(out));
  }
  if (!is_settled()) {
    if (healthy() == 0) return;
  } else if (!waiting_.empty()) {
    for (const auto& [id, deadline] : std::exchange(waiting_, {})) exit(id, false, false, "no-capacity", words());
  }
  if (const unsigned count = healthy(); told_ != count) {
    told_ = count;
    event out;
    out.what = event::kind::standing;
    out.count = count;
    events_.push_back(std::move(out));
  }
}

bool roster::is_settled() const {
  return complete_ && std::none_of(members_.begin(), members_.end(),
                                   [](const auto& each) { return each.second.is == health::unknown; });
}

unsigned roster::healthy() const {
  return static_cast<unsigned>(std::count_if(members_.begin(), members_.end(), [](const auto& each) {
    return each.second.is == health::healthy && each.second.listed;
  }));
}

/// Why there is nothing to give out.
std::string roster::words() const {
  const auto of = [](std::size_t count) { return std::to_string(count) + (count == 1 ? " endpoint" : " endpoints"); };
  if (members_.empty()) return problem_.empty() ? "there are no endpoints" : problem_;
  std::string out = healthy() == 0 ? "none of " + of(members_.size()) + " is healthy"
                                   : of(healthy()) + " of " + std::to_string(members_.size()) +
                                         (healthy() == 1 ? " is healthy, and in use" : " are healthy, and in use");
  std::string_view between = ": ";
  std::size_t named = 0, left = 0;
  for (const auto& [where, one] : members_) {
    if (one.is == health::healthy) continue;
    if (named == most_named) {
      ++left;
      continue;
    }
    ++named;
    out.append(between).append(backend_http::to_string(where)).append(" ");
    out.append(one.is == health::unknown ? "has not been checked yet" : one.problem);
    between = "; ";
  }
  if (left > 0) out += "; and " + std::to_string(left) + " more";
  if (!problem_.empty()) out += "; " + problem_;
  return out;
}

bool roster::is_in_doubt(const router::address& where) const {
  const auto at = members_.find(where);
  return at != members_.end() && at->second.is == health::healthy && at->second.failures > 0;
}

std::vector<router::address> roster::addresses() const {
  std::vector<router::address> out;
  for (const auto& [where, one] : members_) out.push_back(where);
  return out;
}

std::optional<roster::time_point> roster::next_expiry() const {
  if (waiting_.empty()) return std::nullopt;
  return std::min_element(waiting_.begin(), waiting_.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->second;
}

bool roster::is_used() const {
  return !waiting_.empty() ||
         std::any_of(members_.begin(), members_.end(), [](const auto& each) { return each.second.id != 0; });
}

void roster::exit(std::uint64_t id, bool was_ready, bool was_asked, std::string reason, std::string detail) {
  event out;
  out.id = id;
  out.last.was_ready = was_ready;
  out.last.was_asked = was_asked;
  out.last.reason = std::move(reason);
  out.last.detail = std::move(detail);
  events_.push_back(std::move(out));
}

}  // namespace rouse::fixed
