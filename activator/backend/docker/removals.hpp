#pragma once
// Containers that are to be gone: ended politely where nobody did so before, and removed, however often it takes.
// Belongs to the backend and its thread.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "activator/backend/docker/engine.hpp"

namespace rouse::docker {

class removals {
 public:
  removals(boost::asio::io_context& io, engine& docker) : io_(io), docker_(docker) {}
  removals(const removals&) = delete;
  removals& operator=(const removals&) = delete;

  /// By force, and its volumes with it.
  void remove(const std::string& name, std::function<void()> done);
  /// Of its own accord first, within the grace that it was made with.
  void end(const std::string& name, bool paused);
  [[nodiscard]] bool has(const std::string& name) const { return all_.contains(name); }
  /// The engine is there again.
  void go_on();

 private:
  struct one {
    explicit one(boost::asio::io_context& io) : retry(io) {}
    backend_http::call call;
    boost::asio::steady_timer retry;
    std::chrono::milliseconds pause{100};
    bool paused = false;
    bool politely = false;
    std::vector<std::function<void()>> done;
  };
  void step(const std::string& name);
  void on_stopped(const std::string& name, const backend_http::response& answer);
  void on_removed(const std::string& name, const backend_http::response& answer);
  void again(const std::string& name);

  boost::asio::io_context& io_;
  engine& docker_;
  std::map<std::string, std::unique_ptr<one>> all_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();  ///< held weakly by timers
};

}  // namespace rouse::docker
