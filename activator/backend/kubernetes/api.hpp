#pragma once
// The API server as everything here talks to it: a client with the credentials of the moment, and errors in words.
// Belongs to the backend's thread and outlives all who borrow it.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "activator/backend/http/client.hpp"
#include "activator/backend/kubernetes/access.hpp"

namespace rouse::kubernetes {

/// Delays between tries: doubling from 100 ms to 10 s, each drawn from the upper half.
class retry_delay {
 public:
  [[nodiscard]] std::chrono::milliseconds next(std::minstd_rand& random);
  void reset() noexcept { step_ = 0; }

 private:
  unsigned step_ = 0;
};

/// What stands in an answer that is not the wanted one, as a sentence; `doing` is what was tried: "patch
/// deployments/scale". Empty for 2xx.
[[nodiscard]] std::string refusal_in_words(const backend_http::response& answer, const std::string& doing,
                                           const std::string& name_space);
/// Whether the answer says that this one may not: what is wrong is not with the single request.
[[nodiscard]] inline bool is_forbidden(int status) noexcept {
  return status == 401 || status == 403;
}

class api {
 public:
  /// `how` as find_access() gave it; the origin of `how.server` is valid. Nothing, with `problem`, when it is not.
  [[nodiscard]] static std::unique_ptr<api> make(boost::asio::io_context& io, const access& how, std::string name_space,
                                                 std::string& problem);

  [[nodiscard]] backend_http::call send(std::string method, const std::string& path, std::string body, const char* type,
                                        std::chrono::milliseconds timeout,
                                        std::function<void(backend_http::response)> done);
  [[nodiscard]] backend_http::call stream(const std::string& path, std::chrono::milliseconds silence,
                                          backend_http::stream_handlers handlers);
  /// The credentials were refused, or may be old: they are read again, at most once a second.
  void refresh();

  [[nodiscard]] const std::string& name_space() const noexcept { return name_space_; }
  /// "/apis/apps/v1/namespaces/NS/deployments"; `group` is "apps/v1", or "v1" for the core.
  [[nodiscard]] std::string path(const std::string& group, const std::string& resource) const;
  [[nodiscard]] const access& how() const noexcept { return how_; }

 private:
  api(boost::asio::io_context& io, access how, std::string name_space, backend_http::client_settings settings,
      std::string prefix);
  void refresh_if_due();

  access how_;
  std::string name_space_;
  std::string prefix_;  ///< the path of the server's URL
  backend_http::client client_;
  std::chrono::steady_clock::time_point refreshed_;
};

[[nodiscard]] std::optional<backend_http::client_settings> client_settings_of(const access& how, std::string& prefix,
                                                                              std::string& problem);
/// For what goes into a path or a query.
[[nodiscard]] std::string percent_encoded(std::string_view text);

}  // namespace rouse::kubernetes
