#include "gateway/events/times.hpp"

#include <array>
#include <cstdio>
#include <ctime>

namespace rouse::gateway::events {

std::string text_of(wall_time at) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(at);
  const auto time = std::chrono::system_clock::to_time_t(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 40> out{};
  const auto n = std::strftime(out.data(), out.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  const auto ms = (at - seconds).count();
  std::snprintf(out.data() + n, out.size() - n, ".%03dZ", static_cast<int>(ms));
  return out.data();
}

}  // namespace rouse::gateway::events
