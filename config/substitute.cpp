#include "config/substitute.hpp"

#include <algorithm>

#include "config/text.hpp"

namespace rouse::config {
namespace {

bool is_name(std::string_view text) {
  auto const letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  if (text.empty() || !letter(text.front())) return false;
  return std::all_of(text.begin(), text.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

/// What `reference` (the text between `${` and `}`) stands for.
parsed<std::string> look_up(std::string_view reference, const environment& env) {
  auto fail = [](std::string why) { return parsed<std::string>{std::nullopt, std::move(why)}; };
  std::size_t const separator = reference.find(":-");
  std::string const name(reference.substr(0, separator));
  if (!is_name(name)) {
    return fail(shown("${" + std::string(reference) + "}") +
                " is not a reference to a variable: write `${NAME}` or `${NAME:-default}`, or `$${` for a plain `${`");
  }
  std::optional<std::string> value = env ? env(name) : std::nullopt;
  if (separator == reference.npos) {
    if (!value) {
      return fail("the environment variable " + shown(name) + " is not set: set it, or give a default with " +
                  shown("${" + name + ":-default}"));
    }
    return {std::move(value), {}};
  }
  std::string_view const fallback = reference.substr(separator + 2);
  if (fallback.find("${") != fallback.npos) {
    return fail("the default of " + shown("${" + name + ":-...}") + " holds another `${`, which is not supported");
  }
  if (!value || value->empty()) value = std::string(fallback);
  return {std::move(value), {}};
}

}  // namespace

parsed<std::string> substitute(std::string_view text, const environment& env) {
  std::string out;
  std::size_t at = 0;
  while (true) {
    std::size_t const found = text.find("${", at);
    if (found == text.npos) return {out.append(text.substr(at)), {}};
    if (found > at && text[found - 1] == '$') {
      out.append(text.substr(at, found - at - 1)).append("${");
      at = found + 2;
      continue;
    }
    out.append(text.substr(at, found - at));
    std::size_t const end = text.find('}', found);
    if (end == text.npos) {
      return {std::nullopt, "a `${` has no `}` in " + shown(text.substr(found)) + ": write `$${` for a plain `${`"};
    }
    auto value = look_up(text.substr(found + 2, end - found - 2), env);
    if (!value.value) return {std::nullopt, std::move(value.error)};
    out += *value.value;
    at = end + 1;
  }
}

}  // namespace rouse::config
