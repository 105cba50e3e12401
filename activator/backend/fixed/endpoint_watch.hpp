#pragma once
// Looks after the endpoints of one revision: looks their names up again and again, checks their health, and keeps the
// roster of them. Belongs to the backend, on the thread of its io_context; may be destroyed at any time.

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include "activator/backend/backend.hpp"
#include "activator/backend/fixed/roster.hpp"

namespace rouse::fixed {

struct watch_settings {
  std::chrono::milliseconds check_interval{2'000};
  std::chrono::milliseconds resolve_interval{30'000};
};

/// How long a check may take: as long as the interval, between 1 s and 5 s.
[[nodiscard]] std::chrono::milliseconds check_timeout(const watch_settings& of);

class endpoint_watch {
 public:
  /// `news` is called, from handlers only, when the roster or the problem may have something to tell.
  endpoint_watch(boost::asio::io_context& io, const watch_settings& settings, const activator::run_spec& spec,
                 std::mt19937& random, std::function<void()> news);
  ~endpoint_watch();
  endpoint_watch(const endpoint_watch&) = delete;
  endpoint_watch& operator=(const endpoint_watch&) = delete;

  /// Live settings have changed.
  void configure(const activator::run_spec& spec);
  [[nodiscard]] roster& endpoints();
  /// After the roster was told of a start: it is ended when its time is over.
  void watch_deadlines();
  /// What is wrong with its names, as a sentence; empty: nothing.
  [[nodiscard]] std::string problem() const;

 private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace rouse::fixed
