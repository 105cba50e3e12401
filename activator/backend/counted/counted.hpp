#pragma once
// Instances where only a count can be set: ids of the activator on one side, what a scaler says is there by name on the
// other. One object for everything that is counted together (a Deployment). Pure: it is told what
// happened and what time it is, and says in events and in write() what to report and what to ask for. Any one thread.
//
// A start that waits is not tied to an instance before one is ready: what gets ready first serves the oldest start.
// What fails before it is ready fails the oldest start.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "activator/backend/backend.hpp"

namespace rouse::counted {

enum class phase : std::uint8_t {
  starting,
  ready,
  leaving,  ///< it ends, whoever wants that
  failed,   ///< it will not get ready, or not soon
};

/// What is known of one instance.
struct sight {
  phase now = phase::starting;
  std::string reason;  ///< failed: the word for exit_report::reason
  std::string detail;  ///< for people: why it failed, what a starting one waits for, why it leaves
};

enum class happened : std::uint8_t {
  ready,      ///< the scaler says so of `name`, which is `id`'s now: find out where it is and report, then confirm(id)
  not_ready,  ///< taken back before confirm(id): no report
  leaving,    ///< report on_leaving
  exit,       ///< report on_exit; nothing more comes of this id
  found,      ///< report on_found(name)
};

struct event {
  happened what{};
  std::uint64_t id = 0;
  std::string name;  ///< of the instance, where there is one
  std::string reason;
  std::string detail;
  bool was_ready = false;
  bool was_asked = false;
};

class instances {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  /// For so long one that was chosen to go may live on though the count is reached. Then another went in its place.
  static constexpr std::chrono::seconds release_after{2};
  /// For so long a refusal to make more may be that of an earlier count.
  static constexpr std::chrono::seconds refusal_after{1};
  /// After so long with a problem nothing is waited for that has not begun.
  static constexpr std::chrono::seconds away_patience = activator::away_patience;

  // What the activator tells.
  void start(std::uint64_t id, time_point now, std::chrono::milliseconds timeout);
  /// Takes over what was reported as found.
  void start_found(std::uint64_t id, const std::string& name, time_point now, std::chrono::milliseconds timeout);
  void stop(std::uint64_t id, time_point now);
  /// Reports `id` as kept; what runs for it runs on, and is counted.
  void let_go(std::uint64_t id);
  /// on_ready was reported.
  void confirm(std::uint64_t id);
  /// The start failed, or the instance does, for a reason that the scaler does not know.
  void fail(std::uint64_t id, std::string reason, std::string detail);

  // What the scaler tells.
  /// The count that is set there. With the first one it is known what runs: every instance was told by saw() before.
  void standing(unsigned count, time_point now);
  /// write() was carried out.
  void wrote(unsigned count, time_point now);
  void saw(const std::string& name, const sight& what, time_point now);
  /// It was ready, has ended by itself and may be starting again under the same name.
  void died(const std::string& name, std::string reason, std::string detail, time_point now);
  void gone(const std::string& name, std::string detail, time_point now);
  /// It cannot make more instances than there are (a quota); no reason: it can again.
  void refused(std::string reason, std::string detail, time_point now);
  /// Nothing can be started there at all: every start that waits for an instance fails.
  void impossible(const std::string& reason, const std::string& detail, time_point now);
  /// Why nothing moves (the API is away); empty: nothing is wrong.
  void set_problem(std::string why, time_point since, time_point now);

  /// Time has passed. Cheap when nothing is due.
  void tick(time_point now);
  /// When tick() is to be called next; nothing: not before something else happens.
  [[nodiscard]] std::optional<time_point> due() const;

  /// How many are wanted: starts that wait, instances that are somebody's, and those found that wait for an answer.
  [[nodiscard]] unsigned wanted() const;
  /// The count to set now, if any: victims() are to be marked before that.
  [[nodiscard]] std::optional<unsigned> write() const;
  /// Instances that should go when the count falls.
  [[nodiscard]] std::vector<std::string> victims() const;
  [[nodiscard]] bool is_victim(const std::string& name) const;
  [[nodiscard]] bool known() const noexcept { return known_; }
  [[nodiscard]] unsigned count() const noexcept { return count_; }
  /// No id lives and the count needs no change.
  [[nodiscard]] bool idle() const { return ids_.empty() && !write(); }
  [[nodiscard]] bool has_ids() const { return !ids_.empty(); }
  /// Which instance is the id's; empty: none yet.
  [[nodiscard]] std::string name_of(std::uint64_t id) const;

  /// What happened since the last call, in order.
  [[nodiscard]] std::vector<event> take() { return std::exchange(events_, {}); }

 private:
  struct there {
    sight is;
    std::uint64_t id = 0;     ///< whose it is
    std::uint64_t since = 0;  ///< in which order they appeared
    bool told = false;        ///< as found, and not answered
    bool victim = false;      ///< should go
  };
  struct claim {
    std::string name;
    time_point began, deadline;
    bool ready = false;  ///< happened::ready was said of the instance that it has now
    bool confirmed = false;
    bool leaving = false;  ///< was said
    bool stopping = false;
  };
  using claims = std::map<std::uint64_t, claim>;
  using all = std::map<std::string, there>;

  void settle(time_point now);
  void look_at_claims();
  claims::iterator look_at(claims::iterator at);
  void give_ready_ones();
  void give_failed_ones();
  void tell_found();
  void fail_refused(time_point now);
  void fail_away(time_point now);
  void fail_without_one(const std::string& reason, const std::string& detail, time_point began_by);
  void fail_late(time_point now);
  void release_survivors(time_point now);
  claims::iterator end(claims::iterator at, std::string reason, std::string detail);
  claims::iterator oldest_waiting();
  all::iterator longest_starting();
  void bind(claims::iterator id, all::iterator it);
  void give_up(there& it);
  [[nodiscard]] unsigned waiting() const;
  [[nodiscard]] unsigned starting_free() const;
  [[nodiscard]] bool is_free(const there& it) const;
  [[nodiscard]] bool survivors() const;

  claims ids_;
  all there_;
  std::vector<event> events_;
  std::uint64_t appeared_ = 0;
  unsigned count_ = 0;
  unsigned kept_ = 0;  ///< starts let go of that had no instance yet
  bool known_ = false;
  bool dirty_ = false;                 ///< what is wanted has changed by our own doing since it was written
  std::optional<time_point> reached_;  ///< since when what was chosen to go lives on beside a count that is reached
  std::optional<std::pair<std::string, std::string>> refusal_;
  std::string problem_;
  std::optional<time_point> away_since_;  ///< while there is a problem
};

}  // namespace rouse::counted
