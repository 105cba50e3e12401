#pragma once
// Images on their way to the engine: one pull for all that wait for the same image. It goes on when nobody waits any
// more, for the next one will. Belongs to the backend and its thread.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "activator/backend/docker/engine.hpp"
#include "activator/backend/docker/streams.hpp"

namespace rouse::docker {

class pull_listener {
 public:
  virtual void on_pull_progress(std::uint64_t id, std::string text) = 0;
  /// See docker_instance::on_pulled().
  virtual void on_pull_ended(std::uint64_t id, const std::string& word, const std::string& problem, bool away) = 0;

 protected:
  ~pull_listener() = default;
};

class pulls {
 public:
  pulls(engine& docker, pull_listener& listener) : docker_(docker), listener_(listener) {}
  pulls(const pulls&) = delete;
  pulls& operator=(const pulls&) = delete;

  void want(const std::string& image, std::uint64_t id);

 private:
  struct one {
    explicit one(const std::string& image) : progress(image) {}
    backend_http::call call;
    line_reader lines;
    pull_progress progress;
    int status = 0;
    std::string refusal;
    std::vector<std::uint64_t> waiting;
  };
  void begin(const std::string& image);
  void on_data(const std::string& image, std::string_view bytes);
  void on_end(const std::string& image, const backend_http::failure& why);

  engine& docker_;
  pull_listener& listener_;
  std::map<std::string, std::unique_ptr<one>> all_;
};

}  // namespace rouse::docker
