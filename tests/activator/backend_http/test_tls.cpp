#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <catch2/catch.hpp>

#include <csignal>
#include <memory>
#include <optional>

#include "activator/backend/http/client.hpp"
#include "tests/activator/backend_http/small_server.hpp"

using namespace rouse::backend_http;
using namespace rouse::backend_http::test;

namespace {

std::string pem_of(X509* certificate) {
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(out, certificate);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(out);
  return text;
}

std::string pem_of(EVP_PKEY* key) {
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(out);
  return text;
}

/// A key and a certificate for `names` ("DNS:x,IP:127.0.0.1"; empty: a CA), signed by `by`, or by itself.
struct identity {
  explicit identity(const std::string& names, const identity* by = nullptr)
      : key(EVP_EC_gen("P-256")), certificate(X509_new()) {
    static long serial = 0;
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME* name = X509_get_subject_name(certificate);
    const std::string text = "test " + std::to_string(serial);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1,
                               0);
    X509_set_issuer_name(certificate, X509_get_subject_name(by != nullptr ? by->certificate : certificate));
    X509_EXTENSION* extension = names.empty()
                                    ? X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE")
                                    : X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    X509_sign(certificate, by != nullptr ? by->key : key, EVP_sha256());
  }
  ~identity() {
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  identity(const identity&) = delete;
  identity& operator=(const identity&) = delete;
  EVP_PKEY* key;
  X509* certificate;
};

/// Answers every request over TLS with the CN of the client's certificate ("nobody": none).
class tls_server {
 public:
  tls_server(const identity& who, const identity* clients_by)
      : context_(SSL_CTX_new(TLS_server_method())), server_([this](int fd, int) { serve(fd); }) {
    ::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
    // Nobody has connected yet.
    SSL_CTX_use_certificate(context_, who.certificate);
    SSL_CTX_use_PrivateKey(context_, who.key);
    if (clients_by == nullptr) return;
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context_), clients_by->certificate);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  // The server is joined before the context goes.
  ~tls_server() = default;
  [[nodiscard]] std::uint16_t port() const { return server_.port(); }
  [[nodiscard]] int accepted() const { return server_.accepted(); }

 private:
  struct context_owner {
    explicit context_owner(SSL_CTX* of) : it(of) {}
    ~context_owner() { SSL_CTX_free(it); }
    context_owner(const context_owner&) = delete;
    context_owner& operator=(const context_owner&) = delete;
    operator SSL_CTX*() const { return it; }
    SSL_CTX* it;
  };
  void serve(int fd) {
    SSL* ssl = SSL_new(context_);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
      char part[8192];
      while (SSL_read(ssl, part, sizeof part) > 0) {
        const std::string text = answer(200, SSL_get0_peer_certificate(ssl) != nullptr ? "known" : "nobody");
        if (SSL_write(ssl, text.data(), static_cast<int>(text.size())) <= 0) break;
      }
    }
    SSL_free(ssl);
    ERR_clear_error();
  }
  context_owner context_;
  small_server server_;
};

response ask(boost::asio::io_context& io, client& with) {
  std::optional<response> got;
  const call one = with.send({}, [&](response r) { got = std::move(r); });
  REQUIRE(run_until(io, [&] { return got.has_value(); }));
  return std::move(*got);
}

client_settings at(std::uint16_t port) {
  client_settings settings;
  settings.to.scheme = origin::kind::https;
  settings.to.host = "127.0.0.1";
  settings.to.port = port;
  return settings;
}

}  // namespace

TEST_CASE("TLS: who answers is checked") {
  const identity ca("");
  const identity other_ca("");
  const identity who("DNS:api.example,IP:127.0.0.1", &ca);
  tls_server server(who, nullptr);
  boost::asio::io_context io(1);
  auto settings = at(server.port());
  settings.tls.ca = pem_of(ca.certificate);

  SECTION("the right CA and address") {
    // Several certificates in one text, as bundles have them.
    settings.tls.ca = pem_of(other_ca.certificate) + settings.tls.ca;
    client it(io, settings);
    CHECK(ask(io, it).body == "nobody");
    CHECK(ask(io, it).body == "nobody");
    CHECK(server.accepted() == 1);
  }
  SECTION("a name in place of the address") {
    settings.tls.server_name = "api.example";
    client it(io, settings);
    CHECK(ask(io, it).status == 200);
  }
  SECTION("another name") {
    settings.tls.server_name = "other.example";
    client it(io, settings);
    const auto got = ask(io, it);
    CHECK(got.error.what == fault::unreachable);
    CHECK(got.error.problem.find("certificate verify failed for 127.0.0.1:") == 0);
    CHECK(got.error.problem.find("ostname mismatch") != std::string::npos);
  }
  SECTION("another CA") {
    settings.tls.ca = pem_of(other_ca.certificate);
    client it(io, settings);
    CHECK(ask(io, it).error.problem.find("certificate verify failed") == 0);
    settings.tls.verify = false;
    client careless(io, settings);
    CHECK(ask(io, careless).status == 200);
  }
  SECTION("the system's CAs do not know it") {
    settings.tls.ca.clear();
    client it(io, settings);
    CHECK(ask(io, it).error.problem.find("certificate verify failed") == 0);
  }
  SECTION("settings that cannot be used are said at each request") {
    settings.tls.ca = "no PEM";
    client it(io, settings);
    CHECK(ask(io, it).error.problem.find("the CA that was given is no PEM certificate") == 0);
    settings.tls.ca.clear();
    settings.tls.ca_file = "/does/not/exist";
    client file(io, settings);
    CHECK(ask(io, file).error.problem.find("the CA file /does/not/exist cannot be used") == 0);
  }
}

TEST_CASE("TLS: the client shows its certificate") {
  const identity ca("");
  const identity who("IP:127.0.0.1", &ca);
  const identity me("DNS:me", &ca);
  tls_server server(who, &ca);
  boost::asio::io_context io(1);
  auto settings = at(server.port());
  settings.tls.ca = pem_of(ca.certificate);
  client nobody(io, settings);
  const auto refused = ask(io, nobody);
  CHECK(refused.error);
  INFO(refused.error.problem);
  CHECK(refused.error.problem.find("certificate") != std::string::npos);
  settings.tls.certificate = pem_of(me.certificate);
  settings.tls.key = pem_of(me.key);
  client it(io, settings);
  CHECK(ask(io, it).body == "known");
  settings.tls.key = "nothing";
  client broken(io, settings);
  CHECK(ask(io, broken).error.problem.find("the client certificate's key cannot be used") == 0);
}

TEST_CASE("TLS: the other side speaks plain HTTP") {
  small_server server([](int fd, int) {
    char part[4096];
    if (::recv(fd, part, sizeof part, 0) > 0) say(fd, answer(400, "plain"));
  });
  boost::asio::io_context io(1);
  client it(io, at(server.port()));
  const auto got = ask(io, it);
  CHECK(got.error.what == fault::unreachable);
  CHECK(got.error.problem.find("the TLS handshake with 127.0.0.1:") == 0);
}
