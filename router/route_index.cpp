#include "router/route_index.hpp"

#include <algorithm>
#include <stdexcept>

#include "router/normalise.hpp"
#include "router/routes.hpp"

namespace rouse::router {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string_view without_trailing_dot(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  return host;
}

/// Whether `text`, in any case, is `name`, which is in lower case.
bool same_host(std::string_view text, std::string_view name) {
  return std::equal(text.begin(), text.end(), name.begin(), name.end(), [](char a, char b) { return lower(a) == b; });
}

std::uint64_t path_salt(std::uint32_t host, std::uint32_t kind) {
  return 3 * std::uint64_t{host} + kind;
}

std::uint64_t hash_backwards(std::string_view text) {
  std::uint64_t hash = hash_start;
  for (std::size_t i = text.size(); i-- > 0;) hash = hash_byte(hash, text[i]);
  return hash;
}

}  // namespace

/// A route's path, ready to be compared; `text` is a view of the config or of a scratch string.
struct route_index::path_pattern {
  path_kind kind = path_kind::any;
  std::string_view text;
};

/// One look-up under way: what is asked for, and the best route so far.
class route_index::search {
 public:
  search(const route_index& index, const request_view& request, std::string_view key)
      : index_(index), request_(request), key_(key) {}

  [[nodiscard]] std::string_view key() const { return key_; }
  [[nodiscard]] const entry& best() const { return best_; }

  void consider_if_any(std::uint32_t number) {
    if (number != none) consider(index_.buckets_[number]);
  }

  /// Looks for a better route in a bucket.
  void consider(const bucket& candidates) {
    const entry* candidate = &candidates.first;
    while (candidate->route < best_.route) {
      if (candidate->unconditional || accepts(index_.routes_[candidate->route])) {
        best_ = *candidate;
        return;
      }
      if (candidate->next == none) return;
      candidate = &index_.chained_[candidate->next];
    }
  }

 private:
  bool accepts(const config::route& route) {
    if (!route.methods.empty() && std::ranges::find(route.methods, request_.method) == route.methods.end())
      return false;
    return std::ranges::all_of(route.headers, [this](const auto& wanted) { return has(wanted.first, wanted.second); });
  }

  /// Remembers the last field, because routes of one bucket mostly differ by the value of one and the same.
  bool has(const std::string& name, const std::string& value) {
    if (request_.field == nullptr) return false;
    if (asked_ == nullptr || *asked_ != name) {
      value_.clear();
      present_ = request_.field(request_.fields, name, value_);
      asked_ = &name;
    }
    return present_ && value_ == value;
  }

  const route_index& index_;
  const request_view& request_;
  std::string_view key_;
  entry best_;
  const std::string* asked_ = nullptr;
  bool present_ = false;
  std::string value_;
};

route_index::route_index(const std::vector<config::route>& routes, const std::vector<std::uint32_t>& functions)
    : routes_(routes), slashes_(routes.size()) {
  hosts_.emplace_back();
  std::string scratch;
  for (std::uint32_t number = 0; number < routes.size(); ++number) {
    const config::route& route = routes[number];
    const std::uint32_t host = route.host.empty() ? 0 : host_for(route.host);
    hosts_[host].first = std::min(hosts_[host].first, number);
    const entry added{.route = number,
                      .function = functions[number],
                      .unconditional = route.methods.empty() && route.headers.empty(),
                      .rewrites = route.rewrite.has_value()};
    add(host, pattern_of(number, scratch), added);
  }
}

std::uint32_t route_index::host_for(const std::string& configured) {
  const bool wildcard = configured.starts_with("*.");
  std::string name(without_trailing_dot(configured));
  if (wildcard) name.erase(0, 1);
  std::ranges::transform(name, name.begin(), lower);

  flat_index& index = wildcard ? wildcard_hosts_ : exact_hosts_;
  const std::uint32_t hash = hash_finish(hash_backwards(name));
  if (const std::uint32_t known = find_host(index, name, hash); known != none) return known;
  if (wildcard) {
    longest_wildcard_ = std::max(longest_wildcard_, name.size());
    wildcard_dots_.add(static_cast<std::size_t>(std::ranges::count(name, '.')));
  } else {
    longest_exact_host_ = std::max(longest_exact_host_, name.size());
  }
  const auto number = static_cast<std::uint32_t>(hosts_.size());
  texts_.pack(hosts_.emplace_back().name, name);
  index.insert(hash, number);
  return number;
}

route_index::path_pattern route_index::pattern_of(std::uint32_t route, std::string& scratch) {
  std::string_view path = routes_[route].path;
  if (path.empty()) return {};
  const bool prefix = path.ends_with("/*");
  if (prefix) path.remove_suffix(1);
  normalised_path normal;
  if (!normalise(path, scratch, normal) || normal.raw.size() != path.size()) {
    throw std::invalid_argument(
        "routes[" + std::to_string(route) + "]: the path \"" + routes_[route].path +
        "\" can never match, because it is not a valid path; write one like /thumb or /thumb/*");
  }
  if (prefix) slashes_[route] = static_cast<std::uint32_t>(std::ranges::count(normal.key, '/'));
  return {prefix ? path_kind::prefix : path_kind::exact, normal.key};
}

