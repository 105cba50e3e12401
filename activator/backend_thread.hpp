#pragma once
// The thread on which backends live that talk over the network: what they parse and wait for delays no cold start of
// another function. What make() returns stands for such a backend on the control thread and passes every call and every
// report on, in order. One thread for all of them, begun when the first is made.

#include <functional>
#include <memory>

#include "activator/backend/backend.hpp"

namespace boost::asio {
class io_context;
}

namespace rouse::activator {

class backend_thread {
 public:
  /// Borrows the control context, which outlives it.
  explicit backend_thread(boost::asio::io_context& control);
  backend_thread(const backend_thread&) = delete;
  backend_thread& operator=(const backend_thread&) = delete;
  /// Waits until what was made here is destroyed there; all that make() returned is gone by then.
  ~backend_thread();

  /// Called on the thread, with its context. The listener may be called there.
  using maker = std::function<std::unique_ptr<backend>(boost::asio::io_context&, backend_listener&)>;
  /// Control thread. The listener hears of it there, and nothing any more once the result is destroyed. `traits` are
  /// those of what is made.
  [[nodiscard]] std::shared_ptr<backend> make(backend_listener& listener, backend_traits traits, maker with);

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace rouse::activator
