#pragma once
// The readers of the file's parts: each takes a node and fills a plain value, reporting what is wrong. One load, one
// thread.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "config/fields.hpp"
#include "config/keys.hpp"

namespace rouse::config {

/// Reads `server`; cross-checks addresses and the token.
void read_server(const scope& in, const node& map, server& out);

/// The folder-relative `path` of a file in `folder`, as an absolute path in normal form without a slash at its end.
[[nodiscard]] std::string absolute_path(const std::string& folder, const std::string& path);

/// Why `name` cannot be `whose` name, such as "a function's", and what would be nearest.
[[nodiscard]] std::string bad_name(std::string_view name, std::string_view whose);

/// One header and the value it must have; nullopt (and a problem) when it can be none. The name is in lower case.
[[nodiscard]] std::optional<std::pair<std::string, std::string>> read_header(const scope& in, const member& header);

/// The time of an entry of a schedule while it is read.
struct window_draft {
  window value;
  const member* from = nullptr;  ///< given, right or wrong
  const member* to = nullptr;
  std::optional<unsigned> begin;  ///< right
  std::optional<unsigned> end;
};

/// Reads one key that every entry of a schedule may have; false when `entry` is none.
[[nodiscard]] bool read_window_key(const scope& in, const member& entry, window_draft& out);

/// What the keys of the entry `map` amount to; its own problems were reported.
[[nodiscard]] window finish_window(const scope& in, const node& map, window_draft draft);

[[nodiscard]] std::vector<std::string_view> window_keys();

/// Reads the name of a time zone; `out` is unchanged when there is a problem.
void read_timezone(const scope& in, const member& entry, std::string& out);

/// Where a key was given that is checked against others, and how near to the revision: the checks point at what was
/// said last.
struct said {
  place at;
  int level = -1;  ///< -1: nowhere, 0: in `defaults`, 1: in the function, 2: in the revision
  [[nodiscard]] bool anywhere() const { return level >= 0; }
};

/// A revision while what it inherits and its own keys are merged, with the places that later checks may have to show.
struct revision_draft {
  revision value;
  int level = 0;                   ///< see `said`: of what is being read
  std::set<pool_backend> can_run;  ///< backends whose key (`command`, `image`, ...) was given, right or wrong
  said min;
  said max;
  said window;
  said panic_window;
  said pools;
  said endpoints;
  said port;
  said resources;
  std::vector<std::pair<place, place>> schedule;  ///< of each entry's `min` and `max`; empty places where not given
};

/// Reads one key that a revision may have; false when `entry` is none.
[[nodiscard]] bool read_revision_key(const scope& in, const member& entry, revision_draft& out);

/// Reads one key that says how an instance is run, apart from its command; false when `entry` is none.
[[nodiscard]] bool read_run_key(const scope& in, const member& entry, revision_draft& out);
[[nodiscard]] std::vector<std::string_view> run_keys();

/// Whether the revision has what the backends of its pools need. `whose` begins the sentence; `at` is where it is
/// named.
void check_run(const scope& in, const std::string& whose, mark at, const revision_draft& of);

/// Checks and completes what depends on several keys of a revision.
void finish_revision(const scope& in, revision_draft& out);

/// A hash (FNV-1a, 64 bits folded to 32) of command, env and directory, each with its length, and of what else is
/// given.
[[nodiscard]] std::uint32_t identity_of(const revision& value);

/// `FUNCTION-` and the hash in 8 hex digits.
[[nodiscard]] std::string automatic_name(const std::string& function, std::uint32_t hash);

/// Every key of a revision, `command` included.
[[nodiscard]] std::vector<std::string_view> revision_keys();

/// Reads `scale`.
void read_scale(const scope& in, const member& entry, revision_draft& out);

/// Checks the keys of `scale` against each other; shortens a `panic_window` that nobody set.
void finish_scale(const scope& in, revision_draft& out);

/// Reads `pools` of a function or revision.
void read_pool_uses(const scope& in, const member& entry, revision_draft& out);

/// A pool, and where it is bounded.
struct pool_draft {
  pool value;
  place at;            ///< of `max_instances`, or of the pool's name
  bool named = false;  ///< the file has it
};

/// The pools that exist without being named.
[[nodiscard]] std::vector<pool_draft> known_pools();

/// Reads the top level's `pools` into `out`, which holds known_pools() from the beginning; names and backends go into
/// in.found.
void read_pools(const scope& in, const member& entry, std::vector<pool_draft>& out);

/// Most instances of one function, and of one pool: far more than one machine runs, and bounds for sums.
inline constexpr std::uint64_t most_instances = 10'000;
inline constexpr std::uint64_t most_in_pool = 1'000'000;
inline constexpr std::size_t most_pools = 1000;

/// Most instances that a pool ever has room for; nullopt without a bound.
[[nodiscard]] std::optional<unsigned> room_of(const pool& value);

/// Adds up the `min` of everything that can run only in certain pools.
class pool_demand {
 public:
  /// Counts the revisions of `value` that have traffic.
  void add(const function& value);

  /// A problem for each pool, and for each set of pools that functions name together, that is too small for its sum.
  void check(const std::vector<pool_draft>& pools, problem_list& problems) const;

