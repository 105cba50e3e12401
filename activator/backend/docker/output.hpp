#pragma once
// Follows what a container writes and hands on its lines. Belongs to one instance and its thread.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "activator/backend/docker/engine.hpp"
#include "activator/backend/docker/streams.hpp"
#include "activator/output_lines.hpp"

namespace rouse::docker {

class output : public std::enable_shared_from_this<output> {
 public:
  /// `line` is called for each line, until close().
  output(boost::asio::io_context& io, engine& docker, std::string name, std::function<void(std::string)> line);

  /// Begins to follow, or goes on after a break. `tail`: only so many of the lines that are there already; 0: all.
  void follow(unsigned tail = 0);
  /// The container does not run any more: when what it wrote has come, or will not, `done` is called, once and later.
  void finish(std::function<void()> done);
  void close();
  [[nodiscard]] std::vector<std::string> last_lines() const { return lines_.last_lines(); }

 private:
  using clock = std::chrono::steady_clock;
  void ask(const std::string& query);
  void hand_on();
  void on_end();
  void conclude();

  boost::asio::io_context& io_;
  engine& docker_;
  const std::string name_;
  std::function<void(std::string)> line_;
  std::function<void()> done_;
  backend_http::call call_;
  boost::asio::steady_timer timer_;    ///< ends the waiting for the rest
  boost::asio::steady_timer dropped_;  ///< tells how many lines were dropped
  frame_reader frames_;
  activator::output_lines lines_;
  bool followed_ = false;
  bool broken_ = false;
  bool ended_ = false;
  std::chrono::system_clock::time_point broke_at_;
};

}  // namespace rouse::docker
