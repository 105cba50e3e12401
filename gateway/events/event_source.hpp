#pragma once
// The seam behind which the events of a trigger wait: an embedded stream, or topics of Kafka. A source hands out events
// by number, in rising order, and remembers of each what became of it. Called on the trigger's worker; what it calls
// back comes there too, never from inside. A new source is a folder beside this file, a line where the service makes
// them (service.cpp), and a run of the contract test.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/events/cloudevents/event.hpp"
#include "gateway/events/dispatch_queue.hpp"

namespace rouse::gateway::events {

/// Why an event was given up.
struct failure {
  unsigned attempts = 0;
  unsigned status = 0;  ///< of the last response; 0: there was none
  std::string detail;   ///< what happened, and the start of the reply
};

class event_source {
 public:
  struct item {
    std::uint64_t number = 0;
    bool skip = false;        ///< settled already, or for somebody else: only its number matters
    bool unreadable = false;  ///< it is there, but is no event; `event` is what can be kept of it, if anything
    std::string why;          ///< it is unreadable; empty: it is damaged
    /// What `order: partition` keeps in order: events of one lane. A source with one order throughout leaves it empty.
    std::string lane;
    std::optional<std::string> order_key;  ///< what `order: key` goes by, before the event's own attributes
    attempts_made made;                    ///< what is known of earlier tries; count 0: none
    cloud_event event;
  };
  struct tried {
    std::uint64_t number = 0;
    attempts_made made;
  };
  /// What was left by an earlier run.
  struct beginning {
    std::vector<tried> retries;  ///< by number
    std::string problem;         ///< why it cannot be read now; it is tried again
  };
  struct batch {
    std::vector<item> items;
    bool more = false;    ///< there is more to fetch now; else `grown` is called when there is
    std::string problem;  ///< why it cannot be read now; it is tried again
  };
  struct one {
    std::unique_ptr<item> found;  ///< nothing: it is settled, or cannot be read now (problem)
    std::string problem;
  };

  /// What a source tells its trigger, unasked.
  struct news {
    std::function<void()> grown;  ///< there may be more to fetch
    /// All that was handed out is, or is about to be, somebody else's: what waits is to be forgotten, unsettled, and
    /// `then` called when nothing of it is in flight any more. What was in flight is settled, retried or given up as
    /// ever until then. Numbers that are handed out later are new ones.
    std::function<void(std::function<void()> then)> taken_back;
  };

  virtual ~event_source() = default;
  /// Before all else.
  virtual void begin(news tell, std::function<void(beginning)> then) = 0;
  /// The next ones, about `count` of them, without those of `beginning`.
  virtual void fetch(std::size_t count, std::function<void(batch)> then) = 0;
  /// One that was handed out, or that stood in `beginning`.
  virtual void fetch_again(std::uint64_t number, std::function<void(one)> then) = 0;
  /// Needs no more delivery.
  virtual void settle(std::uint64_t number) = 0;
  virtual void settle_range(std::uint64_t first, std::uint64_t last) = 0;
  /// Tried, and to be tried again: kept over a restart.
  virtual void retry(std::uint64_t number, const attempts_made& made, const failure& why) = 0;
  /// Kept as a dead letter and settled, both or neither; `then(false)`: neither. `event`: the one of that number.
  virtual void give_up(std::uint64_t number, const cloud_event& event, const failure& why,
                       std::function<void(bool)> then) = 0;
  /// Events that wait and were not fetched yet, about.
  [[nodiscard]] virtual std::uint64_t unfetched() const = 0;
  /// Calls nothing back any more.
  virtual void end() = 0;
};

}  // namespace rouse::gateway::events
