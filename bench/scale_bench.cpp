// What deciding costs: the control thread's own code (functions, lifecycles, autoscalers, pools, agenda) with a backend
// and a data plane that do nothing, on a clock that the bench moves.
//
//   tick     1,000 revisions with 10 ready instances each, requests coming and going on all of them, are decided once
//   0 -> 1   a request has parked at a revision without instances: until its instance was asked of the backend
//
// With ticks of a second the first is the share of the control thread that scaling takes; the second is a part of every
// cold start.
//
//   scale_bench [--quick]    few ticks: that it works, not how fast

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <spdlog/logger.h>
#include <spdlog/sinks/null_sink.h>

#include "activator/agenda.hpp"
#include "activator/function_control.hpp"
#include "activator/simulator/virtual_backend.hpp"

namespace rouse::bench {
namespace {

using namespace std::chrono_literals;
using time_point = activator::lifecycle::time_point;
using stopwatch = std::chrono::steady_clock;

constexpr unsigned revisions = 1000;
constexpr unsigned instances_each = 10;
constexpr unsigned workers = 2;
constexpr unsigned busy_each = 70;     // requests at once on a revision: the default target of concurrency 10, tenfold
constexpr unsigned changes_each = 20;  // requests that end and begin between two ticks
constexpr double target_ms = 10;

std::int64_t virtual_now = 0;
std::int64_t read_virtual_now() noexcept {
  return virtual_now;
}

struct recording_backend final : activator::backend {
  std::vector<std::uint64_t> started;
  std::vector<std::uint64_t> stopped;
  void start(const activator::start_spec& spec) override { started.push_back(spec.id); }
  void stop(std::uint64_t id, std::chrono::milliseconds) override { stopped.push_back(id); }
};

struct request {
  activator::slot held;
  unsigned worker = 0;
};

/// As in the activator: the functions, and the agenda of when to look at which.
class world {
 public:
  world();
  ~world();
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  /// Until every revision has its instances and its requests.
  void fill();
  /// A second passes with some work; then everything is decided. Returns the time that the deciding took, in ms.
  double tick();
  /// The time from a parked request's demand until the backend was told, in us; every revision is at zero before.
  std::vector<double> first_starts();
  [[nodiscard]] std::uint64_t decided() const noexcept { return decided_; }
  [[nodiscard]] bool as_meant() const;

 private:
  struct entry {
    std::unique_ptr<activator::function_control> control;
    activator::lifecycle* life = nullptr;
    std::vector<request> busy;
  };
  void configure();
  void move_on(std::chrono::nanoseconds by);
  void report_ready();
  void begin_request(entry& on);
  void evaluate(std::uint32_t number, time_point now);
  [[nodiscard]] time_point now() const { return time_point(std::chrono::nanoseconds(virtual_now)); }

