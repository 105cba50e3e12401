#include "gateway/backends.hpp"

#include <utility>

namespace rouse::gateway {

backends::backends(surroundings around) : around_(std::move(around)), thread_(around_.control) {}

std::shared_ptr<activator::backend> backends::make(const config::pool& of) {
  switch (of.backend) {
    case config::pool_backend::process:
    case config::pool_backend::docker:
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

}  // namespace rouse::gateway
