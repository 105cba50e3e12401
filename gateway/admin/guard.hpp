#pragma once
// Who may talk to the admin interface. Pure; made once the listener's port is known.
//
// On loopback the Host field must name the listener itself, so that a web page whose name was made to point to
// 127.0.0.1 (DNS rebinding) gets nothing. Beyond loopback names cannot be known, and the token is what counts: a
// listener there needs one.

#include <cstdint>
#include <string>
#include <string_view>

#include "config/config.hpp"
#include "gateway/http/message.hpp"

namespace rouse::gateway {

/// Whether a numeric address is 127.0.0.0/8 or ::1 (also IPv4-mapped).
[[nodiscard]] bool is_loopback(std::string_view host);

/// Compares in a time that depends on the length of `given` only.
[[nodiscard]] bool same_secret(std::string_view given, std::string_view secret) noexcept;

class guard {
 public:
  /// Throws std::invalid_argument for a listener beyond loopback without a token, or an address that is not numeric.
  guard(const config::listen_address& listener, std::uint16_t port, std::string token);

  /// `Host` is the listener's address or, on loopback, `localhost`; without a port or with the listener's. Beyond
  /// loopback every Host is allowed.
  [[nodiscard]] bool host_allowed(std::string_view host) const;

  enum class token_verdict : std::uint8_t { allowed, missing, wrong };
  /// `Authorization: Bearer TOKEN`, exactly once; always allowed when no token is set.
  [[nodiscard]] token_verdict check_token(const http::request_head& head) const;

  /// Whether a page that sends this belongs to the address that it was sent to: no Origin (no browser), or exactly
  /// http or https at the request's own Host. For what changes state; Host must have been allowed before.
  [[nodiscard]] bool origin_allowed(const http::request_head& head) const;
  /// `Content-Type: application/json`, exactly once, with or without parameters: what no other site's form can send.
  [[nodiscard]] static bool is_json(const http::request_head& head);

  /// The listener's address as it stands in a URL: "127.0.0.1:9080", "[::1]:9080".
  [[nodiscard]] const std::string& authority() const noexcept { return authority_; }

 private:
  std::string host_;  ///< as in a URL: an IPv6 address in brackets, in its canonical form
  std::string authority_;
  std::uint16_t port_;
  std::string token_;
  bool loopback_;
};

}  // namespace rouse::gateway
