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
#include <vector>

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
  unsigned workers = 0;  ///< 0: one per CPU
  milliseconds drain_delay{0};
  milliseconds drain_timeout{30'000};
  bool function_urls = true;
  config::expose_errors expose_errors = config::expose_errors::automatic;
  std::vector<network> trusted_proxies;
  config::limits limits;
  config::access_log access_log = config::access_log::off;
};

/// `scale`: how many instances a function may have, and how long an idle one stays.
struct scale {
  unsigned min = 0;
  unsigned max = 20;
  milliseconds idle{60'000};
};

/// `queue`: bounds of what may be parked, for the whole function. `max_bytes` counts memory of this process.
struct queue {
  std::uint64_t max_requests = 1000;
  std::uint64_t max_bytes = 64ull * 1024 * 1024;
  milliseconds max_wait{60'000};
};

/// `retry`: `attempts` includes the first try.
struct retry {
  unsigned attempts = 2;
};

struct function {
  std::string name;                  ///< a DNS label
  std::vector<std::string> command;  ///< argv of the process backend; never empty
  std::map<std::string, std::string> env;
  std::string directory;            ///< absolute; relative paths are resolved against the config file's folder
  std::uint32_t concurrency = 100;  ///< most slots on one instance; 0: no limit
  milliseconds timeout{60'000};     ///< request's last byte forwarded -> response's head
  milliseconds stream_idle_timeout{300'000};  ///< 0: none
  milliseconds max_duration{0};               ///< 0: none
  std::optional<std::string> ready_path;      ///< unset: ready when the port accepts a connection
  milliseconds start_timeout{60'000};
  milliseconds stop_grace{30'000};
  bool expose_http = true;  ///< `expose` holds `http`: reachable as /function/NAME
  config::scale scale;
  config::queue queue;
  config::retry retry;

  /// The automatic name of the only revision: the function's name and a hash of what identifies a way to run it
  /// (command, env, directory). Filled by the loader.
  std::string revision;
};

/// One entry of `routes`; first match wins. Empty means "any".
struct route {
  std::string host;  ///< lower case; exact, or `*.example.com` for any name below it
  std::string path;  ///< exact, or ends in `/*`
  std::vector<std::string> methods;
  std::vector<std::pair<std::string, std::string>> headers;  ///< name (lower case), exact value
  std::string function;
  std::optional<std::string> rewrite;  ///< replaces what stands before the `*`, or an exact path
};

/// The whole file, with `include` merged and `defaults` applied. Functions are sorted by name.
struct snapshot {
  config::server server;
  std::vector<config::function> functions;
  std::vector<config::route> routes;
};

}  // namespace rouse::config
