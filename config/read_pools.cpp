#include <algorithm>
#include <array>

#include "config/readers.hpp"

namespace rouse::config {
namespace {

constexpr double most_cost = 1'000'000'000;
constexpr std::size_t longest_text = 4096;

void read_backend(const scope& in, const member& entry, pool_backend& out) {
  constexpr std::array<std::pair<std::string_view, pool_backend>, 5> choices{{{"process", pool_backend::process},
                                                                              {"docker", pool_backend::docker},
                                                                              {"kubernetes", pool_backend::kubernetes},
                                                                              {"webhook", pool_backend::webhook},
                                                                              {"static", pool_backend::fixed}}};
  read_choice(in, entry, choices, out);
}

constexpr std::array entry_fields{
    field<pool_window>{"max_instances",
                       [](const scope& in, const member& e, pool_window& out) {
                         read_whole(in, e, 0, most_in_pool, out.max_instances);
                       }},
};

pool_window read_entry(const scope& in, const node& map) {
  pool_window out;
  window_draft when;
  bool sized = false;
  for (const member& key : map.members) {
    sized = sized || key.key == "max_instances";
    if (!read_window_key(in, key, when) && !read_field(in, key, entry_fields, out)) unknown_key(in, key, "pool_window");
  }
  out.when = finish_window(in, map, std::move(when));
  if (!sized) in.fail(map.at, "an entry of `schedule` needs `max_instances`: the pool's size during that time");
  return out;
}

/// A pool while it is read.
struct draft {
  pool value;
  const member* max_instances = nullptr;
  const member* reserved = nullptr;
  std::vector<std::pair<const member*, pool_backend>> own;  ///< keys that belong to one backend
};

void read_text(const scope& in, const member& entry, std::string& out) {
  read_scalar(in, entry, out, [](const std::string& text) -> parsed<std::string> {
    bool const right = !text.empty() && text.size() <= longest_text &&
                       std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; });
    if (right) return {text, {}};
    return {std::nullopt, text.empty() ? "is empty: remove the key for its default" : "must be one line of text"};
  });
}

/// A path as the engine's clients write it, with or without `unix://`.
void read_socket(const scope& in, const member& entry, std::string& out) {
  read_scalar(in, entry, out, [&](const std::string& text) -> parsed<std::string> {
    std::string const path = text.starts_with("unix://") ? text.substr(7) : text;
    constexpr std::size_t longest = 107;  // of sockaddr_un
    if (path.find("://") != path.npos)
      return {
          std::nullopt,
          "must be a path such as `/var/run/docker.sock`, for only a local engine is spoken to, not " + shown(text)};
    if (path.empty()) return {std::nullopt, "is empty: remove the key for its default"};
    std::string made = absolute_path(in.folder, path);
    if (made.size() > longest) return {std::nullopt, "is longer than a socket's path can be, 107 bytes"};
    return {std::move(made), {}};
  });
}

void read_path(const scope& in, const member& entry, std::string& out) {
  std::string given;
  read_text(in, entry, given);
  if (!given.empty()) out = absolute_path(in.folder, given);
}

void read_namespace(const scope& in, const member& entry, std::string& out) {
  read_scalar(in, entry, out, [](const std::string& text) -> parsed<std::string> {
    if (is_dns_label(text)) return {text, {}};
    return {std::nullopt, "must be the name of a namespace, of a-z, 0-9 and `-`, not " + shown(text)};
  });
}

/// A key of one backend's own: noted, so that it can be refused where the backend is another.
template <pool_backend of, class Read>
void read_own(const member& entry, draft& out, Read&& read) {
  out.own.emplace_back(&entry, of);
  read(out.value.connection);
}

void read_schedule(const scope& in, const member& entry, draft& out) {
  auto const given =
      mappings(in, entry, "an entry of `schedule`", "{from: \"08:00\", to: \"20:00\", max_instances: 20}");
  if (!given) return;
  for (const node* map : *given) out.value.schedule.push_back(read_entry(in, *map));
  out.value.schedule.shrink_to_fit();
}

