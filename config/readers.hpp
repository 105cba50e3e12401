#pragma once
// The readers of the file's parts: each takes a node and fills a plain value, reporting what is wrong. One load, one
// thread.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "config/fields.hpp"
#include "config/keys.hpp"

namespace rouse::config {

/// Reads `server`; cross-checks addresses and the token.
void read_server(const scope& in, const node& map, server& out);

/// A function while defaults and own keys are merged, with the places that later checks may have to show.
struct function_draft {
  function value;
  std::optional<place> scale_min;
  std::optional<place> scale_max;
  bool has_command = false;  ///< the key was given, right or wrong
};

/// Reads `defaults`: any key of a function but `command`.
void read_defaults(const scope& in, const node& map, function_draft& out);

/// Reads one entry of `functions` on top of `defaults`. nullopt when its name cannot be one; every other problem leaves
/// a function that can be referred to.
[[nodiscard]] std::optional<function> read_function(const scope& in, const member& entry,
                                                    const function_draft& defaults);

/// A route, and where its function's name stands: it can be checked when all files are read.
struct route_draft {
  route value;
  place function_at;
};

/// Reads `routes` of one file and appends them.
void read_routes(const scope& in, const member& entry, std::vector<route_draft>& out);

/// `NAME-` and 8 hex digits: a hash (FNV-1a, 64 bits folded to 32) of command, env and directory, each with its length.
[[nodiscard]] std::string revision_name(const function& value);

void add_server_keys(std::vector<key_section>& out);
void add_function_keys(std::vector<key_section>& out);
void add_route_keys(std::vector<key_section>& out);

}  // namespace rouse::config
