#include <algorithm>

#include "config/readers.hpp"

namespace rouse::config {
namespace {

/// Names that are compared with all others for a suggestion; a bound, because each costs as much as there are names.
constexpr std::size_t most_suggestions = 100;

}  // namespace

void read_reference(const scope& in, const member& entry, std::string_view what, reference& out) {
  const std::string* const text = scalar(in, entry);
  if (text == nullptr) return;
  if (text->empty()) return in.fail(entry, "is empty: write the name of " + std::string(what));
  out = {*text, {&in.file, entry.value_mark()}};
}

std::optional<std::uint32_t> name_table::find(const reference& wanted, problem_list& problems) {
  if (!wanted.given()) return std::nullopt;
  auto const at = std::lower_bound(names_.begin(), names_.end(), wanted.name);
  if (at != names_.end() && *at == wanted.name) return static_cast<std::uint32_t>(at - names_.begin());
  if (refused_.contains(wanted.name)) return std::nullopt;
  std::string_view const near = compared_++ < most_suggestions ? closest(wanted.name, names_) : std::string_view();
  problems.add(wanted.at,
               "there is no " + std::string(what_) + " " + shown(wanted.name) +
                   (near.empty() ? ": define it under " + shown(section_) : ": did you mean " + shown(near) + "?"));
  return std::nullopt;
}

}  // namespace rouse::config