constexpr std::array pool_fields{
    field<draft>{"backend",
                 [](const scope& in, const member& e, draft& out) { read_backend(in, e, out.value.backend); }},
    field<draft>{"max_instances",
                 [](const scope& in, const member& e, draft& out) {
                   out.max_instances = &e;
                   read_scalar(in, e, out.value.max_instances,
                               [](std::string_view text) { return parse_whole(text, 0, most_in_pool); });
                 }},
    field<draft>{"reserved",
                 [](const scope& in, const member& e, draft& out) {
                   out.reserved = &e;
                   read_whole(in, e, 0, most_in_pool, out.value.reserved);
                 }},
    field<draft>{"cost",
                 [](const scope& in, const member& e, draft& out) {
                   read_decimal(in, e, {0, most_cost}, out.value.cost);
                 }},
    field<draft>{"schedule", read_schedule},
    field<draft>{"socket",
                 [](const scope& in, const member& e, draft& out) {
                   read_own<pool_backend::docker>(e, out, [&](connection& to) { read_socket(in, e, to.socket); });
                 }},
    field<draft>{"network",
                 [](const scope& in, const member& e, draft& out) {
                   read_own<pool_backend::docker>(e, out, [&](connection& to) { read_text(in, e, to.network); });
                 }},
    field<draft>{"namespace",
                 [](const scope& in, const member& e, draft& out) {
                   read_own<pool_backend::kubernetes>(e, out,
                                                      [&](connection& to) { read_namespace(in, e, to.name_space); });
                 }},
    field<draft>{"context",
                 [](const scope& in, const member& e, draft& out) {
                   read_own<pool_backend::kubernetes>(e, out, [&](connection& to) { read_text(in, e, to.context); });
                 }},
    field<draft>{"kubeconfig",
                 [](const scope& in, const member& e, draft& out) {
                   read_own<pool_backend::kubernetes>(e, out, [&](connection& to) { read_path(in, e, to.kubeconfig); });
                 }},
    field<draft>{"secret",
                 [](const scope& in, const member& e, draft& out) {
                   read_own<pool_backend::webhook>(e, out, [&](connection& to) { read_text(in, e, to.secret); });
                 }},
    field<draft>{"poll_interval",
                 [](const scope& in, const member& e, draft& out) {
                   read_own<pool_backend::webhook>(
                       e, out, [&](connection& to) { read_duration(in, e, zero::refused, to.poll_interval); });
                 }},
    field<draft>{"request_timeout",
                 [](const scope& in, const member& e, draft& out) {
                   read_own<pool_backend::webhook>(
                       e, out, [&](connection& to) { read_duration(in, e, zero::refused, to.request_timeout); });
                 }},
    field<draft>{"check_interval",
                 [](const scope& in, const member& e, draft& out) {
                   read_own<pool_backend::fixed>(
                       e, out, [&](connection& to) { read_duration(in, e, zero::refused, to.check_interval); });
                 }},
    field<draft>{"resolve_interval",
                 [](const scope& in, const member& e, draft& out) {
                   read_own<pool_backend::fixed>(
                       e, out, [&](connection& to) { read_duration(in, e, zero::refused, to.resolve_interval); });
                 }},
};

void check_own_keys(const scope& in, const member& entry, const draft& made) {
  for (const auto& [key, backend] : made.own) {
    if (backend == made.value.backend) continue;
    in.fail(key->at, shown(key->key) + " is a key of pools whose `backend` is `" + to_string(backend) +
                         "`, but that of " + shown(entry.key) + " is `" + to_string(made.value.backend) +
                         "`: remove it");
  }
  bool const signs =
      std::any_of(made.own.begin(), made.own.end(), [](const auto& one) { return one.first->key == "secret"; });
  if (made.value.backend == pool_backend::webhook && !signs) {
    in.fail(entry.at, "the pool " + shown(entry.key) +
                          " needs a `secret`, with which requests to the scaler are signed: add one, such as `secret: "
                          "${SCALER_SECRET}`");
  }
}

void check_pool(const scope& in, const member& entry, const draft& made) {
  auto const room = room_of(made.value);
  if (!room) return;
  if (*room == 0) {
    in.fail(made.max_instances != nullptr ? made.max_instances->value_mark() : entry.at,
            "the pool " + shown(entry.key) + " has room for 0 instances at all times: raise `max_instances`");
  } else if (made.value.reserved > *room) {
    in.fail(*made.reserved, "is " + std::to_string(made.value.reserved) + ", but the pool has room for " +
                                std::to_string(*room) + " instances: raise `max_instances` or lower `reserved`");
  }
}

/// Whether `entry` names a pool that can be; otherwise says why not.
bool check_name(const scope& in, const member& entry) {
  if (is_dns_label(entry.key)) return true;
  in.fail(entry.at, bad_name(entry.key, "a pool's"));
  return false;
}

void read_pool(const scope& in, const member& entry, pool_draft& out) {
  out.at = {&in.file, entry.at};
  out.named = true;
  const node* const map = mapping(in, entry);
  if (map == nullptr) return;
  draft made;
  made.value.backend = out.value.backend;
  std::size_t const before = in.problems.size();
  read_fields(in, *map, "pool", pool_fields, made);
  check_own_keys(in, entry, made);
  if (in.problems.size() == before) check_pool(in, entry, made);
  made.value.name = entry.key;
  out.value = std::move(made.value);
  if (made.max_instances != nullptr) out.at.at = made.max_instances->value_mark();
}

/// One item of a function's `pools` while it is read.
struct use_draft {
  pool_use value;
  const std::string* name = nullptr;
  mark at;
};

constexpr std::array use_fields{
    field<use_draft>{"name",
                     [](const scope& in, const member& e, use_draft& out) {
                       out.name = scalar(in, e);
                       out.at = e.value_mark();
                     }},
    field<use_draft>{"max", [](const scope& in, const member& e,
                               use_draft& out) { read_whole(in, e, 1, most_instances, out.value.max); }},
};

