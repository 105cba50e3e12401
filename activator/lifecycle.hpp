#pragma once
// The life of one revision's instances: when one is started, published, ejected, frozen, drained, stopped, replaced and
// freed. It owns the instances and does no I/O of its own: time comes in as `now`, and what it wants done goes out
// through the backend, the data plane and the parking lot, so that the daemon, the tests and the simulator run the same
// code. Its function's control (function_control.hpp) owns it; the activator calls it and owns the one timer. Control
// thread only.
//
// lifecycle.cpp: demand and decision; lifecycle_up.cpp: starts; lifecycle_down.cpp: drains, freezes and stops;
// lifecycle_status.cpp: what people see.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <spdlog/logger.h>

#include "activator/autoscaler.hpp"
#include "activator/backend/backend.hpp"
#include "activator/backend_table.hpp"
#include "activator/backoff.hpp"
#include "activator/chronicle.hpp"
#include "activator/data_plane.hpp"
#include "activator/pools.hpp"
#include "activator/runtime.hpp"
#include "activator/schedule.hpp"
#include "activator/status.hpp"

namespace rouse::activator {

class lifecycle;

/// What all lifecycles share. Borrowed parts outlive it.
struct surroundings {
  data_plane& plane;
  spdlog::logger& log;
  pool_book& pools;
  backend_table& backends;
  unsigned workers = 1;                                         ///< sizes the instances' ledgers
  std::function<double()> random;                               ///< uniform in [0, 1)
  std::function<std::chrono::system_clock::time_point()> wall;  ///< for what people read, and for schedules
  /// Asks whoever has a frozen instance in this pool to end it; true when one will. May be unset.
  std::function<bool(std::uint32_t pool)> make_room{};
  /// What people can watch; the activator's users may read it from any thread. Never null.
  std::shared_ptr<chronicle> story = std::make_shared<chronicle>();
  std::uint64_t next_id = 1;
  std::unordered_map<std::uint64_t, lifecycle*> by_id{};  ///< instances that have not exited
  /// Expires with the lifecycles; what the data plane calls back later looks at it first.
  std::shared_ptr<const char> alive = std::make_shared<const char>();
};

class lifecycle {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  /// A revision with instances or parked work is looked at this often; sooner where `idle` is shorter.
  static constexpr std::chrono::milliseconds tick{1000};
  /// While something drains or all is shutting down (giving back the last slot calls nobody), and the shortest tick.
  static constexpr std::chrono::milliseconds poll{10};
  static constexpr std::chrono::milliseconds drain_poll{100};
  /// After the deadline of a shutdown, an instance that was told politely to end has this long before it is killed.
  static constexpr std::chrono::milliseconds last_grace{1000};
  /// A pool whose backend had no capacity is not asked again for so long; an ejected instance at most for so long.
  static constexpr std::chrono::milliseconds capacity_pause{5'000};
  static constexpr std::chrono::milliseconds longest_ejection{300'000};

  /// `number` names it in the activator's agenda and in pool_book.
  lifecycle(surroundings& around, std::uint32_t number, std::shared_ptr<revision_runtime> runtime);
  lifecycle(const lifecycle&) = delete;
  lifecycle& operator=(const lifecycle&) = delete;
  ~lifecycle();

  // --- what it goes by; each holds at once, but evaluate() must follow -----------------------------------------------
  /// `pools` are those of the snapshot that `config` is from.
  void configure(std::shared_ptr<const config::revision> config, const std::vector<config::pool>& pools);
  /// Tells the backends of its pools what they may be asked for; once they can be made, and when that has changed.
  void serve();
  /// Part of the function's traffic that comes here by weight, 0 to 1. `scale.min` and `spare` hold where it is not 0.
  void set_share(double share) noexcept { share_ = share; }
  /// `rouse scale`: in place of the file's and the schedule's.
  void set_bounds(std::optional<unsigned> min, std::optional<unsigned> max) noexcept;
  /// A rollout: at least (at most) so many, whatever the load; nothing: none.
  void set_floor(unsigned floor) noexcept { floor_ = floor; }
  void set_ceiling(std::optional<unsigned> ceiling) noexcept { ceiling_ = ceiling; }
  /// Every instance of now is replaced by a new one, one by one.
  void replace_all();
  /// No new work comes any more (the lot is closed): every instance ends when its last slot is given back. One is
  /// started only for a request that was there already, failed, and has no other revision to go to.
  void retire_all() noexcept { retiring_ = true; }

  // --- what happens ------------------------------------------------------------------------------------------------
  /// Looks at demand and instances and does what is due. Any moment is right for it.
  void evaluate(time_point now);
  /// When to call evaluate() next if nothing happens; nothing for a revision at rest.
  [[nodiscard]] std::optional<time_point> next_due() const noexcept { return next_due_; }

  // What the backend reports (see backend_listener).
  void on_ready(std::uint64_t id, const ready_report& report, time_point now);
  void on_exit(std::uint64_t id, exit_report report, time_point now);
  void on_output(std::uint64_t id, std::string line);
  void on_progress(std::uint64_t id, std::string text);
  void on_leaving(std::uint64_t id, const std::string& detail, time_point now);
  /// It is taken over, and goes again by the usual rules where it is not needed.
  void on_found(std::uint32_t pool, std::string name, time_point now);
  void on_standing(std::uint32_t pool, unsigned count, time_point now);
  /// What was wrong with the backend of this pool is over: a start that failed for want of it is tried again at once.
  void on_well_again(std::uint32_t pool, time_point now);

  /// Ends every instance: idle ones now, others when their last slot is given back and, at `deadline`, by force. A
  /// deadline that has passed kills at once. Starts are made only for work that is parked, and none after the deadline.
  /// Called again with an earlier deadline it hurries; a later one changes nothing.
  void shut_down(time_point deadline, time_point now);

  // --- what people and the function's control see --------------------------------------------------------------------
  [[nodiscard]] std::uint32_t number() const noexcept { return number_; }
  [[nodiscard]] const config::revision& config() const noexcept { return *config_; }
  [[nodiscard]] revision_runtime& runtime() const noexcept { return *runtime_; }
  [[nodiscard]] revision_status status(time_point now) const;
  /// Instances that are kept: also those that exited and wait for their slots or for the workers.
  [[nodiscard]] std::size_t kept() const noexcept { return instances_.size(); }
  /// The most instances that its bounds allow now, those of its pools and its own in them included.
  [[nodiscard]] unsigned most() const;
  struct full_pool {
    std::uint32_t pool = 0;
    unsigned must_go = 0;  ///< before one more may be started there
  };
  /// Where it could have one more if there were room, in its order of pools.
  [[nodiscard]] std::vector<full_pool> full_pools(time_point now) const;
  /// Instances there that give_up_one() could choose from.
  [[nodiscard]] unsigned could_give_up(std::uint32_t pool) const;
  /// One of them makes room for another revision: it is stopped, or drains. A ceiling keeps the number down.
  void give_up_one(std::uint32_t pool, time_point now);
  /// One that made room there, here or in restarting, is not gone yet.
  [[nodiscard]] bool is_making_room(std::uint32_t pool) const;
  /// The next place that gets free there is its own until it lacks no room any more.
  void claim(std::uint32_t pool);
  /// `scale.max` as the file and its schedule have it now.
  [[nodiscard]] unsigned scheduled_max() const noexcept { return scheduled_.max; }
  /// Open, outdated or not.
  [[nodiscard]] unsigned serving() const { return in_phase(phase::ready); }
  /// Open and taking work, not yet to be replaced.
  [[nodiscard]] unsigned ready() const;
  [[nodiscard]] unsigned starting() const { return in_phase(phase::starting); }
  [[nodiscard]] unsigned desired() const noexcept { return desired_; }
  /// A start is wanted, but no pool has room for it.
  [[nodiscard]] bool lacks_room() const noexcept { return lacks_room_; }
  /// So it is, but an instance that was told to end will make some.
  [[nodiscard]] bool room_comes() const noexcept { return lacks_room_ && room_comes_; }
  /// Why the last start failed, while the back-off after it lasts.
  [[nodiscard]] const start_failure* failure() const noexcept { return failure_.get(); }
  /// Requests that chose this revision are not over yet; also those between two tries, which hold no slot.
  [[nodiscard]] bool has_requests() const { return read_load().present > 0; }
  /// Stops what was started only to see whether it starts and has not been called since; not below `min`.
  void end_unused(time_point now);
  /// Ends the instance that has been frozen longest in this pool. False when there is none.
  bool end_one_frozen(std::uint32_t pool, time_point now);

 private:
  enum class phase : std::uint8_t { starting, ready, ejected, draining, frozen, stopping, exited };
  struct tracked {
    std::unique_ptr<router::instance> self;
    std::shared_ptr<backend> with;  ///< that started it
    std::string progress;           ///< of its start, as the backend told it
    time_point began;               ///< when its start was decided
    time_point ready_at{};
    time_point kill_at{};  ///< once told to stop: when its grace ends
    time_point since{};    ///< when it began to drain, to be frozen or to be ejected
    time_point back_at{};  ///< ejected: when it is tried again
    std::uint32_t pool = 0;
    unsigned ejections = 0;
    phase at = phase::starting;
    bool found = false;       ///< it ran already
    bool outdated = false;    ///< to be replaced; never comes back
    bool leaves = false;      ///< it ends by itself, or has
    bool published = false;   ///< workers may know of it
    bool forgotten = false;   ///< every worker has closed its idle connections to it
    bool retiring = false;    ///< waits for the workers to pass a quiescent point
    bool held = false;        ///< the backend was told to freeze it
    bool told = false;        ///< to end; the pool's book counts it as leaving
    bool makes_room = false;  ///< it drains, or was stopped, so that another can be started in its place
    unsigned leaving = 0;     ///< counts how often it left the workers or came back to them
  };
  struct place {
    std::uint32_t pool = 0;              ///< of the book
    unsigned max = 0;                    ///< of this function there; 0: no bound
    std::optional<unsigned> standing{};  ///< instances that are there in any case, where the backend has such
    time_point refused_until{};          ///< to this revision alone, where functions are apart
  };
  /// Made at the first start, so that a revision that is never called stays small.
  struct history {
    std::vector<decision_status> decisions;                        ///< newest first
    std::map<std::pair<bool, scale_cause>, std::uint64_t> counts;  ///< by up and cause
    std::map<std::string, std::uint64_t> start_failures;
    std::uint64_t cold_starts = 0;
    std::uint64_t ejections = 0;
    std::uint64_t thaws = 0;
    duration_histogram cold_start_duration;
  };
  struct counted {
    unsigned ready = 0;
    unsigned starting = 0;
    unsigned ejected = 0;
    unsigned draining = 0;
    unsigned frozen = 0;
    unsigned outdated = 0;  ///< of those ready
    std::uint64_t in_flight = 0;
    std::uint64_t parked = 0;
    time_point last_active = time_point::min();
  };

  // lifecycle.cpp
  [[nodiscard]] tracked& find(std::uint64_t id);
  [[nodiscard]] counted count() const;
  [[nodiscard]] static time_point idle_since(const tracked& one);
  [[nodiscard]] unsigned in_phase(phase which) const;
  [[nodiscard]] history& past();
  void observe(time_point now);
  [[nodiscard]] load_meter::reading read_load() const;
  [[nodiscard]] std::uint64_t waiting_events() const;
  void follow_schedule(time_point now);
  [[nodiscard]] scale_limits limits() const;
  /// Whoever comes to a closed lot as a last resort is served first.
  [[nodiscard]] bool retires_now() const noexcept { return retiring_ && runtime_->lot.parked() == 0; }
  [[nodiscard]] scale_decision decide(const counted& state, time_point now);
  void evaluate_running(time_point now);
  void report_unmet_min(const counted& state, unsigned min);
  void set_desired(unsigned to, scale_cause cause, const std::string& reason);
  [[nodiscard]] occurrence about(std::string_view type) const;
  [[nodiscard]] occurrence about(const tracked& one, std::string_view type, std::string cause = {}) const;
  /// For those who read the log, and, unless it is only for those who debug, those who watch.
  void tell(spdlog::level::level_enum level, occurrence what, std::string text);
  void schedule(time_point now);
  void look_for_sick(time_point now);
  void end_ejections(time_point now);

  // lifecycle_up.cpp
  void grow(unsigned more, unsigned have, bool may_start, time_point now);
  bool start_somewhere(bool within_min, time_point now);
  void start_in(std::uint32_t pool, time_point now, std::string found = {});
  [[nodiscard]] run_spec how_to_run() const;
  [[nodiscard]] unsigned holds(std::uint32_t pool) const;
  [[nodiscard]] unsigned must_go_of_own(const place& where) const;
  [[nodiscard]] bool is_closed(const place& where, time_point now) const;
  [[nodiscard]] unsigned claimed_in(std::uint32_t pool) const noexcept { return claimed_ == pool ? 1 : 0; }
  void give_up_claim();
  void forget_backends();
  [[nodiscard]] std::optional<std::uint32_t> find_place(bool within_min, time_point now) const;
  void roll_outdated(unsigned desired, time_point now);
  void make_room_for_itself(time_point now);
  bool come_back(tracked& one, time_point now);
  void publish();
  void end_backoff(time_point now);
  void refuse_while_nothing_comes(time_point now);
  void release_slow_answers(time_point now);
  void start_failed(const tracked& one, exit_report& report, time_point now);
  bool refuse(const tracked& one, time_point until, time_point now);
  void crashed(const tracked& one, bool frozen, exit_report& report, time_point now);
  void stands_no_more(tracked& one);
  void remember_failure(std::string reason, std::string detail, std::vector<std::string> last_lines);

  // lifecycle_down.cpp
  void evaluate_ending(time_point now);
  unsigned shrink(unsigned fewer, time_point now);
  [[nodiscard]] std::vector<tracked*> could_go(const std::function<bool(const tracked&)>& which);
  unsigned take_out(const std::vector<tracked*>& order, unsigned fewer, time_point now);
  void make_room(const std::function<bool(const tracked&)>& which, time_point now);
  unsigned go_to_zero(time_point now);
  void retire_instances(time_point now);
  unsigned freeze_idle();
  void end_frozen(time_point now);
  void end_drained(time_point now);
  void stop(tracked& one, std::chrono::milliseconds grace, time_point now);
  void stop_all(const std::vector<std::uint64_t>& ids, time_point now);
  void leave_workers(const std::vector<std::uint64_t>& ids);
  void retire();
  void erase(std::uint64_t id);
  void end_idle(time_point now);
  void end_by_force(time_point now);
  [[nodiscard]] std::chrono::milliseconds grace_left(time_point now) const;

  surroundings& around_;
  const std::uint32_t number_;
  const std::shared_ptr<revision_runtime> runtime_;
  std::shared_ptr<const config::revision> config_;
  std::vector<place> places_;
  std::vector<std::shared_ptr<backend>> served_;    ///< those of places_, and others that still have instances
  std::unique_ptr<const scale_schedule> schedule_;  ///< where there is one
  scale_limits scheduled_;                          ///< by the file, now
  std::optional<time_point> schedule_due_;
  std::optional<time_point> scaler_due_;
  std::vector<tracked> instances_;
  std::unique_ptr<history> history_;
  autoscaler scaler_;
  load_meter::reading seen_load_;
  std::optional<time_point> observed_;  ///< until when the load is known; nothing at rest
  backoff backoff_;
  std::shared_ptr<const start_failure> failure_;  ///< while the back-off after it lasts
  std::optional<time_point> next_due_;
  std::optional<time_point> deadline_;  ///< set: shutting down
  time_point overdue_at_{};             ///< without a slot limit: when parked work need not await answers
  std::optional<unsigned> own_min_;
  std::optional<unsigned> own_max_;
  std::optional<unsigned> ceiling_;
  std::optional<std::uint32_t> claimed_;  ///< a pool where a place is kept free for it
  double share_ = 0;
  unsigned floor_ = 0;
  unsigned desired_ = 0;
  unsigned unmet_ = 0;     ///< told to the pools' books
  bool refusing_ = false;  ///< the lot refuses work with failure_
  bool at_once_ = false;   ///< the deadline had passed when it was set
  bool retiring_ = false;
  bool lacks_room_ = false;
  bool room_comes_ = false;
  bool surge_ = false;  ///< one more than desired is there or starting, in place of one that is outdated
};

}  // namespace rouse::activator
