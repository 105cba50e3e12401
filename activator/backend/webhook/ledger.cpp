#include "activator/backend/webhook/ledger.hpp"

#include <algorithm>
#include <string_view>

namespace rouse::webhook {
namespace {

bool is_live(const listed& instance) {
  return instance.is == listed::state::starting || instance.is == listed::state::ready;
}

bool same(const router::address& a, const router::address& b) {
  return a.v6 == b.v6 && a.port == b.port && a.bytes == b.bytes;
}

std::string or_else(const std::string& text, std::string_view otherwise) {
  return text.empty() ? std::string(otherwise) : text;
}

}  // namespace

bool ledger::start(std::uint64_t id, const std::string& found, time_point deadline) {
  one& of = ids_[id];
  of.deadline = deadline;
  if (found.empty() && found_.empty()) return false;
  of.name = found.empty() ? *found_.begin() : found;
  of.is = phase::starting;
  of.asked = round_;
  if (found_.erase(of.name) > 0) return true;
  exit(ids_.find(id), "gone", found + " was to be taken over, and has ended, or serves an earlier start");
  return false;
}

void ledger::stop(std::uint64_t id, std::chrono::milliseconds grace, time_point now) {
  const auto at = ids_.find(id);
  if (at == ids_.end()) return;
  one& of = at->second;
  of.report.was_asked = true;
  if (of.is == phase::waiting && of.asked == 0)
    return exit(at, "stopped", "was stopped before the scaler was asked for it");
  give_up(id, of);
  if (of.is == phase::waiting) of.ended = round_;
  if (of.is == phase::ending && now + grace < of.kill_at) hurry_ = round_ + 1;
  of.is = phase::ending;
  of.tell_at = time_point::max();
  of.kill_at = std::min(of.kill_at, now + grace);
}

void ledger::let_go(std::uint64_t id) {
  const auto at = ids_.find(id);
  if (at == ids_.end()) return;
  one& of = at->second;
  of.report.was_asked = true;
  give_up(id, of);
  if (of.is != phase::ending) {
    if (!of.name.empty()) found_.insert(of.name);
    if (of.name.empty() && of.asked > 0) ++kept_;
  } else if (!of.name.empty()) {
    condemned_.insert(of.name);
  }
  exit(at, "kept", or_else(of.name, "what was asked for") + " is left to the next rouse");
}

bool ledger::accepted(std::uint64_t id) {
  const auto at = ids_.find(id);
  if (at == ids_.end() || at->second.is != phase::trying) return false;
  at->second.is = phase::ready;
  at->second.report.was_ready = true;
  return true;
}

void ledger::not_yet(std::uint64_t id, const std::string& problem) {
  const auto at = ids_.find(id);
  if (at != ids_.end()) at->second.last_problem = problem;
}

wish ledger::ask(time_point now) {
  wish out;
  out.round = ++round_;
  saying_ = wanted();
  if (known_ || forgotten_) {
    out.desired = saying_.desired;
    for (const auto& name : condemned_) out.remove.push_back({name, {}});
    for (const auto& [id, of] : ids_)
      if (of.is == phase::ending && !of.name.empty()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(of.kill_at - now);
        out.remove.push_back({of.name, std::max(left, std::chrono::milliseconds(0))});
      }
  }
  out.reason = words(out);
  if (out.desired)
    for (auto& [id, of] : ids_)
      if (of.asked == 0) of.asked = round_;
  return out;
}

std::string ledger::words(const wish& of) const {
  if (forgotten_) return "not needed any more";
  if (!of.desired) return "what is there?";
  std::string out;
  const auto fresh = std::count_if(ids_.begin(), ids_.end(), [](const auto& each) { return each.second.asked == 0; });
  if (fresh > 0) out = "start " + std::to_string(fresh);
  if (!of.remove.empty()) out += (out.empty() ? "end " : ", end ") + std::to_string(of.remove.size());
  return or_else(out, "what is there?");
}

ledger::substance ledger::wanted() const {
  substance out;
  if (forgotten_) return out;
  out.desired = static_cast<unsigned>(found_.size()) + kept_;
  out.remove = condemned_;
  for (const auto& [id, of] : ids_) {
    if (of.is == phase::ending) {
      if (!of.name.empty()) out.remove.insert(of.name);
    } else if (!of.leaving) {
      ++out.desired;
    }
  }
  return out;
}

void ledger::heard(const listing& answer, std::uint64_t round, time_point now) {
  std::map<std::string_view, const listed*> by_name;
  for (const auto& instance : answer.instances) by_name[instance.name] = &instance;
  const auto seen = [&](const std::string& name) -> const listed* {
    const auto at = by_name.find(name);
    return at == by_name.end() ? nullptr : at->second;
  };
  live_ = static_cast<unsigned>(std::count_if(answer.instances.begin(), answer.instances.end(), is_live));
  heard_ = round;
  said_ = saying_;
  if (!known_ && !forgotten_) said_->desired = live_;  // it was told nothing: this is what it goes by
  if (!known_ && !forgotten_) said_->remove.clear();
  std::erase_if(condemned_, [&](const std::string& name) { return seen(name) == nullptr; });
  std::erase_if(found_, [&](const std::string& name) { return seen(name) == nullptr || !is_live(*seen(name)); });
  std::vector<std::uint64_t> named;
  for (const auto& [id, of] : ids_)
    if (!of.name.empty()) named.push_back(id);
  for (const auto id : named) follow(id, seen(ids_.at(id).name), now);
  for (const auto first : {listed::state::ready, listed::state::starting, listed::state::failed})
    for (const auto& instance : answer.instances)
      if (instance.is == first && !is_owned(instance.name)) place(instance);
  settle_waiting(answer, round);
  known_ = true;
}

/// What the listing says of an instance that has an id.
void ledger::follow(std::uint64_t id, const listed* seen, time_point now) {
  const auto at = ids_.find(id);
  one& of = at->second;
  if (!seen) {
    if (of.report.was_asked) return exit(at, or_else(of.report.reason, "stopped"), "was stopped, and is gone");
    return exit(at, or_else(of.report.reason, "gone"),
                or_else(of.report.detail, "the scaler does not list " + of.name + " any more"));
  }
  if (seen->is == listed::state::failed) {
    condemned_.insert(of.name);
    return exit(
        at, or_else(of.report.reason, or_else(seen->reason, "failed")),
        or_else(of.report.detail, of.name + " has failed: " + or_else(seen->detail, "the scaler does not say why")));
  }
  if (of.is == phase::ending) return;
  if ((of.is == phase::trying || of.is == phase::ready) && seen->where && !same(*seen->where, of.where))
    return exit(at, "gone", of.name + " is another instance now: its address has changed");
  if (seen->is == listed::state::terminating && of.is != phase::ready)
    return fail(id, of, now, or_else(seen->reason, "terminated"),
                of.name + " ends before it was ready: " + or_else(seen->detail, "the scaler does not say why"));
  if (seen->is == listed::state::terminating && !std::exchange(of.leaving, true)) {
    event out;
    out.what = event::kind::leaving;
    out.id = id;
    out.detail = "the scaler ends " + of.name + (seen->detail.empty() ? "" : ": " + seen->detail);
    events_.push_back(std::move(out));
  }
  if (seen->is == listed::state::ready && of.is == phase::starting) become_listed_ready(at, *seen);
}

/// An instance that is nobody's goes to who waits longest, then to who was waiting when it was stopped; else it is
/// news.
void ledger::place(const listed& instance) {
  if (condemned_.contains(instance.name) || found_.contains(instance.name)) return;
  const auto waiting = first_without_name(phase::waiting);
  if (instance.is == listed::state::failed) {
    condemned_.insert(instance.name);
    if (known_ && waiting != ids_.end() && waiting->second.asked > 0)
      exit(waiting, or_else(instance.reason, "failed"),
           instance.name + " has failed: " + or_else(instance.detail, "the scaler does not say why"));
    return;
  }
  if (waiting != ids_.end()) return bind(waiting, instance);
  if (const auto ending = first_without_name(phase::ending); ending != ids_.end()) {
    ending->second.name = instance.name;
    return;
  }
  if (kept_ > 0) {
    --kept_;
    found_.insert(instance.name);
  } else if (!forgotten_) {
    found_.insert(instance.name);
    event out;
    out.what = event::kind::found;
    out.name = instance.name;
    events_.push_back(std::move(out));
  }
}

void ledger::bind(iterator to, const listed& instance) {
  to->second.name = instance.name;
  to->second.is = phase::starting;
  if (instance.is == listed::state::ready) become_listed_ready(to, instance);
}

void ledger::become_listed_ready(iterator at, const listed& instance) {
  at->second.is = phase::trying;
  at->second.where = *instance.where;
  event out;
  out.what = event::kind::try_out;
  out.id = at->first;
  out.where = at->second.where;
  events_.push_back(std::move(out));
}

/// Those that got no instance, now that all of them are given out.
void ledger::settle_waiting(const listing& answer, std::uint64_t round) {
  for (auto at = ids_.begin(); at != ids_.end();) {
    const auto here = at++;
    const one& of = here->second;
    if (!of.name.empty()) continue;
    if (of.is == phase::ending && round > of.ended) {
      exit(here, "stopped", "was stopped before the scaler had an instance for it");
    } else if (of.is == phase::waiting && !answer.shortage.empty() && of.asked > 0 && of.asked <= round) {
      exit(here, answer.shortage, or_else(answer.shortage_detail, "the scaler has no more, and does not say why"));
    }
  }
}

void ledger::refused(const std::string& reason, const std::string& detail) {
  for (auto at = ids_.begin(); at != ids_.end();)
    if (const auto here = at++; here->second.is == phase::waiting) exit(here, reason, detail);
}

void ledger::set_problem(std::string why, time_point since) {
  if (problem_.empty()) away_at_ = since + activator::away_patience;
  problem_ = std::move(why);
}

ledger::time_point ledger::patience_of(const one& of) const {
  return of.is == phase::waiting && !problem_.empty() ? std::min(of.deadline, away_at_) : of.deadline;
}

void ledger::expire(time_point now) {
  for (auto at = ids_.begin(); at != ids_.end();) {
    const auto here = at++;
    one& of = here->second;
    if (of.is == phase::ending && of.tell_at <= now) {
      condemned_.insert(of.name);
      exit(here, of.report.reason, of.report.detail);
    } else if (of.is == phase::ending || of.is == phase::ready || patience_of(of) > now) {
      continue;
    } else if (of.is == phase::waiting) {
      exit(here, problem_.empty() ? "timeout" : "unavailable",
           problem_.empty() ? "the scaler had no instance for it within start_timeout" : problem_);
    } else {
      fail(here->first, of, now, "timeout",
           of.name + " was not ready within start_timeout: " +
               (of.is == phase::trying ? of.last_problem : "the scaler says that it is starting"));
    }
  }
}

std::optional<ledger::time_point> ledger::next_expiry() const {
  auto next = time_point::max();
  for (const auto& [id, of] : ids_) {
    if (of.is == phase::ending) next = std::min(next, of.tell_at);
    if (of.is != phase::ending && of.is != phase::ready) next = std::min(next, patience_of(of));
  }
  if (next == time_point::max()) return std::nullopt;
  return next;
}

bool ledger::in_progress() const {
  return std::any_of(ids_.begin(), ids_.end(),
                     [](const auto& each) { return each.second.is != phase::ready || each.second.leaving; });
}

/// It does not become ready: it is removed, and its failure is told when it is gone.
void ledger::fail(std::uint64_t id, one& of, time_point now, std::string reason, std::string detail) {
  give_up(id, of);
  of.is = phase::ending;
  of.report.reason = std::move(reason);
  of.report.detail = std::move(detail);
  of.kill_at = now;
  of.tell_at = now + told_at_latest;
}

void ledger::give_up(std::uint64_t id, const one& of) {
  if (of.is != phase::trying) return;
  event out;
  out.what = event::kind::give_up;
  out.id = id;
  events_.push_back(std::move(out));
}

void ledger::exit(iterator at, std::string reason, std::string detail) {
  give_up(at->first, at->second);
  event out;
  out.id = at->first;
  out.last = std::move(at->second.report);
  out.last.reason = std::move(reason);
  out.last.detail = std::move(detail);
  events_.push_back(std::move(out));
  ids_.erase(at);
}

bool ledger::is_owned(const std::string& name) const {
  return std::any_of(ids_.begin(), ids_.end(), [&](const auto& each) { return each.second.name == name; });
}

ledger::iterator ledger::first_without_name(phase is) {
  return std::find_if(ids_.begin(), ids_.end(),
                      [&](const auto& each) { return each.second.is == is && each.second.name.empty(); });
}

}  // namespace rouse::webhook
