#pragma once
// What the admin interface can change, as the daemon offers it: one method for each action. Called on the admin thread.
// Owned by the daemon; outlives the admin server.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/event_numbers.hpp"

namespace rouse::gateway {

/// Which dead letters: these, or all of one trigger or function.
struct dead_letter_question {
  std::string owner;               ///< empty: of all
  std::optional<std::int64_t> id;  ///< this one only
  std::int64_t after = 0;          ///< of a list: those with a higher id
};

/// How an action went.
struct action_result {
  /// 200 done; 202 begun, and goes on by itself; 400 asked wrongly; 404 no such thing; 409 not now, or not here; 422
  /// understood, but it cannot be (a configuration that is not valid, a min above the max in force).
  unsigned status = 200;
  std::string type;  ///< of 400 and above: a word, such as no-function, no-pool, no-revision, invalid-config, draining
  std::string detail;              ///< a sentence for people: what was done, or why not and what to do
  std::vector<std::string> lines;  ///< more, one each: a configuration's problems as FILE:LINE:COLUMN: ...
  std::string body{};              ///< JSON that is the answer, in place of the others; below 400 only
  std::shared_ptr<const event_numbers> events{};  ///< of events()
};

class actions {
 public:
  /// To be called once for each call of an action, on the admin thread and not from inside that call. After the server
  /// has stopped, or when the caller's patience was over (30 s), it does nothing.
  using done = std::function<void(action_result)>;

  virtual ~actions() = default;
  /// Bounds in place of the file's, each only if given; never neither. Where both are, min <= max.
  virtual void scale(std::string function, std::optional<unsigned> min, std::optional<unsigned> max, done then) = 0;
  /// Weights in place of the file's, by the revision's name; those not named get 0. Never empty, the sum not 0.
  virtual void traffic(std::string function, std::map<std::string, std::uint32_t> weights, done then) = 0;
  /// Replaces the instances one by one.
  virtual void restart(std::string function, done then) = 0;
  /// No new instances in that pool, or as ever again.
  virtual void cordon(std::string pool, bool cordoned, done then) = 0;
  /// Reads the file again and applies it, or says in `lines` why not (422, invalid-config).
  virtual void reload(done then) = 0;
  /// Ends the daemon as SIGTERM does.
  virtual void drain(done then) = 0;

  // What only asks.
  virtual void events(done then) = 0;
  /// A list, at most 1000 in the order of their ids, or one with its content.
  virtual void dead_letters(dead_letter_question which, done then) = 0;
  // And what changes them: taken out for delivery, or removed.
  virtual void redrive(dead_letter_question which, done then) = 0;
  virtual void purge(dead_letter_question which, done then) = 0;
};

/// The part of them that the events behind the gateway answer (gateway/events). As for actions: `then` comes on the
/// admin thread, and not from inside.
class actions_on_events {
 public:
  virtual void numbers(actions::done then) = 0;
  virtual void dead_letters(dead_letter_question which, actions::done then) = 0;
  virtual void redrive(dead_letter_question which, actions::done then) = 0;
  virtual void purge(dead_letter_question which, actions::done then) = 0;

 protected:
  ~actions_on_events() = default;
};

}  // namespace rouse::gateway
