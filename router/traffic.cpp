#include "router/traffic.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "router/flat_index.hpp"

namespace rouse::router {
namespace {

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of the input reaches every bit of the output.
constexpr std::uint64_t mix(std::uint64_t hash) {
  hash += 0x9e3779b97f4a7c15;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
  return hash ^ (hash >> 31);
}

/// The upper 53 bits as a number strictly between 0 and 1.
double unit(std::uint64_t hash) {
  return (static_cast<double>(hash >> 11) + 0.5) * 0x1p-53;
}

std::string_view trim(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

/// Where the pair at the front of `text` ends. A comma alone may be part of a value, as browsers let it; only joined
/// fields have one with a space behind it.
std::size_t pair_end(std::string_view text) {
  return std::min({text.find(';'), text.find(", "), text.size()});
}

}  // namespace

void traffic_split::reset(std::span<const std::uint32_t> weights) {
  weights_.assign(weights.begin(), weights.end());
  current_.assign(weights.size(), 0);
  total_ = std::accumulate(weights.begin(), weights.end(), std::int64_t{0});
}

std::uint32_t traffic_split::next(std::span<const std::uint32_t> weights) {
  if (weights.size() <= 1) return 0;
  if (!std::ranges::equal(weights, weights_)) reset(weights);
  std::size_t best = weights.size();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    current_[i] += weights[i];
    if (best == weights.size() || current_[i] > current_[best]) best = i;
  }
  if (best == weights.size()) return 0;
  current_[best] -= total_;
  return static_cast<std::uint32_t>(best);
}

std::uint32_t stick(std::string_view key, std::span<const config::revision> revisions,
                    std::span<const std::uint32_t> weights) {
  const std::uint64_t hash = hash_text(key);
  std::uint32_t best = 0;
  double highest = -1;
  for (std::uint32_t i = 0; i < std::min(revisions.size(), weights.size()); ++i) {
    if (weights[i] == 0) continue;
    const double score = weights[i] / -std::log(unit(mix(hash ^ mix(hash_text(revisions[i].name)))));
    if (score <= highest) continue;
    highest = score;
    best = i;
  }
  return best;
}

std::optional<std::string_view> cookie_value(std::string_view field, std::string_view name) {
  while (!field.empty()) {
    const std::size_t end = pair_end(field);
    const std::string_view pair = trim(field.substr(0, end));
    field.remove_prefix(std::min(end + 1, field.size()));
    const auto equals = pair.find('=');
    if (equals == std::string_view::npos || trim(pair.substr(0, equals)) != name) continue;
    std::string_view value = trim(pair.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    return value;
  }
  return std::nullopt;
}

std::uint32_t choose(const config::function& function, std::span<const std::uint32_t> weights,
                     const request_view& request, traffic_split& split) {
  if (function.revisions.size() <= 1) return 0;
  std::string& value = split.value_;
  const auto has = [&](std::string_view name) {
    return request.field != nullptr && request.field(request.fields, name, value);
  };
  for (const config::lane& lane : function.lanes) {
    if (has(lane.header) && value == lane.value) return lane.revision;
  }
  if (function.sticky) {
    std::string_view key;
    if (!function.sticky->cookie.empty()) {
      if (has("cookie")) key = cookie_value(value, function.sticky->cookie).value_or("");
    } else if (has(function.sticky->header)) {
      key = value;
    }
    if (!key.empty()) return stick(key, function.revisions, weights);
  }
  return split.next(weights);
}

}  // namespace rouse::router
