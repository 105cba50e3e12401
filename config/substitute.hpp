#pragma once
// `${NAME}` and `${NAME:-default}` inside one scalar. Pure but for the environment that is handed in.

#include <string>
#include <string_view>

#include "config/load.hpp"
#include "config/units.hpp"

namespace rouse::config {

/// `text` with every reference replaced. `${NAME:-default}` stands for `default` when NAME is unset or empty, as in a
/// shell;
/// `$${` is a plain `${`. What a variable holds is taken as it is: neither references in it nor YAML are looked at.
/// The error names the variable that is not set, or shows the reference that cannot be understood.
[[nodiscard]] parsed<std::string> substitute(std::string_view text, const environment& env);

}  // namespace rouse::config
