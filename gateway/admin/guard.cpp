#include "gateway/admin/guard.hpp"

#include <cstddef>
#include <stdexcept>
#include <utility>

#include <boost/asio/ip/address.hpp>

namespace rouse::gateway {
namespace {

namespace ip = boost::asio::ip;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool iequals(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

bool is_loopback(const ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return ip::make_address_v4(ip::v4_mapped, address.to_v6()).is_loopback();
  }
  return address.is_loopback();
}

std::string in_url(const ip::address& address) {
  return address.is_v6() ? '[' + address.to_string() + ']' : address.to_string();
}

/// Splits "host:port"; false when it is neither that nor a host alone.
bool split(std::string_view text, std::string_view& host, std::string_view& port) {
  const auto colon = text.rfind(':');
  const auto bracket = text.rfind(']');
  if (colon == std::string_view::npos || (bracket != std::string_view::npos && colon < bracket)) {
    host = text;
    port = {};
    return true;
  }
  host = text.substr(0, colon);
  port = text.substr(colon + 1);
  return !port.empty();
}

/// The only field of that name (in lower case); nullptr with `many` false when there is none.
const http::field* only(const http::request_head& head, std::string_view name, bool& many) {
  const http::field* found = nullptr;
  many = false;
  for (const auto& field : head.fields) {
    if (!iequals(field.name, name)) continue;
    many = many || found;
    found = &field;
  }
  return many ? nullptr : found;
}

}  // namespace

bool is_loopback(std::string_view host) {
  boost::system::error_code error;
  const auto address = ip::make_address(host, error);
  return !error && is_loopback(address);
}

bool same_secret(std::string_view given, std::string_view secret) noexcept {
  if (secret.empty()) return false;
  volatile unsigned char differs = given.size() == secret.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    differs = static_cast<unsigned char>(differs | (given[i] ^ secret[i % secret.size()]));
  }
  return differs == 0;
}

guard::guard(const config::listen_address& listener, std::uint16_t port, std::string token)
    : port_(port), token_(std::move(token)) {
  boost::system::error_code error;
  const auto address = ip::make_address(listener.host, error);
  if (error) throw std::invalid_argument("the admin address " + listener.host + " is not a numeric address");
  loopback_ = is_loopback(address);
  if (!loopback_ && token_.empty()) {
    throw std::invalid_argument("the admin interface would listen on " + listener.host +
                                ", which is not loopback, without a token; set server.admin_token");
  }
  host_ = in_url(address);
  authority_ = host_ + ':' + std::to_string(port);
}

bool guard::host_allowed(std::string_view host) const {
  if (!loopback_) return true;
  std::string_view name, port;
  if (!split(host, name, port)) return false;
  if (!port.empty() && port != std::to_string(port_)) return false;
  return iequals(name, host_) || iequals(name, "localhost");
}

bool guard::origin_allowed(const http::request_head& head) const {
  bool many = false;
  const http::field* const found = only(head, "origin", many);
  if (!found) return !many;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (iequals(found->value.substr(0, scheme.size()), scheme)) {
      const auto origin = found->value.substr(scheme.size());
      return !origin.empty() && iequals(origin, head.host);
    }
  }
  return false;
}

bool guard::is_json(const http::request_head& head) {
  bool many = false;
  const http::field* const found = only(head, "content-type", many);
  if (!found) return false;
  auto type = found->value.substr(0, found->value.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  return iequals(type, "application/json");
}

guard::token_verdict guard::check_token(const http::request_head& head) const {
  if (token_.empty()) return token_verdict::allowed;
  bool many = false;
  const http::field* const found = only(head, "authorization", many);
  if (many) return token_verdict::wrong;
  if (!found) return token_verdict::missing;
  constexpr std::string_view scheme = "bearer ";
  if (!iequals(found->value.substr(0, scheme.size()), scheme)) return token_verdict::wrong;
  auto given = found->value.substr(scheme.size());
  while (!given.empty() && given.front() == ' ') given.remove_prefix(1);
  return same_secret(given, token_) ? token_verdict::allowed : token_verdict::wrong;
}

}  // namespace rouse::gateway
