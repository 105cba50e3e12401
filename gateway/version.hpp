#pragma once
// Which rouse this is. Any thread.

namespace rouse::gateway {

/// The project's version, "0.1.0"; set by the build.
[[nodiscard]] const char* version() noexcept;

}  // namespace rouse::gateway
