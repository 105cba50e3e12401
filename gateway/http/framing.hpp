#pragma once
// What Content-Length, Transfer-Encoding and Connection say, gathered while a head is parsed; the same rules for
// requests and responses (RFC 9112, 6.3). One per head; any thread.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "gateway/http/message.hpp"

namespace rouse::gateway::http::detail {

struct framing_facts {
  unsigned content_lengths = 0;  ///< how often the field came
  unsigned transfer_encodings = 0;
  std::uint64_t content_length = 0;
  bool close = false;  ///< Connection: close
  bool keep_alive = false;
  bool upgrade = false;

  /// Each false sets `why`.
  [[nodiscard]] bool take_content_length(std::string_view value, refusal& why);
  [[nodiscard]] bool take_transfer_encoding(std::string_view value, refusal& why);
  [[nodiscard]] bool take_connection(std::string_view value, refusal& why);
  /// After the last field: what must not stand together.
  [[nodiscard]] bool check_together(unsigned version, refusal& why) const;
  /// After the last field: marks as connection_listed what Connection names. Fields that rouse writes itself on every
  /// hop (Host, framing, X-Forwarded-*, ...) are not affected: naming them takes nothing away.
  void mark_listed(std::vector<field>& fields) const noexcept;

 private:
  unsigned options_ = 0;       ///< in all Connection fields
  bool names_fields_ = false;  ///< one of them is the name of a field, or may be
};

}  // namespace rouse::gateway::http::detail
