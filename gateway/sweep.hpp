#pragma once
// The deadlines of one worker: an intrusive list that is walked every 100 ms, so that setting or moving a deadline is
// one store and no request needs a timer. One worker's thread only.

#include <boost/intrusive/list.hpp>

#include "gateway/net.hpp"

namespace rouse::gateway {

/// Something that has a deadline, or wants to be looked at now and then, while it lives.
class sweep_entry
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  /// Called at each sweep. May cancel and post, but must not destroy any entry before it returns.
  virtual void on_sweep(steady::time_point now) = 0;

 protected:
  ~sweep_entry() = default;
};

class sweep_list {
 public:
  static constexpr std::chrono::milliseconds period{100};

  void add(sweep_entry& entry) { entries_.push_back(entry); }
  [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
  void sweep(steady::time_point now) {
    for (auto& entry : entries_) entry.on_sweep(now);
  }

 private:
  boost::intrusive::list<sweep_entry, boost::intrusive::constant_time_size<false>> entries_;
};

}  // namespace rouse::gateway
