#pragma once
// The validated, immutable picture of rouse.yaml that everything else runs on. Plain values: made once by load()
// (load.hpp), then shared read-only by every thread for as long as any of them uses it. It holds only what works today;
// a key that is not here is rejected by the loader as unknown.

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "config/cron.hpp"
#include "config/event_filter.hpp"

namespace rouse::config {

using std::chrono::milliseconds;

/// An address to listen on. `host` is a numeric IPv4 or IPv6 address (without brackets), port 0 lets the kernel choose.
struct listen_address {
  std::string host;
  std::uint16_t port = 0;
  friend bool operator==(const listen_address&, const listen_address&) = default;
};

/// A network in CIDR notation; IPv4 is kept as an IPv4-mapped IPv6 address with 96 added to the prefix length.
struct network {
  std::array<std::uint8_t, 16> address{};
  unsigned prefix = 128;
};

enum class access_log { off, json, combined };
enum class expose_errors { automatic, always, never };

/// `server.limits`: what one caller may cost. 0 means no limit for body_bytes and connections.
struct limits {
  std::uint64_t header_bytes = 64 * 1024;
  milliseconds header_timeout{10'000};
  milliseconds idle_timeout{75'000};
  std::uint64_t body_bytes = 0;
  std::uint64_t connections = 0;
};

struct server {
  std::vector<listen_address> listen{{"0.0.0.0", 8080}};
  listen_address admin{"127.0.0.1", 9080};
  std::string admin_token;
  unsigned workers = 0;                 ///< 0: one per CPU
  std::string data_dir = "rouse-data";  ///< absolute once loaded; made when something has to be kept
  milliseconds drain_delay{0};
  milliseconds drain_timeout{30'000};
  bool function_urls = true;
  config::expose_errors expose_errors = config::expose_errors::automatic;
  std::vector<network> trusted_proxies;
  config::limits limits;
  config::access_log access_log = config::access_log::off;
};

/// When something of a schedule holds: from `from` to `to` (minutes of the day, `to` after 24:00 where it runs over
/// midnight; 0 to 1440 is the whole day) on the days on which it begins, by the clocks of `timezone`.
struct window {
  std::uint8_t days = 0x7F;  ///< bit 0 is Monday
  unsigned from = 0;
  unsigned to = 24 * 60;  ///< at most 48:00
  std::string timezone;   ///< a name of the tz database; empty: the machine's own zone
  friend bool operator==(const window&, const window&) = default;
};

/// One entry of `scale.schedule`. Where several hold, the first one that has the key counts.
struct scale_window {
  window when;
  std::optional<unsigned> min;
  std::optional<unsigned> max;
};

enum class scale_metric { concurrency, rps, backlog };
enum class to_zero { stop, freeze };

/// `scale`: how many instances a revision may have, and by what it is reckoned.
struct scale {
  unsigned min = 0;
  unsigned max = 20;
  scale_metric metric = scale_metric::concurrency;
  std::optional<double> target;  ///< per instance, taken as it is; unset: see target_of()
  double utilization = 0.7;
  milliseconds window{60'000};
  milliseconds panic_window{6'000};
  double panic_threshold = 2.0;
  double max_up_rate = 1000;
  double max_down_rate = 2;
  milliseconds down_delay{0};
  milliseconds idle{60'000};
  config::to_zero to_zero = config::to_zero::stop;
  milliseconds frozen_for{3'600'000};
  unsigned spare = 0;
  std::vector<scale_window> schedule;
};

/// `queue`: bounds of what may be parked, for the whole function. `max_bytes` counts memory of this process.
struct queue {
  std::uint64_t max_requests = 1000;
  std::uint64_t max_bytes = 64ull * 1024 * 1024;
  milliseconds max_wait{60'000};
};

/// `retry`: `attempts` includes the first try; `budget` is the part of a function's requests that may be in a retry.
struct retry {
  unsigned attempts = 2;
  double budget = 0.2;
};

/// `outlier`: after `failures` in a row an instance gets no work for `eject`. `failures` 0: never.
struct outlier {
  unsigned failures = 5;
  milliseconds eject{30'000};
};

/// `rate_limit` of a function. `rps` 0: none; `burst` 0: as many as `rps`, at least 1.
struct rate_limit {
  double rps = 0;
  unsigned burst = 0;
};

/// `fallback`: what a synchronous caller gets in place of a 5xx of rouse's own.
struct fallback {
  unsigned status = 200;
  std::string content_type = "text/plain";
  std::string body;
};

/// `sticky`: exactly one of the two is set. `header` is in lower case.
struct sticky {
  std::string header;
  std::string cookie;
};

/// One entry of `lanes`: requests with exactly this header (name in lower case) go to the revision of this index.
struct lane {
  std::string header;
  std::string value;
  std::uint32_t revision = 0;
};

/// One entry of a function's `pools`, in order. `pool` is an index into snapshot.pools; `max` 0: no bound of its own.
struct pool_use {
  std::uint32_t pool = 0;
  unsigned max = 0;
};

/// One entry of `pools.NAME.schedule`. Where several hold, the first counts.
struct pool_window {
  window when;
  unsigned max_instances = 0;
};

/// `fixed` is `static` in the file.
enum class pool_backend { process, docker, kubernetes, webhook, fixed };

/// How the file calls it.
[[nodiscard]] const char* to_string(pool_backend value) noexcept;

/// What a backend needs to know to reach what it starts instances with. Each kind has its own part; the others stay as
/// they are here.
struct connection {
  std::string socket;   ///< docker: the engine's, a path; empty: what $DOCKER_HOST names, else /var/run/docker.sock
  std::string network;  ///< docker: of the containers; empty: the engine's own bridge
  std::string
      name_space;       ///< kubernetes: `namespace`; empty: the service account's or the context's own, else `default`
  std::string context;  ///< kubernetes: of the kubeconfig; empty: its current one
  std::string kubeconfig;             ///< kubernetes: a path; empty: in-cluster, else $KUBECONFIG, else ~/.kube/config
  std::string secret;                 ///< webhook: the key that requests are signed with; never empty there
  milliseconds poll_interval{1'000};  ///< webhook
  milliseconds request_timeout{10'000};   ///< webhook
  milliseconds check_interval{2'000};     ///< static
  milliseconds resolve_interval{30'000};  ///< static
  friend bool operator==(const connection&, const connection&) = default;
};

/// A named, bounded use of a backend.
struct pool {
  std::string name;
  pool_backend backend = pool_backend::process;
  config::connection connection;
  std::optional<unsigned> max_instances;  ///< unset: no bound
  unsigned reserved = 0;                  ///< instances that are paid for, used or not
  double cost = 1.0;                      ///< of one instance-hour
  std::vector<pool_window> schedule;      ///< outside of it max_instances holds; with it and without max_instances: 0
};

/// One way to run a function, and what holds while it runs that way. A function whose file names no revisions has one.
/// Its name and all up to `cpu` are its identity: another identity is another revision, all else applies live. What the
/// backends of its pools need is there: `command` for process, `image` for docker, and so on.
struct revision {
  std::string name;                  ///< as the file says, or `FUNCTION-` and the hash
  std::uint32_t hash = 0;            ///< of the rest of its identity
  std::vector<std::string> command;  ///< argv of a process, or of a container
  std::map<std::string, std::string> env;
  std::string directory;               ///< absolute; relative paths are resolved against the config file's folder
  std::string image;                   ///< of a container
  std::string deployment;              ///< of Kubernetes
  std::vector<std::string> endpoints;  ///< of a static pool: HOST:PORT
  std::string url;                     ///< of a webhook: http:// or https://
  std::uint16_t port = 0;              ///< where it listens; 0: the backend chooses
  std::string port_name;               ///< in place of `port`, on Kubernetes
  std::uint64_t memory = 0;            ///< bytes; 0: no limit
  double cpu = 0;                      ///< cores; 0: no limit

  std::uint32_t concurrency = 100;            ///< most slots on one instance; 0: no limit
  milliseconds timeout{60'000};               ///< request's last byte forwarded -> response's head
  milliseconds stream_idle_timeout{300'000};  ///< 0: none
  milliseconds max_duration{0};               ///< 0: none
  std::optional<std::string> ready_path;      ///< unset: ready when the port accepts a connection
  milliseconds start_timeout{60'000};
  milliseconds stop_grace{30'000};
  milliseconds drain_max{3'600'000};  ///< longest a draining instance waits for its streams
  config::scale scale;
  config::retry retry;
  config::outlier outlier;
  std::vector<pool_use> pools;  ///< never empty
};

/// `async.retry`: of a queued invocation, the first try included; each wait is twice the one before, up to `max_delay`.
struct async_retry {
  unsigned attempts = 3;
  milliseconds delay{1'000};       ///< more than 0
  milliseconds max_delay{60'000};  ///< not less than `delay`
};

/// `async`: bounds of what waits in the store for the whole function, and what becomes of it.
struct async {
  std::uint64_t max_requests = 100'000;
  std::uint64_t max_bytes = 1024ull * 1024 * 1024;
  std::uint64_t max_body = 10ull * 1024 * 1024;  ///< of one request; not more than `max_bytes`
  milliseconds result_ttl{3'600'000};            ///< since the invocation ended
  async_retry retry;
};

struct function {
  std::string name;          ///< a DNS label
  bool expose_http = true;   ///< `expose` holds `http`: reachable as /function/NAME
  bool expose_async = true;  ///< `expose` holds `async`: reachable as /async-function/NAME, or by Prefer: respond-async
  config::queue queue;
  config::async async;
  config::rate_limit rate_limit;
  std::optional<config::fallback> fallback;
  std::optional<config::sticky> sticky;
  std::vector<lane> lanes;
  std::vector<revision> revisions;     ///< never empty; in the order of the file
  std::vector<std::uint32_t> weights;  ///< `traffic`: of each revision, by its index; the sum is not 0
};

/// The target per instance that `scale` amounts to: `target` as it is; else concurrency x utilization (100 where there
/// is no limit), rps 200 x utilization, backlog the concurrency (100 where there is no limit). At least 0.01.
[[nodiscard]] double target_of(const revision& value);

/// One entry of `routes`; first match wins. Empty means "any".
struct route {
  std::string host;  ///< lower case; exact, or `*.example.com` for any name below it
  std::string path;  ///< exact, or ends in `/*`
  std::vector<std::string> methods;
  std::vector<std::pair<std::string, std::string>> headers;  ///< name (lower case), exact value
  std::string function;
  std::optional<std::string> rewrite;  ///< replaces what stands before the `*`, or an exact path
};

/// How to reach a Kafka cluster.
struct kafka_cluster {
  std::vector<std::string> brokers;                             ///< HOST:PORT; not empty
  std::vector<std::pair<std::string, std::string>> properties;  ///< librdkafka's own, by name
  friend bool operator==(const kafka_cluster&, const kafka_cluster&) = default;
};

/// Where a bus is on Kafka.
struct kafka_topic {
  kafka_cluster cluster;
  std::string topic;
  friend bool operator==(const kafka_topic&, const kafka_topic&) = default;
};

/// A durable stream of events, kept in `data_dir` or on a topic.
struct bus {
  std::string name;                     ///< a DNS label
  milliseconds retention{604'800'000};  ///< in `data_dir`: how long a settled event is kept; those that are not, stay
  std::optional<kafka_topic> kafka;     ///< nothing: in `data_dir`
};

enum class event_start { latest, earliest };
enum class missed_runs { skip, once };
enum class event_order { none, key, partition };
enum class event_delivery { binary, structured };
enum class backoff { exponential, linear };

/// A trigger that takes events from a bus.
struct bus_source {
  std::uint32_t bus = 0;                    ///< index into snapshot.buses
  event_start start = event_start::latest;  ///< where a trigger that is new begins
  event_filter filter;
  friend bool operator==(const bus_source&, const bus_source&) = default;
};

/// A trigger that makes an event at times.
struct cron_source {
  cron when;
  std::string timezone;  ///< a name of the tz database; empty: the machine's own zone
  missed_runs missed = missed_runs::skip;
  std::string data;  ///< JSON; empty: none
  friend bool operator==(const cron_source&, const cron_source&) = default;
};

/// A trigger that takes the records of topics.
struct kafka_source {
  kafka_cluster cluster;
  std::vector<std::string> topics;          ///< not empty
  std::string group;                        ///< the consumer group; not empty
  event_start start = event_start::latest;  ///< where a group that is new begins
  event_filter filter;
  friend bool operator==(const kafka_source&, const kafka_source&) = default;
};

/// The consumer group of a trigger whose file names none.
[[nodiscard]] std::string group_of(const std::string& trigger);

/// `retry` of a trigger; `attempts` includes the first try. Waits grow from `delay` to `max_delay`.
struct event_retry {
  unsigned attempts = 10;
  config::backoff backoff = config::backoff::exponential;
  milliseconds delay{1'000};        ///< more than 0
  milliseconds max_delay{300'000};  ///< not less than `delay`
  friend bool operator==(const event_retry&, const event_retry&) = default;
};

/// Where an event goes that was given up on.
struct dead_letter_to {
  enum class kind { store, bus, function, topic };
  kind to = kind::store;
  std::uint32_t index = 0;  ///< into snapshot.buses or snapshot.functions
  std::string topic;        ///< on the cluster that the trigger's events come from
  friend bool operator==(const dead_letter_to&, const dead_letter_to&) = default;
};

/// One entry of `schedule` of a trigger. Where several hold, the first counts.
struct trigger_window {
  window when;
  unsigned concurrency = 100;
  friend bool operator==(const trigger_window&, const trigger_window&) = default;
};

/// What calls a function for events.
struct trigger {
  std::string name;  ///< a DNS label
  std::variant<bus_source, cron_source, kafka_source> source;
  std::uint32_t function = 0;          ///< index into snapshot.functions
  std::optional<std::uint32_t> reply;  ///< the bus, by its index, that gets the events with which the function answers
  event_order order = event_order::none;
  unsigned concurrency = 100;  ///< most events being delivered at once; never 0
  std::vector<trigger_window> schedule;
  event_delivery delivery = event_delivery::binary;
  event_retry retry;
  dead_letter_to dead_letter;
  friend bool operator==(const trigger&, const trigger&) = default;
};

/// The whole file, with `include` merged and `defaults` applied. Functions, buses and triggers are sorted by name.
struct snapshot {
  config::server server;
  std::vector<config::pool> pools;  ///< `local` first, then those that need no definition, then those of the file
  std::vector<config::function> functions;
  std::vector<config::route> routes;
  std::vector<config::bus> buses;
  std::vector<config::trigger> triggers;
};

}  // namespace rouse::config
