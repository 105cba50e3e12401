#pragma once
// Asks the control thread for a copy of what it knows, from coroutines of the admin thread. Lives as long as the admin
// server; admin thread, but for the calls of the source on the control thread.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "gateway/admin/admin_server.hpp"
#include "gateway/net.hpp"

namespace rouse::gateway {

/// One copy is made at a time, however many ask: work for the control thread that is not a start must never queue up
/// there. Who asks while one is being made waits for the next, so nobody is told what was before the question.
class status_fetch {
 public:
  /// After this the control thread counts as stuck.
  static constexpr std::chrono::seconds patience{5};

  status_fetch(asio::io_context& here, asio::io_context& control, std::function<bool(status_list&)> source);
  status_fetch(const status_fetch&) = delete;
  status_fetch& operator=(const status_fetch&) = delete;

  /// The status; nullptr when the control thread did not answer in time, or after stop().
  awaitable<std::shared_ptr<const status_list>> fetch();
  /// No more waiting, for those who wait now and those who come: the control thread may end before this one.
  void stop();

 private:
  struct call;
  void ask();
  void go_on(std::shared_ptr<status_list> so_far);
  void answer(const std::shared_ptr<const status_list>& status);

  asio::io_context& here_;
  asio::io_context& control_;
  std::function<bool(status_list&)> source_;
  /// Who waits, by number and not by pointer: an answer may come after its caller has gone.
  std::map<std::uint64_t, call*> calls_;
  std::uint64_t last_id_ = 0;
  std::uint64_t asked_for_ = 0;  ///< the last one that the copy being made is for
  bool asking_ = false;          ///< a copy is being made
  bool stopped_ = false;
};

}  // namespace rouse::gateway
