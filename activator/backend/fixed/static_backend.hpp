#pragma once
// The static backend: instances are endpoints that run anyway, and that somebody else starts and stops. Lives on the
// thread of its io_context; borrows that and the listener, which outlive it.

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <string>

#include "activator/backend/backend.hpp"

namespace rouse::fixed {

struct static_settings {
  std::string pool;
  std::chrono::milliseconds check_interval{2'000};     ///< between two checks of an endpoint, 10 % more or less
  std::chrono::milliseconds resolve_interval{30'000};  ///< between two look-ups of a name, 10 % more or less
  std::uint32_t seed = std::random_device{}();
};

/// Reasons in its exit reports: no-capacity (no endpoint is healthy and free), unhealthy, timeout (nothing was known
/// within start_timeout), released (it was stopped), kept.
class static_backend final : public activator::backend {
 public:
  static_backend(boost::asio::io_context& io, activator::backend_listener& listener, static_settings settings);
  ~static_backend() override;

  [[nodiscard]] activator::backend_traits traits() const noexcept override { return {.apart = true}; }
  void serve(const activator::run_spec& spec) override;
  void forget(std::uint32_t key) override;
  void start(const activator::start_spec& spec) override;
  void stop(std::uint64_t id, std::chrono::milliseconds grace) override;
  void let_go(std::uint64_t id, std::chrono::milliseconds grace) override;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace rouse::fixed
