#include "gateway/dial.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "gateway/worker.hpp"

namespace rouse::gateway {

namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t most_dialling = 4;
constexpr auto first_pause = 1ms;
constexpr auto longest_pause = 16ms;

/// How long one connect may take before it is dialled again. A full accept queue makes the kernel drop the handshake
/// and wait a second or more, so most tries are short; every third is longer and longer, so that a far instance is
/// reached as well.
std::chrono::milliseconds patience_for(unsigned dial) {
  const unsigned doublings = std::min(dial / 3, 6u);
  return dial % 3 == 2 ? 100ms * (1u << (doublings)) : 50ms;
}

/// Counts one more connection unless the instance has as many as slots.
bool reserve(router::instance& on) {
  auto& open = on.connections.connections;
  auto seen = open.load(std::memory_order_seq_cst);
  do {
    if (on.slot_limit() > 0 && seen >= on.slot_limit()) return false;
  } while (!open.compare_exchange_weak(seen, seen + 1, std::memory_order_seq_cst));
  return true;
}

tcp::endpoint endpoint_of(const router::address& where) {
  if (where.v6) {
    asio::ip::address_v6::bytes_type bytes;
    std::copy(where.bytes.begin(), where.bytes.end(), bytes.begin());
    return {asio::ip::address_v6(bytes), where.port};
  }
  asio::ip::address_v4::bytes_type bytes;
  std::copy_n(where.bytes.begin(), 4, bytes.begin());
  return {asio::ip::address_v4(bytes), where.port};
}

/// A port that nobody listens on can connect to itself when it is in the ephemeral range.
bool connected_to_itself(tcp_socket& socket) {
  error_code ec;
  const auto local = socket.local_endpoint(ec);
  return !ec && local == socket.remote_endpoint(ec);
}

}  // namespace

awaitable<void> dialler::pause(std::chrono::milliseconds time) {
  pause_.expires_after(time);
  co_await pause_.async_wait(as_result);
}

