#pragma once
// Finds the first route that takes a request without walking the list: an index by host, then by path. Built once from
// the config and immutable; read by every worker. Part of route_table, and of no use without it.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "router/flat_index.hpp"

namespace rouse::router {

struct request_view;

/// Routes are known by their place in the config, so "first match wins" is "the lowest number wins": every bucket that
/// may hold a match is looked at, each only as far as it could still beat the best one found.
///
/// A look-up costs one hash probe for the exact host and one for each number of labels that some `*.` host has; then,
/// in each host found, one for the exact path and one for each number of segments that some `/*` path of this host has.
/// No more of a host or path is read than the longest one configured. Routes that differ only by methods and headers
/// share a bucket and are tried one by one.
class route_index {
 public:
  static constexpr std::uint32_t none = flat_index::none;

  /// What a look-up needs to know of a route, kept together so that the config itself is not touched.
  struct entry {
    std::uint32_t route = none;  ///< its place in the config
    std::uint32_t next = none;   ///< where in chained_ the bucket goes on
    std::uint32_t function = 0;
    bool unconditional = true;  ///< asks for neither methods nor headers
    bool rewrites = false;
  };

  /// Borrows `routes`; `functions` has the number of each route's function. Throws std::invalid_argument for a path
  /// that is not one.
  route_index(const std::vector<config::route>& routes, const std::vector<std::uint32_t>& functions);

  /// The first route that takes `request`, whose path is normalised_path::key; `route` is none when there is none. An
  /// empty `key` (`OPTIONS *`) is taken only by routes without a path.
  [[nodiscard]] entry find(const request_view& request, std::string_view key) const;

  /// How many slashes of the path stand before the `*` of this route; 0 for an exact path or none.
  [[nodiscard]] std::uint32_t slashes_before_star(std::uint32_t route) const { return slashes_[route]; }

 private:
  enum class path_kind : std::uint32_t { any, exact, prefix };

  /// Which numbers (of labels, of slashes) occur; from 31 on they share a bit.
  struct number_set {
    std::uint32_t bits = 0;
    static constexpr std::uint32_t bit(std::size_t number) { return std::uint32_t{1} << (number < 31 ? number : 31); }
    void add(std::size_t number) { bits |= bit(number); }
    [[nodiscard]] bool has(std::size_t number) const { return (bits & bit(number)) != 0; }
  };

  /// All routes for one host and one path, in the config's order.
  struct alignas(64) bucket {
    std::uint32_t host = 0;
    path_kind kind = path_kind::any;
    entry first;
    std::uint32_t last = none;  ///< where in chained_ the list ends; none while it is `first` alone
    packed_text<32> path;       ///< a prefix ends in a slash
  };

  /// Two neighbouring cache lines. Most hosts have one path, so that one needs no probe of its own.
  struct alignas(128) host {
    std::uint32_t first = none;  ///< the lowest route
    // Of the buckets in paths_, which do not include `own`:
    std::uint32_t longest_exact = 0;
    std::uint32_t longest_prefix = 0;
    number_set prefix_slashes;  ///< 0 stands for routes without a path
    packed_text<44> name;       ///< lower case; of a `*.` host what follows the star, with the dot
    bucket own;                 ///< the first one
  };

  class search;
  struct path_pattern;

  std::uint32_t host_for(const std::string& name);
  path_pattern pattern_of(std::uint32_t route, std::string& scratch);
  void add(std::uint32_t host, const path_pattern& pattern, const entry& added);
  void append(bucket& list, const entry& added);
  void fill(bucket& made, std::uint32_t host, const path_pattern& pattern, const entry& added);
  [[nodiscard]] bool takes(const bucket& candidates, std::string_view key) const;
  [[nodiscard]] std::uint32_t find_host(const flat_index& index, std::string_view name, std::uint32_t hash) const;
  [[nodiscard]] std::uint32_t find_bucket(std::uint32_t host, path_kind kind, std::string_view text,
                                          std::uint64_t hash) const;
  void search_hosts(search& state, std::string_view name) const;
  void search_paths(search& state, std::uint32_t number) const;

  const std::vector<config::route>& routes_;
  std::vector<host> hosts_;      ///< the first one stands for routes without a host
  std::vector<bucket> buckets_;  ///< all but each host's own
  std::vector<entry> chained_;   ///< what is not the first of its bucket
  std::vector<std::uint32_t> slashes_;
  text_store texts_;
  flat_index exact_hosts_;
  flat_index wildcard_hosts_;
  flat_index paths_;
  std::size_t longest_exact_host_ = 0;
  std::size_t longest_wildcard_ = 0;
  number_set wildcard_dots_;
};

}  // namespace rouse::router
