#pragma once
// Which revision of a function a request goes to: lanes before stickiness before weights. Pure; the state of the
// weights belongs to one worker and one function, all else is the config's.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "router/routes.hpp"

namespace rouse::router {

/// Spreads requests over revisions by weight: nginx's smooth weighted round robin
/// (ngx_http_upstream_get_round_robin_peer). In any run of sum-of-weights choices each revision is chosen exactly as
/// often as its weight says, and as evenly spaced as can be. State of one worker for one function.
class traffic_split {
 public:
  /// The index of a revision with a weight above 0; 0 when there is none. O(revisions); begins anew when the weights
  /// are others than the last time.
  [[nodiscard]] std::uint32_t next(std::span<const std::uint32_t> weights);

 private:
  friend std::uint32_t choose(const config::function&, std::span<const std::uint32_t>, const request_view&,
                              traffic_split&);
  void reset(std::span<const std::uint32_t> weights);

  std::vector<std::uint32_t> weights_;
  std::vector<std::int64_t> current_;  ///< each one's credit; they sum to 0 between choices
  std::int64_t total_ = 0;
  std::string value_;  ///< scratch for a field's value
};

/// The revision that `key` sticks to: weighted rendezvous hashing (Thaler and Ravishankar 1998; -w / ln u is the score
/// of Schindelhauer and Schomaker 2005). It depends on the revisions' names, not on their order, and a change of
/// weights moves only callers whose share has moved. Over revisions with a weight above 0; 0 when there is none.
[[nodiscard]] std::uint32_t stick(std::string_view key, std::span<const config::revision> revisions,
                                  std::span<const std::uint32_t> weights);

/// The value of the first cookie called exactly `name` in a Cookie field (RFC 6265, section 4.2.1), without the quotes
/// around it, if any. Several fields joined by "; " or ", " count as one. Nothing when it is not there.
[[nodiscard]] std::optional<std::string_view> cookie_value(std::string_view field, std::string_view name);

/// The revision's index for a request that names none itself: the first lane whose header has exactly that value; else
/// by `sticky`, when the request has the header or cookie and it is not empty; else by `weights`, which are the weights
/// in force, one for each revision.
[[nodiscard]] std::uint32_t choose(const config::function& function, std::span<const std::uint32_t> weights,
                                   const request_view& request, traffic_split& split);

}  // namespace rouse::router
