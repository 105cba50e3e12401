// How instances come: back from a drain or from the cold, or anew in the first pool that has room.

#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "activator/lifecycle.hpp"
#include "activator/words.hpp"

namespace rouse::activator {

/// What is nearest first: what drains, what is frozen, a new one.
void lifecycle::grow(unsigned more, unsigned have, bool may_start, time_point now) {
  bool changed = false;
  for (const auto from : {phase::draining, phase::frozen}) {
    for (auto& one : instances_) {
      if (more == 0) break;
      if (one.outdated || one.at != from || !come_back(one, now)) continue;
      changed = true;
      --more;
      ++have;
    }
  }
  if (changed) publish();
  const auto min = limits().min;
  for (; may_start && more > 0 && start_somewhere(have < min, now); --more) ++have;
}

/// A draining or frozen instance takes work again.
bool lifecycle::come_back(tracked& one, time_point now) {
  // First it runs, then it is offered: it must not hold a caller who would find it still frozen.
  if (std::exchange(one.held, false)) {
    one.with->thaw(one.self->id());
    ++past().thaws;
  }
  if (one.at == phase::frozen) one.self->touch(std::chrono::nanoseconds(now.time_since_epoch()).count());
  if (!one.self->open()) return false;
  one.at = phase::ready;
  one.forgotten = false;
  one.makes_room = false;
  ++one.leaving;  // an answer to a leave_workers() of before means nothing now
  return true;
}

bool lifecycle::start_somewhere(bool within_min, time_point now) {
  if (const auto pool = find_place(within_min, now)) {
    start_in(*pool, now);
    return true;
  }
  lacks_room_ = true;
  room_comes_ = false;
  around_.pools.want(number_);
  // A frozen instance goes first, but only where its place would be ours, and one at a time.
  for (const auto& where : places_) {
    if (is_closed(where, now) || !around_.pools.must_go(where.pool, within_min, now, claimed_in(where.pool))) continue;
    room_comes_ = around_.pools.some_leave(where.pool) || (around_.make_room && around_.make_room(where.pool));
    if (room_comes_) break;
  }
  return false;
}

unsigned lifecycle::holds(std::uint32_t pool) const {
  const auto here = [&](const tracked& one) { return one.pool == pool && one.at != phase::exited; };
  return static_cast<unsigned>(std::ranges::count_if(instances_, here));
}

/// So many of its own there must go before it may have one more, whatever room the pool has.
unsigned lifecycle::must_go_of_own(const place& where) const {
  const auto here = holds(where.pool);
  // Those that leave are not among what stands there. Where none is there although some could be, the backend is asked,
  // for it knows why.
  const auto left = static_cast<unsigned>(std::ranges::count_if(
      instances_, [&](const tracked& one) { return one.leaves && one.pool == where.pool && one.at != phase::exited; }));
  const auto beyond = [](unsigned have, unsigned most) { return have >= most ? have + 1 - most : 0; };
  return std::max(where.max > 0 ? beyond(here, where.max) : 0,
                  where.standing > 0U ? beyond(here - left, *where.standing) : 0);
}

/// To this revision, whatever room the pool has.
bool lifecycle::is_closed(const place& where, time_point now) const {
  return must_go_of_own(where) > 0 || now < where.refused_until;
}

std::optional<std::uint32_t> lifecycle::find_place(bool within_min, time_point now) const {
  const auto has_place = [&](const place& where) {
    return !is_closed(where, now) && around_.pools.has_room(where.pool, within_min, now, claimed_in(where.pool));
  };
  // What is there in any case is used first.
  for (const auto& where : places_) {
    if (where.standing > 0U && has_place(where)) return where.pool;
  }
  for (const auto& where : places_) {
    if (has_place(where)) return where.pool;
  }
  return std::nullopt;
}

/// Pools that are closed for now by their schedule do not make it 0.
unsigned lifecycle::most() const {
  const auto bound = limits().max;
  unsigned in_pools = 0;
  for (const auto& where : places_) {
    const auto here = std::min(where.max > 0 ? where.max : bound, around_.pools.limit_of(where.pool).value_or(bound));
    in_pools += std::min(here, bound - in_pools);
  }
  return std::min(bound, std::max(in_pools, 1U));
}

std::vector<lifecycle::full_pool> lifecycle::full_pools(time_point now) const {
  std::vector<full_pool> out;
  for (const auto& where : places_) {
    if (is_closed(where, now)) continue;
    const auto must_go = around_.pools.must_go(where.pool, false, now, claimed_in(where.pool));
    if (must_go && *must_go > 0) out.push_back(full_pool{where.pool, *must_go});
  }
  return out;
}

/// Else whoever else lacks room there might take it, and what made room would have gone for nothing.
void lifecycle::claim(std::uint32_t pool) {
  if (claimed_ == pool) return;
  give_up_claim();
  claimed_ = pool;
  around_.pools.keep_free(pool, 1);
}

void lifecycle::give_up_claim() {
  if (claimed_) around_.pools.keep_free(*std::exchange(claimed_, std::nullopt), -1);
}

run_spec lifecycle::how_to_run() const {
  run_spec spec;
  spec.key = number_;
  spec.function = runtime_->function->name;
  spec.revision = config_->name;
  spec.hash = config_->hash;
  spec.command = config_->command;
  spec.env = config_->env;
  spec.directory = config_->directory;
  spec.image = config_->image;
  spec.deployment = config_->deployment;
  spec.endpoints = config_->endpoints;
  spec.url = config_->url;
  spec.port = config_->port;
  spec.port_name = config_->port_name;
  spec.memory = config_->memory;
  spec.cpu = config_->cpu;
  spec.ready_path = config_->ready_path;
  spec.start_timeout = config_->start_timeout;
  spec.stop_grace = config_->stop_grace;
  spec.concurrency = config_->concurrency;
  spec.may_freeze = config_->scale.to_zero == config::to_zero::freeze;
  return spec;
}

void lifecycle::start_in(std::uint32_t pool, time_point now, std::string found) {
  start_spec spec{how_to_run(), around_.next_id++, {}, std::move(found)};
  spec.instance = config_->name + "-" + std::to_string(spec.id);
  tracked one;
  one.with = around_.backends.of(pool);
  one.found = !spec.found.empty();
  one.self = std::make_unique<router::instance>(spec.id, spec.instance, config_->concurrency, around_.workers);
  one.began = now;
  one.pool = pool;
  instances_.push_back(std::move(one));
  around_.pools.take(pool, now);
  if (claimed_ == pool) give_up_claim();
  around_.by_id.emplace(spec.id, this);
  if (!instances_.back().found) {  // the log has why one more is wanted
    auto what = about(instances_.back(), "start");
    what.text = "instance " + spec.instance + " is started";
    around_.story->add(std::move(what), around_.wall());
  }
  instances_.back().with->start(spec);
}

/// Replaces outdated instances one by one: one more than needed is started, and when it is ready an old one drains.
/// Where no pool has room for one more, an old one goes first.
void lifecycle::roll_outdated(unsigned desired, time_point now) {
  if (in_phase(phase::starting) > 0) return;
  if (std::exchange(surge_, false) && in_phase(phase::ready) > desired) shrink(1, now);
  // An old one goes only while there is enough without it: a new one that cannot start must not cost them all.
  // Where there is no room for what the load needs, what is there has to do.
  if (count().outdated == 0 || (in_phase(phase::ready) < desired && !lacks_room_)) return;
  surge_ = start_somewhere(false, now);
  if (!surge_ && !room_comes_) make_room_for_itself(now);
}

/// An outdated one goes where that leaves a place for its successor, and only after the one before it is gone.
void lifecycle::make_room_for_itself(time_point now) {
  if (std::ranges::any_of(places_, [&](const place& where) { return is_making_room(where.pool); })) return;
  for (const auto& where : places_) {
    const auto goes = [&](const tracked& one) {
      return one.outdated && one.pool == where.pool && (one.at == phase::ready || one.at == phase::ejected);
    };
    const auto full = around_.pools.must_go(where.pool, false, now, claimed_in(where.pool));
    if (!full || now < where.refused_until) continue;
    const auto must_go = std::max(*full, must_go_of_own(where));
    if (must_go == 0 || static_cast<unsigned>(std::ranges::count_if(instances_, goes)) < must_go) continue;
    claim(where.pool);
    return make_room(goes, now);
  }
}

void lifecycle::on_ready(std::uint64_t id, const ready_report& report, time_point now) {
  auto& one = find(id);
  if (one.at != phase::starting) {  // told to stop while it was starting
    assert(one.at == phase::stopping && !one.published);
    if (report.probe_socket >= 0) ::close(report.probe_socket);
    return;
  }
  auto& self = *one.self;
  self.set_address(report.where);
  self.set_birth(std::chrono::nanoseconds(one.began.time_since_epoch()).count(),
                 std::chrono::nanoseconds(now.time_since_epoch()).count());
  if (report.probe_socket >= 0) {
    self.connections.connections.store(1);
    self.connections.probe_socket.store(report.probe_socket);
  }
  one.at = phase::ready;
  one.ready_at = now;
  const bool opened = self.open();
  assert(opened);
  static_cast<void>(opened);
  one.progress.clear();
  if (!one.found) {
    ++past().cold_starts;
    past().cold_start_duration.observe(static_cast<std::uint64_t>(std::chrono::nanoseconds(now - one.began).count()));
  }
  publish();
  tell(spdlog::level::info, about(one, "ready"),
       fmt::format("instance {} {} after {} on {}", self.name(), one.found ? "is taken over" : "ready",
                   in_words(now - one.began), in_words(report.where)));
  evaluate(now);
}

void lifecycle::publish() {
  auto list = std::make_unique<parking_lot::instance_list>();
  for (auto& one : instances_) {
    if (one.at != phase::ready) continue;
    one.published = true;
    list->push_back(one.self.get());
  }
  std::shared_ptr<const parking_lot::instance_list> old = runtime_->lot.publish(std::move(list));
  if (old) around_.plane.quiesce([old] {});  // freed with the callback
}

void lifecycle::on_exit(std::uint64_t id, exit_report report, time_point now) {
  auto& one = find(id);
  const auto was = std::exchange(one.at, phase::exited);
  assert(was != phase::exited);
  one.self->mark_gone();
  around_.by_id.erase(id);
  if (one.told) around_.pools.has_left(one.pool);
  around_.pools.give_back(one.pool, now);
  if (was == phase::starting) {
    start_failed(one, report, now);
  } else if (was == phase::stopping) {
    if (one.published) backoff_.ran(one.ready_at, now);
    tell(spdlog::level::info, about(one, "stopped", report.reason),
         fmt::format("instance {} stopped: {}", one.self->name(), printable(report.detail)));
  } else {
    stands_no_more(one);
    crashed(one, was == phase::frozen, report, now);
    if (was == phase::ready) publish();
    leave_workers({id});
  }
  forget_backends();
  evaluate(now);
}

void lifecycle::on_progress(std::uint64_t id, std::string text) {
  auto& one = find(id);
  tell(spdlog::level::info, about(one, "progress"), fmt::format("instance {}: {}", one.self->name(), printable(text)));
  one.progress = std::move(text);
}

/// Somebody else ends it: it gets no new work, and is told to stop when it has none left.
void lifecycle::on_leaving(std::uint64_t id, const std::string& detail, time_point now) {
  auto& one = find(id);
  stands_no_more(one);
  one.outdated = true;
  tell(spdlog::level::info, about(one, "leaving"),
       fmt::format("instance {} leaves with {} in flight: {}", one.self->name(), one.self->slots_taken(),
                   printable(detail)));
  if (one.at == phase::ready || one.at == phase::ejected) {
    take_out({&one}, 1, now);
  } else if (one.at == phase::frozen && one.self->stop_if_idle()) {
    stop(one, config_->stop_grace, now);
  }
  evaluate(now);
}

/// It is not replaced by one that is not there: until the backend says more, one less stands.
void lifecycle::stands_no_more(tracked& one) {
  if (std::exchange(one.leaves, true)) return;
  const auto where = std::ranges::find(places_, one.pool, &place::pool);
  if (where != places_.end() && where->standing > 0U) --*where->standing;
}

void lifecycle::on_found(std::uint32_t pool, std::string name, time_point now) {
  auto what = about("found");
  what.pool = around_.pools.name_of(pool);
  tell(spdlog::level::info, std::move(what),
       fmt::format("found {} in pool {}", printable(name), around_.pools.name_of(pool)));
  start_in(pool, now, std::move(name));
  evaluate(now);
}

void lifecycle::on_standing(std::uint32_t pool, unsigned count, time_point now) {
  const auto where = std::ranges::find(places_, pool, &place::pool);
  if (where == places_.end()) return;
  if (count > where->standing.value_or(0)) {
    around_.pools.refuse_no_more(pool);
    where->refused_until = {};
    backoff_ = {};  // what failed before says nothing about one that was not there
  }
  where->standing = count;
  evaluate(now);
}

void lifecycle::on_well_again(std::uint32_t pool, time_point now) {
  const auto its = std::ranges::find(places_, pool, &place::pool);
  if (its == places_.end()) return;
  its->refused_until = {};
  if (failure_ && is_for_room(failure_->reason)) backoff_ = {};
  evaluate(now);
}

void lifecycle::start_failed(const tracked& one, exit_report& report, time_point now) {
  if (one.found && report.reason == "gone") {
    // It says nothing about the function: it has ended, or serves a start that was on its way already.
    tell(spdlog::level::info, about(one, "stopped", report.reason),
         fmt::format("nothing to take over: {}", printable(report.detail)));
    return;
  }
  const auto others = in_phase(phase::ready) + in_phase(phase::starting);
  // A pool that cannot be reached is like one without room: the next one is asked.
  const bool for_room = is_for_room(report.reason);
  if (for_room) {
    const bool known = refuse(one, now + capacity_pause, now);
    ++past().start_failures[report.reason];
    tell(known ? spdlog::level::debug : spdlog::level::warn, about(one, "no-capacity", report.reason),
         fmt::format("pool {} has no capacity: {}; it is asked again in {}", around_.pools.name_of(one.pool),
                     printable(report.detail), in_words(capacity_pause)));
    if (find_place(false, now) || others > 0) return;  // the next pool, or those that are there
  }
  const bool same_again = failure_ && failure_->reason == report.reason;
  const bool news = backoff_.failed(one.began, now, around_.random());
  if (!for_room) ++past().start_failures[report.reason];
  // Twenty starts that fail together for one reason are one error; the others are told only to those who debug.
  tell(news || !same_again ? spdlog::level::err : spdlog::level::debug, about(one, "failed", report.reason),
       fmt::format("instance {} could not be started ({}): {}; {}next try in {} at the earliest{}", one.self->name(),
                   report.reason, printable(report.detail),
                   others ? std::to_string(others) + " ready or starting remain, " : std::string(),
                   in_words(backoff_.retry_at() - now), as_tail(report.last_lines)));
  remember_failure(std::move(report.reason), std::move(report.detail), std::move(report.last_lines));
}

/// The pool of that start is not asked again before then; true when that was known already, of another start.
bool lifecycle::refuse(const tracked& one, time_point until, time_point now) {
  if (!one.with->traits().apart) {
    const bool known = around_.pools.refusal_ends(one.pool, now).has_value();
    around_.pools.refuse_until(one.pool, until);
    return known;
  }
  const auto where = std::ranges::find(places_, one.pool, &place::pool);
  return where != places_.end() && std::exchange(where->refused_until, until) > now;
}

/// What dies while frozen did not fail at its work, so it delays no start: whoever calls next gets another one.
void lifecycle::crashed(const tracked& one, bool frozen, exit_report& report, time_point now) {
  const bool delays = !frozen && backoff_.crashed(one.began, one.ready_at, now, around_.random());
  const auto lived = in_words(now - one.ready_at);
  tell(spdlog::level::warn, about(one, "crashed", report.reason),
       fmt::format("instance {} ended by itself {} after it was ready, with {} in flight ({}): {}{}{}",
                   one.self->name(), lived, one.self->slots_taken(), report.reason, printable(report.detail),
                   delays ? "; it keeps ending, next try in " + in_words(backoff_.retry_at() - now) : std::string(),
                   as_tail(report.last_lines)));
  if (!delays) return;
  remember_failure(std::move(report.reason), "it keeps ending soon after it was ready: " + report.detail,
                   std::move(report.last_lines));
}

void lifecycle::remember_failure(std::string reason, std::string detail, std::vector<std::string> last_lines) {
  auto why = std::make_shared<start_failure>();
  why->reason = std::move(reason);
  why->detail = std::move(detail);
  why->last_lines = std::move(last_lines);
  why->retry_at = backoff_.retry_at();
  failure_ = std::move(why);
}

void lifecycle::refuse_while_nothing_comes(time_point now) {
  if (refusing_ || !backoff_.waiting(now)) return;
  const auto may_come = [](const tracked& one) { return one.at < phase::stopping && one.at != phase::ejected; };
  if (std::ranges::any_of(instances_, may_come)) return;
  assert(failure_);
  refusing_ = true;
  runtime_->lot.fail(failure_);
}

void lifecycle::release_slow_answers(time_point now) {
  if (config_->concurrency > 0 || runtime_->lot.parked() == 0 || now < overdue_at_) return;
  overdue_at_ = now + tick;  // once a tick, however often demand asks for an evaluation
  runtime_->lot.offer_overdue();
}

void lifecycle::end_backoff(time_point now) {
  if (backoff_.waiting(now)) return;
  failure_.reset();
  if (!std::exchange(refusing_, false)) return;
  runtime_->lot.clear_failure();
}

void lifecycle::on_output(std::uint64_t id, std::string line) {
  const auto& function = runtime_->function;
  const auto& name = find(id).self->name();
  around_.log.info("[{} {}] {}", function->name, name, printable(line));
  function->output.add(name, std::move(line), around_.wall());
}

}  // namespace rouse::activator
