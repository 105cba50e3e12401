#pragma once
// What the stress tests share: a verdict that any thread may give, dice, and how much to do under which sanitizer.

#include <atomic>
#include <cstdint>
#include <string>

namespace rouse::activator::stress {

/// More rounds where they are cheap.
#if defined(__SANITIZE_THREAD__)
inline constexpr int scale = 1;
#elif defined(__SANITIZE_ADDRESS__)
inline constexpr int scale = 2;
#else
inline constexpr int scale = 8;
#endif

/// Catch's assertions belong to one thread; this remembers the first thing that went wrong in any.
class verdict {
 public:
  void expect(bool ok, const char* what) noexcept {
    if (const char* none = nullptr; !ok) first_.compare_exchange_strong(none, what);
  }
  [[nodiscard]] bool failed() const noexcept { return first_.load() != nullptr; }
  [[nodiscard]] std::string text() const { return failed() ? first_.load() : ""; }

 private:
  std::atomic<const char*> first_{nullptr};
};

class dice {
 public:
  explicit dice(std::uint64_t seed) : state_(seed * 2 + 1) {}
  std::uint32_t operator()(std::uint32_t n) noexcept {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::uint32_t>((state_ >> 33) % n);
  }

 private:
  std::uint64_t state_;
};

}  // namespace rouse::activator::stress
