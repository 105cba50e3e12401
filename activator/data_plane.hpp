#pragma once
// What the control thread asks of the workers. Implemented by the gateway, by the simulator and by fakes.

#include <functional>
#include <memory>

#include "activator/runtime.hpp"
#include "router/instance.hpp"

namespace rouse::activator {

/// Called on the control thread; `then` is called later on the control thread, never from inside.
class data_plane {
 public:
  /// Every worker closes its idle connections to this instance and takes no new one; `then` once all have.
  virtual void forget(router::instance& which, std::function<void()> then) = 0;
  /// `then` once every worker has passed a quiescent point, so that nothing unpublished before is looked at any more.
  virtual void quiesce(std::function<void()> then) = 0;
  /// Every worker chooses by this view from now on; `then` once all do. What was begun goes on as it began.
  virtual void serve(std::shared_ptr<const view> next, std::function<void()> then) = 0;

 protected:
  ~data_plane() = default;
};

}  // namespace rouse::activator
