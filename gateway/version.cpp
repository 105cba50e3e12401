#include "gateway/version.hpp"

namespace rouse::gateway {

const char* version() noexcept {
  return ROUSE_VERSION;
}

}  // namespace rouse::gateway