 private:
  struct sum {
    std::uint64_t instances = 0;
    std::vector<std::string> names;  ///< the first few: `f` 3
    std::size_t count = 0;
  };
  std::map<std::vector<std::uint32_t>, sum> sums_;  ///< by the set of pools, in order
};

/// A function while defaults and own keys are merged; `shared` is what each of its revisions begins with.
struct function_draft {
  function value;
  revision_draft shared;
  said max_body;  ///< of `async`, as the next ones
  said max_bytes;
  said delay;
  said max_delay;
};

/// Reads `async`.
void read_async(const scope& in, const member& entry, function_draft& out);

/// Checks the keys of `async` against each other; lowers a `max_body` that nobody set.
void finish_async(const scope& in, function_draft& out);

/// Reads `defaults`: any key of a function but those that has_no_default() names.
void read_defaults(const scope& in, const node& map, function_draft& out);

/// Reads one entry of `functions` on top of `defaults`. nullopt when its name cannot be one; every other problem leaves
/// a function that can be referred to.
[[nodiscard]] std::optional<function> read_function(const scope& in, const member& entry,
                                                    const function_draft& defaults);

/// A name that something of another part is to have; it can be looked up when all files are read.
struct reference {
  std::string name;
  place at;
  [[nodiscard]] bool given() const { return at.file != nullptr; }
};

/// Reads a name; `what` says of what, such as "a function". Not given when there is a problem.
void read_reference(const scope& in, const member& entry, std::string_view what, reference& out);

/// The names of one kind that the files define, once all are read.
class name_table {
 public:
  /// `what` is one of them in words, `section` the key under which they are defined. `names` in order. Borrows.
  name_table(std::string_view what, std::string_view section, std::vector<std::string_view> names,
             const std::set<std::string>& refused)
      : what_(what), section_(section), names_(std::move(names)), refused_(refused) {}

  /// The index of the name; nullopt, and a problem unless the definition has one, when there is none.
  [[nodiscard]] std::optional<std::uint32_t> find(const reference& wanted, problem_list& problems);

 private:
  std::string_view what_;
  std::string_view section_;
  std::vector<std::string_view> names_;
  const std::set<std::string>& refused_;  ///< were reported for their names
  std::size_t compared_ = 0;
};

/// A route, and the function that its files name.
struct route_draft {
  route value;
  reference function;
};

/// Reads `routes` of one file and appends them.
void read_routes(const scope& in, const member& entry, std::vector<route_draft>& out);

/// A Kafka cluster while it is read.
struct cluster_draft {
  kafka_cluster value;
  const member* brokers = nullptr;     ///< given, right or wrong
  const member* properties = nullptr;  ///< given, right or wrong
};

/// Reads `brokers`: a list of `HOST:PORT`; a port that is left out is 9092.
void read_brokers(const scope& in, const member& entry, cluster_draft& out);

/// Reads `properties`: names and values of the client library's own.
void read_properties(const scope& in, const member& entry, cluster_draft& out);

/// Has the properties judged by in.found.check: each for itself, so that each is shown where it stands, and then all
/// together.
void check_properties(const scope& in, const cluster_draft& draft, bool writes);

/// The name of a topic, or why it cannot be one.
[[nodiscard]] parsed<std::string> parse_topic(std::string_view text);

/// Reads one entry of `buses`. nullopt when its name cannot be one; every other problem leaves a bus that can be
/// referred to.
[[nodiscard]] std::optional<bus> read_bus(const scope& in, const member& entry);

/// A trigger, and what it names; `dead_letter` by the kind in its value, a topic included.
struct trigger_draft {
  trigger value;
  reference bus;
  reference function;
  reference reply;
  reference dead_letter;
  place group;  ///< of `kafka.group`, or of the trigger's name
};

/// Reads one entry of `triggers`. nullopt when its name cannot be one.
[[nodiscard]] std::optional<trigger_draft> read_trigger(const scope& in, const member& entry);

/// Looks up what the trigger names.
void resolve(trigger_draft& out, name_table& functions, name_table& buses, problem_list& problems);

/// What can only be said of triggers on Kafka once all that they name is known: where dead letters may go, and that no
/// two share a group.
class kafka_checks {
 public:
  /// The buses by their index. Borrows.
  explicit kafka_checks(std::vector<const bus*> buses) : buses_(std::move(buses)) {}

  /// After resolve().
  void add(const trigger_draft& of, problem_list& problems);

 private:
  void check_dead_letter(const trigger_draft& of, problem_list& problems) const;
  void check_group(const trigger_draft& of, problem_list& problems);

  std::vector<const bus*> buses_;
  std::map<std::pair<std::string, std::vector<std::string>>, std::string> groups_;  ///< group and brokers -> trigger
};

/// Whether only a function itself can have `key`: no default, no revision.
[[nodiscard]] bool is_functions_own(std::string_view key);

/// Whether `defaults` cannot have `key`.
[[nodiscard]] bool has_no_default(std::string_view key);

/// Reads `revisions`, `traffic` and `lanes` of a function, once all its other keys are in `out`.
struct revision_members {
  const member* revisions = nullptr;
  const member* traffic = nullptr;
  const member* lanes = nullptr;
};
void read_revisions(const scope& in, const member& function, const revision_members& members, function_draft& out);

/// Reads the `filter` of a trigger: every entry must hold. An entry is an attribute with its value or with `{exact,
/// prefix, suffix}`, or `any: [...]`, `all: [...]`, `not: {...}` of filters.
void read_filter(const scope& in, const member& entry, event_filter& out);

void add_server_keys(std::vector<key_section>& out);
void add_pool_keys(std::vector<key_section>& out);
void add_function_keys(std::vector<key_section>& out);
void add_revision_keys(std::vector<key_section>& out);
void add_run_keys(std::vector<key_section>& out);
void add_scale_keys(std::vector<key_section>& out);
void add_traffic_keys(std::vector<key_section>& out);
void add_route_keys(std::vector<key_section>& out);
void add_async_keys(std::vector<key_section>& out);
void add_bus_keys(std::vector<key_section>& out);
void add_trigger_keys(std::vector<key_section>& out);

}  // namespace rouse::config
