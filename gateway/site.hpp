#pragma once
// What all workers share while they serve: the snapshot, its routes, the functions' runtimes, and where lines are
// logged. Made by the daemon before the workers; read-only to them.

#include <memory>
#include <vector>

#include <spdlog/logger.h>

#include "activator/activator.hpp"
#include "config/config.hpp"
#include "gateway/access_log.hpp"
#include "router/routes.hpp"

namespace rouse::gateway {

class worker;

struct site {
  const config::snapshot& snapshot;
  const router::route_table& routes;
  activator::activator& functions;
  access_logger& access;
  spdlog::logger& log;
  bool expose_errors = false;    ///< failed starts are explained to callers
  std::vector<worker*> workers;  ///< by index; filled before any of them runs
};

}  // namespace rouse::gateway
