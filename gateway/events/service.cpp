#include "gateway/events/service.hpp"

#include <algorithm>
#include <filesystem>
#include <future>
#include <utility>

#include "gateway/events/cloudevents/storage.hpp"
#include "gateway/events/plan.hpp"
#include "gateway/events/stream_log.hpp"

namespace rouse::gateway::events {

namespace {

using namespace std::chrono_literals;

constexpr auto cron_retention = std::chrono::hours(24 * 35);
constexpr auto redriven_retention = std::chrono::hours(24);  // once settled
constexpr auto backlog_period = 250ms;

/// Waits for what the store calls back; for start and reload.
template <typename T, typename Call>
store_result<T> wait_for(Call call) {
  std::promise<store_result<T>> promise;
  auto future = promise.get_future();
  call([&promise](store_result<T> result) { promise.set_value(std::move(result)); });
  return future.get();
}

}  // namespace

service::service(surroundings around)
    : around_(std::move(around)),
      clusters_(threads_, around_.log),
      cron_(around_.admin, around_.log),
      backlog_timer_(around_.admin) {}

service::~service() = default;

// --- start and reload
// ----------------------------------------------------------------------------------------------------

std::string service::prepare(const config::snapshot& next) {
  // From here on its buses may take events in, and its triggers are to get them.
  prepared_at_ = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  if (!open_) {
    std::error_code ignored;
    const bool left = std::filesystem::exists(std::filesystem::path(around_.data_dir) / "events.db", ignored);
    if (!left && next.buses.empty() && next.triggers.empty()) return {};
    if (auto problem = open_store(); !problem.empty()) return problem;
  }
  if (auto problem = clusters_.prepare(next); !problem.empty()) return problem;
  for (const auto& bus : next.buses) {
    if (auto problem = prepare_stream(bus_stream + bus.name, bus.retention); !problem.empty()) return problem;
  }
  for (const auto& one : next.triggers) {
    std::string problem;
    if (std::holds_alternative<config::cron_source>(one.source))
      problem = prepare_stream(cron_stream + one.name, cron_retention);
    if (std::holds_alternative<config::kafka_source>(one.source))
      problem = prepare_stream(kafka_stream + one.name, redriven_retention);
    if (!problem.empty()) return problem;
  }
  set_logs(next, false);
  return {};
}

/// Where the buses keep what comes, and the topics for dead letters. What is there already stays unless `replace`.
void service::set_logs(const config::snapshot& next, bool replace) {
  std::map<std::string, std::shared_ptr<event_log>, std::less<>> made;
  for (const auto& bus : next.buses) {
    if (bus.kafka) {
      made[bus.name] = clusters_.log_of(bus.kafka->cluster, bus.kafka->topic);
      continue;
    }
    const std::lock_guard lock(mutex_);
    made[bus.name] = std::make_shared<stream_log>(*store_, streams_.at(bus_stream + bus.name)->stream);
  }
  for (const auto& trigger : next.triggers) {
    const auto* const cluster = cluster_of(trigger, next);
    if (cluster && trigger.dead_letter.to == config::dead_letter_to::kind::topic)
      made[dead_log + trigger.name] = clusters_.log_of(*cluster, trigger.dead_letter.topic);
  }
  {
    const std::lock_guard lock(mutex_);
    // Triggers that are about to end may still write to what is not named any more.
    if (!replace || !ending_.empty()) made.merge(std::map(logs_));
    if (!replace) {
      for (const auto& [name, log] : logs_) made[name] = log;
    }
    logs_.swap(made);
  }
  made.clear();
  if (replace) clusters_.drop_unused();
}

std::string service::open_store() {
  auto opened = store::open(around_.data_dir);
  if (!opened) return opened.error().text;
  store_.emplace(std::move(*opened));
  store_->on_queued([this](const std::string& function) { poke_invoker(function); });
  open_ = true;
  add_backlog();
  return {};
}

/// What an earlier daemon did not come to.
std::string service::begin_invocations() {
  const auto usage = wait_for<store_usage>([this](auto done) { store_->usage(std::move(done)); });
  if (!usage) return usage.error().text;
  for (const auto& queue : usage->queues) {
    if (queue.requests > 0) poke_invoker(queue.function);
  }
  return {};
}

std::string service::prepare_stream(const std::string& name, std::chrono::milliseconds retention) {
  const auto made = store_->stream(name, retention);
  if (!made) return made.error().text;
  {
    const std::lock_guard lock(mutex_);
    if (streams_.contains(name)) return {};
    auto entry = std::make_shared<stream_entry>();
    entry->stream = *made;
    streams_.emplace(name, entry);
  }
  store_->on_growth(*made, [this, name](std::int64_t last) { on_growth(name, last); });
  return {};
}

std::string service::apply(const config::snapshot& snapshot) {
  if (!open_) return {};
  std::vector<plan> wanted;
  for (const auto& one : snapshot.triggers) wanted.emplace_back(one, snapshot, prepared_at_);
  const auto usage = wait_for<store_usage>([this](auto done) { store_->usage(std::move(done)); });
  if (!usage) return usage.error().text;
  for (const auto& one : usage->streams) {
    const std::lock_guard lock(mutex_);
    const auto at = streams_.find(one.name);
    if (at != streams_.end() && at->second->newest->load() < one.last) at->second->newest->store(one.last);
  }
  forget_others(wanted);
  set_logs(snapshot, true);
  for (const auto& one : wanted) {
    const auto& name = one.config->name;
    const auto at = triggers_.find(name);
    if (at != triggers_.end() && at->second.what->same_as(one)) continue;
    if (at != triggers_.end()) {
      // The new one begins when nothing of the old one is in flight: an event is never at two places.
      auto next = std::make_shared<plan>(one);
      if (next->goes_on(*at->second.what)) next->since = at->second.what->since;
      at->second.what = std::move(next);
      end_runner(name);
      continue;
    }
    if (ending_.contains(name)) {  // removed, and back before its end: begins then
      triggers_[name].what = std::make_shared<plan>(one);
      continue;
    }
    if (auto problem = begin_runner(one); !problem.empty()) return problem;
  }
  set_cron(wanted);
  return begin_invocations();
}

void service::set_cron(const std::vector<plan>& wanted) {
  std::vector<cron_clock::job> jobs;
  for (const auto& one : wanted) {
    const auto* const source = std::get_if<config::cron_source>(&one.config->source);
    if (!source) continue;
    std::shared_ptr<stream_entry> entry;
    {
      const std::lock_guard lock(mutex_);
      entry = streams_.at(one.stream);
    }
    cron_clock::job job;
    job.name = one.config->name;
    job.source = *source;
    job.since = dealt_with(entry->stream, entry->newest->load(), source->missed == config::missed_runs::once);
    job.keep = [this, stream = entry->stream](std::string encoded, std::function<void(bool)> then) {
      store_->append(stream, {std::move(encoded)}, [this, then = std::move(then)](store_result<appended> result) {
        asio::post(around_.admin, [then, kept = result.has_value()] { then(kept); });
      });
    };
    jobs.push_back(std::move(job));
  }
  cron_.set(std::move(jobs));
}

/// The last event of a cron trigger says up to when its times were dealt with. One that has none begins now; one whose
/// last event was dropped was away for longer than that is kept.
std::chrono::sys_seconds service::dealt_with(stream_id stream, std::int64_t newest, bool once) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  if (newest == 0) return now;
  const auto read =
      wait_for<std::vector<record>>([&](auto done) { store_->read(stream, newest - 1, 1, 1, std::move(done)); });
  if (read && !read->empty()) {
    if (const auto due = due_time_of(read->front().blob)) return *due;
  }
  return once ? now - std::chrono::duration_cast<std::chrono::seconds>(cron_retention) : now;
}

