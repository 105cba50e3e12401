// The activator as the daemon uses it: on a real io_context, with demand from other threads.

#include <catch2/catch.hpp>

#include <malloc.h>

#include <atomic>
#include <list>
#include <memory>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "activator/activator.hpp"
#include "activator/lifecycle.hpp"
#include "fakes.hpp"

using namespace rouse;
using namespace std::chrono_literals;
using activator::parking_lot;
namespace asio = boost::asio;

namespace {

/// Calls back by post, as the gateway does.
struct posting_plane final : activator::data_plane {
  explicit posting_plane(asio::io_context& control) : control(control) {}
  void forget(router::instance&, std::function<void()> then) override { asio::post(control, std::move(then)); }
  void quiesce(std::function<void()> then) override { asio::post(control, std::move(then)); }
  void serve(std::shared_ptr<const activator::view> next, std::function<void()> then) override {
    view = std::move(next);
    asio::post(control, std::move(then));
  }
  asio::io_context& control;
  std::shared_ptr<const activator::view> view;
};

struct rig {
  explicit rig(std::vector<config::function> functions) {
    config->functions = std::move(functions);
    config->pools = {test::a_pool("local")};
    subject = std::make_unique<activator::activator>(control, config, plane, 2, log.logger);
    subject->use_backends(activator::always(backend));
    plane.view = subject->first_view();
  }
  ~rig() {
    callers.clear();
    subject.reset();
  }
  template <class Condition>
  void until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!condition()) {
      REQUIRE(std::chrono::steady_clock::now() < end);
      control.restart();
      control.run_one_for(10ms);
      box.deliver();
    }
  }
  [[nodiscard]] const std::shared_ptr<activator::revision_runtime>& at(std::uint32_t function) const {
    return plane.view->services.at(function)->targets.at(0).runtime;
  }
  test::caller& request(std::uint32_t function = 0) {
    auto& one = callers.emplace_back(at(function), box);
    last = one.ask();
    return one;
  }
  [[nodiscard]] activator::revision_status status(std::size_t function) const {
    return subject->status().at(function).revisions.at(0);
  }
  void exits(std::uint64_t id) {
    activator::exit_report report;
    report.was_asked = std::ranges::count(backend.stops, id, &test::fake_backend::stop_call::id) > 0;
    report.reason = "exited";
    report.detail = "exited with status 0";
    subject->on_exit(id, std::move(report));
  }

  asio::io_context control{1};
  std::shared_ptr<config::snapshot> config = std::make_shared<config::snapshot>();
  test::readable_log log;
  posting_plane plane{control};
  test::fake_backend backend;
  activator::mailbox box{[] {}};
  std::unique_ptr<activator::activator> subject;
  std::list<test::caller> callers;
  parking_lot::park_result last{};
};

std::vector<config::function> functions(const std::vector<std::string>& names) {
  std::vector<config::function> out;
  for (const auto& name : names) {
    out.push_back(test::a_function(name));
    out.back().revisions[0].concurrency = 1;
  }
  return out;
}

}  // namespace

TEST_CASE("functions are found by name, and stand in the view by index") {
  rig r(functions({"a", "b", "c"}));
  CHECK(r.plane.view->services.size() == 3);
  CHECK(r.plane.view->snapshot == r.config);
  REQUIRE(r.subject->find("b"));
  CHECK(r.subject->find("b")->runtime() == r.plane.view->services[1]->function);
  CHECK_FALSE(r.subject->find("bb"));
  CHECK_FALSE(r.subject->find(""));
  CHECK_FALSE(r.subject->find("d"));
  CHECK(r.subject->status().at(2).name == "c");
}

TEST_CASE("queue limits of the config bound the lot") {
  auto all = functions({"a"});
  all[0].queue.max_requests = 2;
  rig r(std::move(all));
  r.request();
  r.request();
  CHECK(r.last == parking_lot::park_result::parked);
  r.request();
  CHECK(r.last == parking_lot::park_result::queue_full);
}

