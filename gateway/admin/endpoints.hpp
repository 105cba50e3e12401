#pragma once
// What the admin interface has, apart from any socket: its paths, the query of `logs`, its own description. Pure; any
// thread.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rouse::gateway {

enum class endpoint : std::uint8_t {
  none,
  root,
  healthz,
  readyz,
  metrics,
  openapi,
  functions,
  function,
  instances,
  pools,
  logs,
  events,
  triggers,
  dead_letters,
  dead_letter,
  // What changes state.
  scale,
  traffic,
  restart,
  cordon,
  reload,
  drain,
  redrive,
  purge
};

/// Whether a request there changes state, and so must be allowed by more than the token.
[[nodiscard]] constexpr bool changes_state(endpoint what) noexcept {
  return what >= endpoint::scale;
}
/// The methods that it answers, as in an Allow field.
[[nodiscard]] std::string_view methods_of(endpoint what) noexcept;

/// A request's target, taken apart. Views into it.
struct admin_target {
  endpoint what = endpoint::none;
  std::string_view name;   ///< of /api/v1/functions/NAME[/...] and /api/v1/pools/NAME/cordon
  std::string_view query;  ///< behind the `?`, which is not part of it
};
[[nodiscard]] admin_target match_target(std::string_view target);

/// The query of /api/v1/logs and of /api/v1/events.
struct logs_query {
  std::string function;      ///< events: empty for all
  std::uint64_t after = 0;   ///< only lines with a greater number
  std::size_t limit = 1000;  ///< 1 to 1000: the newest so many of those
  bool follow = false;
};
/// Every parameter must be known, valid and given once; otherwise nothing, and `why` is a sentence for the caller.
[[nodiscard]] std::optional<logs_query> parse_logs_query(std::string_view query, std::string& why);

/// The same for /api/v1/events, which has no `follow`, for it goes on in any case, and whose `limit` may be 0.
[[nodiscard]] std::optional<logs_query> parse_events_query(std::string_view query, std::string& why);

/// The query of /api/v1/dead-letters: owner=NAME, after=ID.
[[nodiscard]] bool parse_dead_letters_query(std::string_view query, std::string& owner, std::int64_t& after,
                                            std::string& why);

/// The OpenAPI 3 document of all this.
[[nodiscard]] std::string openapi_json();

/// What `/` answers: a list of the endpoints, as plain text.
[[nodiscard]] std::string root_text();

}  // namespace rouse::gateway
