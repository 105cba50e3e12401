#pragma once
// The inside of the admin server, shared by its listener and its connections. Owned by the server and by the coroutines
// that still run; admin thread only.

#include <cstddef>
#include <cstdint>
#include <memory>

#include <boost/intrusive/list.hpp>

#include "gateway/admin/admin_server.hpp"
#include "gateway/admin/connection.hpp"
#include "gateway/admin/guard.hpp"
#include "gateway/admin/status_fetch.hpp"
#include "gateway/net.hpp"

namespace rouse::gateway {

class admin_server::core : public admin_shared, public std::enable_shared_from_this<core> {
 public:
  core(asio::io_context& context, config::listen_address address, admin_sources sources);

  void listen();
  void stop();
  [[nodiscard]] const tcp::endpoint& where() const noexcept { return where_; }
  [[nodiscard]] asio::io_context& context() noexcept { return context_; }

 private:
  static awaitable<void> accept_all(std::shared_ptr<core> self);
  static awaitable<void> serve(std::shared_ptr<core> self, std::unique_ptr<admin_connection> one);
  static awaitable<void> sweep(std::shared_ptr<core> self);
  void adopt(tcp_socket socket);
  bool make_room();

  asio::io_context& context_;
  const config::listen_address address_;
  tcp_acceptor acceptor_;
  timer retry_;
  timer sweep_timer_;
  bool sweeping_ = false;
  bool accept_failed_ = false;  ///< said once, until it works again
  tcp::endpoint where_;
  boost::intrusive::list<admin_connection, boost::intrusive::constant_time_size<false>> connections_;
};

}  // namespace rouse::gateway
