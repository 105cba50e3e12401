#pragma once
// Who is who behind one webhook: the ids that the activator started, and the instances that the scaler lists by name.
// It says what to ask the scaler for and what its answers mean. Pure: no I/O, time comes in. One per revision, owned by
// the backend, on its thread.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "activator/backend/backend.hpp"
#include "router/address.hpp"

namespace rouse::webhook {

/// An instance as the scaler lists it.
struct listed {
  enum class state { starting, ready, terminating, failed };
  std::string name;
  state is = state::starting;
  std::optional<router::address> where;  ///< always there when it is ready
  std::string reason;                    ///< one word, may be empty
  std::string detail;                    ///< a sentence, may be empty
};

/// What the scaler answers.
struct listing {
  std::vector<listed> instances;
  /// Why it has fewer than it was asked for and will not have more by itself; both empty: they are coming.
  std::string shortage;         ///< one word: no-capacity, quota, ...
  std::string shortage_detail;  ///< a sentence
};

/// What the scaler is asked for.
struct wish {
  struct removal {
    std::string name;
    std::chrono::milliseconds grace{0};  ///< what is left of it
  };
  std::uint64_t round = 0;          ///< for heard()
  std::optional<unsigned> desired;  ///< unset: nothing is to be changed, only told
  std::vector<removal> remove;      ///< these, and no others, where there are too many
  std::string reason;               ///< for people
};

class ledger {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  /// An instance that never became ready is told to end; its end is waited for so long before the start's failure is
  /// told.
  static constexpr std::chrono::seconds told_at_latest{5};

  /// What came out of a call, in the order in which it is to be told.
  struct event {
    enum class kind { try_out, give_up, exit, leaving, found };
    kind what = kind::exit;
    std::uint64_t id = 0;
    std::string name;             ///< of found
    router::address where;        ///< of try_out: until it accepts, or give_up for the same id
    std::string detail;           ///< of leaving
    activator::exit_report last;  ///< of exit
  };

  /// What was found and is nobody's yet comes first, named or not: true when there was such a one, which was listed
  /// already and of which the next listing tells how it is.
  bool start(std::uint64_t id, const std::string& found, time_point deadline);
  void stop(std::uint64_t id, std::chrono::milliseconds grace, time_point now);
  /// Its end is told and the instance stays, for the next rouse to find.
  void let_go(std::uint64_t id);
  /// From now on nothing is wanted, and nothing found.
  void forget() noexcept { forgotten_ = true; }

  /// The instance accepts: it is ready. False when nobody waits for that any more.
  bool accepted(std::uint64_t id);
  /// So it answered when it was tried last; told when its time is over.
  void not_yet(std::uint64_t id, const std::string& problem);

  [[nodiscard]] wish ask(time_point now);
  /// The answer to the wish of that round, the last one made.
  void heard(const listing& answer, std::uint64_t round, time_point now);
  /// The scaler refuses for good: nobody waits for it.
  void refused(const std::string& reason, const std::string& detail);
  /// Why the scaler cannot be asked, and since when; empty: it can.
  void set_problem(std::string why, time_point since);
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
  /// Too long to be waited for.
  [[nodiscard]] bool away_long(time_point now) const { return !problem_.empty() && now >= away_at_; }
  /// Ends starts whose time is over, and those that a scaler that is away has nothing for.
  void expire(time_point now);

  /// Whether something is wanted that no answered wish has said.
  [[nodiscard]] bool has_news() const { return !said_ || hurry_ > heard_ || wanted() != *said_; }
  /// Whether the next listing is expected to differ.
  [[nodiscard]] bool in_progress() const;
  /// Whether there is anything at all, wanted or running.
  [[nodiscard]] bool is_empty() const { return ids_.empty() && live_ == 0; }
  /// It is forgotten, and the scaler has said that nothing is left.
  [[nodiscard]] bool is_over() const { return forgotten_ && is_empty() && !has_news(); }
  /// When expire() has something to do; nothing: never.
  [[nodiscard]] std::optional<time_point> next_expiry() const;
  [[nodiscard]] std::vector<event> take_events() { return std::exchange(events_, {}); }

 private:
  enum class phase {
    waiting,   ///< for an instance of the scaler's
    starting,  ///< has one, which is not ready
    trying,    ///< the scaler says that it is ready; rouse looks for itself
    ready,
    ending,  ///< was told to stop, or did not become ready
  };
  struct one {
    phase is = phase::waiting;
    std::string name;  ///< of its instance; empty: none yet
    router::address where;
    time_point deadline;                     ///< to be ready
    std::uint64_t asked = 0;                 ///< the first round that asked for it; 0: none has
    std::uint64_t ended = 0;                 ///< of one without a name that is ending: the last round that asked for it
    time_point kill_at = time_point::max();  ///< of ending
    time_point tell_at = time_point::max();  ///< of ending though nobody asked
    bool leaving = false;                    ///< the scaler says that it ends
    std::string last_problem = "was not tried";  ///< how it answered
    activator::exit_report report;
  };
  using iterator = std::map<std::uint64_t, one>::iterator;
  /// What a wish comes to.
  struct substance {
    unsigned desired = 0;
    std::set<std::string> remove;
    friend bool operator==(const substance&, const substance&) = default;
  };

  void exit(iterator at, std::string reason, std::string detail);
  void give_up(std::uint64_t id, const one& of);
  void fail(std::uint64_t id, one& of, time_point now, std::string reason, std::string detail);
  void follow(std::uint64_t id, const listed* seen, time_point now);
  void bind(iterator to, const listed& instance);
  void become_listed_ready(iterator at, const listed& instance);
  void place(const listed& instance);
  void settle_waiting(const listing& answer, std::uint64_t round);
  /// Until when it is waited for.
  [[nodiscard]] time_point patience_of(const one& of) const;
  [[nodiscard]] bool is_owned(const std::string& name) const;
  [[nodiscard]] iterator first_without_name(phase is);
  [[nodiscard]] substance wanted() const;
  [[nodiscard]] std::string words(const wish& of) const;

  std::map<std::uint64_t, one> ids_;  ///< ids rise: the oldest first
  std::set<std::string> found_;       ///< run, and are nobody's: told by found and not claimed yet, or let go
  std::set<std::string> condemned_;   ///< to be removed though no id is theirs any more
  unsigned kept_ = 0;                 ///< asked for, let go before they had a name
  unsigned live_ = 0;                 ///< starting and ready ones of the last listing
  std::vector<event> events_;
  std::uint64_t round_ = 0, heard_ = 0;
  std::uint64_t hurry_ = 0;        ///< the round that is to say that a grace was shortened
  std::optional<substance> said_;  ///< what the scaler knows
  substance saying_;               ///< of the round that is under way
  bool known_ = false;             ///< what runs was told once
  bool forgotten_ = false;
  std::string problem_;
  time_point away_at_;  ///< while there is a problem: when it has lasted too long to be waited for
};

}  // namespace rouse::webhook
