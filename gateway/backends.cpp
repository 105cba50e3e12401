#include "gateway/backends.hpp"

#include <utility>

#include "activator/backend/fixed/static_backend.hpp"
#include "activator/backend/webhook/webhook_backend.hpp"

namespace rouse::gateway {
namespace {

using activator::backend_thread;

backend_thread::maker webhook_maker(const config::pool& of) {
  webhook::webhook_settings settings;
  settings.pool = of.name;
  settings.secret = of.connection.secret;
  settings.poll_interval = of.connection.poll_interval;
  settings.request_timeout = of.connection.request_timeout;
  return [settings = std::move(settings)](auto& io, auto& listener) {
    return std::make_unique<webhook::webhook_backend>(io, listener, settings);
  };
}

backend_thread::maker static_maker(const config::pool& of) {
  fixed::static_settings settings;
  settings.pool = of.name;
  settings.check_interval = of.connection.check_interval;
  settings.resolve_interval = of.connection.resolve_interval;
  return [settings = std::move(settings)](auto& io, auto& listener) {
    return std::make_unique<fixed::static_backend>(io, listener, settings);
  };
}

}  // namespace

backends::backends(surroundings around) : around_(std::move(around)), thread_(around_.control) {}

std::shared_ptr<activator::backend> backends::make(const config::pool& of) {
  switch (of.backend) {
    case config::pool_backend::process:
    case config::pool_backend::docker:
    case config::pool_backend::kubernetes:
      break;
    case config::pool_backend::webhook:
      return thread_.make(around_.listener, false, webhook_maker(of));
    case config::pool_backend::fixed:
      return thread_.make(around_.listener, false, static_maker(of));
  }
  if (!processes_) {
    processes_ = std::make_shared<process::process_backend>(around_.control, around_.keeper_socket, around_.listener,
                                                            std::move(around_.process));
  }
  return processes_;
}

}  // namespace rouse::gateway
