#pragma once
// What every backend must do, whatever it runs. A backend's test program makes a fixture and calls
// backend_contract<F>() inside a TEST_CASE. The fixture is constructed as F(boost::asio::io_context&,
// backend_listener&) and has:
//
//   backend& get();               the backend under test
//   void destroy();               destroys it, whatever runs
//   start_spec starts();          listens soon and answers GET / with 200
//   start_spec ends_itself();     the same, and ends on its own a little later
//   start_spec ticks();           the same as starts(), writes lines all the time, and when it is asked to end the line
//   "bye";
//                                 only asked for where can_freeze()
//   start_spec dies();            writes the line "dying" and ends before it listens
//   start_spec never_listens();   runs, but not as it should; its start_timeout is under a second
//
// The contract chooses the ids.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "activator/backend/backend.hpp"

namespace rouse::activator::contract {

/// Keeps everything that a backend reports, and notices what no backend may do.
class recorder final : public backend_listener {
 public:
  struct history {
    int ready = 0;
    int exits = 0;
    int after_exit = 0;
    bool leaving = false;
    router::address where;
    int probe_socket = -1;
    exit_report exit;
    std::vector<std::string> lines;
  };

  ~recorder() {
    for (const auto& [id, one] : of_)
      if (one.probe_socket >= 0) ::close(one.probe_socket);
  }
  void on_ready(std::uint64_t id, ready_report report) override {
    history& one = note(id);
    ++one.ready;
    one.where = report.where;
    one.probe_socket = report.probe_socket;
  }
  void on_exit(std::uint64_t id, exit_report report) override {
    history& one = note(id);
    ++one.exits;
    one.exit = std::move(report);
  }
  void on_output(std::uint64_t id, std::string line) override { note(id).lines.push_back(std::move(line)); }

  void on_progress(std::uint64_t id, std::string /*text*/) override { note(id); }
  void on_leaving(std::uint64_t id, std::string /*detail*/) override { note(id).leaving = true; }
  void on_found(const std::string& /*pool*/, std::uint32_t key, std::string name) override {
    found.emplace_back(key, std::move(name));
    if (inside_call) ++reports_from_inside;
  }
  void on_standing(const std::string& /*pool*/, std::uint32_t key, unsigned count) override { standing[key] = count; }
  void on_state(const std::string& /*pool*/, backend_state news) override { state = std::move(news); }

  history& of(std::uint64_t id) { return of_[id]; }
  std::vector<std::pair<std::uint32_t, std::string>> found;  ///< key and name
  std::map<std::uint32_t, unsigned> standing;
  backend_state state;
  /// Set while a call into the backend runs: it must not report from inside.
  bool inside_call = false;
  int reports_from_inside = 0;

 private:
  history& note(std::uint64_t id) {
    if (inside_call) ++reports_from_inside;
    history& one = of_[id];
    if (one.exits > 0) ++one.after_exit;
    return one;
  }
  std::map<std::uint64_t, history> of_;
};

/// Runs the control context until `done`; false when `within` passes first.
inline bool run_until(boost::asio::io_context& control, const std::function<bool()>& done,
                      std::chrono::milliseconds within = std::chrono::seconds(20)) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    control.restart();
    control.run_one_for(std::chrono::milliseconds(10));
  }
  return true;
}

/// Runs everything that is due now.
inline void settle(boost::asio::io_context& control) {
  control.restart();
  while (control.poll() > 0) {
  }
}

/// A blocking connection, or -1.
inline int dial(const router::address& where) {
  sockaddr_storage to{};
  socklen_t size = 0;
  if (where.v6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(to);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(where.port);
    std::memcpy(&v6.sin6_addr, where.bytes.data(), 16);
    size = sizeof v6;
  } else {
    auto& v4 = reinterpret_cast<sockaddr_in&>(to);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(where.port);
    std::memcpy(&v4.sin_addr, where.bytes.data(), 4);
    size = sizeof v4;
  }
  const int s = ::socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(s, reinterpret_cast<const sockaddr*>(&to), size) == 0) return s;
  ::close(s);
  return -1;
}

/// The status line's code of GET / on a connected socket, which is closed; 0 when there is no answer within five
/// seconds.
inline int get_status(int s) {
  ::fcntl(s, F_SETFL, ::fcntl(s, F_GETFL) & ~O_NONBLOCK);
  const timeval patience{5, 0};
  ::setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const std::string request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  ::send(s, request.data(), request.size(), MSG_NOSIGNAL);
  std::string head(12, '\0');
  const ssize_t n = ::recv(s, head.data(), head.size(), MSG_WAITALL);
  ::close(s);
  return n == 12 && head.compare(0, 7, "HTTP/1.") == 0 ? std::stoi(head.substr(9)) : 0;
}

