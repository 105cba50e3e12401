#pragma once
// One function over the time of its configurations: which revisions it has, how its traffic is split between them, and
// the rollout from one to the next: make ready, move the traffic, let the old ones end. Does no I/O; time comes in.
// Owned by the activator; control thread only.

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "activator/lifecycle.hpp"
#include "activator/runtime.hpp"
#include "activator/status.hpp"
#include "config/config.hpp"

namespace rouse::activator {

class function_control;

/// What all functions share. Borrowed parts outlive them.
struct fleet {
  surroundings& around;
  /// Makes what workers share about a revision; its wake() calls the lifecycle of this number.
  std::function<std::shared_ptr<revision_runtime>(std::shared_ptr<function_runtime>, const config::revision&,
                                                  std::uint32_t number)>
      make_runtime;
  std::function<std::uint32_t()> new_number;
  std::function<void(lifecycle&, function_control&)> enlist;  ///< until strike_off() it is looked at when due
  std::function<void(std::uint32_t number)> strike_off;
  std::function<void(std::uint32_t number)> poke;  ///< looks at it soon, not from inside
  /// The service of this version is to be served to the workers soon; then shifted() is called.
  std::function<void(function_control&)> publish;
  /// Rollouts of functions at zero start an instance only to see whether it starts: so many at a time.
  unsigned trials_left = 8;
  std::deque<std::uint32_t> waiting_for_trial{};
  std::uint64_t last_version = 0;  ///< of a service; never the same for two
};

/// What `rouse scale` and `rouse traffic` set. It stands until a reload changes the very key that it stands for, so
/// each comes with what the file said then.
struct overrides {
  template <typename Value>
  struct entry {
    Value value;
    Value file;  ///< what the file said when it was set
  };
  std::optional<entry<unsigned>> min;
  std::optional<entry<unsigned>> max;
  std::optional<entry<std::map<std::string, std::uint32_t>>> traffic;
  [[nodiscard]] bool empty() const noexcept { return !min && !max && !traffic; }
};

class function_control {
 public:
  using time_point = lifecycle::time_point;

  function_control(fleet& all, std::shared_ptr<function_runtime> runtime) : all_(all), runtime_(std::move(runtime)) {}
  ~function_control();
  function_control(const function_control&) = delete;
  function_control& operator=(const function_control&) = delete;

  /// The first configuration, or the next one. Live keys hold at once; where a revision with traffic is new, the
  /// traffic moves when it is ready. `config` keeps its snapshot, whose pools are `pools`.
  void apply(std::shared_ptr<const config::function> config, const std::vector<config::pool>& pools, time_point now);
  /// The configuration does not name it any more: no service of it is published; what is parked is still served.
  void leave();

  /// `rouse traffic`: at once. `weights` has every revision that is to have traffic. An error in words, or empty.
  [[nodiscard]] std::string set_traffic(const std::map<std::string, std::uint32_t>& weights, time_point now);
  /// `rouse scale`: replaces the bounds given. An error in words, or empty.
  [[nodiscard]] std::string set_scale(std::optional<unsigned> min, std::optional<unsigned> max, time_point now);
  void restart(time_point now);
  [[nodiscard]] const overrides& kept() const noexcept { return overrides_; }
  /// What an earlier daemon kept. Before the first apply().
  void restore(overrides kept) { overrides_ = std::move(kept); }

  /// After something happened to one of its lifecycles: a rollout may go on, an old revision may be gone.
  void progress(time_point now);
  /// Every worker serves by current() as it was at this version.
  void shifted(std::uint64_t version, time_point now);
  [[nodiscard]] std::uint64_t version() const noexcept { return version_; }

  void shut_down(time_point deadline, time_point now);
  /// Starts what `min` and schedules ask for.
  void begin(time_point now);

  [[nodiscard]] const std::shared_ptr<function_runtime>& runtime() const noexcept { return runtime_; }
  [[nodiscard]] const std::shared_ptr<const service>& current() const noexcept { return service_; }
  [[nodiscard]] function_status status(time_point now) const;
  /// Left, and nothing of it runs any more.
  [[nodiscard]] bool ended() const noexcept { return leaving_ && members_.empty(); }
  [[nodiscard]] bool has_parked() const;
  /// A rollout is under way.
  [[nodiscard]] bool rolling() const noexcept { return next_ != nullptr; }
  template <typename What>
  void each_lifecycle(What what) const {
    for (const auto& one : members_) what(*one->life);
  }

 private:
  enum class role : std::uint8_t { serving, coming, leaving };
  struct member {
    std::shared_ptr<revision_runtime> runtime;
    std::shared_ptr<const config::revision> config;
    std::unique_ptr<lifecycle> life;
    role as = role::coming;
    unsigned needed = 0;    ///< of a rollout: ready before traffic moves
    double part = 0;        ///< of the traffic that it is to have then
    bool on_trial = false;  ///< it has one of fleet::trials_left
    bool closed = false;    ///< its lot takes nobody any more
  };
  [[nodiscard]] member* find(const config::revision& wanted);
  member& add(std::shared_ptr<const config::revision> config, const std::vector<config::pool>& pools);
  [[nodiscard]] std::vector<std::uint32_t> weights_of(const config::function& config) const;
  void drop_outlived_overrides(const config::function& config);
  void begin_rollout(time_point now);
  void ask_for_needed(time_point now);
  [[nodiscard]] bool all_ready(time_point now) const;
  [[nodiscard]] bool is_ready(const member& one, time_point now) const;
  [[nodiscard]] static unsigned needed_now(const member& one);
  [[nodiscard]] static bool is_in(const config::function& config, const member& one);
  [[nodiscard]] unsigned could_give_up(const member& old, std::uint32_t pool) const;
  [[nodiscard]] std::vector<std::uint32_t> where_old_ones_help(const member& one, time_point now) const;
  void make_room(time_point now);
  bool make_room_for(member& one, time_point now);
  void shift(time_point now);
  void set_shares();
  void rebuild();
  void end_trial(member& one);
  void leave_line(const member& one);
  void ask_next();
  void let_go(time_point now);
  void say_if_stuck();
  [[nodiscard]] std::string rollout_in_words() const;
  /// What becomes of its traffic, for those who read the log, and those who watch.
  void tell(spdlog::level::level_enum level, std::string text);

  fleet& all_;
  const std::shared_ptr<function_runtime> runtime_;
  std::vector<std::unique_ptr<member>> members_;
  std::shared_ptr<const config::function> config_;  ///< that traffic goes by
  std::shared_ptr<const config::function> next_;    ///< that a rollout leads to
  std::vector<std::uint32_t> weights_;              ///< in force, by index of config_->revisions
  std::shared_ptr<const service> service_;
  overrides overrides_;
  std::string stuck_;          ///< the failure that was told of last
  std::uint64_t version_ = 0;  ///< of service_
  bool leaving_ = false;
  bool publishing_ = false;  ///< between publish() and shifted()
};

}  // namespace rouse::activator
