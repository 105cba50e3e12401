#include "config/keys.hpp"

#include <algorithm>
#include <array>

#include "config/readers.hpp"
#include "config/text.hpp"

namespace rouse::config {
namespace {

struct unsupported {
  std::string_view section;
  std::string_view key;
};

/// Keys that people will find in the documentation of what rouse is to become.
constexpr std::array<unsupported, 4> not_yet{{
    {"server", "tls"},
    {"function.retry", "delay"},
    {"function.retry", "max_delay"},
    {"function.retry", "backoff"},
}};

/// The section whose keys `section` has some of.
std::string_view whole_of(std::string_view section) {
  return section == "defaults" || section == "revision" ? "function" : section;
}

const key_section* find_section(const std::vector<key_section>& all, std::string_view name) {
  auto const found = std::find_if(all.begin(), all.end(), [&](const key_section& s) { return s.name == name; });
  return found == all.end() ? nullptr : &*found;
}

bool holds(const std::vector<std::string_view>& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

/// `scale` for a key of function.scale that stands in a function; nothing when no section below this one has the key.
std::string_view section_below(const std::vector<key_section>& all, std::string_view key, std::string_view section) {
  std::string_view const parent = whole_of(section);
  for (const key_section& candidate : all) {
    std::size_t const dot = candidate.name.rfind('.');
    std::string_view const above = dot == candidate.name.npos ? "" : candidate.name.substr(0, dot);
    bool const below =
        !candidate.name.empty() && above == parent && (dot != candidate.name.npos || candidate.name == "server");
    if (below && holds(candidate.keys, key)) return candidate.name.substr(dot == candidate.name.npos ? 0 : dot + 1);
  }
  return {};
}

std::string list(const std::vector<std::string_view>& keys) {
  std::string out;
  for (std::string_view key : keys) out += (out.empty() ? "" : ", ") + std::string(key);
  return out;
}

}  // namespace

std::vector<key_section> accepted_keys() {
  std::vector<key_section> all{
      {"", {"include", "defaults", "server", "pools", "functions", "routes", "buses", "triggers"}}};
  add_server_keys(all);
  add_pool_keys(all);
  add_function_keys(all);
  add_route_keys(all);
  add_bus_keys(all);
  add_trigger_keys(all);
  return all;
}

std::string explain_unknown(std::string_view key, std::string_view section) {
  std::string_view const known_as = whole_of(section);
  for (const unsupported& entry : not_yet) {
    if (entry.section == known_as && entry.key == key)
      return shown(key) + " is not supported by this version of rouse: remove it";
  }
  auto const all = accepted_keys();
  if (section == "defaults" && has_no_default(key)) {
    return shown(key) + " cannot be a default: give each function its own";
  }
  if (section == "revision" && holds(find_section(all, "function")->keys, key)) {
    return shown(key) + " belongs to the function, not to one of its revisions: move it there";
  }
  const key_section* const here = find_section(all, section);
  std::string const message = "unknown key " + shown(key);
  if (here == nullptr) return message;
  if (std::string_view const below = section_below(all, key, section); !below.empty()) {
    return message + ": it belongs under " + shown(below);
  }
  if (std::string_view const near = closest(key, here->keys); !near.empty()) {
    return message + ": did you mean " + shown(near) + "?";
  }
  const key_section* const top = find_section(all, "");
  if (!section.empty() && holds(top->keys, key))
    return message + " here: it belongs at the top of the file, check its indentation";
  return message + ": possible here are " + list(here->keys);
}

}  // namespace rouse::config
