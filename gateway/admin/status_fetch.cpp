#include "gateway/admin/status_fetch.hpp"

#include <utility>

#include <boost/asio/post.hpp>

namespace rouse::gateway {

/// One coroutine that waits; in its frame.
struct status_fetch::call {
  call(status_fetch& owner, status_list& out)
      : owner(owner), id(++owner.last_id_), wake(owner.here_, steady::now() + patience), out(out) {
    owner.calls_.emplace(id, this);
  }
  ~call() { owner.calls_.erase(id); }
  call(const call&) = delete;
  call& operator=(const call&) = delete;

  status_fetch& owner;
  const std::uint64_t id;
  timer wake;
  status_list& out;
  bool answered = false;
};

status_fetch::status_fetch(asio::io_context& here, asio::io_context& control, std::function<bool(status_list&)> source)
    : here_(here), control_(control), source_(std::move(source)) {}

awaitable<bool> status_fetch::fetch(status_list& out) {
  if (stopped_) co_return false;
  call waiting(*this, out);
  ask(waiting.id, std::make_shared<status_list>());
  if (!waiting.answered) co_await waiting.wake.async_wait(as_result);
  co_return waiting.answered;
}

void status_fetch::stop() {
  stopped_ = true;
  for (const auto& [id, waiting] : calls_) waiting->wake.cancel();
}

void status_fetch::ask(std::uint64_t id, std::shared_ptr<status_list> so_far) {
  asio::post(control_, [this, id, so_far = std::move(so_far)]() mutable {
    if (!source_(*so_far)) return ask(id, std::move(so_far));
    asio::post(here_, [this, id, so_far = std::move(so_far)] { answer(id, std::move(*so_far)); });
  });
}

void status_fetch::answer(std::uint64_t id, status_list status) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;
  found->second->out = std::move(status);
  found->second->answered = true;
  found->second->wake.cancel();
}

}  // namespace rouse::gateway
