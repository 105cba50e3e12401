#include "activator/simulator/simulation.hpp"

#include <algorithm>
#include <cassert>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include <spdlog/logger.h>
#include <spdlog/sinks/null_sink.h>

#include "activator/agenda.hpp"
#include "activator/lifecycle.hpp"
#include "activator/simulator/events.hpp"
#include "activator/simulator/virtual_backend.hpp"
#include "router/traffic.hpp"

namespace rouse::simulator {
namespace {

using activator::lifecycle;
using time_point = lifecycle::time_point;

constexpr double ns_per_hour = 3600e9;

/// The virtual clock. The daemon's clock is a plain function, so it cannot be a member; one per thread.
thread_local std::int64_t virtual_now = 0;
std::int64_t read_virtual_clock() noexcept {
  return virtual_now;
}

/// One request from its arrival until it is answered or lost. Reused.
struct request {
  std::int64_t arrived = 0;
  std::int64_t service = 0;
  std::uint32_t revision = 0;    ///< number of its lifecycle
  std::uint32_t generation = 0;  ///< of the use of this record
  bool parked = false;
  activator::slot held;
  std::optional<activator::waiter> wait;
};

struct parked_request {
  std::uint32_t id;
  std::uint32_t generation;
};

class world {
 public:
  world(std::shared_ptr<const config::snapshot> snapshot, const trace& load, const options& how);
  ~world();
  report run();

 private:
  struct revision {
    std::uint32_t function = 0;
    std::shared_ptr<activator::revision_runtime> runtime;
    std::unique_ptr<lifecycle> life;
    activator::load_meter::reading seen;  ///< at the last sample
  };
  struct function {
    function(const function_load& load, nanoseconds interval, const options& how, std::uint32_t index)
        : stream(load, interval, how.arrivals), random(how.seed, index) {}
    arrivals stream;
    random_source random;
    router::traffic_split split;
    std::uint32_t first_revision = 0;  ///< number of its first lifecycle
    std::vector<parked_request> line;  ///< who parked, oldest first, from line_begin on; some have left since
    std::size_t line_begin = 0;
    bool timer_set = false;
    std::int64_t next_service = 0;
    std::int64_t busy_ns = 0;
    std::uint64_t parked = 0;
  };

  [[nodiscard]] static time_point at(std::int64_t now) { return time_point(nanoseconds(now)); }
  [[nodiscard]] std::chrono::system_clock::time_point wall() const;
  void make_function(std::uint32_t index);
  void plan_arrival(std::uint32_t index);
  void handle(const event& what);
  void settle();
  void evaluate(std::uint32_t number);
  void told(std::uint32_t number);

  // Requests.
  [[nodiscard]] std::uint32_t new_request();
  void arrive(std::uint32_t index);
  void park(std::uint32_t id, function& of);
  void woken(std::uint32_t id);
  void begin(std::uint32_t id);
  void finish(std::uint32_t id);
  void lose(std::uint32_t id, std::uint64_t function_report::*as);
  void give_up(std::uint32_t index);
  void release(std::uint32_t id);
  void count_parked(std::uint32_t index, int more);

  // What is told.
  void take_sample();
  void at_end();
  void follow_pools();
  [[nodiscard]] report result();

