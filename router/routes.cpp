#include "router/routes.hpp"

#include <functional>
#include <stdexcept>
#include <vector>

#include "router/flat_index.hpp"
#include "router/normalise.hpp"
#include "router/route_index.hpp"

namespace rouse::router {
namespace {

constexpr std::string_view function_prefix = "/function/";
constexpr std::string_view async_prefix = "/async-function/";
constexpr std::string_view bus_prefix = "/bus/";
constexpr std::string_view invocation_prefix = "/invocations/";

/// One look at the second byte keeps this off the routes' bill.
bool is_built_in(std::string_view path) {
  if (path.size() < 2) return false;
  switch (path[1]) {
    case 'f':
      return path.starts_with(function_prefix);
    case 'a':
      return path.starts_with(async_prefix);
    case 'b':
      return path.starts_with(bus_prefix);
    case 'i':
      return path.starts_with(invocation_prefix);
    default:
      return false;
  }
}

/// Where slash number `count` (from 1) of `path` stands; its size when there are not so many.
std::size_t slash_position(std::string_view path, std::uint32_t count) {
  std::size_t at = path.find('/');
  for (; at != std::string_view::npos && count > 1; --count) at = path.find('/', at + 1);
  return at == std::string_view::npos ? path.size() : at;
}

route_match failed(route_error error, std::uint32_t function = 0) {
  return {error, function, route_match::not_named, {}, route_kind::function};
}

/// The index of the revision called `name`, or route_match::not_named. Functions have few.
std::uint32_t find_revision(const config::function& function, std::string_view name) {
  for (std::uint32_t i = 0; i < function.revisions.size(); ++i) {
    if (function.revisions[i].name == name) return i;
  }
  return route_match::not_named;
}

/// Writes `front` + `path` + `query` behind what `scratch` holds, for `path` may be a part of it.
std::string_view compose(std::string& scratch, std::string_view front, std::string_view path, std::string_view query) {
  const std::less_equal<const char*> at_most;
  const bool inside = at_most(scratch.data(), path.data()) && at_most(path.data(), scratch.data() + scratch.size());
  const std::size_t offset = inside ? static_cast<std::size_t>(path.data() - scratch.data()) : 0;
  const std::size_t begin = scratch.size();
  scratch.reserve(begin + front.size() + path.size() + query.size());
  if (inside) path = std::string_view(scratch).substr(offset, path.size());
  scratch.append(front).append(path).append(query);
  return std::string_view(scratch).substr(begin);
}

}  // namespace

struct route_table::index {
  explicit index(const config::snapshot& config)
      : snapshot(config), named(index_functions()), routes(config.routes, targets()) {}

  /// A function as the built-in URLs know it.
  struct alignas(64) named_function {
    bool exposed = false;        ///< as /function/NAME
    bool exposed_async = false;  ///< as /async-function/NAME
    packed_text<56> name;
  };

  [[nodiscard]] std::vector<named_function> index_functions() {
    std::vector<named_function> made(snapshot.functions.size());
    for (std::uint32_t number = 0; number < made.size(); ++number) {
      const config::function& function = snapshot.functions[number];
      made[number].exposed = function.expose_http;
      made[number].exposed_async = function.expose_async;
      texts.pack(made[number].name, function.name);
      functions.insert(hash_finish(hash_text(function.name)), number);
    }
    return made;
  }

  /// The function of each route.
  [[nodiscard]] std::vector<std::uint32_t> targets() const {
    std::vector<std::uint32_t> made;
    made.reserve(snapshot.routes.size());
    for (const config::route& route : snapshot.routes) {
      const std::string where = "routes[" + std::to_string(made.size()) + "]: ";
      made.push_back(find_function(route.function));
      if (made.back() == flat_index::none)
        throw std::invalid_argument(where + "there is no function \"" + route.function + "\"");
      if (route.rewrite) check_rewrite(route, where);
    }
    return made;
  }

  static void check_rewrite(const config::route& route, const std::string& where) {
    if (route.path.empty())
      throw std::invalid_argument(where + "`rewrite` replaces a path, so the route needs a `path`, such as /*");
    if (!route.rewrite->starts_with('/') || route.rewrite->find_first_of("?#") != std::string::npos)
      throw std::invalid_argument(where + "the rewrite \"" + *route.rewrite +
                                  "\" is not a path; it begins with a slash and has no query, such as /v2/");
  }

  [[nodiscard]] std::uint32_t find_function(std::string_view name) const {
    return functions.find(hash_finish(hash_text(name)),
                          [&](std::uint32_t number) { return texts.view(named[number].name) == name; });
  }

