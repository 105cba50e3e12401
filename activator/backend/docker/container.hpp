#pragma once
// What is said to and heard of the Docker Engine about containers, as plain values: the JSON of the Engine API goes no
// further than container.cpp. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "activator/backend/backend.hpp"

namespace rouse::docker {

/// By which a container is known as one of rouse's: without the owner's label nothing is ever touched.
struct labels {
  std::string owner;
  std::string pool;
  std::string function;
  std::string revision;
  std::string hash;  ///< eight hexadecimal digits
  std::string instance;
};

enum class container_state { created, running, paused, exited, removing, other };

/// As a list has it.
struct container {
  std::string name;
  container_state state = container_state::other;
  labels of;
};

/// As a look at one has it.
struct container_details {
  container_state state = container_state::other;
  int exit_code = 0;
  bool oom_killed = false;
  std::string error;        ///< why it could not be run
  std::string address;      ///< numeric; empty where it has none
  std::string stop_signal;  ///< what it wants to be asked to end with
};

/// One line of the event stream.
struct event {
  std::string action;  ///< create, start, die, oom, destroy, ...
  std::string name;    ///< of the container
  int exit_code = 0;   ///< of `die`
};

/// Where it listens: the given port, or 8080.
[[nodiscard]] std::uint16_t port_of(const activator::run_spec& spec) noexcept;
[[nodiscard]] std::string hash_text(std::uint32_t hash);
/// Whether it is an instance of this revision.
[[nodiscard]] bool runs(const labels& of, const activator::run_spec& spec);

/// The body of a create. With `init`, a small first process passes signals on and reaps what is left to it: most
/// servers ignore SIGTERM where they are the first process themselves.
[[nodiscard]] std::string create_body(const activator::start_spec& spec, const std::string& owner,
                                      const std::string& pool, const std::string& network, bool init);
/// "rouse-INSTANCE-SUFFIX", of characters that a name may have.
[[nodiscard]] std::string container_name(const std::string& instance, std::uint32_t suffix);
/// The query of a list or the event stream, percent-encoded: what has our labels.
[[nodiscard]] std::string label_filter(const std::string& owner, const std::string& pool, bool events);

/// Nothing when the text is not what the Engine API says it is.
[[nodiscard]] std::optional<std::vector<container>> parse_list(const std::string& json);
[[nodiscard]] std::optional<container_details> parse_details(const std::string& json, const std::string& network);
[[nodiscard]] std::optional<event> parse_event(std::string_view json);
/// What the engine says is wrong: the `message` of an error's body, or the text as it is, cut to what a line can have.
[[nodiscard]] std::string message_of(const std::string& body);

/// A failure to make or start a container: the metric's word. "no-capacity" where the machine lacks something that it
/// may have later, or another machine has.
[[nodiscard]] std::string_view failure_word(std::string_view message);
/// "exited with status 3", "was killed by SIGKILL".
[[nodiscard]] std::string describe_exit(const container_details& of, std::uint64_t memory);
/// "exited" or "signalled".
[[nodiscard]] std::string_view exit_word(const container_details& of);
/// As a part of a URL.
[[nodiscard]] std::string percent_encoded(std::string_view text);
/// fromImage and tag of a pull: without a tag, all of a repository's images would be pulled.
[[nodiscard]] std::string pull_query(const std::string& image);

}  // namespace rouse::docker
