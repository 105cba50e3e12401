#pragma once
// An admin server that runs, with a control thread of its own and made-up functions, and a caller of plain sockets.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <spdlog/logger.h>
#include <spdlog/sinks/null_sink.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "activator/activator.hpp"
#include "activator/output_ring.hpp"
#include "gateway/admin/admin_server.hpp"

namespace rouse::test {

using namespace std::chrono_literals;

inline activator::function_status busy_function() {
  activator::function_status status;
  status.name = "hello";
  status.parked = 3;
  status.parked_bytes = 4096;
  status.in_flight = 7;
  auto& revision = status.revisions.emplace_back();
  revision.function = "hello";
  revision.revision = "hello-0badcafe";
  revision.weight = 1;
  revision.parked = 3;
  revision.in_flight = 7;
  revision.desired = 2;
  revision.max = 20;
  activator::instance_status ready;
  ready.id = 11;
  ready.name = "hello-0badcafe-11";
  ready.pool = "local";
  ready.state = "ready";
  ready.address = "127.0.0.1:20001";
  ready.in_flight = 7;
  ready.age = 65s;
  activator::instance_status starting;
  starting.id = 12;
  starting.name = "hello-0badcafe-12";
  starting.pool = "local";
  starting.state = "starting";
  revision.instances = {ready, starting};
  activator::decision_status decision;
  decision.at = std::chrono::system_clock::time_point(1714564800123ms);  // 2024-05-01T12:00:00.123Z
  decision.from = 1;
  decision.to = 2;
  decision.reason = "3 parked + 7 in flight / 7 per instance -> 2";
  decision.cause = activator::scale_cause::demand;
  revision.decisions = {decision};
  revision.decision_counts = {{{true, activator::scale_cause::demand}, 2}};
  return status;
}

/// Keeps what was asked for, and answers with what the test says: later, through the admin thread's context, as the
/// contract of `actions` wants it.
class fake_actions final : public gateway::actions {
 public:
  explicit fake_actions(boost::asio::io_context& admin) : admin_(admin) {}

  void scale(std::string function, std::optional<unsigned> min, std::optional<unsigned> max, done then) override {
    const auto text = [](std::optional<unsigned> value) { return value ? std::to_string(*value) : std::string("-"); };
    note("scale " + function + " " + text(min) + " " + text(max), std::move(then));
  }
  void traffic(std::string function, std::map<std::string, std::uint32_t> weights, done then) override {
    std::string asked = "traffic " + function;
    for (const auto& [name, weight] : weights) asked += " " + name + "=" + std::to_string(weight);
    note(asked, std::move(then));
  }
  void restart(std::string function, done then) override { note("restart " + function, std::move(then)); }
  void cordon(std::string pool, bool cordoned, done then) override {
    note((cordoned ? "cordon " : "uncordon ") + pool, std::move(then));
  }
  void reload(done then) override { note("reload", std::move(then)); }
  void drain(done then) override { note("drain", std::move(then)); }
  /// Asked at every scrape too, so it is not written down.
  void events(done then) override {
    gateway::action_result result;
    result.events = numbers;
    boost::asio::post(admin_, [then = std::move(then), result] { then(result); });
  }
  void dead_letters(gateway::dead_letter_question which, done then) override {
    note("dead-letters " + text(which) + " after " + std::to_string(which.after), std::move(then));
  }
  void redrive(gateway::dead_letter_question which, done then) override {
    note("redrive " + text(which), std::move(then));
  }
  void purge(gateway::dead_letter_question which, done then) override { note("purge " + text(which), std::move(then)); }

  std::shared_ptr<const gateway::event_numbers> numbers = std::make_shared<const gateway::event_numbers>();

  void answer_with(gateway::action_result result) {
    const std::lock_guard lock(mutex_);
    result_ = std::move(result);
  }
  /// Keeps the next caller waiting.
  void keep_silent() {
    const std::lock_guard lock(mutex_);
    silent_ = true;
  }
  /// All that was asked for since the last call.
  [[nodiscard]] std::vector<std::string> asked() {
    const std::lock_guard lock(mutex_);
    return std::exchange(asked_, {});
  }

 private:
  static std::string text(const gateway::dead_letter_question& which) {
    return which.id ? "#" + std::to_string(*which.id) : which.owner.empty() ? "all" : which.owner;
  }
  void note(std::string what, done then) {
    const std::lock_guard lock(mutex_);
    asked_.push_back(std::move(what));
    if (silent_) {
      kept_ = std::move(then);
    } else {
      boost::asio::post(admin_, [then = std::move(then), result = result_] { then(result); });
    }
  }

  boost::asio::io_context& admin_;
  std::mutex mutex_;
  std::vector<std::string> asked_;
  gateway::action_result result_{200, {}, "done", {}};
  bool silent_ = false;
  done kept_;
};

/// One TCP connection, blocking, with a deadline on every read.
class caller {
 public:
  explicit caller(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) throw std::runtime_error("cannot connect");
  }
  ~caller() { ::close(fd_); }
  caller(const caller&) = delete;
  caller& operator=(const caller&) = delete;

  void send(const std::string& text) const { (void)!::send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }
  void end_sending() const { ::shutdown(fd_, SHUT_WR); }

