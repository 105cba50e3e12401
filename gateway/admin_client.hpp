#pragma once
// Asks a daemon's admin interface, for the client commands. Synchronous; main thread only.

#include <chrono>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "config/load.hpp"

namespace rouse::gateway {

/// Where the admin interface is, and the token that it wants, if any.
struct admin_address {
  std::string host;  ///< a name or numeric address, IPv6 without brackets
  std::uint16_t port = 80;
  std::string authority;  ///< as it stands in the URL and the Host field
  std::string token;
};

/// Wrong use: an URL that cannot be one of the admin interface. what() is for people.
class bad_admin_url : public std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// The daemon could not be reached, or does not speak as it should. what() says what happened and what to do.
class admin_unreachable : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// `option` (--admin), else ROUSE_ADMIN, else http://127.0.0.1:9080; the token from ROUSE_ADMIN_TOKEN. Throws
/// bad_admin_url.
[[nodiscard]] admin_address find_admin(const std::string& option, const config::environment& env);

struct admin_reply {
  unsigned status = 0;
  std::string body;
};

/// GET of `target`; connecting and each silence may last 10 s. Throws admin_unreachable.
[[nodiscard]] admin_reply admin_get(const admin_address& at, const std::string& target);

/// A request with a JSON body, `method` being PUT or POST; the answer may take `patience`. Throws admin_unreachable.
[[nodiscard]] admin_reply admin_send(const admin_address& at, const std::string& method, const std::string& target,
                                     const std::string& body, std::chrono::seconds patience);

/// GET of `target` as a stream: `piece` gets a 200's body as it comes, for as long as it comes; any other answer is
/// returned whole. Throws admin_unreachable, also when the stream breaks.
[[nodiscard]] admin_reply admin_stream(const admin_address& at, const std::string& target,
                                       const std::function<void(std::string_view)>& piece);

}  // namespace rouse::gateway
