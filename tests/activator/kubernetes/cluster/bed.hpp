#pragma once
// A backend beside a real API server, run by tests/e2e/with_kubernetes.py: a namespace of its own for each, Deployments
// made as they are asked for, and orders to the node that the test plays.

#include <stdlib.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <istream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "activator/backend/kubernetes/access.hpp"
#include "activator/backend/kubernetes/api.hpp"
#include "activator/backend/kubernetes/kubernetes_backend.hpp"
#include "tests/activator/backend_contract.hpp"

namespace rouse::kubernetes::test {

using nlohmann::json;

inline std::string environment(const char* name) {
  const char* value = std::getenv(name);
  REQUIRE(value != nullptr);  // run by tests/e2e/with_kubernetes.py
  return value;
}

/// One order at ROUSE_TEST_CONTROL; what it answers.
inline std::string order(const std::string& words) {
  using boost::asio::ip::tcp;
  const std::string at = environment("ROUSE_TEST_CONTROL");
  const auto colon = at.rfind(':');
  boost::asio::io_context io;
  tcp::socket to(io);
  to.connect({boost::asio::ip::make_address(at.substr(0, colon)),
              static_cast<unsigned short>(std::stoi(at.substr(colon + 1)))});
  boost::asio::write(to, boost::asio::buffer(words + "\n"));
  boost::asio::streambuf got;
  boost::asio::read_until(to, got, '\n');
  std::istream line(&got);
  std::string text;
  std::getline(line, text);
  INFO(words << ": " << text);
  REQUIRE(text.substr(0, 2) == "ok");
  return text.size() > 3 ? text.substr(3) : std::string();
}

/// Requests as an administrator, one after another.
class administrator {
 public:
  json ask(const std::string& method, const std::string& path, const json& body = nullptr,
           const char* type = "application/json") {
    boost::asio::io_context io{1};
    std::string problem;
    const auto text = environment("KUBECONFIG");
    access_settings from;
    from.kubeconfig = text;
    const auto how = find_access(
        from, [](const char*) { return std::string(); }, problem);
    INFO(problem);
    REQUIRE(how);
    const auto with = api::make(io, *how, "default", problem);
    backend_http::response got;
    const auto call = with->send(method, path, body.is_null() ? std::string() : body.dump(), type,
                                 std::chrono::seconds(30), [&](backend_http::response answer) {
                                   got = std::move(answer);
                                   io.stop();
                                 });
    io.run();
    INFO(method << " " << path << ": " << got.status << " " << got.body << got.error.problem);
    REQUIRE(got.status >= 200);
    REQUIRE(got.status < 300);
    return json::parse(got.body);
  }
};

/// For backend_contract.
class fixture {
 public:
  static constexpr activator::contract::abilities can{.write = false, .adopt = true, .be_full = true, .be_away = true};

  fixture(boost::asio::io_context& control, activator::backend_listener& listener)
      : control_(control), listener_(listener), space_(order("namespace")) {
    char folder[] = "/tmp/rouse-pods-XXXXXX";
    REQUIRE(::mkdtemp(folder) != nullptr);
    folder_ = folder;
    restart();
  }
  ~fixture() {
    backend_.reset();
    std::system(("rm -rf " + folder_).c_str());
  }
  activator::backend& get() { return *backend_; }
  void destroy() { backend_.reset(); }
  void restart() {
    kubernetes_settings settings;
    settings.pool = "k";
    settings.name_space = space_;
    settings.kubeconfig = environment("ROUSE_TEST_KUBECONFIG_LINK");
    settings.owner = "contract";
    backend_.reset();
    backend_ = std::make_unique<kubernetes_backend>(control_, listener_, settings);
  }

