#include "activator/activator.hpp"

#include <algorithm>
#include <cassert>
#include <deque>
#include <random>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "activator/agenda.hpp"
#include "activator/words.hpp"

namespace rouse::activator {

namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

std::function<double()> make_random() {
  return [engine = std::minstd_rand(std::random_device{}())]() mutable {
    return std::uniform_real_distribution<double>(0.0, 1.0)(engine);
  };
}

/// So that a reader who saw a number of an earlier daemon misses nothing of this one.
std::uint64_t first_number() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

}  // namespace

/// The thin shell: turns demand, the timer and the backend's reports into calls of the lifecycles with the time of day.
struct activator::impl {
  struct enlisted {
    lifecycle* life = nullptr;
    function_control* control = nullptr;
  };

  impl(asio::io_context& control_context, data_plane& plane, unsigned workers, spdlog::logger& log)
      : control(control_context),
        book([this](std::uint32_t number) { poke(number); }),
        around{.plane = plane,
               .log = log,
               .pools = book,
               .backends = backends,
               .workers = workers,
               .random = make_random(),
               .wall = [] { return std::chrono::system_clock::now(); },
               .story = std::make_shared<chronicle>(first_number())},
        all{.around = around,
            .make_runtime = {},
            .new_number =
                [this] {
                  roll.emplace_back();
                  return static_cast<std::uint32_t>(roll.size() - 1);
                },
            .enlist =
                [this](lifecycle& life, function_control& of) {
                  roll[life.number()] = enlisted{&life, &of};
                },
            .strike_off =
                [this](std::uint32_t number) {
                  roll[number] = enlisted();
                  due.set(number, std::nullopt);
                },
            .poke = [this](std::uint32_t number) { poke(number); },
            .publish = [this](function_control& of) { publish(of); }},
        timer(control_context) {
    all.make_runtime = [this, workers](auto function, const auto& config, std::uint32_t number) {
      return std::make_shared<revision_runtime>(std::move(function), config, number, workers,
                                                [this](revision_runtime& which) { wake(which); });
    };
    around.make_room = [this](std::uint32_t pool) { return make_room(pool); };
  }

  // --- from other threads, and later -----------------------------------------------------------------------------
  /// Any thread. At most one evaluation of a revision is on its way at a time.
  void wake(revision_runtime& which) {
    if (which.posted.exchange(true)) return;
    asio::post(control,
               [this, number = which.number, asked = steady_clock::now(), alive = std::weak_ptr(around.alive)] {
                 if (alive.expired()) return;
                 wait.observe(static_cast<std::uint64_t>((steady_clock::now() - asked).count()));
                 look(number);
               });
  }

  void poke(std::uint32_t number) {
    asio::post(control, [this, number, alive = std::weak_ptr(around.alive)] {
      if (!alive.expired()) look(number);
    });
  }

  void look(std::uint32_t number) {
    if (!roll[number].life) return;
    // Before the evaluation: what parks from here on posts again.
    roll[number].life->runtime().posted.store(false);
    evaluate(number, steady_clock::now());
  }

  void evaluate(std::uint32_t number, steady_clock::time_point now) {
    if (finished || !roll[number].life) return;
    roll[number].life->evaluate(now);
    settle(*roll[number].control, now);
  }

  /// After anything happened to a lifecycle of this function.
  void settle(function_control& of, steady_clock::time_point now) {
    if (finished) return;
    if (!ends_at) of.progress(now);
    of.each_lifecycle([this](const lifecycle& life) { due.set(life.number(), life.next_due()); });
    if (of.ended()) {
      ++generation;
      dirty.erase(&of);
      alive_controls.erase(&of);
      std::erase_if(gone, [&](const auto& one) { return one.get() == &of; });
    }
    finish_if_ended(now);
    arm();
  }

