#pragma once
// The ports that instances are told to listen on. They come from outside the kernel's ephemeral range, for two reasons:
// no outgoing connection takes one between our check and the instance's bind, and polling a closed port cannot connect
// to itself. Control thread.

#include <cstdint>
#include <optional>
#include <set>
#include <string_view>

namespace rouse::process {

/// Both ends included.
struct port_range {
  std::uint16_t first = 20000;
  std::uint16_t last = 29999;
  friend bool operator==(const port_range&, const port_range&) = default;
};

/// 20000-29999, or where that overlaps the ephemeral range, at most ten thousand ports just below or above it; where
/// neither side has a thousand (some raise the range to nearly everything), 20000-29999 all the same.
[[nodiscard]] port_range ports_outside(port_range ephemeral);
/// The text of /proc/sys/net/ipv4/ip_local_port_range; nothing when it is not two ports in order.
[[nodiscard]] std::optional<port_range> parse_port_range(std::string_view text);
/// ports_outside() of this machine's range.
[[nodiscard]] port_range default_ports();

/// Whether a server could bind the port now, on any address of either family. `reuse` asks as servers do that set
/// SO_REUSEADDR: connections of earlier owners that are still winding down then do not count.
[[nodiscard]] bool can_bind(std::uint16_t port, bool reuse);

class port_chooser {
 public:
  /// `seed` says where to begin; after that ports are taken in turn, so one just given back rests longest.
  port_chooser(port_range range, std::uint32_t seed);
  /// A port that nobody has bound and that is not taken; nothing when several hundred in a row are in use.
  [[nodiscard]] std::optional<std::uint16_t> take();
  void give_back(std::uint16_t port);

 private:
  port_range range_;
  std::uint32_t next_;
  std::set<std::uint16_t> taken_;
};

}  // namespace rouse::process
