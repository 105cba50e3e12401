#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "activator/backend/webhook/webhook_backend.hpp"
#include "tests/activator/backend_contract.hpp"
#include "tests/activator/local_process.hpp"

namespace {

using rouse::activator::start_spec;

/// The scaler of the docs. What it starts is a shell that does what a file says at that time, for the scaler knows one
/// way.
class webhook_fixture {
 public:
  static constexpr rouse::activator::contract::abilities can{
      .write = false, .adopt = true, .be_full = true, .be_away = true};

  webhook_fixture(boost::asio::io_context& io, rouse::activator::backend_listener& listener)
      : io_(io), listener_(listener) {
    std::string name = (std::filesystem::temp_directory_path() / "rouse-webhook-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    run_scaler(20);
    restart();
  }
  ~webhook_fixture() {
    restore();
    scaler_.reset();
    std::filesystem::remove_all(folder_);
  }
  rouse::activator::backend& get() { return *backend_; }
  void destroy() { backend_.reset(); }
  void restart() {
    backend_.reset();
    rouse::webhook::webhook_settings settings;
    settings.pool = "far";
    settings.secret = "secret";
    settings.poll_interval = std::chrono::milliseconds(30);
    settings.request_timeout = std::chrono::milliseconds(500);
    backend_ = std::make_unique<rouse::webhook::webhook_backend>(io_, listener_, settings);
  }

  start_spec starts() { return that("exec " ROUSE_FAST_FUNCTION); }
  start_spec ends_itself() {
    return that("exec /usr/bin/python3 -S -E " ROUSE_TEST_FUNCTIONS "/odd_function.py brief");
  }
  start_spec dies() { return that("exit 3"); }
  start_spec slow() { return that("trap '' TERM; exec " ROUSE_FAST_FUNCTION " 3 500"); }
  start_spec never_listens() {
    auto spec = that("exec sleep 3600");
    spec.start_timeout = std::chrono::milliseconds(300);
    return spec;
  }
  void crash(const rouse::router::address&) {}

  /// Nothing runs when these are called, so a scaler that starts again forgets nothing.
  void make_full() { run_scaler(0); }
  void make_room() { run_scaler(20); }
  void cut() { scaler_->signal(SIGSTOP); }
  void restore() { scaler_->signal(SIGCONT); }

  /// Children of the scaler that are not dead.
  std::size_t running() {
    std::size_t count = 0;
    for (const auto& each : std::filesystem::directory_iterator("/proc")) {
      std::ifstream file(each.path() / "stat");
      std::string text;
      if (!std::getline(file, text)) continue;
      const auto at = text.rfind(") ");
      if (at == std::string::npos || text[at + 2] == 'Z') continue;
      count += std::stoi(text.substr(at + 4)) == scaler_->pid() ? 1 : 0;
    }
    return count;
  }

 private:
  start_spec that(const std::string& does) {
    const auto draft = folder_ / "draft";
    std::ofstream(draft) << does << "\n";
    std::filesystem::rename(draft, folder_ / "does");
    start_spec out;
    out.key = 1;
    out.function = "work";
    out.revision = "v1";
    out.hash = 7;
    out.url = "http://127.0.0.1:" + std::to_string(port_.number()) + "/";
    return out;
  }
  void run_scaler(int most) {
    scaler_.reset();
    scaler_ = std::make_unique<rouse::test::local_process>(
        std::vector<std::string>{"/usr/bin/python3", ROUSE_EXAMPLES "/webhook_scaler.py",
                                 std::to_string(port_.number()), std::to_string(most), "/bin/sh",
                                 (folder_ / "does").string()},
        std::vector<std::string>{"SECRET=secret"});
    if (!rouse::test::wait_listening(port_.number())) FAIL("the scaler does not listen");
  }

  boost::asio::io_context& io_;
  rouse::activator::backend_listener& listener_;
  const rouse::test::held_port port_;
  std::filesystem::path folder_;
  std::unique_ptr<rouse::test::local_process> scaler_;
  std::unique_ptr<rouse::webhook::webhook_backend> backend_;
};

}  // namespace

TEST_CASE("the webhook backend keeps the contract of all backends, by the scaler of the docs") {
  rouse::activator::contract::backend_contract<webhook_fixture>();
}
