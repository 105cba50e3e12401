#pragma once
// Where an API is: the scheme, host and port of a URL, or the path of a unix socket. Pure values.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "router/address.hpp"

namespace rouse::backend_http {

struct origin {
  enum class kind { http, https, unix_socket };
  kind scheme = kind::http;
  std::string host;  ///< a name or a numeric address, without the brackets of IPv6; or the path of the socket
  std::uint16_t port = 0;
};

struct url {
  origin to;
  std::string target;  ///< path and query; "/" where the URL has none, and always for a unix socket
};

/// The origin that is a unix socket.
[[nodiscard]] origin unix_origin(std::string path);

/// Takes http://HOST[:PORT][/PATH][?QUERY], the same with https, and unix://PATH. When the text is none of them, there
/// is no result and `problem` says what is wrong with it, as the end of a sentence: "has no host".
[[nodiscard]] std::optional<url> parse_url(std::string_view text, std::string& problem);

/// For the Host field: "host", "host:81", "[::1]:81"; the scheme's own port is left out.
[[nodiscard]] std::string authority(const origin& of);
/// For messages: "/var/run/docker.sock", "10.0.0.1:6443".
[[nodiscard]] std::string describe(const origin& of);

/// "127.0.0.1:80" or "[::1]:80".
[[nodiscard]] std::string to_string(const router::address& where);
/// Of a numeric address without brackets; nothing when it is not one.
[[nodiscard]] std::optional<router::address> parse_address(std::string_view host, std::uint16_t port);

}  // namespace rouse::backend_http
