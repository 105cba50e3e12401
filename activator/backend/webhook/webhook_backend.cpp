#include "activator/backend/webhook/webhook_backend.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "activator/backend/webhook/protocol.hpp"
#include "activator/backend/webhook/scaler_link.hpp"

namespace rouse::webhook {
namespace asio = boost::asio;

struct webhook_backend::impl final : link_host {
  impl(asio::io_context& with, activator::backend_listener& to, webhook_settings from)
      : io_(with), listener_(to), settings_(std::move(from)), random_(settings_.seed) {
    if (auto key = key_bytes(settings_.secret)) {
      key_ = *std::move(key);
    } else {
      unusable_ = "`secret` begins with whsec_, and what follows is not base64";
    }
  }

  asio::io_context& io() override { return io_; }
  const webhook_settings& settings() const override { return settings_; }
  const std::string& key() const override { return key_; }
  const std::string& unusable() const override { return unusable_; }
  std::mt19937_64& random() override { return random_; }
  std::uint64_t next_sequence() override;
  std::shared_ptr<backend_http::client> client_to(const backend_http::origin& where) override;
  void tell(std::uint32_t key, ledger::event news) override;
  void tell_ready(std::uint64_t id, activator::ready_report report) override { listener_.on_ready(id, report); }
  void on_recovery() override { ++recoveries_; }
  void on_change() override;

  scaler_link& link_of(const activator::run_spec& spec);
  scaler_link* link_of(std::uint64_t id);
  void report(std::uint32_t key, ledger::event news);
  void tell_state();
  void post(std::function<void()> what);

  asio::io_context& io_;
  activator::backend_listener& listener_;
  const webhook_settings settings_;
  std::string key_;
  std::string unusable_;  ///< what is wrong with the secret
  std::mt19937_64 random_;
  std::uint64_t sequence_ = 0;
  std::map<std::string, std::weak_ptr<backend_http::client>> clients_;  ///< links to one origin share its connections
  std::map<std::uint32_t, std::unique_ptr<scaler_link>> links_;         ///< by key
  std::vector<std::unique_ptr<scaler_link>> leaving_;                   ///< forgotten ones
  std::map<std::uint64_t, std::uint32_t> keys_;                         ///< of ids that have not had their last word
  bool let_go_ = false;                                                 ///< rouse ends
  activator::backend_state told_;
  unsigned recoveries_ = 0;
  /// What is posted holds it weakly.
  std::shared_ptr<impl*> alive_ = std::make_shared<impl*>(this);
};

std::uint64_t webhook_backend::impl::next_sequence() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto clock = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
  return sequence_ = std::max(sequence_ + 1, clock);
}

std::shared_ptr<backend_http::client> webhook_backend::impl::client_to(const backend_http::origin& where) {
  const bool tls = where.scheme == backend_http::origin::kind::https;
  auto& known = clients_[(tls ? "https://" : "http://") + backend_http::describe(where)];
  if (auto client = known.lock()) return client;
  backend_http::client_settings settings;
  settings.to = where;
  auto client = std::make_shared<backend_http::client>(io_, settings);
  known = client;
  return client;
}

scaler_link& webhook_backend::impl::link_of(const activator::run_spec& spec) {
  auto& link = links_[spec.key];
  if (link) {
    link->configure(spec);
  } else {
    link = std::make_unique<scaler_link>(*this, spec);
  }
  return *link;
}

scaler_link* webhook_backend::impl::link_of(std::uint64_t id) {
  const auto at = keys_.find(id);
  return at == keys_.end() ? nullptr : links_.at(at->second).get();
}

void webhook_backend::impl::tell(std::uint32_t key, ledger::event news) {
  if (news.what == ledger::event::kind::exit) keys_.erase(news.id);
  post([this, key, news = std::move(news)]() mutable { report(key, std::move(news)); });
}

void webhook_backend::impl::report(std::uint32_t key, ledger::event news) {
  if (news.what == ledger::event::kind::exit) return listener_.on_exit(news.id, std::move(news.last));
  if (news.what == ledger::event::kind::leaving) return listener_.on_leaving(news.id, std::move(news.detail));
  listener_.on_found(settings_.pool, key, std::move(news.name));
}

/// From the handler of a link, which must not be destroyed in it.
void webhook_backend::impl::on_change() {
  tell_state();
  if (leaving_.empty()) return;
  post([this] {
    std::erase_if(leaving_, [](const auto& link) { return link->is_over(); });
    tell_state();
  });
}

/// One problem of all, for there is one state.
void webhook_backend::impl::tell_state() {
  std::string now = unusable_;
  for (auto at = links_.begin(); at != links_.end() && now.empty(); ++at) now = at->second->problem();
  activator::backend_state state;
  state.problem = std::move(now);
  state.recoveries = recoveries_;
  if (state == told_) return;
  told_ = state;
  post([this, state]() mutable { listener_.on_state(settings_.pool, std::move(state)); });
}

/// Reports go out in the order in which things happened, and never from inside a call.
void webhook_backend::impl::post(std::function<void()> what) {
  asio::post(io_, [weak = std::weak_ptr<impl*>(alive_), what = std::move(what)] {
    if (const auto self = weak.lock()) what();
  });
}

webhook_backend::webhook_backend(asio::io_context& io, activator::backend_listener& listener, webhook_settings settings)
    : impl_(std::make_unique<impl>(io, listener, std::move(settings))) {}

webhook_backend::~webhook_backend() = default;

void webhook_backend::serve(const activator::run_spec& spec) {
  impl_->link_of(spec);
  impl_->tell_state();
}

/// When rouse ends, what it let go stays wanted.
void webhook_backend::forget(std::uint32_t key) {
  auto node = impl_->links_.extract(key);
  if (node.empty() || impl_->let_go_) return;
  node.mapped()->forget();
  impl_->leaving_.push_back(std::move(node.mapped()));
  impl_->tell_state();
}

void webhook_backend::start(const activator::start_spec& spec) {
  impl_->keys_.emplace(spec.id, spec.key);
  impl_->link_of(spec).start(spec);
}

void webhook_backend::stop(std::uint64_t id, std::chrono::milliseconds grace) {
  if (auto* link = impl_->link_of(id)) link->stop(id, grace);
}

void webhook_backend::let_go(std::uint64_t id, std::chrono::milliseconds /*grace*/) {
  impl_->let_go_ = true;
  if (auto* link = impl_->link_of(id)) link->let_go(id);
}

}  // namespace rouse::webhook
