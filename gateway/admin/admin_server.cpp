#include "gateway/admin/core.hpp"

#include <exception>
#include <stdexcept>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>

namespace rouse::gateway {
namespace {

constexpr std::string_view too_many =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 21\r\nConnection: close\r\n"
    "Retry-After: 1\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\ntoo many connections\n";

/// What a coroutine at the root throws is a bug or the end of memory: said, and only its connection ends.
void say(spdlog::logger& log, const std::exception_ptr& thrown) {
  if (!thrown) return;
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& error) {
    log.error("admin: a connection ended by an internal error: {}", error.what());
  } catch (...) {
    log.error("admin: a connection ended by an unknown internal error");
  }
}

}  // namespace

admin_shared::admin_shared(asio::io_context& context, admin_sources from)
    : sources(std::move(from)), status(context, sources.control, sources.status), calls(context) {}

admin_server::core::core(asio::io_context& context, config::listen_address address, admin_sources sources)
    : admin_shared(context, std::move(sources)),
      context_(context),
      address_(std::move(address)),
      acceptor_(context),
      retry_(context),
      sweep_timer_(context) {}

void admin_server::core::listen() {
  rules = std::make_unique<guard>(address_, address_.port, sources.server.admin_token);
  const tcp::endpoint endpoint(asio::ip::make_address(address_.host), address_.port);
  error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp_acceptor::reuse_address(true), error);
  if (!error && endpoint.address().is_v6()) acceptor_.set_option(asio::ip::v6_only(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(static_cast<int>(admin_limits::connections), error);
  if (error) {
    const bool taken = error == asio::error::address_in_use;
    throw std::runtime_error("cannot listen on " + rules->authority() + " for the admin interface: " + error.message() +
                             (taken ? "; is another rouse running? Stop it, or set server.admin to another port"
                                    : "; set server.admin to an address and port of this machine"));
  }
  where_ = acceptor_.local_endpoint();
  rules = std::make_unique<guard>(address_, where_.port(), sources.server.admin_token);
  asio::co_spawn(context_, accept_all(shared_from_this()),
                 [self = shared_from_this()](const std::exception_ptr& thrown) { say(self->sources.log, thrown); });
}

awaitable<void> admin_server::core::accept_all(std::shared_ptr<core> self) {
  while (!self->stopping) {
    tcp_socket socket(self->context_);
    const auto [error] = co_await self->acceptor_.async_accept(socket, as_result);
    if (self->stopping || error == asio::error::operation_aborted) co_return;
    if (!error) {
      self->accept_failed_ = false;
      self->adopt(std::move(socket));
      continue;
    }
    if (error == asio::error::connection_aborted) continue;
    if (!std::exchange(self->accept_failed_, true)) {
      self->sources.log.warn("admin: cannot accept a connection: {}; trying again", error.message());
    }
    self->retry_.expires_after(std::chrono::milliseconds(100));  // out of descriptors or memory: not in a tight loop
    co_await self->retry_.async_wait(as_result);
  }
}

void admin_server::core::adopt(tcp_socket socket) {
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  if (!make_room()) {
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(too_many), ignored);
    return;
  }
  auto one = std::make_unique<admin_connection>(*this, std::move(socket));
  connections_.push_back(*one);
  asio::co_spawn(context_, serve(shared_from_this(), std::move(one)),
                 [self = shared_from_this()](const std::exception_ptr& thrown) { say(self->sources.log, thrown); });
  if (std::exchange(sweeping_, true)) return;
  asio::co_spawn(context_, sweep(shared_from_this()),
                 [self = shared_from_this()](const std::exception_ptr& thrown) { say(self->sources.log, thrown); });
}

/// A caller who only keeps a connection must not lock out the one who asks: the longest idle one goes.
bool admin_server::core::make_room() {
  if (connections_.size() < admin_limits::connections) return true;
  admin_connection* oldest = nullptr;
  for (auto& one : connections_) {
    if (one.idle() && (!oldest || one.deadline() < oldest->deadline())) oldest = &one;
  }
  if (!oldest) return false;
  oldest->close();
  connections_.erase(connections_.iterator_to(*oldest));
  return true;
}

awaitable<void> admin_server::core::serve(std::shared_ptr<core> self, std::unique_ptr<admin_connection> one) {
  co_await one->run();
  one.reset();
  // Nothing may be left to wait for once the last connection of a stopping server has gone.
  if (self->stopping && self->connections_.empty()) self->sweep_timer_.cancel();
}

awaitable<void> admin_server::core::sweep(std::shared_ptr<core> self) {
  while (!self->connections_.empty()) {
    self->sweep_timer_.expires_after(std::chrono::milliseconds(250));
    co_await self->sweep_timer_.async_wait(as_result);
    const auto now = steady::now();
    for (auto& one : self->connections_) {
      if (now >= one.deadline()) one.close();
    }
  }
  self->sweeping_ = false;
}

void admin_server::core::stop() {
  if (std::exchange(stopping, true)) return;
  error_code ignored;
  acceptor_.close(ignored);
  retry_.cancel();
  status.stop();  // the control thread may be gone by now
  calls.stop();
  for (auto& one : connections_) one.stop();
}

admin_server::admin_server(asio::io_context& context, config::listen_address address, admin_sources sources)
    : core_(std::make_shared<core>(context, std::move(address), std::move(sources))) {}

admin_server::~admin_server() = default;

void admin_server::start() {
  core_->listen();
}

const tcp::endpoint& admin_server::where() const noexcept {
  return core_->where();
}

void admin_server::stop() {
  asio::post(core_->context(), [core = core_] { core->stop(); });
}

}  // namespace rouse::gateway
