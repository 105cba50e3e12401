#include "activator/activator.hpp"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <deque>
#include <random>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "activator/agenda.hpp"
#include "activator/lifecycle.hpp"

namespace rouse::activator {

namespace asio = boost::asio;
using std::chrono::steady_clock;

function_runtime::function_runtime(const config::function& config, std::uint32_t index, std::function<void()> demand)
    : config(config), index(index), lot(budget, std::move(demand)) {
  budget.max_requests = config.queue.max_requests;
  budget.max_bytes = config.queue.max_bytes;
}

namespace {

std::function<double()> make_random() {
  return [engine = std::minstd_rand(std::random_device{}())]() mutable {
    return std::uniform_real_distribution<double>(0.0, 1.0)(engine);
  };
}

}  // namespace

/// The thin shell: turns demand, the timer and the backend's reports into calls of the lifecycles with the time of day.
struct activator::impl {
  struct entry {
    entry(impl& owner, const config::function& config, std::uint32_t index)
        : runtime(config, index, [&owner, index] { owner.demand(index); }), life(owner.around, runtime) {}
    function_runtime runtime;
    lifecycle life;
    std::atomic<bool> posted{false};  ///< an evaluation is on its way to the control thread
  };

  impl(asio::io_context& control, const config::snapshot& snapshot, data_plane& plane, unsigned workers,
       spdlog::logger& log)
      : control(control),
        around{.plane = plane,
               .log = log,
               .workers = workers,
               .random = make_random(),
               .wall = [] { return std::chrono::system_clock::now(); }},
        due(snapshot.functions.size()),
        timer(control) {
    std::uint32_t index = 0;
    for (const auto& config : snapshot.functions) entries.emplace_back(*this, config, index++);
  }

  /// Any thread. At most one evaluation of a function is on its way at a time.
  void demand(std::uint32_t function) {
    if (entries[function].posted.exchange(true)) return;
    asio::post(control, [this, function, alive = std::weak_ptr(around.alive)] {
      if (alive.expired()) return;
      // Before the evaluation: what parks from here on posts again.
      entries[function].posted.store(false);
      evaluate(function, steady_clock::now());
    });
  }

  void evaluate(std::uint32_t function, steady_clock::time_point now) {
    if (finished) return;
    entries[function].life.evaluate(now);
    settle(entries[function].life, now);
  }

  /// After anything happened to a lifecycle.
  void settle(const lifecycle& life, steady_clock::time_point now) {
    if (finished) return;
    due.set(life.function(), life.next_due());
    finish_if_ended(now);
    arm();
  }

  void arm() {
    const auto next = due.earliest();
    if (!next || finished) {
      if (std::exchange(armed, std::nullopt)) timer.cancel();
      return;
    }
    if (armed && *armed <= *next) return;  // it looks again when it fires
    armed = next;
    timer.expires_at(*next);
    timer.async_wait([this, alive = std::weak_ptr(around.alive)](const boost::system::error_code& error) {
      if (error || alive.expired()) return;
      armed.reset();
      run_due();
    });
  }

  void run_due() {
    const auto now = steady_clock::now();
    while (const auto function = due.pop(now)) {
      auto& life = entries[*function].life;
      life.evaluate(now);
      due.set(*function, life.next_due());
    }
    finish_if_ended(now);
    arm();
  }

  void shut_down(steady_clock::time_point deadline, std::function<void()> then) {
    if (finished) return;
    if (then) done = std::move(then);
    if (!ends_at || deadline < *ends_at) ends_at = deadline;
    const auto now = steady_clock::now();
    for (auto& entry : entries) {
      entry.life.shut_down(*ends_at, now);
      due.set(entry.runtime.index, entry.life.next_due());
    }
    finish_if_ended(now);
    arm();
  }

  void finish_if_ended(steady_clock::time_point now) {
    if (finished || !ends_at || !around.by_id.empty()) return;
    const auto waits = [](const entry& one) { return one.runtime.lot.parked() > 0; };
    if (now < *ends_at && (more_may_come || std::ranges::any_of(entries, waits))) return;
    finished = true;
    if (done) asio::post(control, std::move(done));
  }

  void expect_more(bool more) {
    more_may_come = more;
    finish_if_ended(steady_clock::now());
    arm();
  }

  /// Hands a report of the backend to the instance's owner.
  template <class Report>
  void tell(std::uint64_t id, Report report) {
    const auto found = around.by_id.find(id);
    assert(found != around.by_id.end() && "a backend reports only on what runs");
    if (found == around.by_id.end()) return;
    auto& life = *found->second;
    const auto now = steady_clock::now();
    report(life, now);
    settle(life, now);
  }

  asio::io_context& control;
  surroundings around;
  std::deque<entry> entries;  ///< by index in the snapshot; never moves
  agenda due;
  asio::steady_timer timer;
  std::optional<steady_clock::time_point> armed;    ///< when the timer fires
  std::optional<steady_clock::time_point> ends_at;  ///< set: shutting down
  std::function<void()> done;
  bool more_may_come = false;
  bool finished = false;  ///< shut down, and everything has exited
};

activator::activator(asio::io_context& control, const config::snapshot& snapshot, data_plane& plane, unsigned workers,
                     spdlog::logger& log)
    : impl_(std::make_unique<impl>(control, snapshot, plane, workers, log)) {}

activator::~activator() = default;

void activator::use_backend(backend& with) noexcept {
  impl_->around.with = &with;
}

void activator::start() {
  const auto now = steady_clock::now();
  for (auto& entry : impl_->entries) {
    if (entry.runtime.config.scale.min > 0) impl_->evaluate(entry.runtime.index, now);
  }
}

function_runtime& activator::at(std::uint32_t function) noexcept {
  return impl_->entries[function].runtime;
}

function_runtime* activator::find(std::string_view name) noexcept {
  auto& entries = impl_->entries;
  const auto at = std::ranges::lower_bound(
      entries, name, {}, [](const impl::entry& one) -> std::string_view { return one.runtime.config.name; });
  return at != entries.end() && at->runtime.config.name == name ? &at->runtime : nullptr;
}

std::size_t activator::size() const noexcept {
  return impl_->entries.size();
}

void activator::shut_down(steady_clock::time_point deadline, std::function<void()> done) {
  impl_->shut_down(deadline, std::move(done));
}

void activator::expect_more(bool more) {
  impl_->expect_more(more);
}

std::vector<function_status> activator::status() const {
  const auto now = steady_clock::now();
  std::vector<function_status> out;
  out.reserve(impl_->entries.size());
  for (const auto& entry : impl_->entries) out.push_back(entry.life.status(now));
  return out;
}

void activator::on_ready(std::uint64_t id, ready_report report) {
  impl_->tell(id, [&](lifecycle& life, auto now) { life.on_ready(id, report, now); });
}

void activator::on_exit(std::uint64_t id, exit_report report) {
  impl_->tell(id, [&](lifecycle& life, auto now) { life.on_exit(id, std::move(report), now); });
}

void activator::on_output(std::uint64_t id, std::string line) {
  impl_->tell(id, [&](lifecycle& life, auto) { life.on_output(id, std::move(line)); });
}

}  // namespace rouse::activator
