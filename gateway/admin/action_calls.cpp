#include "gateway/admin/action_calls.hpp"

#include <utility>

namespace rouse::gateway {

/// One coroutine that waits; in its frame.
struct action_calls::call {
  call(action_calls& owner, action_result& out)
      : all(owner.waiting_), id(++owner.last_id_), wake(owner.here_, steady::now() + patience), out(out) {
    all->emplace(id, this);
  }
  ~call() { all->erase(id); }
  call(const call&) = delete;
  call& operator=(const call&) = delete;

  const std::shared_ptr<waiting> all;
  const std::uint64_t id;
  timer wake;
  action_result& out;
  bool answered = false;
};

awaitable<bool> action_calls::run(action_call what, actions& of, action_result& out) {
  if (stopped_) co_return false;
  call one(*this, out);
  actions::done then = [weak = std::weak_ptr<waiting>(waiting_), id = one.id](action_result result) {
    const auto all = weak.lock();
    if (!all) return;
    const auto found = all->find(id);
    if (found == all->end()) return;
    found->second->out = std::move(result);
    found->second->answered = true;
    found->second->wake.cancel();
  };
  what(of, std::move(then));
  if (!one.answered) co_await one.wake.async_wait(as_result);
  co_return one.answered;
}

void action_calls::stop() {
  stopped_ = true;
  for (const auto& [id, one] : *waiting_) one->wake.cancel();
}

}  // namespace rouse::gateway
