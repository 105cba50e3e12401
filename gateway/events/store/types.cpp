#include "gateway/events/store/types.hpp"

#include <charconv>
#include <stdexcept>

namespace rouse::gateway::events {

void throw_exception_from_error(const store_error& error, const boost::source_location&) {
  throw std::runtime_error(error.text);
}

std::string invocation_id::text() const {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t byte : random) {
    out += digits[byte >> 4U];
    out += digits[byte & 15U];
  }
  char number[17];
  const auto end = std::to_chars(number, number + sizeof number, seq, 16).ptr;
  return out.append("-").append(number, end);
}

std::optional<invocation_id> invocation_id::parse(std::string_view text) {
  if (text.size() < 34 || text.size() > 49 || text[32] != '-') return std::nullopt;
  invocation_id out;
  for (std::size_t at = 0; at < out.random.size(); ++at) {
    const char* from = text.data() + 2 * at;
    if (std::from_chars(from, from + 2, out.random[at], 16).ptr != from + 2) return std::nullopt;
  }
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data() + 33, end, out.seq, 16);
  if (problem != std::errc() || stop != end || out.seq <= 0 || out.text() != text) return std::nullopt;
  return out;
}

}  // namespace rouse::gateway::events
