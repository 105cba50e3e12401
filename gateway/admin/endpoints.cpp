#include "gateway/admin/endpoints.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <system_error>

#include "gateway/version.hpp"

namespace rouse::gateway {
namespace {

struct known_path {
  std::string_view front;  ///< all of it, or what stands before a name
  std::string_view back;   ///< what stands behind the name
  endpoint what;
  bool named = false;
};

constexpr std::array paths{known_path{"/", "", endpoint::root},
                           known_path{"/healthz", "", endpoint::healthz},
                           known_path{"/readyz", "", endpoint::readyz},
                           known_path{"/metrics", "", endpoint::metrics},
                           known_path{"/openapi.json", "", endpoint::openapi},
                           known_path{"/api/v1/functions", "", endpoint::functions},
                           known_path{"/api/v1/functions/", "", endpoint::function, true},
                           known_path{"/api/v1/functions/", "/scale", endpoint::scale, true},
                           known_path{"/api/v1/functions/", "/traffic", endpoint::traffic, true},
                           known_path{"/api/v1/functions/", "/restart", endpoint::restart, true},
                           known_path{"/api/v1/instances", "", endpoint::instances},
                           known_path{"/api/v1/pools", "", endpoint::pools},
                           known_path{"/api/v1/pools/", "/cordon", endpoint::cordon, true},
                           known_path{"/api/v1/reload", "", endpoint::reload},
                           known_path{"/api/v1/drain", "", endpoint::drain},
                           known_path{"/api/v1/triggers", "", endpoint::triggers},
                           known_path{"/api/v1/dead-letters", "", endpoint::dead_letters},
                           known_path{"/api/v1/dead-letters/", "", endpoint::dead_letter, true},
                           known_path{"/api/v1/dead-letters/redrive", "", endpoint::redrive},
                           known_path{"/api/v1/dead-letters/purge", "", endpoint::purge},
                           known_path{"/api/v1/events", "", endpoint::events},
                           known_path{"/api/v1/logs", "", endpoint::logs}};

/// Sets the name where `path` is such a one.
bool matches(const known_path& known, std::string_view path, std::string_view& name) {
  if (!known.named) return path == known.front;
  if (!path.starts_with(known.front) || !path.ends_with(known.back)) return false;
  if (path.size() <= known.front.size() + known.back.size()) return false;
  const auto found = path.substr(known.front.size(), path.size() - known.front.size() - known.back.size());
  if (found.find('/') != std::string_view::npos) return false;
  name = found;
  return true;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Percent-decoding of a query's value, with `+` as a space.
bool decode(std::string_view text, std::string& out) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return false;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return true;
}

template <typename Number>
bool parse_number(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

/// What logs and events take.
struct query_rules {
  bool follows = true;  ///< takes `follow`
  std::size_t least = 1;
  std::string_view names = "logs takes function, after, limit and follow";
};

/// Sets one parameter; says why not otherwise.
bool set_parameter(const query_rules& rules, logs_query& query, std::string_view name, const std::string& value,
                   std::string& why) {
  if (name == "function") {
    query.function = value;
    if (!value.empty()) return true;
    why = "function is empty; give the name of a function";
  } else if (name == "after") {
    if (parse_number(value, query.after)) return true;
    why = "after must be a number that was told, for example after=120";
  } else if (name == "limit") {
    if (parse_number(value, query.limit) && query.limit >= rules.least && query.limit <= 1000) return true;
    why = "limit must be a number from " + std::to_string(rules.least) + " to 1000";
  } else if (name == "follow" && rules.follows) {
    query.follow = value == "true";
    if (query.follow || value == "false") return true;
    why = "follow must be true or false";
  } else {
    why = "there is no parameter of that name; " + std::string(rules.names);
  }
  return false;
}

std::optional<logs_query> parse_query(const query_rules& rules, std::string_view query, std::string& why) {
  logs_query out;
  std::string names_seen;
  while (!query.empty()) {
    const auto part = query.substr(0, query.find('&'));
    query.remove_prefix(part.size() + (part.size() < query.size() ? 1 : 0));
    if (part.empty()) continue;
    const auto equals = part.find('=');
    const auto name = part.substr(0, equals);
    std::string value;
    if (equals != std::string_view::npos && !decode(part.substr(equals + 1), value)) {
      why = "the query holds a % without two hexadecimal digits behind it";
      return {};
    }
    if (!set_parameter(rules, out, name, value, why)) return {};
    const std::string mark = '&' + std::string(name) + '&';
    if (names_seen.find(mark) != std::string::npos) {
      why = std::string(name) + " is given twice";
      return {};
    }
    names_seen += mark;
  }
  return out;
}

}  // namespace

std::string_view methods_of(endpoint what) noexcept {
  switch (what) {
    case endpoint::scale:
    case endpoint::traffic:
    case endpoint::cordon:
      return "PUT";
    case endpoint::restart:
    case endpoint::reload:
    case endpoint::drain:
    case endpoint::redrive:
    case endpoint::purge:
      return "POST";
    default:
      return "GET, HEAD";
  }
}

admin_target match_target(std::string_view target) {
  admin_target out;
  const auto mark = target.find('?');
  const auto path = target.substr(0, mark);
  if (mark != std::string_view::npos) out.query = target.substr(mark + 1);
  for (const auto& known : paths) {
    if (matches(known, path, out.name)) out.what = known.what;
  }
  return out;
}

std::optional<logs_query> parse_logs_query(std::string_view query, std::string& why) {
  auto out = parse_query({}, query, why);
  if (!out || !out->function.empty()) return out;
  why = "the parameter function is missing, for example /api/v1/logs?function=hello";
  return {};
}

std::optional<logs_query> parse_events_query(std::string_view query, std::string& why) {
  return parse_query({.follows = false, .least = 0, .names = "events takes function, after and limit"}, query, why);
}

bool parse_dead_letters_query(std::string_view query, std::string& owner, std::int64_t& after, std::string& why) {
  while (!query.empty()) {
    const auto part = query.substr(0, query.find('&'));
    query.remove_prefix(part.size() + (part.size() < query.size() ? 1 : 0));
    const auto equals = std::min(part.find('='), part.size());
    const auto name = part.substr(0, equals);
    std::string value;
    if (!decode(part.substr(std::min(equals + 1, part.size())), value)) {
      why = "the query holds a % without two hexadecimal digits behind it";
      return false;
    }
    if (name == "owner" && owner.empty() && !value.empty()) {
      owner = std::move(value);
    } else if (name != "after" || !parse_number(value, after)) {
      why = "dead-letters takes owner=NAME, of a trigger or a function, and after=ID, each once";
      return false;
    }
  }
  return true;
}

std::string root_text() {
  return std::string("rouse ") + version() +
         ", admin interface\n\n"
         "GET /healthz                         the daemon runs\n"
         "GET /readyz                          it takes requests\n"
         "GET /metrics                         for Prometheus\n"
         "GET /api/v1/functions                every function: instances, parked, in flight, last scale decisions\n"
         "GET /api/v1/functions/NAME           one of them\n"
         "GET /api/v1/instances                every instance\n"
         "GET /api/v1/pools                    every pool: instances, bounds, cost\n"
         "GET /api/v1/logs?function=NAME       what its instances wrote; &follow=true, &after=N, &limit=N\n"
         "GET /api/v1/events                   what rouse does, as it does it (server-sent events): scaling and why,\n"
         "                                     starts, failures; ?function=NAME, &after=N, &limit=N\n"
         "GET /api/v1/triggers                 every trigger: what waits, what was delivered, why it is paused\n"
         "GET /api/v1/dead-letters             events and invocations given up; ?owner=NAME, &after=ID\n"
         "GET /api/v1/dead-letters/ID          one with its content\n"
         "GET /openapi.json                    all this for machines\n\n"
         "With Content-Type: application/json:\n"
         "PUT /api/v1/functions/NAME/scale     {\"min\": 1, \"max\": 5}: bounds in place of the file's\n"
         "PUT /api/v1/functions/NAME/traffic   {\"v1\": 90, \"v2\": 10}: weights in place of the file's\n"
         "POST /api/v1/functions/NAME/restart  replace its instances one by one\n"
         "PUT /api/v1/pools/NAME/cordon        {\"cordoned\": true}: no new instances there\n"
         "POST /api/v1/dead-letters/redrive    {\"owner\": NAME} or {\"id\": ID}: deliver them again\n"
         "POST /api/v1/dead-letters/purge      the same: remove them\n"
         "POST /api/v1/reload                  read the configuration again\n"
         "POST /api/v1/drain                   end as SIGTERM does\n\n"
         "From a terminal: rouse status, rouse logs NAME, rouse --help\n";
}

}  // namespace rouse::gateway
