#pragma once
// Waits for the results of actions, in coroutines of the admin thread, where alone it lives. A result that comes when
// nobody waits any more, or when the server is gone, is dropped.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>

#include "gateway/admin/action_request.hpp"
#include "gateway/net.hpp"

namespace rouse::gateway {

class action_calls {
 public:
  /// After this the caller is told that there was no answer; a reload of ten thousand functions takes seconds.
  static constexpr std::chrono::seconds patience{30};

  explicit action_calls(asio::io_context& here) : here_(here) {}
  action_calls(const action_calls&) = delete;
  action_calls& operator=(const action_calls&) = delete;

  /// True with the result in `out`; false when none came in time, or after stop(). `of` and `out` live until then.
  awaitable<bool> run(action_call what, actions& of, action_result& out);
  /// No more waiting, for those who wait now and those who come.
  void stop();

 private:
  struct call;
  using waiting = std::map<std::uint64_t, call*>;

  asio::io_context& here_;
  /// By number and not by pointer: a result may come after its caller has gone; weakly held by what awaits it.
  std::shared_ptr<waiting> waiting_ = std::make_shared<waiting>();
  std::uint64_t last_id_ = 0;
  bool stopped_ = false;
};

}  // namespace rouse::gateway
