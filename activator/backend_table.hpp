#pragma once
// Which backend each pool uses. A backend is made when something is first served there, and again when the pool is
// configured to reach something else; the old one lives as long as it has instances. Control thread only; lives as long
// as the activator.

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "activator/backend/backend.hpp"
#include "activator/pools.hpp"
#include "config/config.hpp"

namespace rouse::activator {

/// Makes the backend of a pool. Several pools may have one in common. What cannot be reached now is no error: the
/// backend says so and tries again.
using backend_factory = std::function<std::shared_ptr<backend>(const config::pool& of)>;

/// For all pools one that is somebody else's.
[[nodiscard]] backend_factory always(backend& one);

class backend_table {
 public:
  /// Before the first of().
  void use(backend_factory make) { make_ = std::move(make); }
  [[nodiscard]] bool can_make() const noexcept { return static_cast<bool>(make_); }

  /// Takes over the file's pools. `numbers` are those of pool_book.
  void configure(const std::vector<config::pool>& pools, const pool_book& numbers);
  /// The backend of a pool that is configured.
  [[nodiscard]] const std::shared_ptr<backend>& of(std::uint32_t pool);
  /// All revisions of a configuration were served: new backends are told so.
  void all_served();

  /// What a backend of this pool reported of itself; the last one counts. True when it changes anything, and for the
  /// first one that had to be waited for.
  bool set_state(std::uint32_t pool, backend_state state);
  [[nodiscard]] const backend_state& state(std::uint32_t pool) const { return entries_[pool].state; }
  /// Some pool that is in use is worked by another rouse.
  [[nodiscard]] bool standby() const;
  /// That can be relied upon: nothing is in use that has yet to say whose it is.
  [[nodiscard]] bool all_known() const;

 private:
  struct entry {
    config::pool config;
    std::shared_ptr<backend> with;
    bool told = false;   ///< all_served()
    bool known = false;  ///< it has reported, or does not have to
    bool configured = false;
    backend_state state;
  };
  backend_factory make_;
  std::vector<entry> entries_;  ///< by pool_book's numbers
};

}  // namespace rouse::activator
