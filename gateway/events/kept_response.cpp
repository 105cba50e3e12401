#include "gateway/events/kept_response.hpp"

#include <charconv>

namespace rouse::gateway::events {

namespace {

constexpr std::string_view version = "1";

/// The next line of `rest`, which is behind it then; nullopt when none ends.
std::optional<std::string_view> line_of(std::string_view& rest) {
  const auto end = rest.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const auto line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return line;
}

}  // namespace

std::string encode(const kept_response& response) {
  std::string out(version);
  out += '\n';
  out += std::to_string(response.status);
  out += '\n';
  for (const auto& [name, value] : response.fields) {
    out += name;
    out += ':';
    out += value;
    out += '\n';
  }
  out += '\n';
  out += response.body;
  return out;
}

std::optional<kept_response> decode_response(std::string_view bytes) {
  kept_response out;
  const auto first = line_of(bytes);
  const auto status = line_of(bytes);
  if (!first || *first != version || !status) return std::nullopt;
  const auto* const end = status->data() + status->size();
  const auto [at, problem] = std::from_chars(status->data(), end, out.status);
  if (problem != std::errc() || at != end || out.status < 100 || out.status > 999) return std::nullopt;
  for (;;) {
    const auto line = line_of(bytes);
    if (!line) return std::nullopt;
    if (line->empty()) break;
    const auto colon = line->find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    out.fields.emplace_back(line->substr(0, colon), line->substr(colon + 1));
  }
  out.body = bytes;
  return out;
}

}  // namespace rouse::gateway::events
