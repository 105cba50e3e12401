#include "activator/backend/counted/counted.hpp"

#include <algorithm>

namespace rouse::counted {

namespace {

constexpr std::chrono::seconds poll_patience{
    2};  ///< whoever polls for readiness knows better what was wrong: it may say so

template <class All>
auto by_age(All& there) {
  std::vector<typename All::iterator> out;
  for (auto at = there.begin(); at != there.end(); ++at) out.push_back(at);
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a->second.since < b->second.since; });
  return out;
}

}  // namespace

bool instances::is_free(const there& it) const {
  return it.id == 0 && !it.told && !it.victim;
}

unsigned instances::waiting() const {
  return static_cast<unsigned>(
      std::count_if(ids_.begin(), ids_.end(), [](const auto& one) { return one.second.name.empty(); }));
}

unsigned instances::starting_free() const {
  return static_cast<unsigned>(std::count_if(there_.begin(), there_.end(), [&](const auto& one) {
    return is_free(one.second) && one.second.is.now == phase::starting;
  }));
}

unsigned instances::wanted() const {
  unsigned sum = kept_ + waiting();
  for (const auto& [name, it] : there_) {
    if (it.victim || it.is.now == phase::leaving) continue;
    if (it.told || it.id != 0) ++sum;
  }
  return sum;
}

std::optional<unsigned> instances::write() const {
  if (!known_ || !dirty_) return std::nullopt;
  const unsigned want = wanted();
  return want == count_ ? std::nullopt : std::optional(want);
}

std::vector<std::string> instances::victims() const {
  std::vector<std::string> out;
  for (const auto& [name, it] : there_)
    if (it.victim && it.is.now != phase::leaving) out.push_back(name);
  return out;
}

bool instances::is_victim(const std::string& name) const {
  const auto at = there_.find(name);
  return at != there_.end() && at->second.victim;
}

std::string instances::name_of(std::uint64_t id) const {
  const auto at = ids_.find(id);
  return at == ids_.end() ? std::string() : at->second.name;
}

void instances::start(std::uint64_t id, time_point now, std::chrono::milliseconds timeout) {
  claim mine;
  mine.began = now;
  mine.deadline = now + timeout;
  ids_.emplace(id, std::move(mine));
  dirty_ = true;
  settle(now);
}

void instances::start_found(std::uint64_t id, const std::string& name, time_point now,
                            std::chrono::milliseconds timeout) {
  claim mine;
  mine.began = now;
  mine.deadline = now + timeout;
  const auto mine_at = ids_.emplace(id, std::move(mine)).first;
  const auto at = there_.find(name);
  if (at == there_.end() || at->second.id != 0 || at->second.victim || at->second.is.now == phase::leaving) {
    end(mine_at, "gone", name + " has ended before it could be taken over");
    return;
  }
  if (!at->second.told) dirty_ = true;
  bind(mine_at, at);
  settle(now);
}

void instances::stop(std::uint64_t id, time_point now) {
  const auto mine = ids_.find(id);
  if (mine == ids_.end() || mine->second.stopping) return;
  claim& one = mine->second;
  one.stopping = true;
  if (one.name.empty()) {
    // Of those that start, the last is given up, where there is one for each start that waits.
    const auto all_of = by_age(there_);
    const auto last = std::find_if(all_of.rbegin(), all_of.rend(), [&](const auto& at) {
      return is_free(at->second) && at->second.is.now == phase::starting;
    });
    dirty_ = true;
    if (!known_ || last == all_of.rend() || starting_free() < waiting()) {
      end(mine, "stopped", "it was not there yet");
    } else {
      bind(mine, *last);
      (*last)->second.victim = true;
    }
  } else {
    const auto at = there_.find(one.name);
    there& it = at->second;
    if (it.is.now == phase::leaving) {
      // It goes anyway: that is waited for.
    } else if (one.leaving) {
      // It was not ready for a while, and may be again: that is found out as of any that starts.
      it.id = 0;
      end(mine, "unready", it.is.detail.empty() ? "it was not ready for a while" : it.is.detail);
      it.told = true;
      event told;
      told.what = happened::found;
      told.name = at->first;
      events_.push_back(std::move(told));
    } else {
      it.victim = true;
      dirty_ = true;
    }
  }
  settle(now);
}

void instances::let_go(std::uint64_t id) {
  const auto mine = ids_.find(id);
  if (mine == ids_.end()) return;
  const auto at = there_.find(mine->second.name);
  if (at == there_.end()) {
    ++kept_;
  } else {
    at->second.id = 0;
    if (!at->second.victim) at->second.told = true;
  }
  mine->second.stopping = true;
  end(mine, "kept", "it runs on for the next rouse");
}

void instances::confirm(std::uint64_t id) {
  if (const auto mine = ids_.find(id); mine != ids_.end()) mine->second.confirmed = true;
}

void instances::fail(std::uint64_t id, std::string reason, std::string detail) {
  const auto mine = ids_.find(id);
  if (mine == ids_.end() || mine->second.stopping) return;
  if (const auto at = there_.find(mine->second.name); at != there_.end()) give_up(at->second);
  end(mine, std::move(reason), std::move(detail));
  dirty_ = true;
}

