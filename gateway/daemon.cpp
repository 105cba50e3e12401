#include "gateway/daemon.hpp"

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/signal_set.hpp>

#include "activator/activator.hpp"
#include "activator/backend/process/keeper.hpp"
#include "gateway/access_log.hpp"
#include "gateway/admin/admin_server.hpp"
#include "gateway/backends.hpp"
#include "gateway/events/service.hpp"
#include "gateway/listener.hpp"
#include "gateway/logging.hpp"
#include "gateway/operations.hpp"
#include "gateway/version.hpp"
#include "gateway/worker.hpp"

namespace rouse::gateway {

namespace {

using namespace std::chrono_literals;

constexpr auto drain_poll = 20ms;
constexpr auto last_patience = 10s;  // for instances that were told to end by force

bool is_loopback(const config::listen_address& where) {
  error_code ec;
  const auto address = asio::ip::make_address(where.host, ec);
  return !ec && address.is_loopback();
}

bool shows_errors(const config::server& server) {
  if (server.expose_errors != config::expose_errors::automatic)
    return server.expose_errors == config::expose_errors::always;
  return std::all_of(server.listen.begin(), server.listen.end(), is_loopback);
}

unsigned worker_count(const config::server& server) {
  return server.workers ? server.workers : std::max(1u, std::thread::hardware_concurrency());
}

/// Every connection is a descriptor or two: take all that the system allows.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// What is large goes back to the system when it is freed. Left to itself, malloc learns from the first body of 10 MiB
/// to keep such blocks in its heaps, where one small one behind them holds them.
void return_large_blocks() {
  ::mallopt(M_MMAP_THRESHOLD, 256 * 1024);
  ::mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
}

/// The calling thread gives way to the rest of rouse where processors are short: a scrape takes tens of milliseconds of
/// one, a request far less. At a tenth of the weight it still gets ahead on a machine that is fully busy.
void yield_to_others() {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), ::getpriority(PRIO_PROCESS, 0) + 10);
}

