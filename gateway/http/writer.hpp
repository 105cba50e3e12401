#pragma once
// Writes into a string without a capacity check per piece: room is made once, for the most that can come. For this
// folder's sources only; lives on the stack of one call.

#include <cassert>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http/message.hpp"

namespace rouse::gateway::http::detail {

class head_writer {
 public:
  /// Room for `most` more bytes behind what `out` holds.
  head_writer(std::string& out, std::size_t most) : out_(out) {
    const std::size_t before = out.size();
    out.resize(before + most);
    next_ = out.data() + before;
    end_ = next_ + most;
  }
  head_writer(const head_writer&) = delete;
  head_writer& operator=(const head_writer&) = delete;
  ~head_writer() { out_.resize(static_cast<std::size_t>(next_ - out_.data())); }

  void put(std::string_view text) noexcept {
    assert(text.size() <= static_cast<std::size_t>(end_ - next_));
    std::memcpy(next_, text.data(), text.size());
    next_ += text.size();
  }
  void put(char c) noexcept { *next_++ = c; }
  void number(std::uint64_t value) noexcept { next_ = std::to_chars(next_, end_, value).ptr; }
  /// "Name: value" CRLF; `name` comes with the colon and the space.
  void line(std::string_view name, std::string_view value) noexcept {
    put(name);
    put(value);
    put("\r\n");
  }
  void copy(const field& one) noexcept {
    put(one.name);
    put(": ");
    put(one.value);
    put("\r\n");
  }

 private:
  std::string& out_;
  char* next_;
  char* end_;
};

/// A set of kinds of field.
class field_set {
 public:
  template <typename... Ids>
  constexpr explicit field_set(Ids... ids) noexcept
      : bits_(((std::uint64_t{1} << static_cast<unsigned>(ids)) | ... | 0)) {}
  [[nodiscard]] constexpr bool has(known id) const noexcept { return (bits_ >> static_cast<unsigned>(id) & 1) != 0; }
  [[nodiscard]] constexpr field_set with(field_set other) const noexcept {
    field_set both;
    both.bits_ = bits_ | other.bits_;
    return both;
  }

 private:
  std::uint64_t bits_;
};

/// Never passed on, in either direction. (Trailer only where the body goes on chunked.)
inline constexpr field_set hop_by_hop{known::connection,          known::keep_alive,
                                      known::proxy_connection,    known::proxy_authenticate,
                                      known::proxy_authorization, known::te,
                                      known::transfer_encoding,   known::upgrade,
                                      known::http2_settings,      known::connection_listed,
                                      known::content_length,      known::trailer};

/// Bytes that all of `fields` can take.
inline std::size_t size_of(const std::vector<field>& fields) noexcept {
  std::size_t size = 0;
  for (const field& one : fields) size += one.name.size() + one.value.size() + 4;
  return size;
}

}  // namespace rouse::gateway::http::detail
