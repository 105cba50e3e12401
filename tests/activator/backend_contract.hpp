#pragma once
// What every backend must do, whatever it runs. A backend's test program makes a fixture and calls
// backend_contract<F>() inside a TEST_CASE. Not every backend can do everything: `F::can` says what this one can, and
// the parts of the contract that need more are left out. The fixture is constructed as F(boost::asio::io_context&,
// backend_listener&) and has:
//
//   static constexpr abilities can;
//   backend& get();               the backend under test
//   void destroy();               destroys it, whatever runs
//   start_spec starts();          listens soon and answers GET / with 200. As all that follow, with the same key
//   start_spec ends_itself();     the same, and ends on its own a little later, or when crash() is called
//   void crash(const router::address&);   ends what listens there from outside, where it does not end on its own
//   start_spec dies();            ends before it listens; writes the line "dying" where can.write
//   start_spec never_listens();   runs, but not as it should; its start_timeout is under a second
//   start_spec slow();            answers after about half a second; ignores being asked to end politely
//
// and where `can` says so
//
//   start_spec ticks();           where traits().can_freeze: the same as starts(), writes lines all the time, and when
//   it is
//                                 asked to end the line "bye"
//   void restart();               ended, or can.adopt: as if rouse was killed and started again: the backend is gone
//                                 without a word and another one there, in the same surroundings
//   std::size_t running();        can.adopt: instances of starts() that exist, however they came to be
//   void make_full();             can.be_full: the next start finds no room
//   void make_room();
//   void cut();                   can.be_away: what it talks to does not answer any more
//   void restore();
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

/// What a backend can do beside starting and stopping.
struct abilities {
  bool end = true;       ///< stop() ends the instance; else it only is not used any more
  bool write = true;     ///< tells what instances write
  bool time_out = true;  ///< has instances that may listen too late
  bool adopt = false;    ///< instances outlive it and are found by the next one; else they end with it
  bool sweep = false;    ///< ends instances of revisions that are not served any more
  bool be_full = false;  ///< can be without room
  bool be_away = false;  ///< talks to something that can be away
};

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
  void on_state(const std::string& /*pool*/, backend_state news) override {
    state = std::move(news);
    ++states;
  }

  history& of(std::uint64_t id) { return of_[id]; }
  std::vector<std::pair<std::uint32_t, std::string>> found;  ///< key and name
  std::map<std::uint32_t, unsigned> standing;
  backend_state state;
  int states = 0;  ///< how often it was told
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

/// A blocking connection, or -1. An address that nobody has any more answers nothing at all.
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
  const timeval patience{1, 0};
  ::setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (::connect(s, reinterpret_cast<const sockaddr*>(&to), size) == 0) return s;
  ::close(s);
  return -1;
}

/// GET / on a connected socket: ask() sends it; answer() is the code of the status line, 0 when there is none within
/// five seconds, and closes it.
inline void ask(int s) {
  ::fcntl(s, F_SETFL, ::fcntl(s, F_GETFL) & ~O_NONBLOCK);
  const timeval patience{5, 0};
  ::setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const std::string request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  ::send(s, request.data(), request.size(), MSG_NOSIGNAL);
}
inline int answer(int s) {
  std::string head(12, '\0');
  const ssize_t n = ::recv(s, head.data(), head.size(), MSG_WAITALL);
  ::close(s);
  return n == 12 && head.compare(0, 7, "HTTP/1.") == 0 ? std::stoi(head.substr(9)) : 0;
}
inline int get_status(int s) {
  ask(s);
  return answer(s);
}

template <class Fixture>
class bench {
 public:
  bench() : fixture(control, heard) {}

