#include "gateway/backends.hpp"

#include <cstdlib>
#include <string_view>
#include <utility>

#include "activator/backend/docker/docker_backend.hpp"
#include "activator/words.hpp"

namespace rouse::gateway {

backends::backends(surroundings around) : around_(std::move(around)), thread_(around_.control) {}

std::shared_ptr<activator::backend> backends::make(const config::pool& of) {
  switch (of.backend) {
    case config::pool_backend::process:
      break;
    case config::pool_backend::docker:
      return make_docker(of);
    case config::pool_backend::kubernetes:
    case config::pool_backend::webhook:
    case config::pool_backend::fixed:
      break;
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

std::shared_ptr<activator::backend> backends::make_docker(const config::pool& of) {
  docker::docker_settings settings;
  settings.pool = of.name;
  settings.network = of.connection.network;
  settings.owner = owner();
  settings.note = [this, pool = of.name](const std::string& line) {
    around_.log.info("pool {}: {}", pool, activator::printable(line));
  };
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
  return thread_.make(around_.listener, true,
                      [settings](boost::asio::io_context& io, activator::backend_listener& listener) {
                        return std::make_unique<docker::docker_backend>(io, listener, settings);
                      });
}

}  // namespace rouse::gateway
