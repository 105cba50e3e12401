#pragma once
// A connection to an origin, whatever it runs over, and how one is made. Belongs to the thread of its io_context. Only
// the files of this folder include it.

#include <boost/asio/io_context.hpp>
#include <boost/system/error_code.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "activator/backend/http/client.hpp"
#include "activator/backend/http/origin.hpp"

namespace rouse::backend_http {

/// One operation at a time in each direction. A handler is called once, never from inside, with operation_aborted after
/// close(); it keeps the transport alive until then, and must itself keep the buffer.
class transport : public std::enable_shared_from_this<transport> {
 public:
  using handler = std::function<void(const boost::system::error_code&, std::size_t)>;
  virtual ~transport() = default;
  virtual void read_some(char* to, std::size_t most, handler done) = 0;
  /// Writes all of it.
  virtual void write(const char* from, std::size_t size, handler done) = 0;
  virtual void close() = 0;
  /// Of an idle one: the other side has neither closed it nor said something that nobody asked for, as far as one look
  /// at the socket can tell.
  [[nodiscard]] virtual bool is_idle() = 0;
};

/// What TLS needs, made once for a client. Without a context there is a problem to say.
class tls_context;

/// Never throws: what is wrong with the settings is said by each connect.
[[nodiscard]] std::shared_ptr<tls_context> make_tls(const tls_settings& from);

/// A connection that is being made. Destroying or cancelling it forgets the handler.
class dialling {
 public:
  virtual ~dialling() = default;
  virtual void cancel() = 0;
};

/// A transport, or why there is none, as a sentence: "connection refused by 10.0.0.1:6443".
struct dialled {
  std::shared_ptr<transport> to;
  std::string problem;
};
using dial_handler = std::function<void(dialled)>;

/// Looks the name up and tries its addresses in turn, none of them for longer than 3 s where another follows. Gives up
/// only when told to: the caller has the clock. `tls` is needed for https.
[[nodiscard]] std::shared_ptr<dialling> dial(boost::asio::io_context& io, const origin& to,
                                             std::shared_ptr<tls_context> tls, dial_handler done);

/// Takes over a connected, non-blocking TCP socket for https: shakes hands. Used by dial().
void shake_hands(boost::asio::io_context& io, int socket, bool v6, const origin& to, tls_context& tls,
                 std::shared_ptr<transport>& held, dial_handler done);

/// Whether nothing is to be read of a socket and it was not closed.
[[nodiscard]] bool quiet(int socket);
/// "connection refused by X" and so on.
[[nodiscard]] std::string connect_problem(const boost::system::error_code& error, const origin& to);

}  // namespace rouse::backend_http
