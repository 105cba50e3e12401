// A backend on the backends' thread: calls and reports cross in order, and the end of either side is clean.

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "activator/backend_thread.hpp"
#include "backend_contract.hpp"

using namespace rouse;
using namespace rouse::activator;
namespace asio = boost::asio;

namespace {

/// Answers each call with a report.
class echo final : public backend {
 public:
  echo(asio::io_context& context, backend_listener& to, std::atomic<int>& alive, int probe)
      : context_(context), to_(to), alive_(alive), probe_(probe) {
    ++alive_;
  }
  ~echo() override { --alive_; }
  void serve(const run_spec& spec) override {
    asio::post(context_, [this, key = spec.key] { to_.on_found("p", key, "left"); });
  }
  void all_served() override {
    asio::post(context_, [this] { to_.on_state("p", backend_state{false, "away"}); });
  }
  void start(const start_spec& spec) override {
    where_ = std::this_thread::get_id();
    asio::post(context_, [this, id = spec.id, found = spec.found] {
      to_.on_progress(id, "coming");
      to_.on_output(id, "line of " + found);
      ready_report report;
      report.probe_socket = probe_;
      to_.on_ready(id, report);
      to_.on_leaving(id, "soon");
      to_.on_standing("p", 7, 3);
    });
  }
  void stop(std::uint64_t id, std::chrono::milliseconds) override {
    asio::post(context_, [this, id] { to_.on_exit(id, exit_report{true, true, "exited", "ended", {"bye"}}); });
  }
  [[nodiscard]] std::thread::id where() const { return where_; }

 private:
  asio::io_context& context_;
  backend_listener& to_;
  std::atomic<int>& alive_;
  int probe_;
  std::atomic<std::thread::id> where_;
};

/// Reports at once, as no real one may, so that the report is there before the destruction.
class hasty final : public backend {
 public:
  hasty(backend_listener& to, int probe) : to_(to), probe_(probe) {}
  void start(const start_spec& spec) override {
    ready_report report;
    report.probe_socket = probe_;
    to_.on_ready(spec.id, report);
  }
  void stop(std::uint64_t, std::chrono::milliseconds) override {}

 private:
  backend_listener& to_;
  int probe_;
};

}  // namespace

TEST_CASE("calls go to the thread and reports come back, in order") {
  asio::io_context control{1};
  contract::recorder heard;
  std::atomic<int> alive = 0;
  {
    backend_thread thread(control);
    echo* there = nullptr;
    const int probe = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    auto subject = thread.make(heard, {.can_freeze = true}, [&](asio::io_context& context, backend_listener& to) {
      auto made = std::make_unique<echo>(context, to, alive, probe);
      there = made.get();
      return made;
    });
    CHECK(subject->traits().can_freeze);
    start_spec spec;
    spec.key = 7;
    subject->serve(spec);
    subject->all_served();
    spec.id = 1;
    spec.found = "left";
    subject->start(spec);
    subject->stop(1, std::chrono::milliseconds(0));
    REQUIRE(contract::run_until(control, [&] { return heard.of(1).exits > 0; }));
    CHECK(heard.found == std::vector<std::pair<std::uint32_t, std::string>>{{7, "left"}});
    CHECK(heard.state.problem == "away");
    CHECK(heard.of(1).ready == 1);
    CHECK(heard.of(1).probe_socket == probe);
    CHECK(heard.of(1).leaving);
    CHECK(heard.of(1).lines == std::vector<std::string>{"line of left"});
    CHECK(heard.of(1).exit.last_lines == std::vector<std::string>{"bye"});
    CHECK(heard.of(1).after_exit == 0);
    CHECK(heard.standing[7] == 3);
    CHECK(there->where() != std::this_thread::get_id());
    CHECK(alive == 1);
    subject.reset();
  }
  CHECK(alive == 0);
}

TEST_CASE("what is under way when it is destroyed is not heard of, and no connection is left open") {
  asio::io_context control{1};
  contract::recorder heard;
  const int probe = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  {
    backend_thread thread(control);
    auto subject = thread.make(
        heard, {}, [&](asio::io_context&, backend_listener& to) { return std::make_unique<hasty>(to, probe); });
    start_spec spec;
    spec.id = 1;
    subject->start(spec);
    subject.reset();
  }
  // What the thread had to say is on its way by now.
  contract::settle(control);
  CHECK(heard.of(1).ready == 0);
  CHECK(::fcntl(probe, F_GETFD) == -1);
}
