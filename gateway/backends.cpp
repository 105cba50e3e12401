#include "gateway/backends.hpp"

#include <cstdlib>
#include <string_view>
#include <utility>

#include "activator/backend/docker/docker_backend.hpp"
#include "activator/backend/fixed/static_backend.hpp"
#include "activator/backend/kubernetes/kubernetes_backend.hpp"
#include "activator/backend/webhook/webhook_backend.hpp"
#include "activator/words.hpp"

namespace rouse::gateway {
namespace {

/// Makes a backend of this kind from its settings, on the backends' thread.
template <class Backend, class Settings>
activator::backend_thread::maker making(Settings settings) {
  return [settings = std::move(settings)](boost::asio::io_context& io, activator::backend_listener& listener) {
    return std::make_unique<Backend>(io, listener, settings);
  };
}

webhook::webhook_settings webhook_settings(const config::pool& of) {
  webhook::webhook_settings settings;
  settings.pool = of.name;
  settings.secret = of.connection.secret;
  settings.poll_interval = of.connection.poll_interval;
  settings.request_timeout = of.connection.request_timeout;
  return settings;
}

fixed::static_settings static_settings(const config::pool& of) {
  fixed::static_settings settings;
  settings.pool = of.name;
  settings.check_interval = of.connection.check_interval;
  settings.resolve_interval = of.connection.resolve_interval;
  return settings;
}

}  // namespace

backends::backends(surroundings around) : around_(std::move(around)), thread_(around_.control) {}

std::shared_ptr<activator::backend> backends::make(const config::pool& of) {
  switch (of.backend) {
    case config::pool_backend::process:
      break;
    case config::pool_backend::docker:
      return thread_.make(around_.listener, {.can_freeze = true}, making<docker::docker_backend>(docker_settings(of)));
    case config::pool_backend::kubernetes:
      return thread_.make(around_.listener, {.may_be_standby = true},
                          making<kubernetes::kubernetes_backend>(kubernetes_settings(of)));
    case config::pool_backend::webhook:
      return thread_.make(around_.listener, {.apart = true}, making<webhook::webhook_backend>(webhook_settings(of)));
    case config::pool_backend::fixed:
      return thread_.make(around_.listener, {.apart = true}, making<fixed::static_backend>(static_settings(of)));
  }
  if (!processes_) {
    processes_ = std::make_shared<process::process_backend>(around_.control, around_.keeper_socket, around_.listener,
                                                            std::move(around_.process));
  }
  return processes_;
}

const std::string& backends::owner() {
  if (!owner_) {
    owner_ = std::make_unique<owner_name>(around_.data_dir);
    if (!owner_->problem().empty())
      around_.log.warn("what this rouse starts may not be known as its own after a restart: {}", owner_->problem());
  }
  return owner_->name();
}

std::function<void(const std::string&)> backends::note_of(const config::pool& of) {
  return [&log = around_.log, pool = of.name](const std::string& line) {
    log.info("pool {}: {}", pool, activator::printable(line));
  };
}

docker::docker_settings backends::docker_settings(const config::pool& of) {
  docker::docker_settings settings;
  settings.pool = of.name;
  settings.network = of.connection.network;
  settings.owner = owner();
  settings.note = note_of(of);
  settings.in_use = containers_;
  constexpr std::string_view local = "unix://";
  const char* host = std::getenv("DOCKER_HOST");
  const std::string_view named = host != nullptr ? host : "";
  if (!of.connection.socket.empty()) {
    settings.socket = of.connection.socket;
  } else if (named.starts_with(local)) {
    settings.socket = named.substr(local.size());
  } else if (!named.empty()) {
    around_.log.warn("pool {}: DOCKER_HOST is {}, and rouse speaks to an engine over a unix socket only: {} is used",
                     of.name, activator::printable(named), settings.socket);
  }
  return settings;
}

kubernetes::kubernetes_settings backends::kubernetes_settings(const config::pool& of) {
  kubernetes::kubernetes_settings settings;
  settings.pool = of.name;
  settings.name_space = of.connection.name_space;
  settings.context = of.connection.context;
  settings.kubeconfig = of.connection.kubeconfig;
  settings.owner = owner();
  settings.note = note_of(of);
  return settings;
}

}  // namespace rouse::gateway
