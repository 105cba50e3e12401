#pragma once
// The concrete networking types of the data plane. One alias for each, so that no any_io_executor, strand or timer per
// request slips into the warm path.

#include <chrono>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>

namespace rouse::gateway {

namespace asio = boost::asio;
using boost::system::error_code;
using steady = std::chrono::steady_clock;
using tcp = asio::ip::tcp;
using executor = asio::io_context::executor_type;
using tcp_socket = asio::basic_stream_socket<tcp, executor>;
using tcp_acceptor = asio::basic_socket_acceptor<tcp, executor>;
using timer = asio::basic_waitable_timer<steady, asio::wait_traits<steady>, executor>;

template <typename T>
using awaitable = asio::awaitable<T, executor>;

/// Completion token of every asynchronous call here: results as a tuple, errors always looked at.
inline constexpr asio::as_tuple_t<asio::use_awaitable_t<executor>> as_result{};

}  // namespace rouse::gateway