/// The index of the pool `name`; nullopt, and a problem, when there is none.
std::optional<std::uint32_t> find_pool(const scope& in, mark at, const std::string& name) {
  const auto& known = in.found.pools;
  auto const found = std::find(known.begin(), known.end(), name);
  if (found != known.end()) return static_cast<std::uint32_t>(found - known.begin());
  if (in.found.pools_unread || in.found.refused_pools.contains(name)) return std::nullopt;
  std::vector<std::string_view> const names(known.begin(), known.end());
  std::string_view const near = closest(name, names);
  in.fail(at, "there is no pool " + shown(name) +
                  (near.empty() ? ": define it under `pools` at the top of the main file"
                                : ": did you mean " + shown(near) + "?"));
  return std::nullopt;
}

/// One item: a name, or a mapping with a `name`.
std::optional<pool_use> read_use(const scope& in, const node& item, use_draft& made) {
  made.at = item.at;
  if (item.broken) return std::nullopt;
  if (item.type == node::kind::scalar) {
    made.name = &item.text;
  } else if (item.type == node::kind::map) {
    bool const named = std::any_of(item.members.begin(), item.members.end(), [](auto& m) { return m.key == "name"; });
    read_fields(in, item, "pool_use", use_fields, made);
    if (!named) in.fail(item.at, "an item of `pools` needs a `name`: write `{name: NAME, max: 14}`, or only the name");
  } else {
    in.fail(item.at,
            "an item of `pools` must be the name of a pool, or a mapping such as `{name: idc, max: 14}`, not " +
                std::string(describe(item.type)));
  }
  if (made.name == nullptr) return std::nullopt;
  auto const index = find_pool(in, made.at, *made.name);
  if (!index) return std::nullopt;
  made.value.pool = *index;
  return made.value;
}

}  // namespace

std::optional<unsigned> room_of(const pool& value) {
  if (!value.max_instances && value.schedule.empty()) return std::nullopt;
  unsigned most = value.max_instances.value_or(0);
  for (const pool_window& entry : value.schedule) most = std::max(most, entry.max_instances);
  return most;
}

std::vector<pool_draft> known_pools() {
  std::vector<pool_draft> out(3);
  out[0].value.name = "local";
  out[1].value.name = "docker";
  out[1].value.backend = pool_backend::docker;
  out[2].value.name = "kubernetes";
  out[2].value.backend = pool_backend::kubernetes;
  return out;
}

void read_pools(const scope& in, const member& entry, std::vector<pool_draft>& out) {
  const node* const map = mapping(in, entry);
  if (map == nullptr) {
    in.found.pools_unread = true;
    return;
  }
  if (map->members.size() > most_pools) {
    in.found.pools_unread = true;
    return in.fail(entry, "has " + std::to_string(map->members.size()) + " pools, but there can be at most " +
                              std::to_string(most_pools));
  }
  for (const member& item : map->members) {
    if (!check_name(in, item)) {
      in.found.refused_pools.insert(item.key);
      continue;
    }
    auto known =
        std::find_if(out.begin(), out.end(), [&](const pool_draft& one) { return one.value.name == item.key; });
    if (known == out.end()) {
      known = out.emplace(out.end());
      known->value.name = item.key;
      in.found.pools.push_back(item.key);
      in.found.pool_backends.emplace_back();
    }
    read_pool(in, item, *known);
    in.found.pool_backends[static_cast<std::size_t>(known - out.begin())] = known->value.backend;
  }
}

void read_pool_uses(const scope& in, const member& entry, revision_draft& out) {
  const node& list = *entry.value;
  if (list.broken) return;
  out.pools = {{&in.file, entry.value_mark()}, out.level};
  if (list.type != node::kind::sequence) {
    return in.fail(
        entry, list.type == node::kind::null
                   ? "has no value: remove the key for the pool `local`"
                   : "must be a list such as `[{name: idc, max: 14}, cloud]`, not " + std::string(describe(list.type)));
  }
  if (list.items.empty()) return in.fail(entry, "must name at least one pool: remove the key for the pool `local`");
  std::vector<pool_use> uses;
  std::set<std::uint32_t> seen;
  for (const node* item : list.items) {
    use_draft made;
    auto const use = read_use(in, *item, made);
    if (!use) continue;
    if (seen.insert(use->pool).second) {
      uses.push_back(*use);
    } else {
      in.fail(made.at, "the pool " + shown(*made.name) + " is named twice: remove one");
    }
  }
  uses.shrink_to_fit();
  out.value.pools = std::move(uses);
}

void add_pool_keys(std::vector<key_section>& out) {
  out.push_back({"pool", keys_of(pool_fields)});
  std::vector<std::string_view> entry = window_keys();
  for (std::string_view key : keys_of(entry_fields)) entry.push_back(key);
  out.push_back({"pool_window", std::move(entry)});
  out.push_back({"pool_use", keys_of(use_fields)});
}

}  // namespace rouse::config
