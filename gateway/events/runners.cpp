// How triggers begin, change and end.

#include <algorithm>
#include <utility>

#include "activator/schedule.hpp"
#include "gateway/events/cloudevents/storage.hpp"
#include "gateway/events/plan.hpp"
#include "gateway/events/stream_source.hpp"
#include "gateway/events/topic_source.hpp"

namespace rouse::gateway::events {

namespace {

/// How many events the trigger may have in flight now.
std::function<unsigned()> limit_of(const config::trigger& of) {
  std::vector<std::pair<activator::day_window, unsigned>> windows;
  for (const auto& one : of.schedule) windows.emplace_back(activator::day_window(one.when), one.concurrency);
  return [windows = std::move(windows), usual = of.concurrency] {
    if (windows.empty()) return usual;
    const auto now = std::chrono::system_clock::now();
    const auto at = std::ranges::find_if(windows, [&](const auto& one) { return one.first.holds(now); });
    return at == windows.end() ? usual : at->second;
  };
}

/// The two of a trigger on Kafka share its `concurrency`: what waits in the store has a half of it while there is any.
struct shares {
  std::function<unsigned()> limit;
  std::weak_ptr<trigger> stored;  ///< set before either begins

  [[nodiscard]] unsigned of_topics() const {
    const auto all = limit();
    const auto other = stored.lock();
    if (!other) return all;
    const auto& counters = other->counters();
    const bool idle = counters.in_flight.load(std::memory_order_relaxed) == 0 &&
                      counters.runnable.load(std::memory_order_relaxed) == 0;
    return idle ? all : std::max(1U, all - all / 2);
  }
  [[nodiscard]] unsigned of_stored() const { return std::max(1U, limit() / 2); }
};

failure_note note_of(const failure& why) {
  failure_note out;
  out.attempts = static_cast<int>(why.attempts);
  out.last_status = static_cast<int>(why.status);
  out.last_error = why.detail;
  return out;
}

topic_settings settings_of(const config::kafka_source& from, wall_time since, const std::string& trigger) {
  topic_settings out;
  out.cluster = from.cluster;
  out.topics = from.topics;
  out.group = from.group;
  out.start = from.start;
  out.since = since;
  out.trigger = trigger;
  return out;
}

trigger_names names_of(const config::trigger& of, const std::string& function, const std::string& reply,
                       const std::string& dead) {
  trigger_names out;
  out.function = function;
  out.reply = reply;
  using to = config::dead_letter_to::kind;
  if (of.dead_letter.to == to::bus || of.dead_letter.to == to::topic) out.dead_bus = dead;
  if (of.dead_letter.to == to::function) out.dead_function = dead;
  return out;
}

}  // namespace

store_result<std::unique_ptr<event_source>> service::stored_source(const plan& what, worker& on,
                                                                   std::shared_ptr<stream_entry>& entry) {
  {
    const std::lock_guard lock(mutex_);
    entry = streams_.at(what.stream);
  }
  const auto* const bus = std::get_if<config::bus_source>(&what.config->source);
  // A cron trigger that was taken out and comes back has no business with the times of before; nor has one on Kafka
  // with what is in the store from before it was there.
  const bool earliest = bus && !what.topics && bus->start == config::event_start::earliest;
  const auto consumer =
      store_->consumer(what.config->name, entry->stream, earliest ? start_at::earliest : start_at::latest);
  if (!consumer) return consumer.error();
  auto state = store_->load(*consumer);
  if (!state) return state.error();
  return std::unique_ptr<event_source>(
      std::make_unique<stream_source>(on, *store_, entry->stream, *consumer, std::move(*state), entry->newest));
}

std::string service::begin_runner(const plan& what) {
  auto& on = next_worker();
  std::shared_ptr<stream_entry> entry;
  auto source = stored_source(what, on, entry);
  if (!source) return source.error().text;
  const auto names = names_of(*what.config, what.function, what.reply, what.dead);
  const auto make = [&](std::unique_ptr<event_source> from, std::function<unsigned()> limit) {
    return std::make_shared<trigger>(on, what.config, names, std::move(from), *this, around_.log, std::move(limit));
  };
  runner made;
  made.what = std::make_shared<plan>(what);
  auto share = std::make_shared<shares>();
  share->limit = limit_of(*what.config);
  std::shared_ptr<trigger> of_store;
  if (what.topics) {
    auto keep = [this, owner = what.config->name](std::string place, const cloud_event& event, const failure& why,
                                                  std::function<void(bool)> then) {
      store_->keep_dead_letter(owner, std::move(place), encode(event), note_of(why),
                               [then = std::move(then)](const auto& kept) { then(kept.has_value()); });
    };
    auto topics = std::make_unique<topic_source>(on, settings_of(*what.topics, what.since, what.config->name),
                                                 std::move(keep), threads_, around_.log);
    made.topics = topics->numbers();
    made.main = make(std::move(topics), [share] { return share->of_topics(); });
    made.stored = of_store = make(std::move(*source), [share] { return share->of_stored(); });
    share->stored = of_store;
  } else {
    made.main = of_store = make(std::move(*source), share->limit);
  }
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(entry->triggers, [](const auto& one) { return one.expired(); });
    entry->triggers.push_back(of_store);
  }
  triggers_[what.config->name] = made;
  made.main->start();
  if (made.stored) made.stored->start();
  return {};
}

/// When nothing of it is in flight any more, what is wanted by then begins in its place, or its place is forgotten.
void service::end_runner(const std::string& name) {
  const auto old = triggers_.at(name);
  if (!old.main || !ending_.insert(name).second) return;
  auto left = std::make_shared<std::atomic<int>>(old.stored ? 2 : 1);
  const auto ended = [this, name, left] {
    if (left->fetch_sub(1) != 1) return;
    asio::post(around_.admin, [this, name] {
      ending_.erase(name);
      if (stopped_) return;
      const auto now = triggers_.find(name);
      if (now == triggers_.end()) return forget_place(name);
      const auto what = now->second.what;
      if (const auto problem = begin_runner(*what); !problem.empty())
        around_.log.error("trigger {} does not run: {}", name, problem);
    });
  };
  old.main->stop(ended);
  if (old.stored) old.stored->stop(ended);
}

/// Those that the configuration does not name any more: their place is forgotten, or their bus would keep all that
/// comes for them.
void service::forget_others(const std::vector<plan>& wanted) {
  const auto is_wanted = [&](const std::string& name) {
    return std::ranges::any_of(wanted, [&](const auto& one) { return one.config->name == name; });
  };
  std::vector<std::string> others;
  for (const auto& [name, one] : triggers_) {
    if (!is_wanted(name)) others.push_back(name);
  }
  for (const auto& name : others) {
    end_runner(name);
    triggers_.erase(name);
  }
  const auto known = store_->consumers();
  if (!known) return;
  for (const auto& name : *known) {
    if (!is_wanted(name) && !ending_.contains(name)) forget_place(name);
  }
}

void service::forget_place(const std::string& name) {
  around_.log.warn(
      "trigger {} is not in the configuration any more: where it was on its bus is forgotten (a group of Kafka is not)",
      name);
  if (const auto done = store_->forget_consumer(name); !done)
    around_.log.error("trigger {}: its place could not be forgotten: {}", name, done.error().text);
}

}  // namespace rouse::gateway::events