void instances::standing(unsigned count, time_point now) {
  count_ = count;
  if (!known_) {
    // What runs already serves the starts that wait, and is never ended for being more.
    known_ = true;
    dirty_ = false;
    settle(now);
    dirty_ = wanted() > count_;
    return;
  }
  if (waiting() > 0 && wanted() > count_) dirty_ = true;
  settle(now);
}

void instances::wrote(unsigned count, time_point now) {
  count_ = count;
  settle(now);
  dirty_ = wanted() != count_;
}

void instances::saw(const std::string& name, const sight& what, time_point now) {
  const auto [at, is_new] = there_.try_emplace(name);
  if (is_new) at->second.since = ++appeared_;
  at->second.is = what;
  settle(now);
}

void instances::died(const std::string& name, std::string reason, std::string detail, time_point now) {
  const auto at = there_.find(name);
  if (at == there_.end()) return;
  if (const auto mine = ids_.find(at->second.id); mine != ids_.end()) {
    if (!mine->second.confirmed || mine->second.stopping) return;
    at->second.id = 0;
    at->second.is.now = phase::starting;
    end(mine, std::move(reason), std::move(detail));
  }
  settle(now);
}

void instances::gone(const std::string& name, std::string detail, time_point now) {
  const auto at = there_.find(name);
  if (at == there_.end()) return;
  if (const auto mine = ids_.find(at->second.id); mine != ids_.end()) {
    claim& one = mine->second;
    if (one.stopping || one.confirmed) {
      end(mine, one.stopping ? "stopped" : "gone", std::move(detail));
    } else {
      if (one.ready) {
        event back;
        back.what = happened::not_ready;
        back.id = mine->first;
        back.name = name;
        events_.push_back(std::move(back));
      }
      one.ready = false;
      one.name.clear();
    }
  }
  there_.erase(at);
  settle(now);
}

void instances::refused(std::string reason, std::string detail, time_point now) {
  if (reason.empty()) {
    refusal_.reset();
    return;
  }
  refusal_.emplace(std::move(reason), std::move(detail));
  settle(now);
}

void instances::impossible(const std::string& reason, const std::string& detail, time_point /*now*/) {
  for (auto at = oldest_waiting(); at != ids_.end(); at = oldest_waiting()) end(at, reason, detail);
  dirty_ = dirty_ && wanted() != count_;
}

void instances::tick(time_point now) {
  settle(now);
}

std::optional<instances::time_point> instances::due() const {
  std::optional<time_point> first;
  const auto take = [&](time_point at) { first = first ? std::min(*first, at) : at; };
  const bool without = (refusal_ || away_since_) && waiting() > starting_free();
  for (const auto& [id, one] : ids_) {
    if (one.stopping || one.confirmed) continue;
    take(one.deadline + (one.ready ? poll_patience : std::chrono::seconds(0)));
    if (!without || !one.name.empty()) continue;
    if (refusal_) take(one.began + refusal_after);
    if (away_since_) take(*away_since_ + away_patience);
  }
  if (reached_) take(*reached_ + release_after);
  return first;
}

void instances::settle(time_point now) {
  if (known_) {
    look_at_claims();
    give_ready_ones();
    give_failed_ones();
    fail_refused(now);
  }
  fail_away(now);
  fail_late(now);
  if (!known_) return;
  if (dirty_ && wanted() == count_) dirty_ = false;
  release_survivors(now);
  give_ready_ones();
  tell_found();
}

void instances::look_at_claims() {
  for (auto at = ids_.begin(); at != ids_.end();) at = look_at(at);
}

instances::claims::iterator instances::look_at(claims::iterator at) {
  claim& mine = at->second;
  const auto next = std::next(at);
  const auto where = there_.find(mine.name);
  if (where == there_.end() || mine.stopping) return next;
  there& it = where->second;
  const auto say = [&](happened what) {
    event told;
    told.what = what;
    told.id = at->first;
    told.name = where->first;
    told.detail = it.is.detail;
    events_.push_back(std::move(told));
  };
  if (it.is.now == phase::failed) {
    give_up(it);
    return end(at, it.is.reason, it.is.detail);
  }
  if (it.is.now == phase::ready) {
    if (!mine.ready) say(happened::ready);
    mine.ready = true;
  } else if (mine.confirmed) {
    if (!mine.leaving) say(happened::leaving);
    mine.leaving = true;
  } else {
    if (mine.ready) say(happened::not_ready);
    mine.ready = false;
    if (it.is.now == phase::leaving) {  // who waits for it waits for the next one
      it.id = 0;
      mine.name.clear();
    }
  }
  return next;
}

void instances::give_ready_ones() {
  if (waiting() == 0) return;
  for (const auto at : by_age(there_)) {
    if (!is_free(at->second) || at->second.is.now != phase::ready) continue;
    const auto mine = oldest_waiting();
    if (mine == ids_.end()) return;
    bind(mine, at);
    look_at(mine);
  }
}

