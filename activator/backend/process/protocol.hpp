#pragma once
// What the daemon, the keeper and the reapers say to each other: fixed-size packets over SOCK_SEQPACKET socket pairs,
// with descriptors as ancillary data. What to run travels in a memfd, so its size is bounded by the kernel's exec
// limits only. All ends are the same binary, forked from each other, so there is no version and no byte order.

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "activator/backend/process/cgroup.hpp"
#include "activator/backend/process/descriptor.hpp"

namespace rouse::process {

inline constexpr std::uint32_t protocol_magic = 0x724f5531;

/// Daemon -> keeper. Three descriptors come with it, in this order: the reaper's end of its socket pair, the memfd that
/// holds an encoded `launch`, the write end of the output pipe.
struct start_message {
  std::uint32_t magic = protocol_magic;
  std::uint32_t attempt = 0;  ///< tells apart the processes made one after the other for one id
  std::uint64_t id = 0;
  std::uint64_t in_cgroup = 0;  ///< 1: in a cgroup of its own, if one can be made, to be frozen by it
};

/// Keeper -> daemon, once, before it starts anything: whether instances can be frozen by cgroup.
struct cgroup_message {
  std::uint32_t magic = protocol_magic;
  cgroup_problem why_not;  ///< none: they can
};

/// Keeper -> daemon: the reaper with this id died before it had finished, and everything it left behind has been
/// killed.
struct lost_message {
  std::uint32_t magic = protocol_magic;
  std::uint32_t attempt = 0;  ///< tells apart the processes made one after the other for one id
  std::uint64_t id = 0;
};

/// Daemon -> reaper.
enum class command : std::uint8_t {
  terminate = 1,  ///< SIGTERM (and SIGCONT) to the process group; thaws
  kill = 2,       ///< SIGKILL to the group and every descendant
  freeze = 3,     ///< cgroup.freeze, or SIGSTOP to every descendant; ignored after `terminate`
  thaw = 4,       ///< the same backwards
};

/// Which step of a start went wrong.
enum class start_step : std::uint8_t { none, spec, fork, directory, exec };

/// Reaper -> daemon: `spawned` and later `ended`, or `failed` alone; between the two `no_cgroup`, when it turns out
/// that the instance must be frozen by signals. The reaper says nothing after `ended` or `failed`, and exits.
struct reaper_message {
  enum class what : std::uint8_t { spawned = 1, failed, ended, no_cgroup };
  what kind = what::spawned;
  start_step step = start_step::none;      ///< of `failed`
  cgroup_step cgroup = cgroup_step::none;  ///< of `no_cgroup`
  std::uint8_t reserved = 0;
  std::int32_t error = 0;   ///< errno, of `failed` and `no_cgroup`
  std::int32_t status = 0;  ///< as from waitpid(2), of `ended`
  std::int32_t pid = 0;     ///< the instance's main process, of `spawned`
  std::int32_t reaper = 0;  ///< the reaper's own pid, of `spawned`
};

/// What to run. Strings must not contain NUL bytes.
struct launch {
  std::string directory;    ///< empty: stay where the daemon was started
  std::string search_path;  ///< as $PATH; where argv[0] is looked up when it has no slash
  std::vector<std::string> argv;
  std::vector<std::string> env;  ///< NAME=VALUE
};

/// The same, as pointers into the decoded bytes; both arrays end with a null pointer, as exec wants them.
struct launch_view {
  const char* directory = nullptr;
  const char* search_path = nullptr;
  std::vector<char*> argv;
  std::vector<char*> env;
};

/// Nothing when a string contains a NUL byte or argv is empty.
[[nodiscard]] std::optional<std::string> encode(const launch& what);
/// Nothing when the bytes are not exactly what encode() makes. The result points into `bytes`.
[[nodiscard]] std::optional<launch_view> decode(std::string_view bytes);

/// One packet as received: `size` is 0 at the end of the stream, -1 (with errno) on an error.
struct packet {
  long size = -1;
  std::array<std::byte, 64> bytes{};
  std::vector<descriptor> descriptors;
};

/// Reads one packet without waiting. Packets of size 0 are skipped, so that 0 always means that the other side is
/// closed; longer ones are cut, and more descriptors than the protocol knows are closed.
[[nodiscard]] packet receive(int socket);
/// Sends one packet without waiting and without SIGPIPE. False with errno when it could not be sent.
bool send(int socket, const void* data, std::size_t size, std::initializer_list<int> descriptors = {});

}  // namespace rouse::process