template <class Fixture>
class bench {
 public:
  bench() : fixture(control, heard) {}

  std::uint64_t start(start_spec spec) {
    spec.id = ++last_id_;
    heard.inside_call = true;
    fixture.get().start(spec);
    heard.inside_call = false;
    return spec.id;
  }
  void stop(std::uint64_t id, std::chrono::milliseconds grace) {
    heard.inside_call = true;
    fixture.get().stop(id, grace);
    heard.inside_call = false;
  }
  void freeze(std::uint64_t id) {
    heard.inside_call = true;
    fixture.get().freeze(id);
    heard.inside_call = false;
  }
  void thaw(std::uint64_t id) {
    heard.inside_call = true;
    fixture.get().thaw(id);
    heard.inside_call = false;
  }
  /// Until it writes nothing for a while.
  bool falls_silent(std::uint64_t id) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < deadline) {
      const std::size_t before = of(id).lines.size();
      const auto more = [&] { return of(id).lines.size() > before || of(id).exits > 0; };
      if (!run_until(control, more, std::chrono::milliseconds(150))) return true;
    }
    return false;
  }
  /// Until it has written some more.
  bool speaks(std::uint64_t id) {
    const std::size_t enough = of(id).lines.size() + 3;
    return run_until(control, [&] { return of(id).lines.size() >= enough; });
  }
  recorder::history& of(std::uint64_t id) { return heard.of(id); }
  bool ready(std::uint64_t id) {
    return run_until(control, [&] { return of(id).ready > 0 || of(id).exits > 0; }) && of(id).ready > 0;
  }
  bool ended(std::uint64_t id) {
    return run_until(control, [&] { return of(id).exits > 0; });
  }

  boost::asio::io_context control{1};
  recorder heard;
  Fixture fixture;

 private:
  std::uint64_t last_id_ = 0;
};

/// What must hold of every instance, however its life went, once it has ended.
inline void check_end(const recorder::history& one) {
  CHECK(one.exits == 1);
  CHECK(one.ready <= 1);
  CHECK(one.exit.was_ready == (one.ready == 1));
  CHECK_FALSE(one.exit.reason.empty());
  CHECK(one.exit.reason.find(' ') == std::string::npos);
  CHECK_FALSE(one.exit.detail.empty());
  CHECK(one.exit.last_lines.size() <= 20);
  for (const auto& line : one.lines) {
    CHECK(line.size() <= 16 * 1024);
    CHECK(line.find('\n') == std::string::npos);
  }
}

