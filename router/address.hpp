#pragma once
// A numeric address and port, without any networking library.

#include <array>
#include <cstdint>

namespace rouse::router {

/// IPv4 is kept in the first four bytes.
struct address {
  std::array<std::uint8_t, 16> bytes{};
  bool v6 = false;
  std::uint16_t port = 0;
};

}  // namespace rouse::router
