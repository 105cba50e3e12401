#include "activator/backend/fixed/static_backend.hpp"

#include <boost/asio/post.hpp>

#include <functional>
#include <map>
#include <utility>

#include "activator/backend/fixed/endpoint_watch.hpp"

namespace rouse::fixed {
namespace asio = boost::asio;

struct static_backend::impl {
  impl(asio::io_context& with, activator::backend_listener& to, static_settings from)
      : io(with), listener(to), settings(std::move(from)), random(settings.seed) {}

  endpoint_watch& watch_of(const activator::run_spec& spec);
  void release(std::uint64_t id, const std::string& reason);
  void tell_news(std::uint32_t key);
  void tell_of(std::uint32_t key, roster::event news);
  void tell_state();
  void post(std::function<void()> report);

  asio::io_context& io;
  activator::backend_listener& listener;
  const static_settings settings;
  std::mt19937 random;
  std::map<std::uint32_t, std::unique_ptr<endpoint_watch>> watches;  ///< by key
  std::map<std::uint64_t, std::uint32_t> keys;                       ///< of ids that have not had their last word
  std::string problem;                                               ///< as it was told
  /// What is posted holds it weakly.
  std::shared_ptr<impl*> alive = std::make_shared<impl*>(this);
};

endpoint_watch& static_backend::impl::watch_of(const activator::run_spec& spec) {
  auto& watch = watches[spec.key];
  if (!watch) {
    watch_settings how;
    how.check_interval = settings.check_interval;
    how.resolve_interval = settings.resolve_interval;
    watch = std::make_unique<endpoint_watch>(io, how, spec, random, [this, key = spec.key] { tell_news(key); });
  } else {
    watch->configure(spec);
  }
  tell_news(spec.key);
  return *watch;
}

void static_backend::impl::release(std::uint64_t id, const std::string& reason) {
  const auto at = keys.find(id);
  if (at == keys.end()) return;
  const auto key = at->second;
  watches.at(key)->endpoints().stop(id, reason);
  tell_news(key);
}

void static_backend::impl::tell_news(std::uint32_t key) {
  for (auto& news : watches.at(key)->endpoints().take_events()) {
    if (news.what == roster::event::kind::exit) keys.erase(news.id);
    post([this, key, news = std::move(news)]() mutable { tell_of(key, std::move(news)); });
  }
  tell_state();
}

void static_backend::impl::tell_of(std::uint32_t key, roster::event news) {
  switch (news.what) {
    case roster::event::kind::ready:
      return listener.on_ready(news.id, activator::ready_report{news.where, -1});
    case roster::event::kind::exit:
      return listener.on_exit(news.id, std::move(news.last));
    case roster::event::kind::leaving:
      return listener.on_leaving(news.id, std::move(news.detail));
    case roster::event::kind::standing:
      return listener.on_standing(settings.pool, key, news.count);
  }
}

/// One problem of all, for there is one state.
void static_backend::impl::tell_state() {
  std::string now;
  for (auto at = watches.begin(); at != watches.end() && now.empty(); ++at) now = at->second->problem();
  if (now == problem) return;
  problem = now;
  post([this, now = std::move(now)] {
    activator::backend_state state;
    state.problem = now;
    listener.on_state(settings.pool, std::move(state));
  });
}

/// Reports go out in the order in which things happened, and never from inside a call.
void static_backend::impl::post(std::function<void()> report) {
  asio::post(io, [weak = std::weak_ptr<impl*>(alive), report = std::move(report)] {
    if (const auto self = weak.lock()) report();
  });
}

static_backend::static_backend(asio::io_context& io, activator::backend_listener& listener, static_settings settings)
    : impl_(std::make_unique<impl>(io, listener, std::move(settings))) {}

static_backend::~static_backend() = default;

void static_backend::serve(const activator::run_spec& spec) {
  impl_->watch_of(spec);
}

void static_backend::forget(std::uint32_t key) {
  impl_->watches.erase(key);
  impl_->tell_state();
}

void static_backend::start(const activator::start_spec& spec) {
  auto& watch = impl_->watch_of(spec);
  impl_->keys.emplace(spec.id, spec.key);
  watch.endpoints().start(spec.id, std::chrono::steady_clock::now() + spec.start_timeout);
  watch.watch_deadlines();
  impl_->tell_news(spec.key);
}

void static_backend::stop(std::uint64_t id, std::chrono::milliseconds /*grace*/) {
  impl_->release(id, "released");
}

void static_backend::let_go(std::uint64_t id, std::chrono::milliseconds /*grace*/) {
  impl_->release(id, "kept");
}

}  // namespace rouse::fixed
