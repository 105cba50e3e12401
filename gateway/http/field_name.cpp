#include "gateway/http/field_name.hpp"

#include <array>
#include <cstring>

#include "gateway/http/chars.hpp"

namespace rouse::gateway::http::detail {
namespace {

/// Lower case, and `-` for `_`.
constexpr std::array<char, 256> make_loose() {
  std::array<char, 256> table = folds;
  table['_'] = '-';
  return table;
}
constexpr std::array<char, 256> loose = make_loose();

/// `name` has at least the length of the literal.
template <std::size_t N>
bool same(const char* name, const char (&text)[N]) noexcept {
  for (std::size_t i = 0; i + 1 < N; ++i) {
    if (loose[static_cast<unsigned char>(name[i])] != text[i]) return false;
  }
  return true;
}

known by_length(std::string_view name) noexcept {
  const char* const p = name.data();
  switch (name.size()) {
    case 2:
      return same(p, "te") ? known::te : known::other;
    case 4:
      return same(p, "host") ? known::host : same(p, "date") ? known::date : known::other;
    case 6:
      return same(p, "expect")   ? known::expect
             : same(p, "server") ? known::server
             : same(p, "prefer") ? known::prefer
                                 : known::other;
    case 7:
      return same(p, "upgrade") ? known::upgrade : same(p, "trailer") ? known::trailer : known::other;
    case 9:
      return same(p, "forwarded") ? known::forwarded : known::other;
    case 10:
      return same(p, "connection")   ? known::connection
             : same(p, "keep-alive") ? known::keep_alive
             : same(p, "tracestate") ? known::tracestate
                                     : known::other;
    case 11:
      return same(p, "traceparent") ? known::traceparent : known::other;
    case 12:
      return same(p, "x-request-id") ? known::x_request_id : known::other;
    case 14:
      return same(p, "content-length")   ? known::content_length
             : same(p, "http2-settings") ? known::http2_settings
                                         : known::other;
    case 15:
      return same(p, "x-forwarded-for") ? known::x_forwarded_for : known::other;
    case 16:
      return same(p, "x-forwarded-host")   ? known::x_forwarded_host
             : same(p, "proxy-connection") ? known::proxy_connection
                                           : known::other;
    case 17:
      return same(p, "transfer-encoding")   ? known::transfer_encoding
             : same(p, "x-forwarded-proto") ? known::x_forwarded_proto
                                            : known::other;
    case 18:
      return same(p, "proxy-authenticate") ? known::proxy_authenticate : known::other;
    case 19:
      return same(p, "proxy-authorization") ? known::proxy_authorization : known::other;
    default:
      return known::other;
  }
}

}  // namespace

known classify(std::string_view name, bool& lookalike) noexcept {
  known id = by_length(name);
  constexpr std::size_t prefix = sizeof("x-forwarded-") - 1;
  if (id == known::other) {
    if (name.size() <= prefix || !same(name.data(), "x-forwarded-")) {
      lookalike = false;
      return known::other;
    }
    id = known::x_forwarded_other;
  }
  lookalike = std::memchr(name.data(), '_', name.size()) != nullptr;
  return id;
}

bool may_be_trailer(std::string_view name) noexcept {
  static constexpr std::string_view refused[] = {"authorization",
                                                 "authentication-info",
                                                 "proxy-authentication-info",
                                                 "www-authenticate",
                                                 "cookie",
                                                 "set-cookie",
                                                 "cache-control",
                                                 "content-encoding",
                                                 "content-type",
                                                 "content-range",
                                                 "content-location",
                                                 "max-forwards",
                                                 "pragma",
                                                 "range",
                                                 "age",
                                                 "expires",
                                                 "location",
                                                 "retry-after",
                                                 "vary",
                                                 "warning",
                                                 "alt-svc",
                                                 "allow",
                                                 "accept-ranges",
                                                 "clear-site-data",
                                                 "status",
                                                 "via",
                                                 "x-real-ip",
                                                 "prefer",
                                                 "preference-applied"};
  bool lookalike = false;
  if (classify(name, lookalike) != known::other) return false;
  if (starts_with_nocase(name, "if-") || starts_with_nocase(name, "access-control-")) return false;
  for (const std::string_view one : refused) {
    if (iequals(name, one)) return false;
  }
  return true;
}

}  // namespace rouse::gateway::http::detail