void instances::give_failed_ones() {
  if (waiting() == 0) return;
  for (const auto at : by_age(there_)) {
    if (!is_free(at->second) || at->second.is.now != phase::failed) continue;
    const auto mine = oldest_waiting();
    if (mine == ids_.end()) return;
    give_up(at->second);
    end(mine, at->second.is.reason, at->second.is.detail);
  }
}

void instances::tell_found() {
  if (dirty_) return;
  const unsigned want = wanted();
  if (count_ <= want) return;
  unsigned extra = count_ - want;
  unsigned reserved = std::min(waiting(), starting_free());
  for (const auto at : by_age(there_)) {
    if (extra == 0) return;
    there& it = at->second;
    if (!is_free(it) || it.is.now == phase::leaving) continue;
    if (it.is.now == phase::starting && reserved > 0) {
      --reserved;
      continue;
    }
    it.told = true;
    --extra;
    event told;
    told.what = happened::found;
    told.name = at->first;
    events_.push_back(std::move(told));
  }
}

void instances::set_problem(std::string why, time_point since, time_point now) {
  problem_ = std::move(why);
  away_since_ = problem_.empty() ? std::nullopt : std::optional(since);
  settle(now);
}

void instances::fail_refused(time_point now) {
  if (refusal_) fail_without_one(refusal_->first, refusal_->second, now - refusal_after);
}

void instances::fail_away(time_point now) {
  if (away_since_ && now >= *away_since_ + away_patience) fail_without_one("unavailable", problem_, now);
}

/// Of the starts that nothing is being started for, those that began by then.
void instances::fail_without_one(const std::string& reason, const std::string& detail, time_point began_by) {
  const unsigned started = starting_free();
  unsigned without = waiting() > started ? waiting() - started : 0;
  std::vector<std::uint64_t> which;
  for (auto at = ids_.rbegin(); at != ids_.rend() && without > 0; ++at) {
    if (!at->second.name.empty()) continue;
    --without;
    if (at->second.began <= began_by) which.push_back(at->first);
  }
  for (const auto id : which) fail(id, reason, detail);
}

void instances::fail_late(time_point now) {
  for (auto at = ids_.begin(); at != ids_.end();) {
    const claim& one = at->second;
    const auto until = one.deadline + (one.ready ? poll_patience : std::chrono::seconds(0));
    if (one.stopping || one.confirmed || now < until) {
      ++at;
      continue;
    }
    dirty_ = true;
    auto it = there_.find(one.name);
    if (it == there_.end() && (!known_ || !problem_.empty())) {
      at = end(at, "unavailable", problem_.empty() ? "it is not known yet what runs there" : problem_);
      continue;
    }
    if (it == there_.end() && starting_free() >= waiting()) it = longest_starting();
    if (it == there_.end()) {
      at = end(at, "timeout", "nothing was started for it in time");
    } else {
      give_up(it->second);
      std::string detail = it->first + " was not ready in time";
      if (!it->second.is.detail.empty()) detail += ": " + it->second.is.detail;
      at = end(at, "timeout", std::move(detail));
    }
  }
}

bool instances::survivors() const {
  if (dirty_) return false;
  unsigned alive = 0;
  bool chosen = false;
  for (const auto& [name, it] : there_) {
    if (it.is.now == phase::leaving) continue;
    ++alive;
    chosen = chosen || it.victim;
  }
  return chosen && alive <= count_;
}

void instances::release_survivors(time_point now) {
  if (!survivors()) {
    reached_.reset();
    return;
  }
  if (!reached_) reached_ = now;
  if (now - *reached_ < release_after) return;
  reached_.reset();
  for (auto& [name, it] : there_) {
    if (!it.victim || it.is.now == phase::leaving) continue;
    it.victim = false;
    const auto mine = ids_.find(std::exchange(it.id, 0));
    if (mine != ids_.end()) end(mine, "stopped", "another one went in place of " + name + ", which runs on");
  }
}

instances::claims::iterator instances::end(claims::iterator at, std::string reason, std::string detail) {
  event last;
  last.what = happened::exit;
  last.id = at->first;
  last.name = at->second.name;
  last.reason = std::move(reason);
  last.detail = std::move(detail);
  last.was_ready = at->second.confirmed;
  last.was_asked = at->second.stopping;
  events_.push_back(std::move(last));
  return ids_.erase(at);
}

instances::claims::iterator instances::oldest_waiting() {
  return std::find_if(ids_.begin(), ids_.end(), [](const auto& one) { return one.second.name.empty(); });
}

instances::all::iterator instances::longest_starting() {
  const auto all_of = by_age(there_);
  const auto first = std::find_if(all_of.begin(), all_of.end(), [&](const auto& at) {
    return is_free(at->second) && at->second.is.now == phase::starting;
  });
  return first == all_of.end() ? there_.end() : *first;
}

void instances::bind(claims::iterator id, all::iterator it) {
  id->second.name = it->first;
  it->second.id = id->first;
  it->second.told = false;
}

void instances::give_up(there& it) {
  it.id = 0;
  it.told = false;
  it.victim = true;
  dirty_ = true;
}

}  // namespace rouse::counted