  const std::shared_ptr<const config::snapshot> snapshot_;
  const trace& load_;
  const options& how_;
  const std::int64_t begin_ = std::chrono::nanoseconds(std::chrono::hours(1)).count();
  std::int64_t now_ = begin_;
  event_heap events_;
  activator::agenda due_;
  std::vector<std::uint32_t> poked_;  ///< lifecycles to look at at this moment, from next_poked_ on
  std::size_t next_poked_ = 0;
  bool mail_ = false;
  activator::mailbox box_{[this] { mail_ = true; }};
  std::vector<running_count> instances_;  ///< by function, and of all
  virtual_backend backend_;
  virtual_plane plane_;
  spdlog::logger log_{"simulator", std::make_shared<spdlog::sinks::null_sink_st>()};
  activator::pool_book pools_;
  random_source chance_;
  activator::backend_table backends_;
  activator::surroundings around_;
  std::deque<function> functions_;
  std::vector<revision> revisions_;  ///< by number of their lifecycles
  std::deque<request> requests_;
  std::vector<std::uint32_t> free_;
  std::uint32_t seed_ = 0;
  std::uint64_t present_ = 0;  ///< requests that are there
  std::uint64_t to_come_ = 0;  ///< functions with arrivals left
  std::uint64_t parked_ = 0;
  bool ended_ = false;
  report report_;
};

world::world(std::shared_ptr<const config::snapshot> snapshot, const trace& load, const options& how)
    : snapshot_(std::move(snapshot)),
      load_(load),
      how_(how),
      instances_(snapshot_->functions.size() + 1),
      backend_(
          events_, now_,
          [this](const activator::start_spec& spec) {
            const auto function = revisions_[around_.by_id.at(spec.id)->number()].function;
            return virtual_backend::origin{function, load_.functions[function].start.count()};
          },
          instances_),
      pools_([this](std::uint32_t number) { poked_.push_back(number); }),
      chance_(how.seed, ~0ULL),
      around_{.plane = plane_,
              .log = log_,
              .pools = pools_,
              .backends = backends_,
              .workers = 1,
              .random = [this] { return 1 - chance_.uniform(); },
              .wall = [this] { return wall(); }} {
  virtual_now = now_;
  log_.set_level(spdlog::level::off);
  around_.make_room = [this](std::uint32_t pool) {
    return std::ranges::any_of(revisions_,
                               [&](const revision& one) { return one.life->end_one_frozen(pool, at(now_)); });
  };
  pools_.configure(snapshot_->pools, at(now_), wall());
  backends_.use(activator::always(backend_));
  backends_.configure(snapshot_->pools, pools_);
  const auto count = static_cast<std::uint32_t>(snapshot_->functions.size());
  report_.functions.resize(count);
  for (std::uint32_t i = 0; i < count; ++i) make_function(i);
}

world::~world() {
  for (auto& one : requests_) {
    one.wait.reset();
    one.held.reset();
  }
  around_.alive.reset();
  while (plane_.run()) {
  }
}

std::chrono::system_clock::time_point world::wall() const {
  return how_.begin + nanoseconds(now_ - begin_);
}

void world::make_function(std::uint32_t index) {
  const auto& config = snapshot_->functions[index];
  auto& made = functions_.emplace_back(load_.functions[index], load_.interval, how_, index);
  made.first_revision = static_cast<std::uint32_t>(revisions_.size());
  report_.functions[index].name = config.name;
  const auto shared = std::make_shared<activator::function_runtime>(config.name, 1);
  shared->configure(config);
  std::uint64_t sum = 0;
  for (const auto weight : config.weights) sum += weight;
  for (std::size_t i = 0; i < config.revisions.size(); ++i) {
    const auto number = static_cast<std::uint32_t>(revisions_.size());
    auto& one = revisions_.emplace_back();
    one.function = index;
    one.runtime = std::make_shared<activator::revision_runtime>(
        shared, config.revisions[i], number, 1,
        [this](activator::revision_runtime& which) {
          if (!which.posted.exchange(true)) poked_.push_back(which.number);
        },
        read_virtual_clock);
    one.life = std::make_unique<lifecycle>(around_, number, one.runtime);
    one.life->configure(std::shared_ptr<const config::revision>(snapshot_, &config.revisions[i]), snapshot_->pools);
    one.life->set_share(static_cast<double>(config.weights[i]) / static_cast<double>(sum));
  }
  ++to_come_;
  plan_arrival(index);
}

void world::plan_arrival(std::uint32_t index) {
  auto& of = functions_[index];
  const auto next = of.stream.next(of.random);
  if (!next) {
    --to_come_;
    return;
  }
  of.next_service = next->service.count();
  events_.add(begin_ + next->at.count(), event_kind::arrival, index);
}

report world::run() {
  for (const auto& one : revisions_) {
    const auto& scale = one.life->config().scale;
    if (scale.min > 0 || !scale.schedule.empty()) evaluate(one.life->number());
  }
  follow_pools();
  settle();
  if (how_.on_sample) events_.add(begin_ + how_.step.count(), event_kind::sample, 0);
  const auto end = begin_ + load_.end.count();
  while (!ended_ || present_ > 0) {
    auto next = ended_ ? std::int64_t{1} << 62 : end;
    if (!events_.empty()) next = std::min(next, events_.top().at);
    const auto first_due = due_.earliest();
    const auto due_at = first_due ? nanoseconds(first_due->time_since_epoch()).count() : next;
    now_ = virtual_now = std::max(now_, std::min(next, due_at));
    if (!events_.empty() && events_.top().at <= now_) {
      handle(events_.pop());
    } else if (const auto number = due_.pop(at(now_))) {
      evaluate(*number);
    } else if (!ended_ && now_ >= end) {
      at_end();
    } else {
      assert(false && "requests are there, and nothing will happen");
      break;
    }
    settle();
  }
  return result();
}

void world::handle(const event& what) {
  const auto id = static_cast<std::uint32_t>(what.id);
  switch (what.kind) {
    case event_kind::arrival:
      return arrive(id);
    case event_kind::finish:
      return finish(id);
    case event_kind::give_up:
      return give_up(id);
    case event_kind::ready: {
      if (!backend_.got_ready(what.id)) return;
      activator::ready_report report;
      report.where.port = 1;
      auto& life = *around_.by_id.at(what.id);
      life.on_ready(what.id, report, at(now_));
      return told(life.number());
    }
    case event_kind::gone: {
      const auto found = around_.by_id.find(what.id);
      if (found == around_.by_id.end()) return;
      auto& life = *found->second;
      life.on_exit(what.id, backend_.ended(what.id), at(now_));
      return told(life.number());
    }
    case event_kind::sample:
      return take_sample();
    case event_kind::pools:
      return follow_pools();
  }
}

/// What the daemon does in its loop's next turns, at the same moment.
void world::settle() {
  for (;;) {
    if (plane_.run()) continue;
    if (std::exchange(mail_, false)) {
      box_.deliver();
      continue;
    }
    if (next_poked_ == poked_.size()) {
      poked_.clear();
      next_poked_ = 0;
      return;
    }
    const auto number = poked_[next_poked_++];
    revisions_[number].runtime->posted.store(false);
    evaluate(number);
  }
}

void world::evaluate(std::uint32_t number) {
  revisions_[number].life->evaluate(at(now_));
  told(number);
}

void world::told(std::uint32_t number) {
  due_.set(number, revisions_[number].life->next_due());
}

// --- requests ------------------------------------------------------------------------------------------------------

std::uint32_t world::new_request() {
  if (free_.empty()) {
    requests_.emplace_back();
    return static_cast<std::uint32_t>(requests_.size() - 1);
  }
  const auto id = free_.back();
  free_.pop_back();
  return id;
}

void world::arrive(std::uint32_t index) {
  auto& of = functions_[index];
  const auto& weights = snapshot_->functions[index].weights;
  const auto id = new_request();
  auto& one = requests_[id];
  one.arrived = now_;
  const double length = how_.services == service_times::fixed ? 1 : of.random.exponential();
  one.service = static_cast<std::int64_t>(static_cast<double>(of.next_service) * length);
  one.revision = of.first_revision + (weights.size() > 1 ? of.split.next(weights) : 0);
  ++present_;
  ++report_.functions[index].requests;
  auto& runtime = *revisions_[one.revision].runtime;
  runtime.counters_of(0).load.enter(now_);
  if (auto got = runtime.lot.take(++seed_)) {
    one.held = std::move(*got);
    begin(id);
  } else {
    park(id, of);
  }
  plan_arrival(index);
}

void world::park(std::uint32_t id, function& of) {
  auto& one = requests_[id];
  auto& lot = revisions_[one.revision].runtime->lot;
  one.wait.emplace(box_, [this, id] { woken(id); });
  const auto result = lot.park(*one.wait, 0);
  using how = activator::parking_lot::park_result;
  if (result == how::queue_full) return lose(id, &function_report::queue_full);
  if (result != how::parked) return lose(id, &function_report::start_failed);
  const auto index = revisions_[one.revision].function;
  one.parked = true;
  count_parked(index, 1);
  of.line.push_back({id, one.generation});
  if (of.timer_set) return;
  of.timer_set = true;
  const nanoseconds longest = snapshot_->functions[index].queue.max_wait;
  events_.add(now_ + longest.count(), event_kind::give_up, index);
}

void world::woken(std::uint32_t id) {
  auto& one = requests_[id];
  const bool granted = one.wait->result() == activator::waiter::outcome::granted;
  if (granted) one.held = one.wait->take_slot();
  one.wait.reset();
  if (granted) return begin(id);
  lose(id, &function_report::start_failed);
}

void world::begin(std::uint32_t id) {
  auto& one = requests_[id];
  const auto index = revisions_[one.revision].function;
  if (std::exchange(one.parked, false)) count_parked(index, -1);
  report_.functions[index].waits.add(static_cast<std::uint64_t>(now_ - one.arrived));
  functions_[index].busy_ns += one.service;
  events_.add(now_ + one.service, event_kind::finish, id);
}

void world::finish(std::uint32_t id) {
  requests_[id].held.reset();
  release(id);
}

void world::lose(std::uint32_t id, std::uint64_t function_report::*as) {
  auto& one = requests_[id];
  const auto index = revisions_[one.revision].function;
  one.wait.reset();
  if (std::exchange(one.parked, false)) count_parked(index, -1);
  ++(report_.functions[index].*as);
  release(id);
}

void world::release(std::uint32_t id) {
  auto& one = requests_[id];
  revisions_[one.revision].runtime->counters_of(0).load.leave(now_);
  ++one.generation;
  free_.push_back(id);
  --present_;
}

/// `queue.max_wait` is the same for all of a function, so they give up in the order in which they came.
void world::give_up(std::uint32_t index) {
  auto& of = functions_[index];
  of.timer_set = false;
  const auto longest = nanoseconds(snapshot_->functions[index].queue.max_wait).count();
  for (; of.line_begin < of.line.size(); ++of.line_begin) {
    const auto [id, generation] = of.line[of.line_begin];
    const auto& one = requests_[id];
    if (one.generation != generation || !one.parked) continue;
    if (one.arrived + longest > now_) {
      of.timer_set = true;
      events_.add(one.arrived + longest, event_kind::give_up, index);
      break;
    }
    lose(id, &function_report::timed_out);
  }
  of.line.erase(of.line.begin(), of.line.begin() + static_cast<std::ptrdiff_t>(std::exchange(of.line_begin, 0)));
}

void world::count_parked(std::uint32_t index, int more) {
  auto& of = functions_[index];
  of.parked += static_cast<std::uint64_t>(more);
  parked_ += static_cast<std::uint64_t>(more);
  auto& peak = report_.functions[index].peak_parked;
  peak = std::max(peak, of.parked);
  report_.all.peak_parked = std::max(report_.all.peak_parked, parked_);
}

// --- what is told ----------------------------------------------------------------------------------------------------

void world::follow_pools() {
  const auto next = pools_.follow(wall());
  if (next) events_.add(now_ + nanoseconds(*next - wall()).count(), event_kind::pools, 0);
}

void world::take_sample() {
  sample all;
  all.at = nanoseconds(now_ - begin_);
  all.function = "*";
  const auto step = static_cast<double>(how_.step.count());
  for (std::uint32_t index = 0; index < functions_.size(); ++index) {
    const auto first = functions_[index].first_revision;
    sample row;
    row.at = all.at;
    for (auto number = first; number < revisions_.size() && revisions_[number].function == index; ++number) {
      auto& one = revisions_[number];
      const auto* const counters = one.runtime->peek(0);
      const auto reading = counters ? counters->load.read() : activator::load_meter::reading();
      const auto before = std::exchange(one.seen, reading);
      row.requests += reading.arrivals - before.arrivals;
      const auto spent = reading.integral(now_) - before.integral(now_ - how_.step.count());
      row.load += static_cast<double>(static_cast<std::int64_t>(spent)) / step;
      row.desired += one.life->desired();
      row.ready += one.life->ready();
    }
    row.starting = instances_[index].starting;
    row.parked = functions_[index].parked;
    if (row.requests == 0 && row.load <= 0 && row.desired + row.ready + row.starting == 0) continue;
    all.requests += row.requests;
    all.load += row.load;
    all.desired += row.desired;
    all.ready += row.ready;
    all.starting += row.starting;
    all.parked += row.parked;
    row.function = report_.functions[index].name;
    how_.on_sample(row);
  }
  how_.on_sample(all);
  if (now_ + how_.step.count() <= begin_ + load_.end.count())
    events_.add(now_ + how_.step.count(), event_kind::sample, 0);
}

/// The trace is over: what costs is reckoned.
void world::at_end() {
  ended_ = true;
  const auto lived = backend_.lived(now_);
  for (std::size_t i = 0; i < functions_.size(); ++i)
    report_.functions[i].instance_hours = static_cast<double>(lived[i]) / ns_per_hour;
  report_.all.instance_hours = static_cast<double>(lived.back()) / ns_per_hour;
  for (const auto& pool : pools_.status(at(now_)))
    report_.pools.push_back({pool.name, pool.instance_hours, pool.reserved, pool.cost, pool.cost_total});
}

report world::result() {
  report_.span = load_.end;
  auto& all = report_.all;
  all.name = "*";
  for (std::size_t i = 0; i < functions_.size(); ++i) {
    auto& one = report_.functions[i];
    const auto& count = instances_[i];
    one.busy_hours = static_cast<double>(functions_[i].busy_ns) / ns_per_hour;
    one.cold_starts = count.became_ready;
    one.failed_starts = count.failed;
    one.peak_instances = count.peak;
    all.requests += one.requests;
    all.timed_out += one.timed_out;
    all.queue_full += one.queue_full;
    all.start_failed += one.start_failed;
    all.waits.add(one.waits);
    all.busy_hours += one.busy_hours;
  }
  for (const auto& one : revisions_) {
    for (const auto& [key, times] : one.life->status(at(now_)).decision_counts)
      (key.first ? report_.functions[one.function].decisions_up : report_.functions[one.function].decisions_down) +=
          times;
  }
  for (const auto& one : report_.functions) {
    all.decisions_up += one.decisions_up;
    all.decisions_down += one.decisions_down;
  }
  all.cold_starts = instances_.back().became_ready;
  all.failed_starts = instances_.back().failed;
  all.peak_instances = instances_.back().peak;
  return std::move(report_);
}

}  // namespace

report simulate(std::shared_ptr<const config::snapshot> snapshot, const trace& load, const options& how) {
  return world(std::move(snapshot), load, how).run();
}

}  // namespace rouse::simulator