  /// Reads until `enough` is in what was read; false at the end of the connection or after 5 s.
  bool read_until(const std::string& enough) {
    while (got_.find(enough) == std::string::npos) {
      if (!read_more()) return false;
    }
    return true;
  }
  /// Reads to the end of the connection; false after 5 s.
  bool read_to_end() {
    while (read_more()) {
    }
    return ended_;
  }
  /// One answer with a Content-Length: head and body.
  std::string read_answer() {
    if (!read_until("\r\n\r\n")) return std::exchange(got_, {});
    const auto head = got_.find("\r\n\r\n") + 4;
    const auto field = got_.find("Content-Length: ");
    const std::size_t size = field < head ? std::stoul(got_.substr(field + 16)) : 0;
    while (got_.size() < head + size && read_more()) {
    }
    const auto answer = got_.substr(0, head + size);
    got_.erase(0, head + size);
    return answer;
  }
  [[nodiscard]] const std::string& got() const { return got_; }

 private:
  bool read_more() {
    pollfd ready{fd_, POLLIN, 0};
    if (::poll(&ready, 1, 5000) != 1) return false;
    char piece[65536];
    const auto size = ::recv(fd_, piece, sizeof piece, 0);
    ended_ = size <= 0;
    if (size > 0) got_.append(piece, static_cast<std::size_t>(size));
    return size > 0;
  }

  int fd_;
  bool ended_ = false;
  std::string got_;
};

class running_admin {
 public:
  explicit running_admin(std::string token = {}, std::string host = "127.0.0.1")
      : log_("test", std::make_shared<spdlog::sinks::null_sink_mt>()), workers_(1) {
    snapshot.server.admin_token = std::move(token);
    workers_[0] = std::make_unique<gateway::worker_stats>();
    status = {busy_function()};
    status.emplace_back();
    status.back().name = "idle";
    status.back().revisions.emplace_back().revision = "idle-00000000";
    status.back().revisions[0].weight = 1;
    pools.emplace_back().name = "local";
    pools[0].backend = "process";
    pools[0].instances = 2;

    gateway::admin_sources sources{snapshot.server, {}, {}, story, control_, {}, {}, log_};
    sources.status = [this](gateway::status_list& all) {
      const std::lock_guard lock(mutex);
      all.functions = status;
      all.pools = pools;
      return true;
    };
    sources.output = [this](std::string_view name) {
      // Borrowed: the ring lives as long as all this.
      return std::shared_ptr<const activator::output_ring>(std::shared_ptr<void>(),
                                                           name == "hello" ? &output : nullptr);
    };
    sources.actions = &actions;
    sources.workers = {workers_[0].get()};
    sources.unready = [this] { return std::string_view(unready.load()); };
    server_ =
        std::make_unique<gateway::admin_server>(admin_, config::listen_address{std::move(host), 0}, std::move(sources));
    server_->start();
    control_thread_ = std::thread([this] { control_.run(); });
    admin_thread_ = std::thread([this] { admin_.run(); });
  }
  ~running_admin() {
    stop();
    stop_control();
  }

  /// Returns once the server's context has nothing left to do.
  void stop() {
    server_->stop();
    if (admin_thread_.joinable()) admin_thread_.join();
  }
  void stop_control() {
    work_.reset();
    control_.stop();
    if (control_thread_.joinable()) control_thread_.join();
  }

  [[nodiscard]] std::uint16_t port() const { return server_->port(); }
  void ask_to_stop() { server_->stop(); }
  /// The only writer of the counters is whoever calls this before anybody asks.
  gateway::worker_stats& worker() { return *workers_[0]; }

  /// One request on a connection of its own, answered whole.
  std::string ask(const std::string& method, const std::string& target, const std::string& fields = {},
                  const std::string& body = {}) const {
    return raw(method + ' ' + target + " HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n" + body);
  }
  /// One that changes state, as the command line sends it.
  std::string change(const std::string& method, const std::string& target, const std::string& body,
                     const std::string& fields = "Content-Type: application/json\r\n") const {
    return ask(method, target, fields + "Content-Length: " + std::to_string(body.size()) + "\r\n", body);
  }
  std::string get(const std::string& target, const std::string& fields = {}) const {
    return ask("GET", target, fields);
  }
  std::string raw(const std::string& request) const {
    caller one(port());
    one.send(request);
    return one.read_answer();
  }

  config::snapshot snapshot;
  activator::output_ring output;
  const std::shared_ptr<activator::chronicle> story = std::make_shared<activator::chronicle>();
  std::atomic<const char*> unready{""};
  std::mutex mutex;
  std::vector<activator::function_status> status;  ///< guarded by mutex
  std::vector<activator::pool_status> pools;       ///< guarded by mutex

 private:
  boost::asio::io_context admin_{1};

 public:
  fake_actions actions{admin_};

 private:
  spdlog::logger log_;
  boost::asio::io_context control_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{control_.get_executor()};
  std::vector<std::unique_ptr<gateway::worker_stats>> workers_;
  std::unique_ptr<gateway::admin_server> server_;
  std::thread control_thread_;
  std::thread admin_thread_;
};

inline std::string body_of(const std::string& answer) {
  const auto end = answer.find("\r\n\r\n");
  return end == std::string::npos ? std::string() : answer.substr(end + 4);
}
inline unsigned status_of(const std::string& answer) {
  return answer.rfind("HTTP/1.1 ", 0) == 0 ? static_cast<unsigned>(std::stoul(answer.substr(9, 3))) : 0;
}
inline bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// True as soon as `condition` is; false after 5 s.
template <typename Condition>
bool soon(Condition condition) {
  for (const auto end = std::chrono::steady_clock::now() + 5s; std::chrono::steady_clock::now() < end;) {
    if (condition()) return true;
    std::this_thread::sleep_for(1ms);
  }
  return condition();
}

}  // namespace rouse::test