  /// As the activator does before the first start, and after it was restarted.
  void serve(const run_spec& spec) {
    heard.inside_call = true;
    fixture.get().serve(spec);
    fixture.get().all_served();
    heard.inside_call = false;
    served_ = true;
  }
  std::uint64_t start(start_spec spec, std::string found = {}) {
    if (!served_) serve(spec);
    spec.id = ++last_id_;
    spec.instance = spec.revision + "-" + std::to_string(spec.id);
    spec.found = std::move(found);
    heard.inside_call = true;
    fixture.get().start(spec);
    heard.inside_call = false;
    return spec.id;
  }
  /// rouse is killed and comes back; nothing is served yet.
  void restart() {
    fixture.restart();
    heard.found.clear();
    served_ = false;
  }
  void stop(std::uint64_t id, std::chrono::milliseconds grace) {
    heard.inside_call = true;
    fixture.get().stop(id, grace);
    heard.inside_call = false;
  }
  void let_go(std::uint64_t id, std::chrono::milliseconds grace) {
    heard.inside_call = true;
    fixture.get().let_go(id, grace);
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

  /// Until nothing listens there any more.
  bool refuses(const router::address& where) {
    return run_until(control, [&] {
      const int s = dial(where);
      if (s >= 0) ::close(s);
      return s < 0;
    });
  }
  /// Until an instance was found that nobody started; its name.
  std::string found() {
    REQUIRE(run_until(control, [&] { return !heard.found.empty(); }));
    return heard.found.front().second;
  }

  boost::asio::io_context control{1};
  recorder heard;
  Fixture fixture;

 private:
  std::uint64_t last_id_ = 0;
  bool served_ = false;
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

/// rouse comes back, in whatever way it went.
template <class Fixture>
void restart_contract(bench<Fixture>& on) {
  using std::chrono::milliseconds;
  const auto first = on.start(on.fixture.starts());
  REQUIRE(on.ready(first));
  const auto where = on.of(first).where;
  if (const int probe = std::exchange(on.of(first).probe_socket, -1); probe >= 0) ::close(probe);
  if constexpr (!Fixture::can.adopt) {
    on.restart();
    CHECK(on.refuses(where));
    const auto next = on.start(on.fixture.starts());
    REQUIRE(on.ready(next));
    on.stop(next, milliseconds(0));
    REQUIRE(on.ended(next));
  } else {
    bool let_go = false;
    SECTION("after it was killed") {
      on.restart();
    }
    SECTION("after it had let go") {
      on.let_go(first, milliseconds(5000));
      REQUIRE(on.ended(first));
      check_end(on.of(first));
      CHECK(on.of(first).exit.reason == "kept");
      CHECK(on.of(first).exit.was_asked);
      CHECK(get_status(dial(where)) == 200);
      let_go = true;
      on.restart();
    }
    SECTION("what is found can be taken over") {
      if (!let_go) on.restart();
      on.serve(on.fixture.starts());
      const auto name = on.found();
      CHECK(on.heard.found.front().first == on.fixture.starts().key);
      const auto taken = on.start(on.fixture.starts(), name);
      REQUIRE(on.ready(taken));
      CHECK(on.of(taken).where.bytes == where.bytes);
      CHECK(on.of(taken).where.port == where.port);
      CHECK(on.fixture.running() == 1);
      CHECK(on.heard.found.size() == 1);
      on.stop(taken, milliseconds(5000));
      REQUIRE(on.ended(taken));
      CHECK(on.refuses(where));
      CHECK(on.fixture.running() == 0);
    }
    SECTION("what is found serves a start that waits, and is not doubled") {
      if (!let_go) on.restart();
      const auto again = on.start(on.fixture.starts());
      REQUIRE(on.ready(again));
      CHECK(on.of(again).where.bytes == where.bytes);
      CHECK(on.fixture.running() == 1);
      CHECK(on.heard.found.empty());
      on.stop(again, milliseconds(0));
      REQUIRE(on.ended(again));
      CHECK(on.refuses(where));
    }
    if constexpr (Fixture::can.sweep) {
      SECTION("what is not served any more is ended") {
        if (!let_go) on.restart();
        auto other = on.fixture.starts();
        other.key += 1;
        other.revision += "-next";
        other.hash += 1;
        on.serve(other);
        CHECK(on.refuses(where));
        CHECK(run_until(on.control, [&] { return on.fixture.running() == 0; }));
        CHECK(on.heard.found.empty());
      }
      SECTION("what was found and is forgotten is ended") {
        if (!let_go) on.restart();
        on.serve(on.fixture.starts());
        on.found();
        on.fixture.get().forget(on.fixture.starts().key);
        CHECK(on.refuses(where));
        CHECK(run_until(on.control, [&] { return on.fixture.running() == 0; }));
      }
    }
  }
}

/// What it talks to does not answer for a while: what is ready is not touched by that.
template <class Fixture>
void away_contract(bench<Fixture>& on) {
  using std::chrono::milliseconds;
  const auto kept = on.start(on.fixture.starts());
  const auto ended = on.start(on.fixture.starts());
  REQUIRE(on.ready(kept));
  REQUIRE(on.ready(ended));
  on.fixture.cut();
  auto spec = on.fixture.starts();
  spec.start_timeout = milliseconds(1500);
  const auto late = on.start(spec);
  on.stop(ended, milliseconds(0));
  REQUIRE(on.ended(late));
  check_end(on.of(late));
  CHECK(on.of(late).exit.reason == "unavailable");
  CHECK(run_until(on.control, [&] { return !on.heard.state.problem.empty(); }));
  CHECK(on.of(kept).exits == 0);
  CHECK_FALSE(on.of(kept).leaving);
  CHECK(get_status(dial(on.of(kept).where)) == 200);

  const auto recoveries = on.heard.state.recoveries;
  on.fixture.restore();
  CHECK(run_until(on.control, [&] { return on.heard.state.problem.empty(); }));
  CHECK(on.heard.state.recoveries > recoveries);
  REQUIRE(on.ended(ended));
  CHECK(on.refuses(on.of(ended).where));
  const auto next = on.start(on.fixture.starts());
  REQUIRE(on.ready(next));
  CHECK(on.of(kept).exits == 0);
  CHECK(get_status(dial(on.of(kept).where)) == 200);
  for (const auto id : {kept, next}) on.stop(id, milliseconds(0));
  for (const auto id : {kept, next}) REQUIRE(on.ended(id));
}

template <class Fixture>
void full_contract(bench<Fixture>& on) {
  on.fixture.make_full();
  const auto refused = on.start(on.fixture.starts());
  REQUIRE(on.ended(refused));
  check_end(on.of(refused));
  CHECK(on.of(refused).exit.reason == "no-capacity");
  CHECK_FALSE(on.of(refused).exit.was_asked);
  on.fixture.make_room();
  // The activator asks again after a while, and so may the backend's own view of things be a little old.
  std::uint64_t id = 0;
  for (int i = 0; i < 20; ++i) {
    id = on.start(on.fixture.starts());
    if (on.ready(id)) break;
    run_until(
        on.control, [] { return false; }, std::chrono::milliseconds(250));
  }
  REQUIRE(on.of(id).ready == 1);
  on.stop(id, std::chrono::milliseconds(0));
  REQUIRE(on.ended(id));
}

template <class Fixture>
void backend_contract() {
  using std::chrono::milliseconds;
  bench<Fixture> on;

  if (on.fixture.get().traits().may_be_standby) {
    REQUIRE(run_until(on.control, [&] { return on.heard.states > 0; }));
    CHECK_FALSE(on.heard.state.standby);
  }

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
    if (Fixture::can.end) {
      CHECK(on.refuses(where));
    } else {
      CHECK(get_status(dial(where)) == 200);
    }
  }
  SECTION("one that dies before it listens says why, soon, and was never ready") {
    auto spec = on.fixture.dies();
    spec.start_timeout = std::chrono::seconds(60);
    const auto id = on.start(spec);
    REQUIRE(on.ended(id));
    check_end(on.of(id));
    CHECK(on.of(id).ready == 0);
    CHECK_FALSE(on.of(id).exit.was_asked);
    if (Fixture::can.write) {
      REQUIRE_FALSE(on.of(id).exit.last_lines.empty());
      CHECK(on.of(id).exit.last_lines.back() == "dying");
      CHECK(on.of(id).lines == on.of(id).exit.last_lines);
    }
  }
  if (Fixture::can.time_out) {
    SECTION("one that never listens is ended at its start_timeout") {
      const auto id = on.start(on.fixture.never_listens());
      REQUIRE(on.ended(id));
      check_end(on.of(id));
      CHECK(on.of(id).exit.reason == "timeout");
      CHECK_FALSE(on.of(id).exit.was_asked);
    }
  }
  SECTION("one that is asked to end while it works has its grace to finish") {
    const auto id = on.start(on.fixture.slow());
    REQUIRE(on.ready(id));
    if (const int probe = std::exchange(on.of(id).probe_socket, -1); probe >= 0) ::close(probe);
    const int busy = dial(on.of(id).where);
    REQUIRE(busy >= 0);
    ask(busy);
    on.stop(id, milliseconds(20'000));
    settle(on.control);
    CHECK(answer(busy) == 200);
    on.stop(id, milliseconds(0));
    REQUIRE(on.ended(id));
    check_end(on.of(id));
    if (Fixture::can.end) CHECK(on.refuses(on.of(id).where));
  }
  SECTION("one that ends on its own after it was ready is reported though nobody asked") {
    const auto id = on.start(on.fixture.ends_itself());
    REQUIRE(on.ready(id));
    on.fixture.crash(on.of(id).where);
    REQUIRE(on.ended(id));
    check_end(on.of(id));
    CHECK_FALSE(on.of(id).exit.was_asked);
    CHECK(on.refuses(on.of(id).where));
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
  if constexpr (requires { on.fixture.ticks(); }) {
    if (on.fixture.get().traits().can_freeze) {
      SECTION("frozen") {
        freeze_contract(on);
      }
    }
  }
  if constexpr (Fixture::can.end || Fixture::can.adopt) {
    SECTION("restarted") {
      restart_contract(on);
    }
  }
  if constexpr (Fixture::can.be_full) {
    SECTION("full") {
      full_contract(on);
    }
  }
  if constexpr (Fixture::can.be_away) {
    SECTION("away") {
      away_contract(on);
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