std::string describe(const tcp::endpoint& where) {
  const auto address = where.address().to_string();
  return (where.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(where.port());
}

/// Owns everything that runs, in the order in which it must end.
class daemon final : public activator::data_plane {
 public:
  daemon(std::shared_ptr<const config::snapshot> snapshot, const serve_options& options,
         const process::keeper_handle& keeper, log_output& log)
      : first_(std::move(snapshot)),
        server_(first_->server),
        options_(options),
        log_(log.logger()),
        access_(server_.access_log, log_),
        store_(server_.data_dir),
        backends_(
            backends::surroundings{control_, activator_, log_, keeper.socket(), process_options(), server_.data_dir}),
        activator_(control_, first_, *this, worker_count(server_), log_, read_settings()),
        view_(activator_.first_view()),
        site_(site{server_, view_, access_, log_, shows_errors(server_), nullptr, {}}),
        events_(events::service::surroundings{admin_context_, log_, server_.data_dir, [this] { return site_.workers; },
                                              [this] {
                                                const std::lock_guard lock(view_mutex_);
                                                return view_;
                                              }}),
        signals_(control_, SIGTERM, SIGINT, SIGHUP),
        drain_timer_(control_) {
    activator_.use_backends([this](const config::pool& of) { return backends_.make(of); });
    activator_.on_standby([this](bool standby) { hear_standby(standby); });
    site_.events = &events_;
    for (unsigned i = 0; i < worker_count(server_); ++i) {
      workers_.push_back(std::make_unique<worker>(i, site_));
      site_.workers.push_back(workers_.back().get());
    }
    for (const auto& where : server_.listen) {
      listeners_.push_back(std::make_unique<listener>(where, *workers_.front(), site_));
    }
    admin_sources sources{server_, {}, {}, activator_.story(), control_, {}, {}, log_};
    sources.status = [this](status_list& out) {
      if (!activator_.add_status(out.so_far, std::chrono::microseconds(100))) return false;
      out.control_wait = &activator_.control_wait();
      out.functions = std::move(out.so_far.functions);
      out.pools = activator_.pools();
      return true;
    };
    sources.output = [this](std::string_view name) { return output_of(name); };
    operations_ = std::make_unique<operations>(
        operations::surroundings{admin_context_, control_, activator_, log_, options.config_path, first_,
                                 [this] { return draining_; }, [this] { begin_drain(); },
                                 [this](const config::snapshot& next) { return events_.prepare(next); },
                                 [this](const config::snapshot& next) { return events_.apply(next); }, &events_},
        store_);
    sources.actions = operations_.get();
    for (const auto& one : workers_) sources.workers.push_back(&one->stats());
    sources.unready = [this] { return std::string_view(unready_.load(std::memory_order_relaxed)); };
    admin_ = std::make_unique<admin_server>(admin_context_, server_.admin, std::move(sources));
  }

  int run() {
    wait_for_signal();
    admin_->start();  // may throw, so before anything runs
    if (options_.watch) operations_->watch(options_.sources);
    operations_->keep_what_holds();
    auto problem = events_.prepare(*first_);
    if (problem.empty()) problem = events_.apply(*first_);
    if (!problem.empty()) throw std::runtime_error(problem);
    activator_.start();
    std::vector<std::thread> threads;
    for (const auto& one : workers_) threads.emplace_back([&one] { one->run(); });
    threads.emplace_back([this] {
      yield_to_others();
      admin_context_.run();
    });
    for (const auto& one : listeners_) one->start();
    control_.run();
    for (auto& thread : threads) thread.join();
    return 0;
  }

  void forget(router::instance& which, std::function<void()> then) override {
    if (const int probe = which.connections.probe_socket.exchange(-1); probe >= 0) {
      ::close(probe);
      which.connections.connections.fetch_sub(1, std::memory_order_seq_cst);
    }
    on_every_worker([&which](worker& one) { one.pool().drop(which); }, std::move(then));
  }
  void quiesce(std::function<void()> then) override {
    on_every_worker([](worker&) {}, std::move(then));
  }
  void serve(std::shared_ptr<const activator::view> next, std::function<void()> then) override {
    {
      const std::lock_guard lock(view_mutex_);
      view_ = next;
    }
    on_every_worker([next](worker& one) { one.serve_by(next); }, std::move(then));
  }

 private:
  /// How instances are frozen is news to those who have something to freeze.
  [[nodiscard]] process::process_options process_options() {
    process::process_options made;
    const bool freezes = std::ranges::any_of(first_->functions, [](const config::function& one) {
      return std::ranges::any_of(
          one.revisions, [](const config::revision& each) { return each.scale.to_zero == config::to_zero::freeze; });
    });
    made.note = [this, level = freezes ? spdlog::level::info : spdlog::level::debug](const std::string& text) {
      log_.log(level, "{}", text);
    };
    return made;
  }

  [[nodiscard]] activator::kept_settings read_settings() {
    auto found = store_.load();
    if (!found.problem.empty()) log_.error("{}", found.problem);
    return std::move(found.value);
  }

  /// Admin thread.
  [[nodiscard]] std::shared_ptr<const activator::output_ring> output_of(std::string_view name) {
    std::shared_ptr<const activator::view> now;
    {
      const std::lock_guard lock(view_mutex_);
      now = view_;
    }
    const auto& functions = now->snapshot->functions;
    const auto at = std::ranges::lower_bound(functions, name, {}, &config::function::name);
    if (at == functions.end() || at->name != name) return nullptr;
    const auto& runtime = now->services[static_cast<std::size_t>(at - functions.begin())]->function;
    return {runtime, &runtime->output};
  }

  /// Runs `what` on each worker, then `then` on the control thread.
  template <typename What>
  void on_every_worker(What what, std::function<void()> then) {
    auto left = std::make_shared<std::atomic<std::size_t>>(workers_.size());
    auto after = std::make_shared<std::function<void()>>(std::move(then));
    for (const auto& one : workers_) {
      one->post([this, &one = *one, what, left, after] {
        what(one);
        if (left->fetch_sub(1) == 1) asio::post(control_, [after] { (*after)(); });
      });
    }
  }

  /// The first time it is known what this rouse is to do, and so that it is ready.
  void hear_standby(bool standby) {
    const bool first = !std::exchange(announced_, true);
    if (draining_) return;
    unready_ = standby ? "standby" : "";
    if (first) announce();
    if (standby) {
      log_.warn("this rouse is a standby: /readyz says 503 until it takes over");
    } else if (!first) {
      log_.warn("this rouse has taken over");
    }
  }

  void announce() {
    for (const auto& one : listeners_) log_.info("listening on http://{}", describe(one->where()));
    log_.info("rouse {} is ready: {} functions, {} routes, {} workers; admin on http://{}", version(),
              first_->functions.size(), first_->routes.size(), workers_.size(), describe(admin_->where()));
    if (!options_.print_quickstart) return;
    const auto& where = listeners_.front()->where();
    const auto host = where.address().is_unspecified() ? "127.0.0.1:" + std::to_string(where.port()) : describe(where);
    std::printf("\nTry:\n");
    for (const auto& function : first_->functions)
      std::printf("  curl http://%s/function/%s\n", host.c_str(), function.name.c_str());
    std::printf("  rouse status\n\n");
    std::fflush(stdout);
  }

  void wait_for_signal() {
    signals_.async_wait([this](const error_code& ec, int number) {
      if (ec) return;
      if (number == SIGHUP) {
        log_.info("SIGHUP: reloading");
        operations_->reload_and_log();
      } else if (!draining_) {
        begin_drain();
      } else {
        log_.warn("second signal: ending at once");
        end_now();
      }
      wait_for_signal();
    });
  }

  void begin_drain() {
    if (std::exchange(draining_, true)) return;
    unready_ = "draining";
    const auto delay = server_.drain_delay;
    log_.info("draining: {}requests in progress have {} ms; send the signal again to end at once",
              delay.count() ? "still accepting for " + std::to_string(delay.count()) + " ms, then " : std::string(),
              server_.drain_timeout.count());
    drain_timer_.expires_after(delay);
    drain_timer_.async_wait([this](const error_code& ec) {
      if (!ec) stop_accepting(server_.drain_timeout);
    });
  }

  void stop_accepting(std::chrono::milliseconds time) {
    if (accepting_) {
      accepting_ = false;
      for (const auto& one : listeners_) one->close();
      for (const auto& one : workers_) one->drain();
    }
    deadline_ = steady::now() + time;
    activator_.expect_more(true);
    activator_.shut_down(deadline_, [this] { instances_ended_ = true; });
    poll_drain();
  }

  void end_now() {
    drain_timer_.cancel();
    stop_accepting(0ms);
  }

  [[nodiscard]] std::uint32_t connections() const {
    std::uint32_t open = 0;
    for (const auto& one : workers_) open += one->load();
    return open;
  }

  void poll_drain() {
    const auto now = steady::now();
    if (now >= deadline_ && !cut_) {
      cut_ = true;
      if (const auto left = connections()) log_.warn("drain: time is up, ending {} connections", left);
      for (const auto& one : workers_) one->close();
    }
    const bool closed =
        std::all_of(listeners_.begin(), listeners_.end(), [](const auto& one) { return one->closed(); });
    if (cut_ || (closed && connections() == 0)) activator_.expect_more(false);
    const bool hopeless = now >= deadline_ + last_patience;
    if ((instances_ended_ && connections() == 0) || hopeless) return finish(hopeless);
    drain_timer_.expires_after(drain_poll);
    drain_timer_.async_wait([this](const error_code& ec) {
      if (!ec) poll_drain();
    });
  }

  void finish(bool hopeless) {
    if (finished_) return;
    finished_ = true;
    if (hopeless) log_.error("instances did not end in time; the keeper ends them");
    log_.info("drained, bye");
    signals_.cancel();
    for (const auto& one : workers_) one->stop();
    asio::post(admin_context_, [this] {
      events_.stop();
      operations_->stop_watching();
      admin_->stop();
    });
    admin_work_.reset();
    control_.stop();
  }

  const std::shared_ptr<const config::snapshot> first_;  ///< what the daemon began with
  const config::server& server_;
  const serve_options& options_;
  spdlog::logger& log_;
  access_logger access_;
  asio::io_context control_{1};
  asio::io_context admin_context_{1};
  asio::executor_work_guard<asio::io_context::executor_type> admin_work_{admin_context_.get_executor()};
  settings_store store_;
  backends backends_;
  activator::activator activator_;
  std::mutex view_mutex_;
  std::shared_ptr<const activator::view> view_;  ///< the latest; guarded
  site site_;
  std::vector<std::unique_ptr<worker>> workers_;
  std::vector<std::unique_ptr<listener>> listeners_;
  events::service events_;  ///< ends before the workers that it posts to
  std::unique_ptr<operations> operations_;
  std::unique_ptr<admin_server> admin_;
  asio::signal_set signals_;
  timer drain_timer_;
  std::atomic<const char*> unready_{"starting"};  ///< why, in a word; "": it is ready
  bool announced_ = false;
  bool draining_ = false;
  bool accepting_ = true;
  bool instances_ended_ = false;
  bool cut_ = false;
  bool finished_ = false;
  steady::time_point deadline_ = steady::time_point::max();
};

}  // namespace

int serve(config::snapshot snapshot, const serve_options& options) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    // First of all, while there is one thread and little memory to copy.
    auto keeper = process::keeper::fork_keeper();
    raise_descriptor_limit();
    return_large_blocks();
    log_options logging;
    logging.json = options.log_json;
    logging.level = options.log_level;
    logging.colour = wants_colour(STDERR_FILENO);
    log_output log(logging);
    try {
      auto shared = std::make_shared<const config::snapshot>(std::move(snapshot));
      auto running = std::make_unique<daemon>(std::move(shared), options, keeper, log);
      return running->run();
    } catch (const std::exception& e) {
      log.logger().critical("{}", e.what());
      return 1;
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "rouse: %s\n", e.what());
    return 1;
  }
}

}  // namespace rouse::gateway
