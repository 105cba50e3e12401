#pragma once
// What all workers share while they serve: the listeners' settings, and where lines are logged. Made by the daemon
// before the workers; read-only to them, but for the budget. What a reload can change comes to each of them in a view
// (worker::serve_by).

#include <memory>
#include <vector>

#include <spdlog/logger.h>

#include "activator/runtime.hpp"
#include "config/config.hpp"
#include "gateway/access_log.hpp"
#include "gateway/memory_budget.hpp"

namespace rouse::gateway {

class intake;
class worker;

struct site {
  const config::server& server;  ///< of the configuration that the daemon began with
  std::shared_ptr<const activator::view> first_view;
  access_logger& access;
  spdlog::logger& log;
  bool expose_errors = false;    ///< failed starts are explained to callers
  intake* events = nullptr;      ///< set before any worker runs
  std::vector<worker*> workers;  ///< by index; filled before any of them runs
  body_memory bodies{};          ///< that are kept whole
};

}  // namespace rouse::gateway
