#pragma once
// Every key that the loader accepts, by section, taken from the tables that read them; and what to say about any other.
// Pure functions, any thread.

#include <string>
#include <string_view>
#include <vector>

namespace rouse::config {

/// A mapping of the file: `` (the top), `server`, `server.limits`, `defaults`, `function`, `function.scale`, ...; what
/// stands in a list or under names that people choose has a name without a dot: `route`, `pool`, `revision`, `lane`,
/// ...
struct key_section {
  std::string_view name;
  std::vector<std::string_view> keys;
};

/// All of them. `defaults` has the keys of `function` without those of its own: `command`,
/// `revisions`, `traffic`, `lanes`.
[[nodiscard]] std::vector<key_section> accepted_keys();

/// What is wrong with `key` in `section`, and what was probably meant: a key of this section that is spelt alike, a
/// section in which the key belongs, or a feature that this version does not have.
[[nodiscard]] std::string explain_unknown(std::string_view key, std::string_view section);

}  // namespace rouse::config