void service::stop() {
  stopped_ = true;
  cron_.stop();
  backlog_timer_.cancel();
  clusters_.close();
}

// --- what grows
// ------------------------------------------------------------------------------------------------------------

/// The writer's thread.
void service::on_growth(const std::string& stream, std::int64_t last) {
  std::vector<std::shared_ptr<trigger>> interested;
  {
    const std::lock_guard lock(mutex_);
    const auto at = streams_.find(stream);
    if (at == streams_.end()) return;
    at->second->newest->store(last);
    for (const auto& one : at->second->triggers) {
      if (auto alive = one.lock()) interested.push_back(std::move(alive));
    }
  }
  for (const auto& one : interested) one->poke();
}

void service::poke_invoker(const std::string& function) {
  std::shared_ptr<invoker> one;
  bool made = false;
  {
    const std::lock_guard lock(mutex_);
    auto& entry = invokers_[function];
    made = entry == nullptr;
    if (made) entry = std::make_shared<invoker>(next_worker(), *store_, function, around_.log);
    one = entry;
  }
  if (made) {
    one->start();
  } else {
    one->poke();
  }
}

worker& service::next_worker() {
  const auto all = around_.workers();
  return *all[turn_++ % all.size()];
}

/// How many queued invocations are due. They are counted on the store's reader, not where they are made, which looks at
/// a few at a time.
void service::ask_due() {
  if (due_asked_) return;
  {
    const std::lock_guard lock(mutex_);
    if (invokers_.empty()) return;
  }
  due_asked_ = true;
  store_->due([this](store_result<std::vector<queue_due>> result) {
    asio::post(around_.admin, [this, result = std::move(result)] {
      due_asked_ = false;
      if (result) due_ = *result;
    });
  });
}

/// Tells the autoscaler how many events and queued invocations wait for each function.
void service::add_backlog() {
  if (stopped_) return;
  ask_due();
  const auto view = around_.view();
  std::map<std::string, std::uint64_t> waiting;
  for (const auto& name : waited_) waiting[name] = 0;  // also where nothing waits any more, or will
  for (const auto& [name, one] : triggers_) {
    for (const auto& each : {one.main, one.stored}) {
      if (each) waiting[one.what->function] += each->counters().runnable.load(std::memory_order_relaxed);
    }
  }
  {
    const std::lock_guard lock(mutex_);
    for (const auto& one : due_) {
      const auto at = invokers_.find(one.function);
      const auto busy = at == invokers_.end() ? 0 : at->second->in_flight();
      const auto due = static_cast<std::uint64_t>(one.requests);
      waiting[one.function] += due - std::min(due, busy);
    }
  }
  waited_.clear();
  for (const auto& [function, count] : waiting) {
    if (count > 0) waited_.insert(function);
    const auto& functions = view->snapshot->functions;
    const auto at = std::ranges::lower_bound(functions, function, {}, &config::function::name);
    if (at == functions.end() || at->name != function) continue;
    view->services[static_cast<std::size_t>(at - functions.begin())]->function->events_waiting.store(
        count, std::memory_order_relaxed);
  }
  backlog_timer_.expires_after(backlog_period);
  backlog_timer_.async_wait([this](const error_code& ec) {
    if (!ec) add_backlog();
  });
}

}  // namespace rouse::gateway::events
