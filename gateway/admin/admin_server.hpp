#pragma once
// The admin interface: health, metrics, status and logs over HTTP, on a listener and a thread of its own. What
// belongs to the control thread is copied there by a posted call and turned into text here, so that no cold
// start waits for a scrape. README.md in this folder says who may call what.

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include <spdlog/logger.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "activator/activator.hpp"
#include "activator/output_ring.hpp"
#include "config/config.hpp"
#include "gateway/admin/actions.hpp"
#include "gateway/event_numbers.hpp"
#include "gateway/stats.hpp"

namespace rouse::gateway {

/// What the control thread knows at one moment.
struct status_list {
  std::vector<activator::function_status> functions;
  std::vector<activator::pool_status> pools;
  const activator::duration_histogram* control_wait = nullptr;  ///< outlives the server; nullptr: not known
  activator::activator::partial_status so_far;                  ///< while it is being put together
};

/// Where the server's answers come from. Everything is borrowed and outlives the server.
struct admin_sources {
  const config::server& server;
  /// Appends what comes next to the list, for about a tenth of a millisecond; true when it is whole. A cold start must
  /// not wait for a scrape. Control thread.
  std::function<bool(status_list&)> status;
  /// What a function's instances wrote; nullptr when there is no such function. Any thread.
  std::function<std::shared_ptr<const activator::output_ring>(std::string_view function)> output;
  /// What the activator did and heard.
  std::shared_ptr<const activator::chronicle> story;
  boost::asio::io_context& control;  ///< where `status` is called
  std::vector<const worker_stats*> workers;
  /// Why it is not ready, in a word for /readyz ("starting", "draining"); empty: it is. Any thread.
  std::function<std::string_view()> unready;
  spdlog::logger& log;
  gateway::actions* actions = nullptr;  ///< what can be changed; nullptr: nothing (501)
};

/// Limits, all small: this is for operators, probes and scrapers.
struct admin_limits {
  static constexpr std::size_t connections = 64;  ///< above: the longest idle one is closed; else 503
  static constexpr std::size_t followers = 32;  ///< callers of logs?follow=true, so that they cannot take all of those
  static constexpr std::size_t header_bytes = 16 * 1024;
  static constexpr std::size_t body_bytes = 64 * 1024;  ///< of what changes state; more: 413
};

class admin_server {
 public:
  /// `context` is run by one thread; it and `sources.control` are destroyed only after both their threads were joined.
  admin_server(boost::asio::io_context& context, config::listen_address address, admin_sources sources);
  ~admin_server();
  admin_server(const admin_server&) = delete;
  admin_server& operator=(const admin_server&) = delete;

  /// Listens. Called once, before the context runs or on its thread. Throws std::runtime_error with a sentence for
  /// people when it cannot, and std::invalid_argument for a listener beyond loopback without a token.
  void start();
  /// Where it listens. Fixed from start() on; any thread.
  [[nodiscard]] const boost::asio::ip::tcp::endpoint& where() const noexcept;
  [[nodiscard]] std::uint16_t port() const noexcept { return where().port(); }
  /// Stops listening, ends idle connections at once, others after the answer in progress, all within a second; the
  /// context then has nothing left to do. Any thread; harmless when called again.
  void stop();

 private:
  class core;
  std::shared_ptr<core> core_;
};

}  // namespace rouse::gateway
