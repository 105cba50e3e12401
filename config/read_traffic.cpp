#include <algorithm>
#include <array>
#include <numeric>

#include "config/readers.hpp"

namespace rouse::config {
namespace {

/// Bounds that keep a sum of weights within 32 bits.
constexpr std::uint64_t most_weight = 1'000'000;
constexpr std::size_t most_revisions = 1000;

/// What `traffic` and `lanes` may name.
struct revision_names {
  std::vector<std::string_view> known;  ///< by index
  std::set<std::string_view> refused;   ///< reported for their names
  bool unread = false;                  ///< `revisions` could not be read: nothing can be judged
};

/// The index of the revision `name`; nullopt, and a problem, when there is none.
std::optional<std::uint32_t> find_revision(const scope& in, mark at, std::string_view name,
                                           const revision_names& names) {
  auto const found = std::find(names.known.begin(), names.known.end(), name);
  if (found != names.known.end()) return static_cast<std::uint32_t>(found - names.known.begin());
  if (names.unread || names.refused.contains(name)) return std::nullopt;
  std::string_view const near = closest(name, names.known);
  in.fail(at, "there is no revision " + shown(name) +
                  (near.empty() ? ": define it under `revisions`" : ": did you mean " + shown(near) + "?"));
  return std::nullopt;
}

void read_revision(const scope& in, const member& function, const member& entry, function_draft& out) {
  revision_draft made = out.shared;
  made.level = 2;
  made.value.name = entry.key;
  if (const node* map = mapping(in, entry)) {
    for (const member& key : map->members) {
      if (!read_revision_key(in, key, made)) unknown_key(in, key, "revision");
    }
    finish_revision(in, made);
    check_run(in, "revision " + shown(entry.key) + " of function " + shown(function.key), entry.at, made);
  }
  made.value.hash = identity_of(made.value);
  out.value.revisions.push_back(std::move(made.value));
}

revision_names read_named(const scope& in, const member& function, const member& entry, function_draft& out) {
  revision_names names;
  const node* const map = mapping(in, entry);
  names.unread = map == nullptr || map->members.empty() || map->members.size() > most_revisions;
  if (map == nullptr) return names;
  if (map->members.empty()) {
    in.fail(entry, "must name at least one revision: `{v1: {command: [./v1]}}`, or remove the key");
  } else if (names.unread) {
    in.fail(entry, "names " + std::to_string(map->members.size()) + " revisions, but there can be at most " +
                       std::to_string(most_revisions));
  }
  if (names.unread) return names;
  out.value.revisions.reserve(map->members.size());
  for (const member& item : map->members) {
    if (is_dns_label(item.key)) {
      read_revision(in, function, item, out);
      names.known.push_back(item.key);
    } else {
      in.fail(item.at, bad_name(item.key, "a revision's"));
      names.refused.insert(item.key);
    }
  }
  return names;
}

void read_weights(const scope& in, const member& entry, const revision_names& names,
                  std::vector<std::uint32_t>& weights) {
  const node* const map = mapping(in, entry);
  if (map == nullptr) return;
  bool whole = true;
  for (const member& item : map->members) {
    auto const index = find_revision(in, item.at, item.key, names);
    std::uint32_t weight = most_weight + 1;
    read_whole(in, item, 0, most_weight, weight);
    whole = whole && index && weight <= most_weight;
    if (index) weights[*index] = weight;
  }
  if (whole && !names.unread && std::accumulate(weights.begin(), weights.end(), std::uint64_t{0}) == 0)
    in.fail(entry, "sends nothing to any revision: give at least one a weight above 0");
}

/// One entry of `lanes` while it is read.
struct lane_draft {
  lane value;
  const member* header = nullptr;
  const member* revision = nullptr;
};

void read_lane_header(const scope& in, const member& entry, lane_draft& out) {
  out.header = &entry;
  const node* const map = mapping(in, entry);
  if (map == nullptr) return;
  if (map->members.size() != 1) return in.fail(entry, "must be exactly one header, such as `{x-lane: blue}`");
  if (auto made = read_header(in, map->members.front())) {
    out.value.header = std::move(made->first);
    out.value.value = std::move(made->second);
  }
}

constexpr std::array lane_fields{
    field<lane_draft>{"header", read_lane_header},
    field<lane_draft>{"revision", [](const scope&, const member& e, lane_draft& out) { out.revision = &e; }},
};

void read_lanes(const scope& in, const member& entry, const revision_names& names, std::vector<lane>& out) {
  auto const given = mappings(in, entry, "a lane", "{header: {x-lane: blue}, revision: v2}");
  if (!given) return;
  std::set<std::pair<std::string, std::string>> seen;
  for (const node* map : *given) {
    lane_draft made;
    read_fields(in, *map, "lane", lane_fields, made);
    if (made.header == nullptr || made.revision == nullptr) {
      in.fail(map->at, std::string("a lane needs a ") + (made.header == nullptr ? "`header`" : "`revision`") +
                           ": write `{header: {x-lane: blue}, revision: NAME}`");
    }
    if (made.revision != nullptr) {
      const std::string* const name = scalar(in, *made.revision);
      auto const index = name == nullptr ? std::nullopt : find_revision(in, made.revision->value_mark(), *name, names);
      made.value.revision = index.value_or(0);
    }
    if (!made.value.header.empty() && !seen.emplace(made.value.header, made.value.value).second) {
      in.fail(*made.header, "has the same value in a lane above, which wins: remove one");
    }
    out.push_back(std::move(made.value));
  }
  out.shrink_to_fit();
}

/// A function that names no revisions has one, and nothing that chooses between several.
void make_only_revision(const scope& in, const member& function, const revision_members& members, function_draft& out) {
  for (const member* one : {members.traffic, members.lanes}) {
    if (one == nullptr) continue;
    in.fail(one->at, shown(one->key) + " needs `revisions`, between which it chooses: add them, or remove it");
  }
  finish_revision(in, out.shared);
  check_run(in, "function " + shown(function.key), function.at, out.shared);
  revision& only = out.value.revisions.emplace_back(std::move(out.shared.value));
  only.hash = identity_of(only);
  only.name = automatic_name(function.key, only.hash);
  out.value.weights = {1};
}

}  // namespace

void read_revisions(const scope& in, const member& function, const revision_members& members, function_draft& out) {
  if (members.revisions == nullptr) return make_only_revision(in, function, members, out);
  revision_names const names = read_named(in, function, *members.revisions, out);
  out.value.weights.assign(names.known.size(), 0);
  if (members.traffic != nullptr) {
    read_weights(in, *members.traffic, names, out.value.weights);
  } else if (names.known.size() == 1) {
    out.value.weights = {1};
  } else if (!names.unread && !names.known.empty()) {
    in.fail(members.revisions->at,
            "`revisions` has several, but nothing says how much traffic each gets: add `traffic`, "
            "such as `{" +
                std::string(names.known.front()) + ": 100}`");
  }
  if (members.lanes != nullptr) read_lanes(in, *members.lanes, names, out.value.lanes);
}

void add_traffic_keys(std::vector<key_section>& out) {
  out.push_back({"lane", keys_of(lane_fields)});
}

}  // namespace rouse::config
