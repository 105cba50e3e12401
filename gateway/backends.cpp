#include "gateway/backends.hpp"

#include <utility>

#include "activator/backend/kubernetes/kubernetes_backend.hpp"
#include "activator/words.hpp"

namespace rouse::gateway {

backends::backends(surroundings around) : around_(std::move(around)), thread_(around_.control) {}

std::shared_ptr<activator::backend> backends::make(const config::pool& of) {
  switch (of.backend) {
    case config::pool_backend::process:
    case config::pool_backend::docker:
      break;
    case config::pool_backend::kubernetes:
      return make_kubernetes(of);
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

std::shared_ptr<activator::backend> backends::make_kubernetes(const config::pool& of) {
  kubernetes::kubernetes_settings settings;
  settings.pool = of.name;
  settings.name_space = of.connection.name_space;
  settings.context = of.connection.context;
  settings.kubeconfig = of.connection.kubeconfig;
  settings.owner = owner();
  settings.note = [this, pool = of.name](const std::string& line) {
    around_.log.info("pool {}: {}", pool, activator::printable(line));
  };
  return thread_.make(around_.listener, false,
                      [settings](boost::asio::io_context& io, activator::backend_listener& listener) {
                        return std::make_unique<kubernetes::kubernetes_backend>(io, listener, settings);
                      });
}

}  // namespace rouse::gateway
