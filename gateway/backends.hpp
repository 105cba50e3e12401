#pragma once
// The table of built-in backends: what each kind of pool starts its instances with. Control thread; outlives the
// activator, which asks it for backends and hears from them.

#include <functional>
#include <memory>
#include <set>
#include <string>

#include <spdlog/logger.h>
#include <boost/asio/io_context.hpp>

#include "activator/backend/backend.hpp"
#include "activator/backend/docker/docker_backend.hpp"
#include "activator/backend/kubernetes/kubernetes_backend.hpp"
#include "activator/backend/process/process_backend.hpp"
#include "activator/backend_table.hpp"
#include "activator/backend_thread.hpp"
#include "gateway/owner_name.hpp"

namespace rouse::gateway {

class backends {
 public:
  struct surroundings {
    boost::asio::io_context& control;
    activator::backend_listener& listener;  ///< need not be alive yet
    spdlog::logger& log;
    int keeper_socket = -1;
    process::process_options process;
    std::string data_dir;  ///< where the name by which instances are known as this rouse's is kept
  };
  explicit backends(surroundings around);

  /// See backend_table. One process backend serves all of its pools; others have one for each.
  [[nodiscard]] std::shared_ptr<activator::backend> make(const config::pool& of);

 private:
  [[nodiscard]] const std::string& owner();
  /// For lines of the log about the pool, from any thread.
  [[nodiscard]] std::function<void(const std::string&)> note_of(const config::pool& of);
  [[nodiscard]] docker::docker_settings docker_settings(const config::pool& of);
  [[nodiscard]] kubernetes::kubernetes_settings kubernetes_settings(const config::pool& of);

  surroundings around_;
  activator::backend_thread thread_;
  std::shared_ptr<activator::backend> processes_;
  std::shared_ptr<std::set<std::string>> containers_ =
      std::make_shared<std::set<std::string>>();  ///< the other thread's
  std::unique_ptr<owner_name> owner_;             ///< once a backend needs it
};

}  // namespace rouse::gateway
