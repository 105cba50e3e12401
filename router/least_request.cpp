#include "router/least_request.hpp"

namespace rouse::router {

instance* least_request(std::span<instance* const> list, std::uint32_t seed) noexcept {
  return least_request_by(list, seed, [](const instance& which) { return which.free_load(); });
}

instance* take_least_request(std::span<instance* const> list, std::uint32_t seed) noexcept {
  for (;;) {
    instance* const chosen = least_request(list, seed);
    if (chosen == nullptr || chosen->try_take()) return chosen;
    ++seed;
  }
}

}  // namespace rouse::router
