#pragma once
// Keeps the Lease of a namespace, or waits for it: the I/O of lease_book. Belongs to the backend's thread.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <memory>
#include <random>
#include <string>

#include "activator/backend/http/client.hpp"
#include "activator/backend/kubernetes/api.hpp"
#include "activator/backend/kubernetes/lease.hpp"

namespace rouse::kubernetes {

/// The one Lease of a namespace.
inline constexpr const char* lease_name = "rouse";

class lease_keeper {
 public:
  struct handlers {
    std::function<void()> on_change;                     ///< of holds() or is_others()
    std::function<void(const std::string&)> on_problem;  ///< empty: nothing is wrong any more
  };
  lease_keeper(boost::asio::io_context& io, api& with, std::string identity, handlers to);

  void start() { go_on(); }
  [[nodiscard]] bool holds() const { return book_.holds(std::chrono::steady_clock::now()); }
  [[nodiscard]] bool is_others() const { return book_.is_others(); }
  [[nodiscard]] std::string holder() const { return book_.holder(); }
  /// What is waited for after a failure is tried now.
  void hurry();
  /// Gives it back, so that the next one need not wait: blocks for a second at most. Nothing follows.
  void release();

 private:
  void go_on();
  void read();
  void write(bool create, lease_record record);
  void look_at_failure(const backend_http::response& answer, const std::string& doing);
  void tell();
  void wait(std::chrono::steady_clock::time_point until);

  api& with_;
  lease_book book_;
  const handlers to_;
  std::minstd_rand random_{std::random_device{}()};
  boost::asio::steady_timer timer_;
  backend_http::call call_;
  retry_delay delay_;
  const std::shared_ptr<int> alive_ = std::make_shared<int>(0);  ///< gone when this is: for a timer that has fired
  bool told_holds_ = false, told_others_ = false, troubled_ = false, waiting_ = false;
};

}  // namespace rouse::kubernetes
