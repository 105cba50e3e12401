#pragma once
// The endpoints of one revision: which are known, which are healthy, and whose each is. Pure: no I/O, time comes in.
// One per revision, owned by the backend, on its thread.

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "activator/backend/backend.hpp"
#include "router/address.hpp"

namespace rouse::fixed {

struct address_order {
  bool operator()(const router::address& a, const router::address& b) const {
    return std::tie(a.v6, a.bytes, a.port) < std::tie(b.v6, b.bytes, b.port);
  }
};

class roster {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  /// So many failed checks in a row make a healthy endpoint unhealthy. One that passes makes it healthy again.
  static constexpr unsigned fall = 3;

  /// What came out of a call, in the order in which it is to be told.
  struct event {
    enum class kind { ready, exit, leaving, standing };
    kind what = kind::exit;
    std::uint64_t id = 0;         ///< of all but standing
    router::address where;        ///< of ready
    std::string detail;           ///< of leaving
    unsigned count = 0;           ///< of standing
    activator::exit_report last;  ///< of exit
  };

  /// Takes the next healthy endpoint that is free; waits while some have not been checked yet, at most until
  /// `deadline`.
  void start(std::uint64_t id, time_point deadline);
  /// The endpoint is free again; nothing is ended. `reason` is what is told.
  void stop(std::uint64_t id, const std::string& reason);

  /// These are all now. `complete`: every name has been looked up at least once, with whatever result. `problem`: what
  /// is wrong with look-ups, for who gets nothing.
  void set_addresses(const std::vector<router::address>& all, bool complete, const std::string& problem);
  /// A check's result. `problem` is the end of a sentence that begins with the address: "refuses connections".
  void passed(const router::address& where);
  void failed(const router::address& where, const std::string& problem);
  /// Ends starts whose time is over.
  void expire(time_point now);

  /// Whether it is to be checked.
  [[nodiscard]] bool has(const router::address& where) const { return members_.contains(where); }
  /// It is healthy, but its last check failed: look again soon.
  [[nodiscard]] bool is_in_doubt(const router::address& where) const;
  [[nodiscard]] std::vector<router::address> addresses() const;
  [[nodiscard]] std::optional<time_point> next_expiry() const;
  [[nodiscard]] bool is_used() const;
  [[nodiscard]] std::vector<event> take_events() { return std::exchange(events_, {}); }

 private:
  enum class health { unknown, healthy, unhealthy };
  struct member {
    health is = health::unknown;
    unsigned failures = 0;  ///< in a row
    std::string problem;    ///< of the last check
    bool listed = true;     ///< a name or the file still has it; one that is not is kept for whose it is
    std::uint64_t id = 0;   ///< whose it is; 0: it is free
  };

  void settle();
  void exit(std::uint64_t id, bool was_ready, bool was_asked, std::string reason, std::string detail);
  [[nodiscard]] bool is_settled() const;
  [[nodiscard]] unsigned healthy() const;
  [[nodiscard]] std::string words() const;

  std::map<router::address, member, address_order> members_;
  std::map<std::uint64_t, time_point> waiting_;  ///< starts, the oldest first, and their deadlines
  std::vector<event> events_;
  bool complete_ = false;
  std::string problem_;
  std::optional<unsigned> told_;  ///< the standing count
};

}  // namespace rouse::fixed
