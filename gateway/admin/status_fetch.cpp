#include "gateway/admin/status_fetch.hpp"

#include <utility>

#include <boost/asio/post.hpp>

namespace rouse::gateway {

/// One coroutine that waits; in its frame.
struct status_fetch::call {
  explicit call(status_fetch& owner) : owner(owner), id(++owner.last_id_), wake(owner.here_, steady::now() + patience) {
    owner.calls_.emplace(id, this);
  }
  ~call() { owner.calls_.erase(id); }
  call(const call&) = delete;
  call& operator=(const call&) = delete;

  status_fetch& owner;
  const std::uint64_t id;
  timer wake;
  std::shared_ptr<const status_list> answer;
};

status_fetch::status_fetch(asio::io_context& here, asio::io_context& control, std::function<bool(status_list&)> source)
    : here_(here), control_(control), source_(std::move(source)) {}

awaitable<std::shared_ptr<const status_list>> status_fetch::fetch() {
  if (stopped_) co_return nullptr;
  call waiting(*this);
  if (!asking_) ask();
  if (!waiting.answer) co_await waiting.wake.async_wait(as_result);
  co_return std::move(waiting.answer);
}

void status_fetch::stop() {
  stopped_ = true;
  for (const auto& [id, waiting] : calls_) waiting->wake.cancel();
}

/// For all that wait now.
void status_fetch::ask() {
  asking_ = true;
  asked_for_ = last_id_;
  go_on(std::make_shared<status_list>());
}

/// One piece on the control thread, which does what else has come in between; then the next.
void status_fetch::go_on(std::shared_ptr<status_list> so_far) {
  asio::post(control_, [this, so_far = std::move(so_far)]() mutable {
    if (!source_(*so_far)) return go_on(std::move(so_far));
    asio::post(here_, [this, so_far = std::move(so_far)] { answer(so_far); });
  });
}

void status_fetch::answer(const std::shared_ptr<const status_list>& status) {
  asking_ = false;
  bool more = false;
  for (const auto& [id, waiting] : calls_) {
    if (waiting->answer) continue;  // has not run since
    if (id > asked_for_) {
      more = true;
      continue;
    }
    waiting->answer = status;
    waiting->wake.cancel();
  }
  if (more && !stopped_) ask();
}

}  // namespace rouse::gateway