  std::shared_ptr<config::snapshot> snapshot_ = std::make_shared<config::snapshot>();
  recording_backend backend_;
  simulator::virtual_plane plane_;
  spdlog::logger log_{"bench", std::make_shared<spdlog::sinks::null_sink_st>()};
  activator::pool_book pools_{[](std::uint32_t) {}};
  activator::backend_table backends_;
  activator::surroundings around_{.plane = plane_,
                                  .log = log_,
                                  .pools = pools_,
                                  .backends = backends_,
                                  .workers = workers,
                                  .random = [] { return 0.5; },
                                  .wall = [] { return std::chrono::system_clock::now(); }};
  activator::mailbox box_{[] {}};
  activator::agenda due_;
  std::deque<entry> entries_;
  activator::fleet fleet_;
  std::minstd_rand random_{1};
  std::uint64_t decided_ = 0;
};

world::world()
    : fleet_{.around = around_,
             .make_runtime =
                 [](auto function, const auto& revision, std::uint32_t number) {
                   return std::make_shared<activator::revision_runtime>(
                       std::move(function), revision, number, workers, [](activator::revision_runtime&) {},
                       read_virtual_now);
                 },
             .new_number = [this] { return static_cast<std::uint32_t>(entries_.size() - 1); },
             .enlist = [this](activator::lifecycle& life,
                              activator::function_control&) { entries_[life.number()].life = &life; },
             .strike_off = [](std::uint32_t) {},
             .poke = [](std::uint32_t) {},
             .publish =
                 [this](activator::function_control& of) {
                   plane_.serve(nullptr, [this, &of, version = of.version()] { of.shifted(version, now()); });
                 }} {
  virtual_now = std::chrono::nanoseconds(1h).count();
  configure();
  for (const auto& function : snapshot_->functions) {
    auto& made = entries_.emplace_back();
    auto shared = std::make_shared<activator::function_runtime>(function.name, workers);
    made.control = std::make_unique<activator::function_control>(fleet_, std::move(shared));
    made.control->apply(std::shared_ptr<const config::function>(snapshot_, &function), snapshot_->pools, now());
  }
  while (plane_.run()) {
  }
}

world::~world() {
  for (auto& one : entries_) one.busy.clear();
  around_.alive.reset();
  entries_.clear();
}

void world::configure() {
  snapshot_->pools.resize(1);
  snapshot_->pools[0].name = "local";
  pools_.configure(snapshot_->pools, now(), around_.wall());
  backends_.use(activator::always(backend_));
  backends_.configure(snapshot_->pools, pools_);
  for (unsigned i = 0; i < revisions; ++i) {
    auto& function = snapshot_->functions.emplace_back();
    function.name = "f" + std::to_string(i);
    function.weights = {1};
    auto& revision = function.revisions.emplace_back();
    revision.name = function.name + "-00000001";
    revision.command = {"./run"};
    revision.concurrency = 10;
    revision.pools = {config::pool_use()};
  }
}

void world::move_on(std::chrono::nanoseconds by) {
  virtual_now += by.count();
}

void world::report_ready() {
  auto started = std::exchange(backend_.started, {});
  for (const auto id : started) {
    activator::ready_report report;
    report.where.port = 20'000;
    around_.by_id.at(id)->on_ready(id, report, now());
  }
  while (plane_.run()) {
  }
  box_.deliver();
}

void world::begin_request(entry& on) {
  request one;
  one.worker = static_cast<unsigned>(on.busy.size()) % workers;
  auto& runtime = on.life->runtime();
  auto got = runtime.lot.take(static_cast<std::uint32_t>(random_()));
  if (!got) return;
  runtime.counters_of(one.worker).load.enter(virtual_now);
  one.held = std::move(*got);
  on.busy.push_back(std::move(one));
}

/// What the activator does for one that is due (activator.cpp: run_due and settle).
void world::evaluate(std::uint32_t number, time_point at) {
  auto& one = entries_[number];
  one.life->evaluate(at);
  one.control->progress(at);
  due_.set(number, one.life->next_due());
  ++decided_;
}

std::vector<double> world::first_starts() {
  std::vector<double> out;
  out.reserve(entries_.size());
  for (auto& one : entries_) {
    activator::waiter waiting(box_, [] {});
    if (one.life->runtime().lot.park(waiting, 2048) != activator::parking_lot::park_result::parked) continue;
    const auto before = backend_.started.size();
    const auto begin = stopwatch::now();
    evaluate(one.life->number(), now());
    const auto took = stopwatch::now() - begin;
    if (backend_.started.size() == before + 1) out.push_back(std::chrono::duration<double, std::micro>(took).count());
  }
  report_ready();
  return out;
}

void world::fill() {
  for (auto& one : entries_) {
    static_cast<void>(one.control->set_scale(instances_each, std::nullopt, now()));
    due_.set(one.life->number(), one.life->next_due());
  }
  report_ready();
  for (auto& one : entries_) {
    static_cast<void>(one.control->set_scale(0, std::nullopt, now()));
    while (one.busy.size() < busy_each) {
      const auto before = one.busy.size();
      begin_request(one);
      if (one.busy.size() == before) break;
    }
  }
  due_ = activator::agenda();
  for (auto& one : entries_) due_.set(one.life->number(), now() + activator::lifecycle::tick);
}

double world::tick() {
  for (auto& one : entries_) {
    for (unsigned i = 0; i < changes_each && !one.busy.empty(); ++i) {
      auto& ends = one.busy[random_() % one.busy.size()];
      one.life->runtime().counters_of(ends.worker).load.leave(virtual_now + static_cast<std::int64_t>(i) * 1'000'000);
      std::swap(ends, one.busy.back());
      one.busy.pop_back();
      begin_request(one);
    }
  }
  move_on(activator::lifecycle::tick);
  const auto at = now();
  const auto begin = stopwatch::now();
  while (const auto number = due_.pop(at)) evaluate(*number, at);
  const std::chrono::duration<double, std::milli> took = stopwatch::now() - begin;
  while (plane_.run()) {
  }
  return took.count();
}

/// That what was measured is what was meant.
bool world::as_meant() const {
  return std::ranges::all_of(
      entries_, [](const entry& one) { return one.life->ready() == instances_each && one.busy.size() == busy_each; });
}

double quantile(std::vector<double> values, double share) {
  std::ranges::sort(values);
  const auto at = static_cast<std::size_t>(std::ceil(share * static_cast<double>(values.size())));
  return values[std::max<std::size_t>(at, 1) - 1];
}

int run(unsigned ticks) {
  world all;
  const auto starts = all.first_starts();
  all.fill();
  for (int i = 0; i < 70; ++i) static_cast<void>(all.tick());  // a whole window of load
  const auto before = all.decided();
  std::vector<double> times;
  for (unsigned i = 0; i < ticks; ++i) times.push_back(all.tick());
  if (!all.as_meant() || starts.size() != revisions || all.decided() - before < std::uint64_t{ticks} * revisions) {
    std::fprintf(stderr, "scale_bench: the load did not hold the instances that it was meant to hold\n");
    return 1;
  }
  const auto median = quantile(times, 0.5);
  std::printf("%u revisions with %u ready instances and %u requests in flight each, %u ticks\n\n", revisions,
              instances_each, busy_each, ticks);
  std::printf("tick: all decided once   median %6.2f ms   p99 %6.2f ms   worst %6.2f ms\n", median,
              quantile(times, 0.99), quantile(times, 1));
  std::printf("0 -> 1: one decided      median %6.2f us   p99 %6.2f us   worst %6.2f us\n\n", quantile(starts, 0.5),
              quantile(starts, 0.99), quantile(starts, 1));
  const bool good = median < target_ms;
  std::printf("%s: a tick takes %s %.0f ms at the median\n", good ? "PASS" : "FAIL", good ? "less than" : "at least",
              target_ms);
  return good ? 0 : 1;
}

}  // namespace
}  // namespace rouse::bench

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::string_view(argv[1]) == "--quick";
  if (argc > (quick ? 2 : 1)) {
    std::fprintf(stderr, "usage: scale_bench [--quick]\n");
    return 2;
  }
  return rouse::bench::run(quick ? 10 : 300);
}
