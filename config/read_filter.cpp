#include <algorithm>
#include <array>

#include "config/readers.hpp"

namespace rouse::config {
namespace {

using dialect = event_filter::dialect;

constexpr std::string_view example = "{type: com.shop.order.paid, source: {prefix: /eu/}}";
constexpr std::size_t longest_name = 64;

constexpr std::array<std::pair<std::string_view, dialect>, 3> dialects{{
    {"exact", dialect::exact},
    {"prefix", dialect::prefix},
    {"suffix", dialect::suffix},
}};

std::optional<dialect> find_dialect(std::string_view word) {
  auto const found = std::find_if(dialects.begin(), dialects.end(), [&](const auto& one) { return one.first == word; });
  return found == dialects.end() ? std::nullopt : std::optional(found->second);
}

void read_all_of(const scope& in, const node& map, std::vector<event_filter>& out);

/// `parts` as one filter.
event_filter joined(dialect what, std::vector<event_filter> parts) {
  if (what == dialect::all && parts.size() == 1) return std::move(parts.front());
  return {what, {}, {}, std::move(parts)};
}

/// A mapping inside a filter, which must say something.
std::optional<event_filter> read_part(const scope& in, const node& map, mark at, std::string_view key) {
  if (map.members.empty()) {
    in.fail(at, shown(key) + " holds a filter that says nothing: write one such as " + shown(example));
    return std::nullopt;
  }
  std::vector<event_filter> parts;
  read_all_of(in, map, parts);
  return joined(dialect::all, std::move(parts));
}

/// `any` and `all`: a list of filters.
void read_list(const scope& in, const member& entry, dialect what, std::vector<event_filter>& out) {
  auto const given = mappings(in, entry, "a filter", "{type: com.shop.order.paid}");
  if (!given) return;
  if (entry.value->items.empty()) return in.fail(entry, "must have at least one filter, or be left out");
  std::vector<event_filter> parts;
  for (const node* map : *given) {
    if (auto part = read_part(in, *map, map->at, entry.key)) parts.push_back(std::move(*part));
  }
  out.push_back(joined(what, std::move(parts)));
}

void read_not(const scope& in, const member& entry, std::vector<event_filter>& out) {
  const node* const map = mapping(in, entry);
  if (map == nullptr) return;
  auto part = read_part(in, *map, entry.value_mark(), entry.key);
  if (!part) return;
  std::vector<event_filter> parts;
  parts.push_back(std::move(*part));
  out.push_back(joined(dialect::none, std::move(parts)));
}

/// Why `name` can be no attribute of an event, and what may have been meant; empty when it can be one.
std::string name_problem(const member& entry) {
  std::string_view const name = entry.key;
  if (name == "data" || name == "data_base64") {
    return shown(name) + " cannot be looked at: a filter sees the attributes of an event, not its data";
  }
  auto const fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (!name.empty() && name.size() <= longest_name && std::all_of(name.begin(), name.end(), fits)) return {};
  std::string meant = lower(name);
  for (std::string_view const prefix : {"ce-", "ce_"}) {
    if (meant.starts_with(prefix)) meant.erase(0, prefix.size());
  }
  std::erase_if(meant, [&](char c) { return !fits(c); });
  bool const hint = !meant.empty() && meant.size() <= longest_name;
  return shown(name) + " cannot be the name of an attribute, which is made of a-z and 0-9, at most " +
         std::to_string(longest_name) + (hint ? ": did you mean " + shown(meant) + "?" : "");
}

void read_value(const scope& in, const member& attribute, const member& entry, dialect what,
                std::vector<event_filter>& out) {
  const std::string* const text = scalar(in, entry);
  if (text == nullptr) return;
  if (text->empty()) return in.fail(entry, "is empty: give it a value, or remove it");
  out.push_back({what, attribute.key, *text, {}});
}

/// `{prefix: /eu/}`: all that stands in it must hold.
void read_dialects(const scope& in, const member& attribute, std::vector<event_filter>& out) {
  std::vector<std::string_view> words;
  for (const auto& [word, what] : dialects) words.push_back(word);
  if (attribute.value->members.empty()) {
    return in.fail(attribute, "says nothing: write a value, or a mapping such as `{prefix: /eu/}`");
  }
  for (const member& entry : attribute.value->members) {
    if (auto const what = find_dialect(entry.key)) {
      read_value(in, attribute, entry, *what, out);
      continue;
    }
    std::string_view const near = closest(entry.key, words);
    bool const turned = find_dialect(attribute.key).has_value();
    in.fail(entry.at, "unknown key " + shown(entry.key) +
                          (turned ? ": the attribute stands outside, as in " +
                                        shown("{" + entry.key + ": {" + attribute.key + ": ...}}")
                           : near.empty() ? ": possible here are `exact`, `prefix` and `suffix`"
                                          : ": did you mean " + shown(near) + "?"));
  }
}

void read_attribute(const scope& in, const member& entry, std::vector<event_filter>& out) {
  if (std::string problem = name_problem(entry); !problem.empty()) return in.fail(entry.at, std::move(problem));
  if (entry.value->type == node::kind::map && !entry.value->broken) return read_dialects(in, entry, out);
  if (entry.value->type == node::kind::sequence && !entry.value->broken) {
    return in.fail(entry,
                   "must be a value or a mapping such as `{prefix: /eu/}`, not a list: for one of several write "
                   "`any: [{" +
                       entry.key + ": ...}, {" + entry.key + ": ...}]`");
  }
  read_value(in, entry, entry, dialect::exact, out);
}

/// Every member of `map` into `out`. `any`, `all` and `not` are never attributes here.
void read_all_of(const scope& in, const node& map, std::vector<event_filter>& out) {
  for (const member& entry : map.members) {
    if (entry.key == "any" || entry.key == "all") {
      read_list(in, entry, entry.key == "any" ? dialect::any : dialect::all, out);
    } else if (entry.key == "not") {
      read_not(in, entry, out);
    } else {
      read_attribute(in, entry, out);
    }
  }
}

}  // namespace

void read_filter(const scope& in, const member& entry, event_filter& out) {
  const node* const map = mapping(in, entry);
  if (map == nullptr) return;
  std::vector<event_filter> parts;
  read_all_of(in, *map, parts);
  out = joined(dialect::all, std::move(parts));
}

}  // namespace rouse::config