template <class Fixture>
void freeze_contract(bench<Fixture>& on) {
  using std::chrono::milliseconds;
  const auto id = on.start(on.fixture.ticks());
  on.freeze(id);  // too early: ignored
  REQUIRE(on.ready(id));
  REQUIRE(on.speaks(id));
  // Used up, for a server with one thread waits on it.
  if (const int probe = std::exchange(on.of(id).probe_socket, -1); probe >= 0) CHECK(get_status(probe) == 200);
  on.freeze(id);
  on.freeze(id);
  REQUIRE(on.falls_silent(id));

  SECTION("a frozen instance goes on when it is thawed, any number of times") {
    const int waiting = dial(on.of(id).where);  // the kernel takes the connection
    REQUIRE(waiting >= 0);
    on.thaw(id);
    on.thaw(id);
    CHECK(on.speaks(id));
    CHECK(get_status(waiting) == 200);
    for (int i = 0; i < 10; ++i) {
      on.freeze(id);
      on.thaw(id);
    }
    CHECK(on.speaks(id));
    on.freeze(id);
    CHECK(on.falls_silent(id));
    on.thaw(id);
    CHECK(on.speaks(id));
    on.stop(id, milliseconds(0));
    REQUIRE(on.ended(id));
  }
  SECTION("a frozen instance that is stopped ends politely") {
    on.stop(id, milliseconds(20'000));
    on.freeze(id);  // too late: ignored
    REQUIRE(on.ended(id));
    REQUIRE_FALSE(on.of(id).exit.last_lines.empty());
    const auto& last = on.of(id).exit.last_lines;
    CHECK(std::find(last.begin(), last.end(), "bye") != last.end());
  }
  SECTION("a frozen instance is ended by force as any other") {
    on.stop(id, milliseconds(0));
    REQUIRE(on.ended(id));
  }
  check_end(on.of(id));
  CHECK(on.of(id).exit.was_asked);
  on.freeze(id);
  on.thaw(id);
  on.freeze(987654321);
  on.thaw(987654321);
  settle(on.control);
  CHECK(on.of(id).exits == 1);
}

template <class Fixture>
void backend_contract() {
  using std::chrono::milliseconds;
  bench<Fixture> on;

  SECTION("an instance that listens is ready once, can be reached, and ends when asked") {
    const auto id = on.start(on.fixture.starts());
    REQUIRE(on.ready(id));
    const auto where = on.of(id).where;
    CHECK(get_status(dial(where)) == 200);
    const int probe = std::exchange(on.of(id).probe_socket, -1);
    if (probe >= 0) {
      CHECK((::fcntl(probe, F_GETFL) & O_NONBLOCK) != 0);
      CHECK(get_status(probe) == 200);
    }
    on.stop(id, milliseconds(5000));
    REQUIRE(on.ended(id));
    check_end(on.of(id));
    CHECK(on.of(id).exit.was_asked);
    CHECK(dial(where) == -1);
  }
  SECTION("one that dies before it listens says why, at once, and was never ready") {
    auto spec = on.fixture.dies();
    spec.start_timeout = std::chrono::seconds(60);
    const auto id = on.start(spec);
    REQUIRE(on.ended(id));
    check_end(on.of(id));
    CHECK(on.of(id).ready == 0);
    CHECK_FALSE(on.of(id).exit.was_asked);
    REQUIRE_FALSE(on.of(id).exit.last_lines.empty());
    CHECK(on.of(id).exit.last_lines.back() == "dying");
    CHECK(on.of(id).lines == on.of(id).exit.last_lines);
  }
  SECTION("one that never listens is ended at its start_timeout") {
    const auto id = on.start(on.fixture.never_listens());
    REQUIRE(on.ended(id));
    check_end(on.of(id));
    CHECK(on.of(id).exit.reason == "timeout");
    CHECK_FALSE(on.of(id).exit.was_asked);
  }
  SECTION("one that ends on its own after it was ready is reported though nobody asked") {
    const auto id = on.start(on.fixture.ends_itself());
    REQUIRE(on.ready(id));
    REQUIRE(on.ended(id));
    check_end(on.of(id));
    CHECK_FALSE(on.of(id).exit.was_asked);
    CHECK(dial(on.of(id).where) == -1);
  }
  SECTION("stop() works at any moment of a start, and any number of times") {
    const auto at_once = on.start(on.fixture.starts());
    on.stop(at_once, milliseconds(0));
    const auto politely = on.start(on.fixture.never_listens());
    on.stop(politely, milliseconds(5000));
    on.stop(politely, milliseconds(5000));
    on.stop(politely, milliseconds(0));
    REQUIRE(on.ended(at_once));
    REQUIRE(on.ended(politely));
    for (const auto id : {at_once, politely}) {
      check_end(on.of(id));
      CHECK(on.of(id).exit.was_asked);
      on.stop(id, milliseconds(0));
    }
    on.stop(987654321, milliseconds(0));
    settle(on.control);
    CHECK(on.of(at_once).exits == 1);
    CHECK(on.of(politely).exits == 1);
    CHECK(on.of(987654321).exits == 0);
  }
  SECTION("several at once have addresses of their own") {
    std::vector<std::uint64_t> ids;
    for (int i = 0; i < 5; ++i) ids.push_back(on.start(on.fixture.starts()));
    std::set<std::pair<decltype(router::address::bytes), std::uint16_t>> places;
    for (const auto id : ids) {
      REQUIRE(on.ready(id));
      places.emplace(on.of(id).where.bytes, on.of(id).where.port);
    }
    CHECK(places.size() == ids.size());
    for (const auto id : ids) on.stop(id, milliseconds(0));
    for (const auto id : ids) {
      REQUIRE(on.ended(id));
      check_end(on.of(id));
    }
  }
  if (on.fixture.get().can_freeze()) {
    SECTION("frozen") {
      freeze_contract(on);
    }
  }
  SECTION("a destroyed backend reports nothing any more") {
    const auto running = on.start(on.fixture.starts());
    REQUIRE(on.ready(running));
    const auto starting = on.start(on.fixture.never_listens());
    on.fixture.destroy();
    const bool spoke = run_until(
        on.control, [&] { return on.of(running).exits + on.of(starting).exits > 0; }, milliseconds(50));
    CHECK_FALSE(spoke);
  }
  CHECK(on.heard.reports_from_inside == 0);
  for (std::uint64_t id = 1; id < 10; ++id) CHECK(on.of(id).after_exit == 0);
}

}  // namespace rouse::activator::contract