  activator::start_spec starts() { return spec_of("starts", {}, {}); }
  /// It runs once, and after that something that does not listen.
  activator::start_spec ends_itself() {
    return spec_of(
        "once", {},
        {"/bin/sh", "-c",
         "if [ -e " + folder_ + "/$HOST ]; then exec sleep 3600; fi; : > " + folder_ + "/$HOST; exec " + function()});
  }
  void crash(const router::address& where) {
    const int s = activator::contract::dial(where);
    REQUIRE(s >= 0);
    const std::string request = "GET /crash HTTP/1.1\r\nHost: x\r\n\r\n";
    CHECK(::send(s, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size()));
    char byte = 0;
    CHECK(::recv(s, &byte, 1, 0) <= 0);
    ::close(s);
  }
  activator::start_spec dies() { return spec_of("dies", "crash-loop", {}); }
  activator::start_spec never_listens() {
    auto spec = spec_of("never", "never-ready", {});
    spec.start_timeout = std::chrono::milliseconds(700);
    return spec;
  }
  activator::start_spec slow() {
    return spec_of("slow", {}, {"/bin/sh", "-c", "trap '' TERM; exec " + function() + " 3 500"});
  }
  activator::start_spec ticks() { return starts(); }  // never asked for
  std::size_t running() { return pods("starts").size(); }
  void make_full() {
    admin_.ask("POST", quotas(), {{"metadata", {{"name", "none"}}}, {"spec", {{"hard", {{"pods", "0"}}}}}});
    REQUIRE(activator::contract::run_until(control_, [&] {
      const auto quota = admin_.ask("GET", quotas() + "/none");
      return quota.contains("status") && quota["status"].contains("hard");
    }));
  }
  void make_room() { admin_.ask("DELETE", quotas() + "/none"); }
  void cut() { order("cut"); }
  void restore() { order("restore"); }

  [[nodiscard]] const std::string& space() const noexcept { return space_; }
  [[nodiscard]] const std::string& folder() const noexcept { return folder_; }
  administrator& admin() noexcept { return admin_; }
  json pods(const std::string& name) {
    return admin_.ask("GET", "/api/v1/namespaces/" + space_ + "/pods?labelSelector=app%3D" + name)["items"];
  }
  [[nodiscard]] std::string deployment(const std::string& name) const {
    return "/apis/apps/v1/namespaces/" + space_ + "/deployments/" + name;
  }
  unsigned replicas(const std::string& name) {
    return admin_.ask("GET", deployment(name))["spec"]["replicas"].get<unsigned>();
  }
  void scale_by_hand(const std::string& name, unsigned to) {
    admin_.ask("PATCH", deployment(name) + "/scale", {{"spec", {{"replicas", to}}}}, "application/merge-patch+json");
  }

  activator::start_spec spec_of(const std::string& name, const std::string& behaviour,
                                const std::vector<std::string>& command) {
    if (made_.insert(name).second) make(name, behaviour, command);
    activator::start_spec spec;
    spec.key = 7;
    spec.function = spec.revision = "contract";
    spec.deployment = name;
    spec.start_timeout = std::chrono::seconds(60);
    return spec;
  }

 private:
  static std::string function() { return environment("ROUSE_FAST_FUNCTION"); }
  [[nodiscard]] std::string quotas() const { return "/api/v1/namespaces/" + space_ + "/resourcequotas"; }
  void make(const std::string& name, const std::string& behaviour, const std::vector<std::string>& command) {
    json container{{"name", "function"}, {"image", "x"}, {"ports", {{{"name", "http"}, {"containerPort", 8080}}}}};
    if (!command.empty()) container["command"] = command;
    const json labels{{"app", name}};
    json meta{{"labels", labels}};
    if (!behaviour.empty()) meta["annotations"] = {{"rouse.test/behaviour", behaviour}};
    json pod{{"containers", json::array({container})}, {"terminationGracePeriodSeconds", 2}};
    admin_.ask("POST", "/apis/apps/v1/namespaces/" + space_ + "/deployments",
               {{"metadata", {{"name", name}}},
                {"spec",
                 {{"replicas", 0},
                  {"selector", {{"matchLabels", labels}}},
                  {"template", {{"metadata", meta}, {"spec", pod}}}}}});
    admin_.ask(
        "POST", "/api/v1/namespaces/" + space_ + "/services",
        {{"metadata", {{"name", name}}},
         {"spec", {{"selector", labels}, {"ports", {{{"name", "http"}, {"port", 80}, {"targetPort", "http"}}}}}}});
  }

  boost::asio::io_context& control_;
  activator::backend_listener& listener_;
  std::string space_, folder_;
  administrator admin_;
  std::set<std::string> made_;
  std::unique_ptr<kubernetes_backend> backend_;
};

}  // namespace rouse::kubernetes::test
