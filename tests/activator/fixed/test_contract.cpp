#include <array>
#include <memory>
#include <string>

#include "activator/backend/fixed/static_backend.hpp"
#include "tests/activator/backend_contract.hpp"
#include "tests/activator/local_process.hpp"

namespace {

using rouse::activator::start_spec;

/// Five servers that run anyway, a slow one, and a place where nobody is.
class static_fixture {
 public:
  static constexpr rouse::activator::contract::abilities can{
      .end = false, .write = false, .time_out = false, .be_full = true};

  static_fixture(boost::asio::io_context& io, rouse::activator::backend_listener& listener) {
    make_room();
    run(slow_, slow_port_, {ROUSE_FAST_FUNCTION, "3", "500"});
    rouse::fixed::static_settings settings;
    settings.pool = "servers";
    settings.check_interval = std::chrono::milliseconds(50);
    backend_ = std::make_unique<rouse::fixed::static_backend>(io, listener, settings);
  }
  rouse::activator::backend& get() { return *backend_; }
  void destroy() { backend_.reset(); }

  start_spec starts() const {
    std::vector<std::string> all;
    for (const auto& port : ports_) all.push_back(at(port));
    return with(std::move(all));
  }
  start_spec ends_itself() const { return starts(); }
  start_spec never_listens() const { return starts(); }
  start_spec dies() const { return with({at(nobody_)}); }
  start_spec slow() const { return with({at(slow_port_)}); }
  void crash(const rouse::router::address& where) {
    for (std::size_t i = 0; i < ports_.size(); ++i)
      if (ports_[i].number() == where.port) servers_[i].reset();
  }
  void make_full() {
    for (auto& each : servers_) each.reset();
  }
  void make_room() {
    for (std::size_t i = 0; i < ports_.size(); ++i) run(servers_[i], ports_[i], {ROUSE_FAST_FUNCTION});
  }

 private:
  static std::string at(const rouse::test::held_port& port) { return "127.0.0.1:" + std::to_string(port.number()); }
  static start_spec with(std::vector<std::string> endpoints) {
    start_spec out;
    out.key = 1;
    out.function = "app";
    out.revision = "app-1";
    out.endpoints = std::move(endpoints);
    return out;
  }
  static void run(std::unique_ptr<rouse::test::local_process>& where, const rouse::test::held_port& port,
                  std::vector<std::string> command) {
    where = std::make_unique<rouse::test::local_process>(
        std::move(command), std::vector<std::string>{"PORT=" + std::to_string(port.number())});
    if (!rouse::test::wait_listening(port.number())) FAIL("no server listens on " << port.number());
  }

  std::array<rouse::test::held_port, 5> ports_;
  rouse::test::held_port slow_port_, nobody_;
  std::array<std::unique_ptr<rouse::test::local_process>, 5> servers_;
  std::unique_ptr<rouse::test::local_process> slow_;
  std::unique_ptr<rouse::fixed::static_backend> backend_;
};

}  // namespace

TEST_CASE("the static backend keeps the contract of all backends") {
  rouse::activator::contract::backend_contract<static_fixture>();
}