  void arm() {
    auto next = due.earliest();
    if (pools_due) next = std::min(*pools_due, next.value_or(*pools_due));
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

  /// What is due, but not for longer than a slice: a start that parked work asks for never waits behind a tick.
  void run_due() {
    constexpr auto slice = std::chrono::microseconds(500);
    const auto now = steady_clock::now();
    follow_pools(now);
    while (const auto number = due.pop(now)) {
      if (auto& one = roll[*number]; one.life) {
        auto& of = *one.control;
        one.life->evaluate(now);
        settle(of, now);
      }
      if (finished || steady_clock::now() - now > slice) break;
    }
    finish_if_ended(now);
    arm();
  }

  void follow_pools(steady_clock::time_point now) {
    if (pools_due && now < *pools_due) return;
    const auto wall = around.wall();
    const auto next = book.follow(wall);
    pools_due.reset();
    if (next) pools_due = now + std::chrono::ceil<std::chrono::milliseconds>(*next - wall);
  }

  bool make_room(std::uint32_t pool) {
    const auto now = steady_clock::now();
    return std::ranges::any_of(roll,
                               [&](const enlisted& one) { return one.life && one.life->end_one_frozen(pool, now); });
  }

  // --- configuration ---------------------------------------------------------------------------------------------
  void load(std::shared_ptr<const config::snapshot> next, std::shared_ptr<const router::route_table> table) {
    const auto now = steady_clock::now();
    ++generation;
    snapshot = std::move(next);
    routes = std::move(table);
    book.configure(snapshot->pools, now, around.wall());
    backends.configure(snapshot->pools, book);
    pools_due = now;  // looks at the schedules
    auto before = std::exchange(functions, {});
    by_name.clear();
    std::unordered_map<std::string_view, std::unique_ptr<function_control>*> known;
    for (auto& one : before) known.emplace(one->runtime()->name, &one);
    for (const auto& config : snapshot->functions) {
      const auto found = known.find(config.name);
      const bool fresh = found == known.end();
      functions.push_back(fresh ? make_function(config.name) : std::move(*found->second));
      by_name.emplace(functions.back()->runtime()->name, functions.back().get());
      functions.back()->apply(std::shared_ptr<const config::function>(snapshot, &config), snapshot->pools, now);
      if (fresh && started) functions.back()->begin(now);
    }
    for (auto& one : before) {
      if (!one) continue;
      one->leave();
      publish(*one);
      gone.push_back(std::move(one));
    }
    if (started) backends.all_served();
    for (const auto& one : functions) settle(*one, now);
    if (started) tell_standby_soon();
  }

  std::unique_ptr<function_control> make_function(const std::string& name) {
    auto made = std::make_unique<function_control>(all, std::make_shared<function_runtime>(name, around.workers));
    alive_controls.insert(made.get());
    if (const auto at = kept.functions.find(name); at != kept.functions.end()) {
      made->restore(std::move(at->second));
      kept.functions.erase(at);
    }
    return made;
  }

  /// All that changes in one turn of the loop goes to the workers in one view.
  void publish(function_control& of) {
    dirty.insert(&of);
    if (!started || std::exchange(flushing, true)) return;
    asio::post(control, [this, alive = std::weak_ptr(around.alive)] {
      if (!alive.expired()) flush();
    });
  }

  [[nodiscard]] std::shared_ptr<const view> make_view() const {
    auto made = std::make_shared<view>();
    made->snapshot = snapshot;
    made->routes = routes;
    made->services.reserve(functions.size());
    for (const auto& one : functions) made->services.push_back(one->current());
    return made;
  }

  void flush() {
    flushing = false;
    std::vector<std::pair<function_control*, std::uint64_t>> told;
    for (auto* one : std::exchange(dirty, {})) told.emplace_back(one, one->version());
    around.plane.serve(make_view(), [this, told = std::move(told), alive = std::weak_ptr(around.alive)] {
      if (alive.expired()) return;
      const auto now = steady_clock::now();
      for (const auto& [of, version] : told) {
        if (!alive_controls.contains(of)) continue;
        of->shifted(version, now);
        settle(*of, now);
      }
    });
  }

  // --- the end ---------------------------------------------------------------------------------------------------
  void shut_down(steady_clock::time_point deadline, std::function<void()> then) {
    if (finished) return;
    if (then) done = std::move(then);
    if (!ends_at || deadline < *ends_at) ends_at = deadline;
    const auto now = steady_clock::now();
    for (const auto* list : {&functions, &gone}) {
      for (const auto& one : *list) {
        one->shut_down(*ends_at, now);
        one->each_lifecycle([this](const lifecycle& life) { due.set(life.number(), life.next_due()); });
      }
    }
    finish_if_ended(now);
    arm();
  }

  void finish_if_ended(steady_clock::time_point now) {
    if (finished || !ends_at || !around.by_id.empty()) return;
    const auto waits = [](const auto& one) { return one->has_parked(); };
    if (now < *ends_at && (more_may_come || std::ranges::any_of(functions, waits) || std::ranges::any_of(gone, waits)))
      return;
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
    auto& of = *roll[life.number()].control;
    const auto now = steady_clock::now();
    report(life, now);
    settle(of, now);
  }

  /// The same of a revision; one that has gone in between hears nothing.
  template <class Report>
  void tell_revision(const std::string& pool, std::uint32_t key, Report report) {
    const auto number = book.find(pool);
    if (finished || !number || key >= roll.size() || !roll[key].life) return;
    auto& of = *roll[key].control;
    const auto now = steady_clock::now();
    report(*roll[key].life, *number, now);
    settle(of, now);
  }

  void hear_state(const std::string& pool, backend_state state) {
    const auto number = book.find(pool);
    if (!number) return;
    const auto before = backends.state(*number);
    if (!backends.set_state(*number, std::move(state))) return;
    const auto& now = backends.state(*number);
    if (!now.problem.empty() && now.problem != before.problem) {
      around.log.warn("pool {}: {}", pool, printable(now.problem));
      remember_pool(pool, printable(now.problem));
    } else if (now.problem.empty() && !before.problem.empty()) {
      around.log.info("pool {}: all is well again", pool);
      remember_pool(pool, "all is well again");
    }
    if (now.standby != before.standby)
      remember_pool(pool, now.standby ? "another rouse works it: this one is a standby" : "this rouse works it");
    const bool well = now.problem.empty() || now.recoveries != before.recoveries;
    if (well && !now.standby) resume(*number);
    tell_standby();
  }

  void remember_pool(const std::string& pool, std::string text) {
    occurrence what;
    what.type = "pool";
    what.pool = pool;
    what.text = std::move(text);
    around.story->add(std::move(what), around.wall());
  }

  /// What it goes by has changed in a call.
  void tell_standby_soon() {
    asio::post(control, [this, alive = std::weak_ptr<const char>(around.alive)] {
      if (!alive.expired()) tell_standby();
    });
  }

  void tell_standby() {
    if (!on_standby || !backends.all_known()) return;
    const bool standby = backends.standby();
    if (std::exchange(told_standby, standby) != standby) on_standby(standby);
  }

  /// The backend of this pool can start instances again.
  void resume(std::uint32_t pool) {
    book.refuse_no_more(pool);
    const auto now = steady_clock::now();
    for (std::size_t i = 0; i < roll.size(); ++i) {  // settle() may change it
      auto* const of = roll[i].control;
      if (!roll[i].life) continue;
      roll[i].life->on_well_again(pool, now);
      settle(*of, now);
    }
  }

  asio::io_context& control;
  duration_histogram wait;  ///< from a wake until it is acted on; read by other threads
  pool_book book;
  backend_table backends;
  surroundings around;
  fleet all;
  std::shared_ptr<const config::snapshot> snapshot;
  std::shared_ptr<const router::route_table> routes;
  std::deque<enlisted> roll;  ///< by number; control thread only
  agenda due;
  std::vector<std::unique_ptr<function_control>> functions;  ///< by index in the snapshot
  std::vector<std::unique_ptr<function_control>> gone;       ///< no longer configured, with work or instances left
  std::unordered_map<std::string_view, function_control*> by_name;
  std::unordered_set<const function_control*> alive_controls;
  std::unordered_set<function_control*> dirty;  ///< their services have changed since the last view
  kept_settings kept;                           ///< of functions that are not there yet
  asio::steady_timer timer;
  std::optional<steady_clock::time_point> armed;      ///< when the timer fires
  std::optional<steady_clock::time_point> pools_due;  ///< when a pool's schedule may change
  std::optional<steady_clock::time_point> ends_at;    ///< set: shutting down
  std::function<void()> done;
  std::function<void(bool)> on_standby;
  std::optional<bool> told_standby;  ///< what it was told last
  std::uint64_t generation = 0;      ///< of `functions` and `gone`
  bool started = false;
  bool flushing = false;
  bool more_may_come = false;
  bool finished = false;  ///< shut down, and everything has exited
};

activator::activator(asio::io_context& control, std::shared_ptr<const config::snapshot> snapshot, data_plane& plane,
                     unsigned workers, spdlog::logger& log, kept_settings kept)
    : impl_(std::make_unique<impl>(control, plane, workers, log)) {
  auto routes = std::make_shared<const router::route_table>(*snapshot);
  impl_->kept = std::move(kept);
  impl_->load(std::move(snapshot), std::move(routes));
  for (const auto& pool : impl_->kept.cordoned) static_cast<void>(cordon(pool, true));
}

activator::~activator() = default;

void activator::use_backends(backend_factory make) {
  impl_->backends.use(std::move(make));
}

std::shared_ptr<const chronicle> activator::story() const {
  return impl_->around.story;
}

void activator::on_standby(std::function<void(bool)> then) {
  impl_->on_standby = std::move(then);
}

void activator::start() {
  impl_->started = true;
  impl_->dirty.clear();
  const auto now = steady_clock::now();
  for (const auto& one : impl_->functions) one->each_lifecycle([](lifecycle& life) { life.serve(); });
  impl_->backends.all_served();
  for (const auto& one : impl_->functions) {
    one->shifted(one->version(), now);
    one->begin(now);
    impl_->settle(*one, now);
  }
  impl_->tell_standby_soon();
}

std::shared_ptr<const view> activator::first_view() const {
  return impl_->make_view();
}

void activator::reload(std::shared_ptr<const config::snapshot> snapshot,
                       std::shared_ptr<const router::route_table> routes) {
  impl_->load(std::move(snapshot), std::move(routes));
}

function_control* activator::find(std::string_view name) noexcept {
  const auto at = impl_->by_name.find(name);
  return at == impl_->by_name.end() ? nullptr : at->second;
}

std::string activator::set_traffic(function_control& of, const std::map<std::string, std::uint32_t>& weights) {
  const auto now = steady_clock::now();
  auto problem = of.set_traffic(weights, now);
  impl_->settle(of, now);
  return problem;
}

std::string activator::set_scale(function_control& of, std::optional<unsigned> min, std::optional<unsigned> max) {
  const auto now = steady_clock::now();
  auto problem = of.set_scale(min, max, now);
  impl_->settle(of, now);
  return problem;
}

void activator::restart(function_control& of) {
  const auto now = steady_clock::now();
  of.restart(now);
  impl_->settle(of, now);
}

bool activator::cordon(std::string_view pool, bool on) {
  const auto number = impl_->book.find(pool);
  if (!number) return false;
  impl_->book.cordon(*number, on);
  return true;
}

kept_settings activator::kept() const {
  kept_settings out;
  for (const auto& one : impl_->functions) {
    if (!one->kept().empty()) out.functions.emplace(one->runtime()->name, one->kept());
  }
  for (const auto& pool : impl_->book.status(steady_clock::now())) {
    if (pool.cordoned) out.cordoned.insert(pool.name);
  }
  return out;
}

void activator::shut_down(steady_clock::time_point deadline, std::function<void()> done) {
  impl_->shut_down(deadline, std::move(done));
}

void activator::expect_more(bool more) {
  impl_->expect_more(more);
}

std::vector<function_status> activator::status() const {
  partial_status all;
  while (!add_status(all, std::chrono::hours(1))) continue;
  return std::move(all.functions);
}

bool activator::add_status(partial_status& out, std::chrono::microseconds slice) const {
  const auto now = steady_clock::now();
  if (std::exchange(out.generation, impl_->generation) != impl_->generation) {
    out.functions.clear();
    out.next = 0;
  }
  const auto known = impl_->functions.size();
  for (; out.next < known + impl_->gone.size(); ++out.next) {
    if (steady_clock::now() - now > slice) return false;
    if (out.next < known) {
      out.functions.push_back(impl_->functions[out.next]->status(now));
      continue;
    }
    // Of a name that is configured again: what is left of the old one counts with it.
    auto left = impl_->gone[out.next - known]->status(now);
    const auto same = std::ranges::find(out.functions, left.name, &function_status::name);
    if (same == out.functions.end()) {
      out.functions.push_back(std::move(left));
    } else {
      same->parked_bytes += left.parked_bytes;
      for (auto& revision : left.revisions) same->add(std::move(revision));
    }
  }
  return true;
}

const duration_histogram& activator::control_wait() const noexcept {
  return impl_->wait;
}

std::vector<pool_status> activator::pools() const {
  auto out = impl_->book.status(steady_clock::now());
  for (auto& one : out) {
    const auto& state = impl_->backends.state(*impl_->book.find(one.name));
    one.standby = state.standby;
    one.problem = state.problem;
  }
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

void activator::on_progress(std::uint64_t id, std::string text) {
  impl_->tell(id, [&](lifecycle& life, auto) { life.on_progress(id, std::move(text)); });
}

void activator::on_leaving(std::uint64_t id, std::string detail) {
  impl_->tell(id, [&](lifecycle& life, auto now) { life.on_leaving(id, detail, now); });
}

void activator::on_found(const std::string& pool, std::uint32_t key, std::string name) {
  impl_->tell_revision(pool, key,
                       [&](lifecycle& life, auto number, auto now) { life.on_found(number, std::move(name), now); });
}

void activator::on_standing(const std::string& pool, std::uint32_t key, unsigned count) {
  impl_->tell_revision(pool, key,
                       [&](lifecycle& life, auto number, auto now) { life.on_standing(number, count, now); });
}

void activator::on_state(const std::string& pool, backend_state state) {
  impl_->hear_state(pool, std::move(state));
}

}  // namespace rouse::activator
