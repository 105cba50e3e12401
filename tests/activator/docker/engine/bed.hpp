#pragma once
// A Docker backend over a real engine and the contract's fixture, for the tests beside this file. They are run by
// tests/e2e/with_docker.py, which says in DOCKER_HOST where the engine is and in ROUSE_TEST_IMAGE what to run.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "activator/backend/docker/container.hpp"
#include "activator/backend/docker/docker_backend.hpp"
#include "activator/backend/http/client.hpp"
#include "tests/activator/backend_contract.hpp"

namespace rouse::docker::test {

inline std::string engine_socket() {
  const char* host = std::getenv("DOCKER_HOST");
  REQUIRE(host != nullptr);
  return std::string(host).substr(7);  // unix://
}
inline std::string test_image() {
  const char* image = std::getenv("ROUSE_TEST_IMAGE");
  REQUIRE(image != nullptr);
  return image;
}

/// One request to the engine, waited for.
inline backend_http::response ask_engine(const std::string& method, const std::string& target,
                                         const std::string& body = {}) {
  boost::asio::io_context io(1);
  backend_http::client_settings settings;
  settings.to = backend_http::unix_origin(engine_socket());
  backend_http::client client(io, settings);
  backend_http::request what;
  what.method = method;
  what.target = "/v1.41" + target;
  what.body = body;
  if (!body.empty()) what.headers.emplace_back("Content-Type", "application/json");
  what.timeout = std::chrono::seconds(60);
  std::optional<backend_http::response> got;
  const auto call = client.send(std::move(what), [&](backend_http::response r) { got = std::move(r); });
  while (!got) {
    io.restart();
    io.run_one();
  }
  INFO(got->error.problem);
  REQUIRE_FALSE(got->error);
  return std::move(*got);
}

/// The containers of an owner, whatever their state.
inline std::vector<container> containers_of(const std::string& owner) {
  const auto got = ask_engine(
      "GET", "/containers/json?all=1&filters=" + percent_encoded("{\"label\":[\"rouse.owner=" + owner + "\"]}"));
  return parse_list(got.body).value();
}

/// Orders a fault of with_docker.py, and waits until it is there.
inline void order(const std::string& word) {
  const char* control = std::getenv("ROUSE_TEST_CONTROL");
  REQUIRE(control != nullptr);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<in_port_t>(std::atoi(std::string(control).substr(10).c_str())));
  const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::connect(s, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  const std::string line = word + "\n";
  ::send(s, line.data(), line.size(), MSG_NOSIGNAL);
  std::string said;
  char part[512];
  for (ssize_t n = 1; n > 0 && said.find('\n') == std::string::npos;) {
    n = ::recv(s, part, sizeof part, 0);
    if (n > 0) said.append(part, static_cast<std::size_t>(n));
  }
  ::close(s);
  INFO(said);
  REQUIRE(said.substr(0, 2) == "ok");
}

inline std::string some_owner() {
  return hash_text(std::random_device{}());
}

inline activator::start_spec spec_of(std::vector<std::string> command) {
  activator::start_spec spec;
  spec.key = 1;
  spec.function = "hello";
  spec.revision = "hello-00001";
  spec.hash = 0xabcd;
  spec.instance = "hello-00001-1";
  spec.image = test_image();
  spec.command = std::move(command);
  spec.start_timeout = std::chrono::seconds(60);
  spec.may_freeze = true;
  return spec;
}
inline activator::start_spec shell(const std::string& script) {
  return spec_of({"/bin/sh", "-c", script});
}

/// The contract's fixture for this backend. What it leaves is removed in the end.
class docker_fixture {
 public:
  static constexpr activator::contract::abilities can{.adopt = true, .sweep = true, .be_full = true, .be_away = true};

  docker_fixture(boost::asio::io_context& io, activator::backend_listener& listener)
      : io_(io), listener_(listener), owner(some_owner()) {
    make();
  }
  ~docker_fixture() {
    backend.reset();
    if (away) order("start");
    for (const auto& one : containers_of(owner)) ask_engine("DELETE", "/containers/" + one.name + "?force=1&v=1");
  }
  docker_fixture(const docker_fixture&) = delete;
  docker_fixture& operator=(const docker_fixture&) = delete;

  void make() {
    docker_settings settings;
    settings.pool = "docker";
    settings.socket = engine_socket();
    settings.owner = owner;
    settings.in_use = in_use;
    settings.note = [this](const std::string& text) { notes.push_back(text); };
    backend = std::make_unique<docker_backend>(io_, listener_, settings);
  }
  activator::backend& get() { return *backend; }
  void destroy() { backend.reset(); }
  void restart() {
    backend.reset();
    make();
  }
  std::size_t running() {
    const auto all = containers_of(owner);
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [](const auto& one) { return one.state != container_state::exited; }));
  }
  /// It asks for more processors than there are.
  void make_full() { cores = 4096; }
  void make_room() { cores = 0; }
  void cut() {
    order("kill");
    away = true;
  }
  void restore() {
    order("start");
    away = false;
  }
  void crash(const router::address&) {}
  activator::start_spec slow() { return shell("trap '' TERM; exec /fast_function 3 500"); }
  activator::start_spec starts() {
    auto spec = spec_of({});
    spec.cpu = cores;
    return spec;
  }
  activator::start_spec ends_itself() { return shell("/fast_function & sleep 1; exit 3"); }
  activator::start_spec ticks() {
    return shell("trap 'echo bye; exit 0' TERM; /fast_function & while :; do echo tick; sleep 0.02; done");
  }
  activator::start_spec dies() { return shell("echo dying; exit 3"); }
  activator::start_spec never_listens() {
    auto spec = spec_of({"/bin/sleep", "3600"});
    spec.start_timeout = std::chrono::milliseconds(900);
    return spec;
  }

 private:
  boost::asio::io_context& io_;
  activator::backend_listener& listener_;

 public:
  const std::string owner;
  const std::shared_ptr<std::set<std::string>> in_use = std::make_shared<std::set<std::string>>();
  double cores = 0;
  bool away = false;
  std::vector<std::string> notes;
  std::unique_ptr<docker_backend> backend;
};

using bed = activator::contract::bench<docker_fixture>;

}  // namespace rouse::docker::test
