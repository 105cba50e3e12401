#include "activator/function_control.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <utility>

namespace rouse::activator {
namespace {

double part(std::uint32_t weight, const std::vector<std::uint32_t>& of) {
  const auto sum = std::accumulate(of.begin(), of.end(), std::uint64_t{0});
  return sum == 0 ? 0 : static_cast<double>(weight) / static_cast<double>(sum);
}

std::map<std::string, std::uint32_t> traffic_in_file(const config::function& config) {
  std::map<std::string, std::uint32_t> out;
  for (std::size_t i = 0; i < config.revisions.size(); ++i) out[config.revisions[i].name] = config.weights[i];
  return out;
}

/// `min` and `max` of a function whose revisions differ in them are those of its first one.
const config::scale& scale_in_file(const config::function& config) {
  return config.revisions.front().scale;
}

std::optional<unsigned> value_of(const std::optional<overrides::entry<unsigned>>& kept) {
  return kept ? std::optional(kept->value) : std::nullopt;
}

}  // namespace

function_control::~function_control() {
  for (auto& one : members_) {
    leave_line(*one);
    all_.strike_off(one->life->number());
  }
}

function_control::member* function_control::find(const config::revision& wanted) {
  const auto same = [&](const auto& one) {
    return one->as != role::leaving && one->runtime->name == wanted.name && one->runtime->hash == wanted.hash;
  };
  const auto at = std::ranges::find_if(members_, same);
  return at == members_.end() ? nullptr : at->get();
}

function_control::member& function_control::add(std::shared_ptr<const config::revision> config,
                                                const std::vector<config::pool>& pools) {
  auto one = std::make_unique<member>();
  const auto number = all_.new_number();
  one->runtime = all_.make_runtime(runtime_, *config, number);
  one->life = std::make_unique<lifecycle>(all_.around, number, one->runtime);
  one->life->configure(config, pools);
  one->life->set_bounds(value_of(overrides_.min), value_of(overrides_.max));
  one->config = std::move(config);
  members_.push_back(std::move(one));
  all_.enlist(*members_.back()->life, *this);
  return *members_.back();
}

/// What `rouse traffic` set, where it still fits, else what the file says.
std::vector<std::uint32_t> function_control::weights_of(const config::function& config) const {
  if (!overrides_.traffic) return config.weights;
  std::vector<std::uint32_t> out;
  for (const auto& one : config.revisions) {
    const auto set = overrides_.traffic->value.find(one.name);
    out.push_back(set == overrides_.traffic->value.end() ? 0 : set->second);
  }
  return out;
}

void function_control::drop_outlived_overrides(const config::function& config) {
  const auto& scale = scale_in_file(config);
  if (overrides_.min && overrides_.min->file != scale.min) overrides_.min.reset();
  if (overrides_.max && overrides_.max->file != scale.max) overrides_.max.reset();
  if (overrides_.traffic && overrides_.traffic->file != traffic_in_file(config)) overrides_.traffic.reset();
  if (overrides_.traffic) {
    const auto weights = weights_of(config);
    if (std::ranges::all_of(weights, [](auto weight) { return weight == 0; })) overrides_.traffic.reset();
  }
}

void function_control::apply(std::shared_ptr<const config::function> config, const std::vector<config::pool>& pools,
                             time_point now) {
  drop_outlived_overrides(*config);
  runtime_->configure(*config);
  for (const auto& wanted : config->revisions) {
    std::shared_ptr<const config::revision> shared(config, &wanted);
    if (auto* known = find(wanted)) {
      known->config = shared;
      known->life->configure(std::move(shared), pools);
    } else {
      add(std::move(shared), pools);
    }
  }
  next_ = std::move(config);
  begin_rollout(now);
}

/// Moves at once where nothing has to be made ready, as at the start of the daemon.
void function_control::begin_rollout(time_point now) {
  const auto weights = weights_of(*next_);
  bool wait = false;
  for (auto& one : members_) {
    one->needed = 0;
    if (one->as != role::coming) continue;
    const auto in_next = std::ranges::find_if(next_->revisions, [&](const auto& revision) {
      return revision.name == one->runtime->name && revision.hash == one->runtime->hash;
    });
    if (in_next == next_->revisions.end()) {  // of a rollout that this one overtakes
      one->as = role::leaving;
      one->life->set_floor(0);
      end_trial(*one);
      leave_line(*one);
      continue;
    }
    const auto weight = weights[static_cast<std::size_t>(in_next - next_->revisions.begin())];
    if (!config_ || weight == 0) continue;
    unsigned running = 0;
    for (const auto& old : members_) {
      if (old->as == role::serving) running += old->life->serving();
    }
    one->part = part(weight, weights);
    one->needed = std::max(static_cast<unsigned>(std::ceil(running * one->part)), 1U);
    wait = true;
  }
  if (!wait) return shift(now);
  stuck_.clear();
  tell(spdlog::level::info, rollout_in_words());
  rebuild();
  publishing_ = true;  // what this one overtakes is still chosen by name
  all_.publish(*this);
  progress(now);
}

/// Tells the new ones how many they are to make ready. One whose function is at zero is started only to see whether it
/// starts, and not all functions of a file at once.
void function_control::ask_for_needed(time_point now) {
  for (auto& one : members_) {
    if (one->needed == 0 || one->as != role::coming) continue;
    const bool at_zero = std::ranges::all_of(members_, [](const auto& old) {
      return old->as != role::serving || (old->life->ready() == 0 && old->runtime->lot.parked() == 0);
    });
    if (at_zero && !one->on_trial) {
      if (all_.trials_left == 0) {
        const auto number = one->life->number();
        auto& line = all_.waiting_for_trial;
        if (std::ranges::find(line, number) == line.end()) line.push_back(number);
        continue;
      }
      --all_.trials_left;
      one->on_trial = true;
    }
    leave_line(*one);
    one->life->set_floor(needed_now(*one));
    one->life->evaluate(now);
  }
}

void function_control::end_trial(member& one) {
  if (!std::exchange(one.on_trial, false)) return;
  ++all_.trials_left;
  ask_next();
}

/// It has its trial, or wants none any more.
void function_control::leave_line(const member& one) {
  if (std::erase(all_.waiting_for_trial, one.life->number()) > 0) ask_next();
}

/// They stay in the line until they have taken a trial: whoever is asked may be gone before it hears of it.
void function_control::ask_next() {
  const auto asked = std::min<std::size_t>(all_.trials_left, all_.waiting_for_trial.size());
  for (std::size_t i = 0; i < asked; ++i) all_.poke(all_.waiting_for_trial[i]);
}

bool function_control::all_ready(time_point now) const {
  return std::ranges::all_of(members_, [&](const auto& one) { return is_ready(*one, now); });
}

/// As many as are needed; or as many as there is room for, when no old one could make more by its going, and when they
/// are not fewer than those that serve: some of the old ones may have gone for it already.
bool function_control::is_ready(const member& one, time_point now) const {
  const auto ready = one.life->ready();
  if (ready >= needed_now(one)) return true;
  if (ready == 0 || !one.life->lacks_room() || one.life->room_comes()) return false;
  if (!where_old_ones_help(one, now).empty()) return false;
  unsigned serving = 0;
  for (const auto& old : members_) serving += old->as == role::serving ? old->life->serving() : 0;
  return ready >= serving * one.part;
}

/// Its bounds (of the schedule, or of its pools and in them) may be lower than what the old ones have.
unsigned function_control::needed_now(const member& one) {
  return std::min(one.needed, one.life->most());
}

/// Instances of an old one that may go from there for the sake of a new one. What stays keeps one that serves.
unsigned function_control::could_give_up(const member& old, std::uint32_t pool) const {
  if (old.as != role::serving) return 0;
  const auto all = old.life->could_give_up(pool);
  if (!is_in(*next_, old)) return all;
  const auto serving = old.life->serving();
  return std::min(all, serving > 0 ? serving - 1 : 0);
}

/// Pools where it would have room if old ones went, or will have when they are gone. Where even all of them would not
/// be enough, none goes.
std::vector<std::uint32_t> function_control::where_old_ones_help(const member& one, time_point now) const {
  std::vector<std::uint32_t> out;
  for (const auto& [pool, must_go] : one.life->full_pools(now)) {
    unsigned could = 0;
    for (const auto& old : members_) could += could_give_up(*old, pool);
    if (must_go <= could) out.push_back(pool);
  }
  return out;
}

/// In a full pool the old ones make room, one for each new one; in one that is above its limit first as many as are too
/// many. The next goes when the one before is gone and its successor, if it left a place, is ready.
void function_control::make_room(time_point now) {
  std::vector<member*> stuck;
  for (auto& one : members_) {
    if (one->as != role::coming || one->needed == 0 || !one->life->lacks_room() || one->life->failure()) continue;
    if (one->life->room_comes() || one->life->starting() > 0) return;
    for (const auto& [pool, must_go] : one->life->full_pools(now)) {
      const auto there = pool;
      if (std::ranges::any_of(members_, [&](const auto& old) { return old->life->is_making_room(there); })) return;
    }
    stuck.push_back(one.get());
  }
  for (auto* one : stuck) {
    if (make_room_for(*one, now)) return;
  }
}

/// Those go first that do not stay.
bool function_control::make_room_for(member& one, time_point now) {
  const auto pools = where_old_ones_help(one, now);
  for (const bool stays : {false, true}) {
    for (const auto pool : pools) {
      for (auto& old : members_) {
        if (could_give_up(*old, pool) == 0 || is_in(*next_, *old) != stays) continue;
        one.life->claim(pool);
        old->life->give_up_one(pool, now);
        old->life->set_ceiling(old->life->serving());
        old->life->evaluate(now);
        one.life->evaluate(now);  // what it lacked may be on its way now
        return true;
      }
    }
  }
  return false;
}

bool function_control::is_in(const config::function& config, const member& one) {
  return std::ranges::any_of(config.revisions, [&](const auto& revision) {
    return revision.name == one.runtime->name && revision.hash == one.runtime->hash;
  });
}

void function_control::progress(time_point now) {
  if (next_ && !leaving_) {
    if (all_ready(now)) {
      shift(now);
    } else {
      ask_for_needed(now);
      if (next_ && all_ready(now)) return shift(now);
      make_room(now);
      say_if_stuck();
    }
  }
  let_go(now);
}

void function_control::say_if_stuck() {
  for (auto& one : members_) {
    if (one->as != role::coming || one->needed == 0) continue;
    const auto* failure = one->life->failure();
    if (!failure) continue;
    end_trial(*one);  // it is tried again as its back-off says; others have their turn meanwhile
    for (auto& old : members_) old->life->set_ceiling(std::nullopt);  // and the old ones their places
    if (stuck_ == failure->detail) continue;
    stuck_ = failure->detail;
    tell(spdlog::level::err, "revision " + one->runtime->name + " cannot be started (" + failure->detail +
                                 "); traffic stays where it is, and it is tried again");
  }
}

/// The traffic moves to next_: what workers choose from now on. What was chosen before goes on as it is.
void function_control::shift(time_point now) {
  const bool first = config_ == nullptr;
  const bool rolled = !first && config_ != next_;
  config_ = std::exchange(next_, nullptr);
  weights_ = weights_of(*config_);
  bool moved = false;
  for (auto& one : members_) {
    const bool named = std::ranges::any_of(config_->revisions, [&](const auto& revision) {
      return revision.name == one->runtime->name && revision.hash == one->runtime->hash;
    });
    one->needed = 0;
    leave_line(*one);
    one->life->set_floor(0);
    one->life->set_ceiling(std::nullopt);
    if (one->as == role::leaving) continue;  // what was let go stays so, whatever comes with the same content
    moved = moved || (one->as == role::coming && rolled) || (one->as == role::serving && !named);
    one->as = named ? role::serving : role::leaving;
  }
  stuck_.clear();
  if (moved) tell(spdlog::level::info, "traffic has moved");
  set_shares();
  rebuild();
  publishing_ = true;
  all_.publish(*this);
  if (first) return;  // begin() starts what is to be there
  for (auto& one : members_) {
    if (one->as == role::serving && one->on_trial) one->life->end_unused(now);
    end_trial(*one);
    if (one->as == role::serving) one->life->evaluate(now);
  }
}

void function_control::set_shares() {
  for (auto& one : members_) {
    double share = 0;
    for (std::size_t i = 0; i < config_->revisions.size(); ++i) {
      const auto& revision = config_->revisions[i];
      if (one->as == role::serving && revision.name == one->runtime->name && revision.hash == one->runtime->hash)
        share = part(weights_[i], weights_);
    }
    one->life->set_share(share);
    one->life->set_bounds(value_of(overrides_.min), value_of(overrides_.max));
  }
}

/// Makes the service anew from the members: those of config_ by their index, then those that are coming.
void function_control::rebuild() {
  auto made = std::make_shared<service>();
  made->function = runtime_;
  made->config = config_;
  made->weights = weights_;
  for (const auto& revision : config_->revisions) {
    const auto same = [&](const auto& one) {
      return one->runtime->name == revision.name && one->runtime->hash == revision.hash && one->as != role::leaving;
    };
    const auto at = std::ranges::find_if(members_, same);
    assert(at != members_.end());
    made->targets.push_back(service::target{(*at)->runtime, (*at)->config});
  }
  for (const auto& one : members_) {
    if (one->as == role::coming) made->targets.push_back(service::target{one->runtime, one->config});
  }
  service_ = std::move(made);
  version_ = ++all_.last_version;
}

void function_control::shifted(std::uint64_t version, time_point now) {
  if (version != version_ || !std::exchange(publishing_, false)) return;
  // Workers choose by the new weights: whoever waits by the old ones chooses again.
  for (auto& one : members_) {
    if (one->as != role::leaving) one->runtime->lot.move_out();
  }
  let_go(now);
}

/// Lets the old revisions go: first nobody may wait there, then the instances drain, then all of it is freed.
void function_control::let_go(time_point now) {
  if (publishing_) return;  // a worker may still choose it
  for (auto& one : members_) {
    if (one->as != role::leaving || one->closed) continue;
    // Who waits for a revision that it named, or for a function that is gone, has nothing else to wait for.
    const bool replaced = !leaving_ && std::ranges::any_of(config_->revisions, [&](const auto& revision) {
      return revision.name == one->runtime->name;
    });
    if (!leaving_) one->runtime->lot.move_out();
    if (!replaced && one->runtime->lot.parked() > 0) continue;
    one->closed = true;
    one->runtime->lot.close();
    one->life->retire_all();
    one->life->evaluate(now);
  }
  std::erase_if(members_, [&](const auto& one) {
    if (!one->closed || one->life->kept() > 0 || one->life->has_requests()) return false;
    end_trial(*one);
    leave_line(*one);
    all_.strike_off(one->life->number());
    return true;
  });
}

void function_control::leave() {
  leaving_ = true;
  next_ = nullptr;
  for (auto& one : members_) {
    one->as = role::leaving;
    one->needed = 0;
    one->life->set_floor(0);
    one->life->set_share(0);
    end_trial(*one);
    leave_line(*one);
  }
  publishing_ = true;
  version_ = ++all_.last_version;
}

std::string function_control::set_traffic(const std::map<std::string, std::uint32_t>& weights, time_point now) {
  std::uint64_t sum = 0;
  const auto& target = next_ ? next_ : config_;
  for (const auto& [name, weight] : weights) {
    const auto known = std::ranges::any_of(target->revisions, [&](const auto& one) { return one.name == name; });
    if (!known) {
      std::string all;
      for (const auto& one : target->revisions) all += (all.empty() ? "" : ", ") + one.name;
      return "there is no revision " + name + "; there is " + all;
    }
    sum += weight;
  }
  if (sum == 0) return "at least one revision must have a weight above 0";
  overrides_.traffic = overrides::entry<std::map<std::string, std::uint32_t>>{weights, traffic_in_file(*target)};
  if (next_) {
    // At once for those that serve; the others have their part when they are ready.
    if (const auto now_so = weights_of(*config_); std::ranges::any_of(now_so, [](auto weight) { return weight > 0; })) {
      weights_ = now_so;
      set_shares();
    }
    begin_rollout(now);
  } else {
    next_ = config_;
    shift(now);
  }
  return {};
}

std::string function_control::set_scale(std::optional<unsigned> min, std::optional<unsigned> max, time_point now) {
  const auto& file = scale_in_file(next_ ? *next_ : *config_);
  const auto new_min = min.value_or(overrides_.min ? overrides_.min->value : file.min);
  const auto new_max = max.value_or(overrides_.max ? overrides_.max->value : file.max);
  if (new_max == 0) return "max must be at least 1";
  for (const auto& one : members_) {
    const auto now_most = one->life->scheduled_max();
    if (one->as != role::serving || max || overrides_.max || !min || *min <= now_most) continue;
    return "min (" + std::to_string(*min) + ") is more than max, which is " + std::to_string(now_most) +
           " now; give --max as well";
  }
  if (new_min > new_max) {
    return "min (" + std::to_string(new_min) + ") is more than max (" + std::to_string(new_max) + ")";
  }
  if (min) overrides_.min = overrides::entry<unsigned>{*min, file.min};
  if (max) overrides_.max = overrides::entry<unsigned>{*max, file.max};
  set_shares();
  for (auto& one : members_) one->life->evaluate(now);
  return {};
}

void function_control::restart(time_point now) {
  for (auto& one : members_) {
    if (one->as == role::leaving) continue;
    one->life->replace_all();
    one->life->evaluate(now);
  }
}

void function_control::begin(time_point now) {
  for (auto& one : members_) {
    const auto& scale = one->config->scale;
    if (scale.min > 0 || overrides_.min || !scale.schedule.empty()) one->life->evaluate(now);
  }
}

void function_control::shut_down(time_point deadline, time_point now) {
  next_ = nullptr;
  for (auto& one : members_) one->life->shut_down(deadline, now);
}

bool function_control::has_parked() const {
  return std::ranges::any_of(members_, [](const auto& one) { return one->runtime->lot.parked() > 0; });
}

void function_control::tell(spdlog::level::level_enum level, std::string text) {
  all_.around.log.log(level, "function {}: {}", runtime_->name, text);
  occurrence what;
  what.type = "traffic";
  what.function = runtime_->name;
  what.text = std::move(text);
  all_.around.story->add(std::move(what), all_.around.wall());
}

std::string function_control::rollout_in_words() const {
  std::string out;
  if (!next_) return out;
  for (const auto& one : members_) {
    if (one->as != role::coming || one->needed == 0) continue;
    if (!out.empty()) out += "; ";
    out += "revision " + one->runtime->name + " is being made ready (" + std::to_string(one->life->ready()) + " of " +
           std::to_string(needed_now(*one)) + "), then traffic moves";
    if (const auto* failure = one->life->failure()) out += "; it cannot be started: " + failure->detail;
  }
  return out;
}

function_status function_control::status(time_point now) const {
  function_status out;
  out.name = runtime_->name;
  out.parked_bytes = runtime_->budget.bytes.load(std::memory_order_relaxed);
  out.rollout = rollout_in_words();
  if (overrides_.min) out.set_min = overrides_.min->value;
  if (overrides_.max) out.set_max = overrides_.max->value;
  out.set_traffic = overrides_.traffic.has_value();
  for (const auto& one : members_) {
    auto shown = one->life->status(now);
    shown.role = one->as == role::serving ? "serving" : one->as == role::coming ? "coming" : "leaving";
    for (std::size_t i = 0; config_ && i < config_->revisions.size(); ++i) {
      const auto& revision = config_->revisions[i];
      if (one->as == role::serving && revision.name == one->runtime->name) shown.weight = weights_[i];
    }
    out.add(std::move(shown));
  }
  return out;
}

}  // namespace rouse::activator