TEST_CASE("demand starts an instance, which serves, goes idle and is freed") {
  auto all = functions({"a", "b"});
  all[1].revisions[0].scale.idle = 50ms;
  rig r(std::move(all));
  auto& one = r.request(1);
  CHECK(r.backend.starts.empty());  // on the control thread, not on the caller's
  r.until([&] { return !r.backend.starts.empty(); });
  CHECK(r.backend.starts[0].function == "b");
  r.subject->on_output(1, "hello");
  r.subject->on_ready(1, test::ready_on(20'000));
  r.until([&] { return one.served(); });
  CHECK(r.subject->find("b")->runtime()->output.since(0).size() == 1);

  one.end();
  const auto idle_from = std::chrono::steady_clock::now();
  r.until([&] { return !r.backend.stops.empty(); });
  const auto took = std::chrono::steady_clock::now() - idle_from;
  CHECK(took >= 49ms);
  r.exits(1);
  r.until([&] { return r.status(1).instances.empty(); });
  CHECK(r.status(1).decision_counts.at({false, activator::scale_cause::idle}) == 1);
}

TEST_CASE("ids are never used twice, whichever the function") {
  rig r(functions({"a", "b"}));
  r.request(0);
  r.request(1);
  r.request(0);
  r.until([&] { return r.backend.starts.size() == 3; });
  std::vector<std::uint64_t> ids;
  for (const auto& start : r.backend.starts) ids.push_back(start.id);
  std::ranges::sort(ids);
  CHECK(ids == std::vector<std::uint64_t>{1, 2, 3});
}

TEST_CASE("start() starts what min asks for and nothing else") {
  auto all = functions({"a", "b", "c"});
  all[1].revisions[0].scale.min = 2;
  rig r(std::move(all));
  r.subject->start();
  REQUIRE(r.backend.starts.size() == 2);
  CHECK(r.backend.starts[0].function == "b");
  r.control.restart();
  r.exits(1);
  CHECK(r.log.has("error function b"));
}

TEST_CASE("demand from many threads makes few evaluations and loses none") {
  rig r(functions({"a"}));
  constexpr int each = 200;
  std::atomic<int> parked{0};
  const auto park = [&](std::list<test::caller>& mine, activator::mailbox& box, unsigned worker) {
    for (int i = 0; i < each; ++i) {
      if (mine.emplace_back(r.at(0), box, worker).ask() == parking_lot::park_result::parked) ++parked;
    }
  };
  std::list<test::caller> first;
  std::list<test::caller> second;
  activator::mailbox first_box([] {});
  activator::mailbox second_box([] {});
  std::thread one([&] { park(first, first_box, 0); });
  std::thread other([&] { park(second, second_box, 1); });
  r.until([&] { return parked == 2 * each && r.backend.starts.size() == 20; });
  one.join();
  other.join();
  CHECK(r.status(0).desired == 20);
}

TEST_CASE("shutdown calls back once, when the last instance has exited") {
  rig r(functions({"a", "b"}));
  int done = 0;

  SECTION("with nothing running") {
    r.subject->shut_down(std::chrono::steady_clock::now() + 20s, [&] { ++done; });
    CHECK(done == 0);  // not from inside
    r.until([&] { return done == 1; });
  }
  SECTION("with a busy and an idle one") {
    auto& a = r.request(0);
    auto& b = r.request(1);
    r.until([&] { return r.backend.starts.size() == 2; });
    r.subject->on_ready(1, test::ready_on(20'000));
    r.subject->on_ready(2, test::ready_on(20'001));
    r.until([&] { return a.served() && b.served(); });
    b.end();
    r.subject->shut_down(std::chrono::steady_clock::now() + 20s, [&] { ++done; });
    REQUIRE(r.backend.stops.size() == 1);
    r.exits(r.backend.stops[0].id);
    CHECK(r.backend.stops.size() == 1);
    a.end();
    r.until([&] { return r.backend.stops.size() == 2; });
    r.exits(r.backend.stops[1].id);
    r.until([&] { return done == 1; });
  }
  SECTION("work parked while it goes on is waited for until the deadline") {
    r.request(0);
    r.until([&] { return r.backend.starts.size() == 1; });
    const auto began = std::chrono::steady_clock::now();
    r.subject->shut_down(began + 100ms, [&] { ++done; });
    r.until([&] { return !r.backend.stops.empty(); });
    CHECK(std::chrono::steady_clock::now() - began >= 100ms);
    r.exits(1);
    r.until([&] { return done == 1; });
  }
  SECTION("a second call hurries, and its callback replaces the first") {
    auto& a = r.request(0);
    r.until([&] { return r.backend.starts.size() == 1; });
    r.subject->on_ready(1, test::ready_on(20'000));
    r.until([&] { return a.served(); });
    r.subject->shut_down(std::chrono::steady_clock::now() + 1h, [&] { done += 100; });
    CHECK(r.backend.stops.empty());
    r.subject->shut_down(std::chrono::steady_clock::now(), [&] { ++done; });
    REQUIRE(r.backend.stops == std::vector<test::fake_backend::stop_call>{{1, 0ms}});
    r.exits(1);
    r.until([&] { return done == 1; });
  }
  r.subject->shut_down(std::chrono::steady_clock::now(), [&] { ++done; });
  r.control.restart();
  r.control.run_for(20ms);  // nothing is left on the timer: this returns when the queue is empty
  CHECK(done == 1);
}

TEST_CASE("it may go while evaluations, timers and callbacks are under way") {
  auto r = std::make_unique<rig>(functions({"a"}));
  r->request(0);
  r->until([&] { return r->backend.starts.size() == 1; });
  r->subject->on_ready(1, test::ready_on(20'000));
  r->box.deliver();
  r->callers.clear();
  r->request(0);
  r->request(0);  // parks: an evaluation is posted
  r->callers.clear();
  r->subject.reset();
  r->control.restart();
  r->control.run();
}

TEST_CASE("ten thousand functions cost little to have") {
  std::vector<std::string> names;
  for (int i = 10'000; i < 20'000; ++i) names.push_back("function-" + std::to_string(i));
  auto all = functions(names);
  const auto before = ::mallinfo2().uordblks;
  const auto began = std::chrono::steady_clock::now();
  rig r(std::move(all));
  const auto took = std::chrono::steady_clock::now() - began;
  const auto bytes = (::mallinfo2().uordblks - before) / names.size();
  CAPTURE(bytes);
  CHECK(took < 1s);
  CHECK(bytes < 4096);
  r.subject->start();
  r.control.run_for(5ms);                   // the schedules of the pools are looked at once
  CHECK(r.control.run_one_for(20ms) == 0);  // nothing ticks
  REQUIRE(r.subject->find("function-15000"));
  CHECK(r.subject->find("function-15000")->runtime() == r.plane.view->services[5000]->function);
}

TEST_CASE("whether it is a standby is told once that is known of every backend, and when it changes") {
  rig r(functions({"a"}));
  std::vector<bool> told;
  r.subject->on_standby([&](bool standby) { told.push_back(standby); });
  const auto turn = [&] {
    r.control.restart();
    r.control.poll();
  };

  SECTION("where none can be, at the beginning") {
    r.subject->start();
    CHECK(told.empty());  // not from inside a call
    turn();
    CHECK(told == std::vector{false});
    r.subject->on_state("local", {.standby = false, .problem = "slow"});
    turn();
    CHECK(told.size() == 1);
  }
  SECTION("one that can be is waited for") {
    r.backend.shared = true;
    r.subject->start();
    turn();
    CHECK(told.empty());
    SECTION("and is none") {
      r.subject->on_state("local", {});
      CHECK(told == std::vector{false});
      r.subject->on_state("local", {});
      CHECK(told.size() == 1);
    }
    SECTION("and cannot know, which is no reason to be idle") {
      r.subject->on_state("local", {.standby = false, .problem = "the API server is away"});
      CHECK(told == std::vector{false});
    }
    SECTION("and is one, until it takes over") {
      r.subject->on_state("local", {.standby = true, .problem = {}});
      CHECK(told == std::vector{true});
      r.subject->on_state("local", {});
      CHECK(told == std::vector{true, false});
    }
  }
}

TEST_CASE("a configuration without the pool of a standby makes it none") {
  rig r(functions({"a"}));
  std::vector<bool> told;
  r.subject->on_standby([&](bool standby) { told.push_back(standby); });
  r.backend.shared = true;
  r.subject->start();
  r.control.poll();
  r.subject->on_state("local", {.standby = true, .problem = {}});
  REQUIRE(told == std::vector{true});
  r.backend.shared = false;
  auto next = std::make_shared<config::snapshot>(*r.config);
  SECTION("for it is reached in another way") {
    next->pools[0].connection.network = "another";
  }
  SECTION("for it has another name") {
    next->pools[0].name = "other";
  }
  r.subject->reload(next, std::make_shared<const router::route_table>(*next));
  CHECK(told.size() == 1);
  r.control.restart();
  r.control.poll();
  CHECK(told == std::vector{true, false});
}

TEST_CASE("a backend of which a part came back is asked again, whatever is wrong with the rest") {
  rig r(functions({"a"}));
  r.subject->start();
  r.request();
  r.until([&] { return r.backend.starts.size() == 1; });
  r.subject->on_state("local", {.standby = false, .problem = "a and b are away"});
  activator::exit_report away;
  away.reason = "unavailable";
  away.detail = "a is away";
  r.subject->on_exit(1, away);
  r.request();
  CHECK(r.last == parking_lot::park_result::start_failed);
  r.subject->on_state("local", {.standby = false, .problem = "b is away"});
  r.request();
  CHECK(r.last == parking_lot::park_result::start_failed);
  r.subject->on_state("local", {.standby = false, .problem = "b is away", .recoveries = 1});
  r.request();
  CHECK(r.last == parking_lot::park_result::parked);
  r.until([&] { return r.backend.starts.size() == 2; });
}