/// Makes made_ out of a descriptor that is already counted as a connection.
bool dialler::adopt(router::instance& on, int descriptor) {
  made_ = std::make_unique<upstream>(worker_.context(), on);
  error_code ec;
  made_->socket.assign(on.where().v6 ? tcp::v6() : tcp::v4(), descriptor, ec);
  if (ec) {
    ::close(descriptor);
    made_.reset();
    return false;
  }
  made_->socket.non_blocking(true, ec);
  error_code ignored;
  made_->socket.set_option(tcp::no_delay(true), ignored);
  char byte;
  const auto n = ::recv(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
  made_.reset();  // closed meanwhile
  return false;
}

awaitable<std::unique_ptr<upstream>> dialler::connect(router::instance& on, bool idempotent) {
  error_.clear();
  cancelled_ = false;
  auto wait = std::chrono::milliseconds(first_pause);
  for (unsigned dial = 0; !cancelled_;) {
    // Nobody refuses at the address of a container that is gone: packets to it are lost without a word.
    if (dial > 0 && on.state() == router::instance_state::gone) {
      error_ = ": the instance has ended";
      break;
    }
    if (const int probe = on.connections.probe_socket.exchange(-1); probe >= 0) {
      // As with any kept connection: an old one may be closing at this moment.
      const bool old = router::instance::steady_now() - on.ready_ns() > 1'000'000'000;
      if (old && !idempotent) {
        ::close(probe);
        on.connections.connections.fetch_sub(1, std::memory_order_seq_cst);
      } else if (adopt(on, probe)) {
        made_->reused = old;
        co_return std::move(made_);
      }
      continue;
    }
    if (!reserve(on)) {
      if (worker_.pool().drop_one(on)) continue;
      const int borrowed = co_await borrow(on, idempotent);
      if (borrowed >= 0 && adopt(on, borrowed)) {
        made_->reused = true;
        co_return std::move(made_);
      }
      if (borrowed < 0 && !cancelled_) co_await pause(first_pause);
      continue;
    }
    if (on.connections.dialling.fetch_add(1, std::memory_order_relaxed) >= most_dialling) {
      on.connections.dialling.fetch_sub(1, std::memory_order_relaxed);
      on.connections.connections.fetch_sub(1, std::memory_order_seq_cst);
      co_await pause(wait);
      wait = std::min<std::chrono::milliseconds>(wait * 2, longest_pause);
      continue;
    }
    const auto ec = co_await connect_once(on, patience_for(dial++));
    on.connections.dialling.fetch_sub(1, std::memory_order_relaxed);
    if (!ec) co_return std::move(made_);
    made_.reset();
    if (ec == asio::error::timed_out || cancelled_) continue;
    error_ = ": " + ec.message();
    break;
  }
  co_return nullptr;
}

void dialler::cancel() {
  cancelled_ = true;
  error_code ignored;
  if (made_) made_->socket.cancel(ignored);
}

/// One connect, given up after `patience` (timed_out). The caller has reserved it.
awaitable<error_code> dialler::connect_once(router::instance& on, std::chrono::milliseconds patience) {
  made_ = std::make_unique<upstream>(worker_.context(), on);
  auto& socket = made_->socket;
  const auto to = endpoint_of(on.where());
  error_code ec;
  socket.open(to.protocol(), ec);
  if (!ec) socket.non_blocking(true, ec);
  if (ec) co_return ec;
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  const int descriptor = socket.native_handle();
  if (::connect(descriptor, to.data(), static_cast<socklen_t>(to.size())) != 0) {
    if (errno != EINPROGRESS) co_return error_code(errno, boost::system::system_category());
    // On this machine the handshake is over before connect() returns; only a far or full instance makes us wait.
    pollfd now{descriptor, POLLOUT, 0};
    if (::poll(&now, 1, 0) == 0) {
      auto running = std::make_shared<bool>(true);
      bool late = false;
      pause_.expires_after(patience);
      pause_.async_wait([running, &socket, &late](const error_code& timer_ec) {
        if (timer_ec || !*running) return;
        late = true;
        error_code cancel_ec;
        socket.cancel(cancel_ec);
      });
      const auto [wait_ec] = co_await socket.async_wait(tcp_socket::wait_write, as_result);
      *running = false;
      pause_.cancel();
      if (late) co_return error_code(asio::error::timed_out);
      if (wait_ec) co_return wait_ec;
    }
    int failed = 0;
    socklen_t size = sizeof failed;
    ::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failed, &size);
    if (failed == ETIMEDOUT) co_return error_code(asio::error::host_unreachable);
    if (failed != 0) co_return error_code(failed, boost::system::system_category());
  }
  if (connected_to_itself(socket)) co_return error_code(asio::error::connection_refused);
  co_return error_code();
}

/// Asks another worker for an idle connection of its own, since no new one may be made. -1 when none has one.
/// Not interrupted: the reply names the instance, which lives only as long as its slot is held. Every worker answers
/// promptly.
awaitable<int> dialler::borrow(router::instance& on, bool any_age) {
  struct reply {
    int descriptor = -1;
    bool done = false;
  };
  for (auto* other : worker_.shared().workers) {
    if (other == &worker_ || on.connections.idle[other->index()].load(std::memory_order_relaxed) == 0) continue;
    auto answer = std::make_shared<reply>();
    other->post([other, &on, any_age, answer, this] {
      // An older connection may be closing at this moment: of no use to a request that cannot be sent twice, so it
      // makes room.
      const int released = any_age ? other->pool().release(on) : (other->pool().drop_one(on), -1);
      worker_.post([answer, released, this] {
        answer->descriptor = released;
        answer->done = true;
        pause_.cancel();
      });
    });
    while (!answer->done) {
      pause_.expires_at(steady::time_point::max());
      co_await pause_.async_wait(as_result);
    }
    co_return answer->descriptor;
  }
  co_return -1;
}

}  // namespace rouse::gateway
