#include "gateway/upstream_pool.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace rouse::gateway {

namespace {

using namespace std::chrono_literals;

constexpr auto keep_default = 60s;            // for servers that announce nothing
constexpr auto fresh_enough_to_trust = 10ms;  // younger ones are not looked at before use
constexpr auto fresh_enough_for_post = 1s;
constexpr std::size_t large_buffer = 32 * 1024;  // a bigger one is given back before idling

bool still_open(tcp_socket& socket) {
  char byte;
  const auto n = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

upstream::upstream(asio::io_context& context, router::instance& on) : socket(context), on_(on) {}

upstream::~upstream() {
  error_code ignored;
  socket.close(ignored);
  on_.connections.connections.fetch_sub(1, std::memory_order_seq_cst);
}

void upstream::on_peer_closed() {
  if (idle_in_) idle_in_->forget(*this);
}

upstream_pool::upstream_pool(asio::io_context& context, fd_watch& watch, unsigned worker)
    : context_(context), watch_(watch), worker_(worker) {}

upstream_pool::~upstream_pool() {
  close_all();
}

std::unique_ptr<upstream> upstream_pool::pop(list& from, std::size_t at) {
  auto connection = std::move(from[at]);
  from.erase(from.begin() + static_cast<std::ptrdiff_t>(at));
  watch_.remove(*connection);
  connection->idle_in_ = nullptr;
  connection->on_.connections.idle[worker_].fetch_sub(1, std::memory_order_relaxed);
  return connection;
}

std::unique_ptr<upstream> upstream_pool::take(router::instance& on, bool idempotent, steady::time_point now) {
  const auto found = idle_.find(&on);
  if (found == idle_.end()) return nullptr;
  auto& list = found->second;
  while (!list.empty()) {
    const auto age = now - list.back()->idle_since_;
    if (!idempotent && age >= fresh_enough_for_post) return nullptr;
    auto connection = pop(list, list.size() - 1);
    if (age < fresh_enough_to_trust || still_open(connection->socket)) {
      connection->reused = true;
      return connection;
    }
  }
  return nullptr;
}

void upstream_pool::put(std::unique_ptr<upstream> connection, steady::time_point now) {
  const auto state = connection->on_.state();
  // Any other state was set before every worker was told to forget the instance; later puts must not slip in behind,
  // for nobody would close them before the instance is freed.
  if (state != router::instance_state::open && state != router::instance_state::ejected) return;
  if (connection->keep.count() == 1) return;  // announced one second: less our margin, nothing
  connection->in.clear();
  if (connection->in.capacity() > large_buffer) connection->in.shrink_to_fit();
  connection->idle_since_ = now;
  connection->idle_in_ = this;
  connection->on_.connections.idle[worker_].fetch_add(1, std::memory_order_relaxed);
  idle_[&connection->on_].push_back(std::move(connection));
}

void upstream_pool::forget(upstream& dead) {
  const auto found = idle_.find(&dead.on_);
  if (found == idle_.end()) return;
  auto& list = found->second;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i].get() != &dead) continue;
    pop(list, i).reset();
    break;
  }
}

void upstream_pool::drop(router::instance& on) {
  const auto found = idle_.find(&on);
  if (found == idle_.end()) return;
  while (!found->second.empty()) pop(found->second, found->second.size() - 1).reset();
  idle_.erase(found);
}

bool upstream_pool::drop_one(router::instance& on) {
  const auto found = idle_.find(&on);
  if (found == idle_.end() || found->second.empty()) return false;
  pop(found->second, 0).reset();
  return true;
}

int upstream_pool::release(router::instance& on) {
  const auto found = idle_.find(&on);
  if (found == idle_.end() || found->second.empty()) return -1;
  auto connection = pop(found->second, found->second.size() - 1);
  error_code ec;
  const int descriptor = connection->socket.release(ec);
  if (ec) return -1;
  // It stays open for the other worker, so it stays counted; the destructor counts down what is counted up here.
  on.connections.connections.fetch_add(1, std::memory_order_seq_cst);
  return descriptor;
}

void upstream_pool::sweep(steady::time_point now) {
  for (auto entry = idle_.begin(); entry != idle_.end();) {
    auto& list = entry->second;
    for (std::size_t i = list.size(); i-- > 0;) {
      auto& connection = *list[i];
      const auto age = now - connection.idle_since_;
      const auto keep = connection.keep.count() ? connection.keep - 1s : std::chrono::seconds(keep_default);
      if (age >= keep) {
        pop(list, i).reset();
      } else if (age >= fresh_enough_to_trust) {
        watch_.add(connection, connection.socket.native_handle(), true);
      }
    }
    entry = list.empty() ? idle_.erase(entry) : std::next(entry);
  }
}

void upstream_pool::close_all() {
  while (!idle_.empty()) drop(*idle_.begin()->first);
}

}  // namespace rouse::gateway
