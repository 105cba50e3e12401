#pragma once
// The webhook backend: instances are started and stopped by somebody's scaler, which is told over HTTP how many are
// wanted (docs/backends.md). Lives on the thread of its io_context; borrows that and the listener, which outlive it.

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <string>

#include "activator/backend/backend.hpp"

namespace rouse::webhook {

struct webhook_settings {
  std::string pool;
  std::string secret;                              ///< what requests are signed with
  std::chrono::milliseconds poll_interval{1'000};  ///< while something starts or ends; else ten times as long
  std::chrono::milliseconds request_timeout{10'000};
  std::uint64_t seed = std::random_device{}();
};

/// Reasons in its exit reports: what the scaler says (no-capacity among them), failed (it says nothing), gone (it lists
/// the instance no more), timeout (not ready within start_timeout), terminated (it was ended while it started),
/// unavailable (the scaler could not be asked until then), refused (it does not want to be asked), stopped, kept.
class webhook_backend final : public activator::backend {
 public:
  webhook_backend(boost::asio::io_context& io, activator::backend_listener& listener, webhook_settings settings);
  ~webhook_backend() override;

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

}  // namespace rouse::webhook
