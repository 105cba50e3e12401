#include "gateway/worker.hpp"

#include <sys/socket.h>

#include <array>
#include <random>

#include <spdlog/spdlog.h>
#include <boost/asio/co_spawn.hpp>

#include "gateway/session.hpp"

namespace rouse::gateway {

/// An exchange that nobody waits for any more: the caller left or the time was up. Holds its slot while the instance
/// still works on it.
class lingering final : public sweep_entry, public worker_task {
 public:
  lingering(std::unique_ptr<upstream> connection_in, activator::slot held, steady::time_point until_in)
      : slot(std::move(held)), connection(std::move(connection_in)), until(until_in) {}
  void on_sweep(steady::time_point now) override {
    if (now >= until) close();
  }
  void close() override {
    error_code ignored;
    connection->socket.cancel(ignored);
    closed = true;
  }

  activator::slot slot;  // declared first: the connection ends before the slot is given back
  std::unique_ptr<upstream> connection;
  steady::time_point until;
  bool closed = false;
};

namespace {

awaitable<void> watch_out(std::unique_ptr<lingering> one) {
  auto discard = std::make_unique<std::array<char, 16 * 1024>>();
  while (!one->closed) {
    const auto [ec, n] = co_await one->connection->socket.async_read_some(asio::buffer(*discard), as_result);
    if (ec) break;
  }
}

}  // namespace

worker::worker(unsigned index, site& shared)
    : index_(index),
      site_(shared),
      watch_(context_),
      pool_(context_, watch_, index),
      mailbox_([this] { asio::post(context_, [this] { mailbox_.deliver(); }); }),
      sweep_timer_(context_) {
  std::random_device device;
  serve_by(shared.first_view);
  random_state_ = (static_cast<std::uint64_t>(device()) << 32) | device();
}

worker::~worker() = default;

void worker::run() {
  context_.run();
}

void worker::serve_by(std::shared_ptr<const activator::view> next) {
  view_ = view_pin(new held_view{std::move(next)});
}

std::uint64_t worker::random() noexcept {
  // SplitMix64 (Steele, Lea, Flood 2014): names and spreads things, guards nothing.
  std::uint64_t z = (random_state_ += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

void worker::adopt(int descriptor, tcp::endpoint peer) {
  load_.fetch_add(1, std::memory_order_relaxed);
  post([this, descriptor, peer] { begin(descriptor, peer); });
}

void worker::begin(int descriptor, const tcp::endpoint& peer) {
  tcp_socket socket(context_);
  error_code ec;
  socket.assign(peer.protocol(), descriptor, ec);
  if (!ec) socket.non_blocking(true, ec);
  if (ec || closing_) {
    if (ec) ::close(descriptor);
    load_.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  auto one = std::make_unique<session>(*this, std::move(socket), peer);
  join(*one);
  sweep(*one);
  spawn(serve(std::move(one)));
}

void worker::spawn(awaitable<void> task) {
  ++tasks_;
  asio::co_spawn(context_, std::move(task), [this](const std::exception_ptr& failed) {
    --tasks_;
    if (failed) {
      try {
        std::rethrow_exception(failed);
      } catch (const std::exception& e) {
        site_.log.error("a connection was ended by an unexpected error: {} (please report this)", e.what());
      }
    }
    stop_if_done();
  });
}

awaitable<void> worker::serve(std::unique_ptr<session> one) {
  stats_.connections.add();
  try {
    co_await one->run();
  } catch (...) {
    one.reset();
    stats_.connections.sub();
    load_.fetch_sub(1, std::memory_order_relaxed);
    throw;
  }
  one.reset();
  stats_.connections.sub();
  load_.fetch_sub(1, std::memory_order_relaxed);
}

void worker::linger(std::unique_ptr<upstream> connection, activator::slot held, std::chrono::milliseconds grace) {
  if (closing_) return;
  error_code ec;
  connection->socket.shutdown(tcp::socket::shutdown_send, ec);
  if (ec) return;
  auto one = std::make_unique<lingering>(std::move(connection), std::move(held), steady::now() + grace);
  members_.push_back(*one);
  sweep(*one);
  spawn(watch_out(std::move(one)));
}

void worker::join(worker_task& one) {
  members_.push_back(one);
  if (draining_) one.drain();
  if (closing_) one.close();
}

void worker::sweep(sweep_entry& entry) {
  sweep_list_.add(entry);
  arm_sweep();
}

void worker::arm_sweep() {
  if (sweep_armed_) return;
  sweep_armed_ = true;
  sweep_timer_.expires_after(sweep_list::period);
  sweep_timer_.async_wait([this](const error_code& ec) {
    sweep_armed_ = false;
    if (ec) return;
    const auto now = steady::now();
    sweep_list_.sweep(now);
    pool_.sweep(now);
    if (!sweep_list_.empty() || !pool_.empty()) arm_sweep();
  });
}

void worker::drain() {
  post([this] {
    draining_ = true;
    for (auto& one : members_) one.drain();
  });
}

void worker::close() {
  post([this] {
    draining_ = closing_ = true;
    for (auto& one : members_) one.close();
  });
}

void worker::stop() {
  close();
  post([this] {
    stopping_ = true;
    stop_if_done();
  });
}

void worker::stop_if_done() {
  if (!stopping_ || tasks_ > 0) return;
  sweep_timer_.cancel();
  pool_.close_all();
  watch_.stop();
  work_.reset();
}

}  // namespace rouse::gateway
