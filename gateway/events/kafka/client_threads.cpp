#include "gateway/events/kafka/client_threads.hpp"

#include <chrono>

namespace rouse::gateway::events {

client_threads::~client_threads() {
  for (auto& one : all_) one.thread.join();
}

void client_threads::run(std::function<void()> body) {
  const std::lock_guard lock(mutex_);
  std::erase_if(all_, [](one& old) {
    if (old.ended.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return false;
    old.thread.join();
    return true;
  });
  std::promise<void> ended;
  one added;
  added.ended = ended.get_future();
  added.thread = std::thread([body = std::move(body), ended = std::move(ended)]() mutable {
    body();
    body = nullptr;  // what it owns goes before its end is told
    ended.set_value();
  });
  all_.push_back(std::move(added));
}

}  // namespace rouse::gateway::events
