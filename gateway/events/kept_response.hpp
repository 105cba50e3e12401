#pragma once
// A function's response as the store keeps it for the one who asks later. Pure; any thread.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rouse::gateway::events {

struct kept_response {
  unsigned status = 0;
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
};

/// "1\n", the status, a line for each field, an empty line, the body: as HTTP has it, fields being without line ends.
[[nodiscard]] std::string encode(const kept_response& response);
/// nullopt for what encode() did not write.
[[nodiscard]] std::optional<kept_response> decode_response(std::string_view bytes);

}  // namespace rouse::gateway::events
