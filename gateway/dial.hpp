#pragma once
// Connections to instances for whoever holds a slot: a kept one of another worker, the readiness probe's, or a new one;
// never more than the instance has slots, never more than four in progress, and none that waits for the kernel's
// retransmits. One worker's; owned by the exchange that it connects, one connect at a time.

#include <chrono>
#include <memory>
#include <string>

#include "gateway/net.hpp"
#include "gateway/upstream_pool.hpp"
#include "router/instance.hpp"

namespace rouse::gateway {

class worker;

class dialler {
 public:
  /// `pause` is a timer of the exchange's that waits for nothing else meanwhile.
  dialler(worker& on, timer& pause) : worker_(on), pause_(pause) {}
  dialler(const dialler&) = delete;
  dialler& operator=(const dialler&) = delete;

  /// A connection to the instance, of which the caller holds a slot until this returns. `idempotent`: what is to be
  /// sent may be sent twice, so a kept connection of any age will do. nullptr when the instance refuses (error() says
  /// how) or after cancel().
  [[nodiscard]] awaitable<std::unique_ptr<upstream>> connect(router::instance& on, bool idempotent);
  /// Ends the connect() in progress, if there is one, soon.
  void cancel();
  /// ": Connection refused", or nothing.
  [[nodiscard]] const std::string& error() const noexcept { return error_; }
  void clear_error() noexcept { error_.clear(); }

 private:
  awaitable<void> pause(std::chrono::milliseconds time);
  bool adopt(router::instance& on, int descriptor);
  awaitable<int> borrow(router::instance& on, bool any_age);
  awaitable<error_code> connect_once(router::instance& on, std::chrono::milliseconds patience);

  worker& worker_;
  timer& pause_;
  std::unique_ptr<upstream> made_;
  std::string error_;
  bool cancelled_ = false;
};

}  // namespace rouse::gateway