  [[nodiscard]] route_match built_in(std::string_view target, const normalised_path& path, std::string& scratch) const;
  [[nodiscard]] route_match function_url(std::string_view prefix, std::string_view target, const normalised_path& path,
                                         std::string& scratch) const;
  [[nodiscard]] route_match bus_url(std::string_view name) const;
  [[nodiscard]] std::string_view rewritten(std::uint32_t number, std::string_view target, const normalised_path& path,
                                           std::string& scratch) const;

  const config::snapshot& snapshot;
  text_store texts;
  flat_index functions;               ///< numbers of snapshot.functions by name
  std::vector<named_function> named;  ///< in the order of snapshot.functions
  route_index routes;
};

route_match route_table::index::built_in(std::string_view target, const normalised_path& path,
                                         std::string& scratch) const {
  if (path.key.starts_with(function_prefix)) return function_url(function_prefix, target, path, scratch);
  if (path.key.starts_with(async_prefix)) {
    auto found = function_url(async_prefix, target, path, scratch);
    found.kind = route_kind::async_function;
    return found;
  }
  if (path.key.starts_with(bus_prefix)) return bus_url(path.key.substr(bus_prefix.size()));
  return {route_error::none, 0, route_match::not_named, path.key.substr(invocation_prefix.size()),
          route_kind::invocation};
}

route_match route_table::index::bus_url(std::string_view name) const {
  for (std::uint32_t number = 0; number < snapshot.buses.size(); ++number) {
    if (snapshot.buses[number].name == name)
      return {route_error::none, number, route_match::not_named, {}, route_kind::bus};
  }
  return failed(route_error::no_route);
}

/// `/function/NAME[@REV][/rest]`. The rest is passed on as sent unless a dot segment reached back over the name.
route_match route_table::index::function_url(std::string_view prefix, std::string_view target,
                                             const normalised_path& path, std::string& scratch) const {
  std::string_view name = path.key.substr(prefix.size());
  name = name.substr(0, name.find('/'));
  const std::size_t at = name.find('@');
  const std::uint32_t number = find_function(name.substr(0, at));
  if (number == flat_index::none) return failed(route_error::no_route);
  if (prefix == function_prefix ? !named[number].exposed : !named[number].exposed_async)
    return failed(route_error::no_route);
  std::uint32_t revision = route_match::not_named;
  if (at != std::string_view::npos) {
    revision = find_revision(snapshot.functions[number], name.substr(at + 1));
    if (revision == route_match::not_named) return failed(route_error::no_revision, number);
  }

  const std::size_t end = slash_position(path.path, 3);
  const std::string_view query = path.query(target);
  if (path.untouched < end)
    return {route_error::none, number, revision,
            compose(scratch, end < path.path.size() ? "" : "/", path.path.substr(end), query), route_kind::function};
  const std::size_t sent_end = slash_position(path.raw, 3);
  if (sent_end < path.raw.size())
    return {route_error::none, number, revision, target.substr(sent_end), route_kind::function};
  return {route_error::none, number, revision, query.empty() ? std::string_view("/") : compose(scratch, "/", {}, query),
          route_kind::function};
}

/// The remainder is the normalised one: no `..` of the caller's gets above what the rewrite put in front.
std::string_view route_table::index::rewritten(std::uint32_t number, std::string_view target,
                                               const normalised_path& path, std::string& scratch) const {
  const std::string& front = *snapshot.routes[number].rewrite;
  const std::uint32_t slashes = routes.slashes_before_star(number);
  std::string_view remainder;
  if (slashes > 0) remainder = path.path.substr(slash_position(path.path, slashes) + 1);
  return compose(scratch, front, remainder, path.query(target));
}

route_table::route_table(const config::snapshot& snapshot) : index_(std::make_unique<const index>(snapshot)) {}

route_table::~route_table() = default;

route_match route_table::match(const request_view& request, std::string& scratch) const {
  const bool whole_server = request.target == "*" && request.method == "OPTIONS";
  scratch.clear();
  normalised_path path;
  if (!whole_server && !normalise(request.target, scratch, path)) return failed(route_error::bad_target);
  if (index_->snapshot.server.function_urls && is_built_in(path.key))
    return index_->built_in(request.target, path, scratch);

  const route_index::entry found = index_->routes.find(request, path.key);
  if (found.route == route_index::none) return failed(route_error::no_route);
  return {route_error::none, found.function, route_match::not_named,
          found.rewrites ? index_->rewritten(found.route, request.target, path, scratch) : request.target,
          route_kind::function};
}

}  // namespace rouse::router
