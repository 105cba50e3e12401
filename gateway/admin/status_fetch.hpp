#pragma once
// Asks the control thread for a copy of what it knows, from a coroutine of the admin thread. Lives as long as the admin
// server; admin thread, but for the one call on the control thread.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "gateway/admin/admin_server.hpp"
#include "gateway/net.hpp"

namespace rouse::gateway {

class status_fetch {
 public:
  /// After this the control thread counts as stuck.
  static constexpr std::chrono::seconds patience{5};

  status_fetch(asio::io_context& here, asio::io_context& control, std::function<bool(status_list&)> source);
  status_fetch(const status_fetch&) = delete;
  status_fetch& operator=(const status_fetch&) = delete;

  /// True with the status in `out`; false when the control thread did not answer in time, or after stop(). `out` lives
  /// until then.
  awaitable<bool> fetch(status_list& out);
  /// No more waiting, for those who wait now and those who come: the control thread may end before this one.
  void stop();

 private:
  struct call;
  void ask(std::uint64_t id, std::shared_ptr<status_list> so_far);
  void answer(std::uint64_t id, status_list status);

  asio::io_context& here_;
  asio::io_context& control_;
  std::function<bool(status_list&)> source_;
  std::map<std::uint64_t, call*>
      calls_;  ///< by number and not by pointer: an answer may come after its caller has gone
  std::uint64_t last_id_ = 0;
  bool stopped_ = false;
};

}  // namespace rouse::gateway