void route_index::add(std::uint32_t number, const path_pattern& pattern, const entry& added) {
  host& host = hosts_[number];
  if (host.own.first.route == none) return fill(host.own, number, pattern, added);
  if (host.own.kind == pattern.kind && texts_.view(host.own.path) == pattern.text) return append(host.own, added);
  const std::uint64_t hash = hash_text(pattern.text);
  const std::uint32_t known = find_bucket(number, pattern.kind, pattern.text, hash);
  if (known != none) return append(buckets_[known], added);

  paths_.insert(hash_finish(hash, path_salt(number, static_cast<std::uint32_t>(pattern.kind))),
                static_cast<std::uint32_t>(buckets_.size()));
  fill(buckets_.emplace_back(), number, pattern, added);
  const auto length = static_cast<std::uint32_t>(pattern.text.size());
  if (pattern.kind == path_kind::exact) {
    host.longest_exact = std::max(host.longest_exact, length);
  } else {
    host.longest_prefix = std::max(host.longest_prefix, length);
    host.prefix_slashes.add(slashes_[added.route]);
  }
}

void route_index::append(bucket& list, const entry& added) {
  const auto place = static_cast<std::uint32_t>(chained_.size());
  chained_.push_back(added);
  (list.last == none ? list.first : chained_[list.last]).next = place;
  list.last = place;
}

void route_index::fill(bucket& made, std::uint32_t host, const path_pattern& pattern, const entry& added) {
  made.host = host;
  made.kind = pattern.kind;
  made.first = added;
  texts_.pack(made.path, pattern.text);
}

bool route_index::takes(const bucket& candidates, std::string_view key) const {
  switch (candidates.kind) {
    case path_kind::any:
      return true;
    case path_kind::exact:
      return key == texts_.view(candidates.path);
    case path_kind::prefix:
      return key.starts_with(texts_.view(candidates.path));
  }
  return false;
}

std::uint32_t route_index::find_bucket(std::uint32_t host, path_kind kind, std::string_view text,
                                       std::uint64_t hash) const {
  return paths_.find(hash_finish(hash, path_salt(host, static_cast<std::uint32_t>(kind))), [&](std::uint32_t number) {
    const bucket& known = buckets_[number];
    return known.host == host && known.kind == kind && texts_.view(known.path) == text;
  });
}

std::uint32_t route_index::find_host(const flat_index& index, std::string_view name, std::uint32_t hash) const {
  return index.find(hash, [&](std::uint32_t number) { return same_host(name, texts_.view(hosts_[number].name)); });
}

route_index::entry route_index::find(const request_view& request, std::string_view key) const {
  search state(*this, request, key);
  search_paths(state, 0);
  search_hosts(state, without_trailing_dot(request.host));
  return state.best();
}

/// From the right, because every `*.` host on the way is a suffix.
void route_index::search_hosts(search& state, std::string_view name) const {
  const bool maybe_exact = !name.empty() && name.size() <= longest_exact_host_;
  const std::size_t length = maybe_exact ? name.size() : std::min(name.size(), longest_wildcard_);
  std::uint64_t hash = hash_start;
  std::size_t dots = 0;
  for (std::size_t read = 1; read <= length; ++read) {
    const std::size_t at = name.size() - read;
    hash = hash_byte(hash, lower(name[at]));
    if (name[at] != '.' || !wildcard_dots_.has(++dots) || at == 0) continue;
    const std::uint32_t host = find_host(wildcard_hosts_, name.substr(at), hash_finish(hash));
    if (host != none) search_paths(state, host);
  }
  if (!maybe_exact) return;
  const std::uint32_t host = find_host(exact_hosts_, name, hash_finish(hash));
  if (host != none) search_paths(state, host);
}

void route_index::search_paths(search& state, std::uint32_t number) const {
  const host& host = hosts_[number];
  if (host.first >= state.best().route) return;
  const std::string_view key = state.key();
  if (takes(host.own, key)) state.consider(host.own);
  if (host.prefix_slashes.has(0)) state.consider_if_any(find_bucket(number, path_kind::any, {}, hash_start));
  const bool maybe_exact = !key.empty() && key.size() <= host.longest_exact;
  const std::size_t length = maybe_exact ? key.size() : std::min<std::size_t>(key.size(), host.longest_prefix);
  std::uint64_t hash = hash_start;
  std::size_t slashes = 0;
  for (std::size_t at = 0; at < length; ++at) {
    hash = hash_byte(hash, key[at]);
    if (key[at] != '/' || !host.prefix_slashes.has(++slashes)) continue;
    state.consider_if_any(find_bucket(number, path_kind::prefix, key.substr(0, at + 1), hash));
  }
  if (maybe_exact) state.consider_if_any(find_bucket(number, path_kind::exact, key, hash));
}

}  // namespace rouse::router
