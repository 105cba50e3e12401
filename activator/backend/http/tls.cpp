// TLS over a connected socket. The only file that knows of OpenSSL, and the one that holds Asio's part of it.

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/asio/write.hpp>

#include <optional>
#include <utility>

#include "activator/backend/http/transport.hpp"

namespace rouse::backend_http {
namespace {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;

std::string reason(const error_code& error) {
  if (error.category() != asio::error::get_ssl_category()) return error.message();
  const char* text = ::ERR_reason_error_string(static_cast<unsigned long>(error.value()));
  return text != nullptr ? text : error.message();
}

}  // namespace

class tls_context {
 public:
  explicit tls_context(const tls_settings& from)
      : context(ssl::context::tls_client), verify(from.verify), server_name(from.server_name) {
    error_code error;
    context.set_options(
        ssl::context::default_workarounds | ssl::context::no_sslv3 | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1,
        error);
    context.set_verify_mode(verify ? ssl::verify_peer : ssl::verify_none, error);
    if (!from.ca.empty()) {
      context.add_certificate_authority(asio::buffer(from.ca), error);
      note("the CA that was given is no PEM certificate", error);
    }
    if (!from.ca_file.empty()) {
      context.load_verify_file(from.ca_file, error);
      note("the CA file " + from.ca_file + " cannot be used", error);
    }
    if (from.ca.empty() && from.ca_file.empty() && verify) context.set_default_verify_paths(error);
    if (from.certificate.empty() && from.key.empty()) return;
    context.use_certificate_chain(asio::buffer(from.certificate), error);
    note("the client certificate cannot be used", error);
    context.use_private_key(asio::buffer(from.key), ssl::context::pem, error);
    note("the client certificate's key cannot be used", error);
  }

  void note(const std::string& what, const error_code& error) {
    if (error && problem.empty()) problem = what + ": " + reason(error);
  }

  ssl::context context;
  const bool verify;
  const std::string server_name;
  std::string problem;
};

namespace {

class tls_transport final : public transport {
 public:
  tls_transport(asio::io_context& io, int socket, bool v6, ssl::context& context)
      : stream_(tcp::socket(io, v6 ? tcp::v6() : tcp::v4(), socket), context) {}

  /// Who must answer, both for the server to choose its certificate by and for ours to be checked against.
  bool expect(const std::string& name, bool verify) {
    SSL* native = stream_.native_handle();
    const bool numeric = parse_address(name, 0).has_value();
    if (!numeric && SSL_set_tlsext_host_name(native, name.c_str()) != 1) return false;
    if (!verify) return true;
    if (numeric) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(native), name.c_str()) == 1;
    ::SSL_set_hostflags(native, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return ::SSL_set1_host(native, name.c_str()) == 1;
  }

  void handshake(const origin& to, dial_handler done) {
    stream_.async_handshake(ssl::stream_base::client, [self = shared_from_this(), this, whom = describe(to),
                                                       done = std::move(done)](const error_code& error) {
      dialled got;
      if (!error) {
        got.to = self;
      } else {
        got.problem = handshake_problem(error, whom);
        close();
      }
      done(std::move(got));
    });
  }

  void read_some(char* to, std::size_t most, handler done) override {
    stream_.async_read_some(asio::buffer(to, most), [self = shared_from_this(), done = std::move(done)](
                                                        const error_code& error, std::size_t n) { done(error, n); });
  }
  void write(const char* from, std::size_t size, handler done) override {
    asio::async_write(stream_, asio::buffer(from, size),
                      [self = shared_from_this(), done = std::move(done)](const error_code& error, std::size_t n) {
                        done(error, n);
                      });
  }
  void close() override {
    error_code ignored;
    stream_.next_layer().close(ignored);
  }
  bool is_idle() override {
    // An open session has nothing of its own to say between two answers but its end; a late ticket counts as that, too.
    return stream_.next_layer().is_open() && quiet(stream_.next_layer().native_handle());
  }

 private:
  std::string handshake_problem(const error_code& error, const std::string& whom) {
    const long verdict = ::SSL_get_verify_result(stream_.native_handle());
    if (verdict != X509_V_OK)
      return "certificate verify failed for " + whom + ": " + ::X509_verify_cert_error_string(verdict);
    if (error == asio::error::eof || error == ssl::error::stream_truncated || error == asio::error::connection_reset)
      return "the TLS handshake with " + whom +
             " failed: it closed the connection; does it speak TLS, and does it want "
             "a client certificate?";
    return "the TLS handshake with " + whom + " failed: " + reason(error);
  }

  ssl::stream<tcp::socket> stream_;
};

}  // namespace

std::shared_ptr<tls_context> make_tls(const tls_settings& from) {
  return std::make_shared<tls_context>(from);
}

void shake_hands(asio::io_context& io, int socket, bool v6, const origin& to, tls_context& tls,
                 std::shared_ptr<transport>& held, dial_handler done) {
  const auto made = std::make_shared<tls_transport>(io, socket, v6, tls.context);
  std::string problem = tls.problem;
  if (problem.empty() && !made->expect(tls.server_name.empty() ? to.host : tls.server_name, tls.verify))
    problem = "cannot set up TLS for " + describe(to) + ": its name is no host name";
  if (!problem.empty()) {
    asio::post(io, [done = std::move(done), problem = std::move(problem)] {
      dialled got;
      got.problem = problem;
      done(std::move(got));
    });
    return;
  }
  held = made;
  made->handshake(to, std::move(done));
}

}  // namespace rouse::backend_http
