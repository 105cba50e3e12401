// How an instance is frozen and thawed, and how it ends.

#include <algorithm>
#include <utility>

#include "activator/backend/docker/docker_instance.hpp"

namespace rouse::docker {
namespace {

namespace http = backend_http;
using std::chrono::milliseconds;

/// How long an engine may take over the end of a container before the end is reported without it.
constexpr milliseconds engine_patience{10'000};
constexpr milliseconds freeze_again{200};

}  // namespace

void docker_instance::freeze() {
  if (at_ != phase::ready || asked_) return;
  want_frozen_ = true;
  go_on_freezing();
}

void docker_instance::thaw() {
  want_frozen_ = false;
  go_on_freezing();
}

/// One request at a time, until it is as it was asked for last.
void docker_instance::go_on_freezing() {
  const bool may = at_ == phase::checking || at_ == phase::ready || at_ == phase::ending;
  if (!may || clearing_ || freezing_.active() || frozen_ == want_frozen_) return;
  freezing_ = host_.docker().quick("POST", "/containers/" + name_ + (want_frozen_ ? "/pause" : "/unpause"),
                                   [weak = weak_from_this(), to = want_frozen_](const http::response& answer) {
                                     if (const auto self = weak.lock()) self->on_frozen(to, answer);
                                   });
}

void docker_instance::on_frozen(bool frozen, const http::response& answer) {
  if (is_away(answer) || answer.status == 500) {
    if (answer.error) host_.docker().suspect();
    retry_.expires_after(freeze_again);
    retry_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (self && !error) self->go_on_freezing();
    });
    return;
  }
  // Refused is what is so already, and what does not run any more, of which an event tells.
  frozen_ = frozen;
  if (frozen_ != want_frozen_) return go_on_freezing();
  if (at_ == phase::ending) return go_on_ending();
  if (at_ == phase::checking && !readiness_ && !call_.active()) check();
}

void docker_instance::stop(milliseconds grace) {
  asked_ = true;
  const auto at = clock::now() + std::max(grace, milliseconds(0));
  if (at >= kill_at_) return;
  kill_at_ = at;
  switch (at_) {
    case phase::waiting:
    case phase::pulling:
      deadline_.cancel();
      return later(&docker_instance::report);
    case phase::creating:
    case phase::starting:
      // The answer to what was asked comes first. It is not in the way for long, or not at all.
      return set_deadline(std::max(kill_at_, clock::now() + engine_patience), &docker_instance::end_by_force);
    case phase::checking:
    case phase::ready:
      readiness_.reset();
      at_ = phase::ending;
      [[fallthrough]];
    case phase::ending:
      return go_on_ending();
    case phase::dead:
    case phase::done:
      return;
  }
}

void docker_instance::let_go(milliseconds grace) {
  if ((at_ != phase::checking && at_ != phase::ready) || asked_) return stop(grace);
  asked_ = true;
  verdict_ = "kept";
  detail_ = "runs on in the container " + name_ + ", for the next rouse";
  readiness_.reset();
  call_.cancel();
  deadline_.cancel();
  later(&docker_instance::report);
}

void docker_instance::go_on_ending() {
  if (clearing_) return;
  if (clock::now() >= kill_at_) return end_by_force();
  set_deadline(kill_at_, &docker_instance::end_by_force);
  ask_to_end();
}

void docker_instance::ask_to_end() {
  if (signalled_ || signal_.active()) return;
  want_frozen_ = false;
  if (frozen_ || freezing_.active()) return go_on_freezing();
  const std::string signal = last_.stop_signal.empty() ? "SIGTERM" : last_.stop_signal;
  signal_ = host_.docker().quick("POST", "/containers/" + name_ + "/kill?signal=" + percent_encoded(signal),
                                 [weak = weak_from_this()](const http::response& answer) {
                                   const auto self = weak.lock();
                                   if (!self) return;
                                   if (is_away(answer)) return self->wait_for_engine(answer);
                                   self->signalled_ = true;
                                 });
}

void docker_instance::end_by_force() {
  forced_ = true;
  at_ = phase::ending;
  clear_away();
}

/// The container is removed, running or not; what it wrote last is waited for.
void docker_instance::clear_away() {
  if (std::exchange(clearing_, true)) return;
  call_.cancel();
  set_deadline(clock::now() + engine_patience, &docker_instance::give_up);
  host_.remove(name_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->on_cleared();
  });
}

void docker_instance::on_cleared() {
  if (at_ == phase::done) return;
  if (!output_ || at_ == phase::dead) return report();
  at_ = phase::dead;
  output_->finish([weak = weak_from_this()] {
    if (const auto self = weak.lock(); self && self->at_ != phase::done) self->report();
  });
}

/// It does not run any more, by itself or for having been asked.
void docker_instance::on_died() {
  at_ = phase::dead;
  readiness_.reset();
  set_deadline(clock::now() + engine_patience, &docker_instance::give_up);
  call_ = host_.docker().quick("GET", "/containers/" + name_ + "/json",
                               [weak = weak_from_this()](const http::response& answer) {
                                 if (const auto self = weak.lock()) self->on_look_back(answer);
                               });
}

void docker_instance::on_look_back(const http::response& answer) {
  if (answer.status == 200) {
    if (const auto seen = parse_details(answer.body, host_.network())) last_ = *seen;
  }
  const auto next = [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->at_ == phase::done) return;
    // Who waits for a start, or for a new one, waits no longer for the removal.
    if (self->asked_) return self->clear_away();
    self->host_.remove(self->name_, nullptr);
    self->report();
  };
  if (!output_) return next();
  output_->finish(next);
}

void docker_instance::on_removed_by_others() {
  gone_ = true;
  report();
}

/// The engine does not say that it is gone. What is left to do is done when the engine is there again.
void docker_instance::give_up() {
  if (!clearing_) host_.remove(name_, nullptr);
  if (verdict_.empty()) {
    verdict_ = "unavailable";
    detail_ = "the Docker Engine did not say that the container " + name_ +
              " has ended; it is removed as soon as the engine answers";
  }
  report();
}

void docker_instance::report() {
  if (std::exchange(at_, phase::done) == phase::done) return;
  const auto self = shared_from_this();
  deadline_.cancel();
  retry_.cancel();
  call_.cancel();
  freezing_.cancel();
  signal_.cancel();
  readiness_.reset();
  activator::exit_report report;
  report.was_ready = was_ready_;
  report.was_asked = asked_;
  report.detail = exit_detail();
  report.reason = !verdict_.empty() ? verdict_ : gone_ ? "removed" : forced_ ? "signalled" : exit_word(last_);
  if (output_) {
    report.last_lines = output_->last_lines();
    output_->close();
  }
  host_.listener().on_exit(spec_.id, std::move(report));
  host_.finished(spec_.id);
}

std::string docker_instance::exit_detail() const {
  if (!verdict_.empty()) return detail_;
  if (asked_ && !output_) return "was stopped before its container ran";
  if (gone_) return "its container " + name_ + " was removed by somebody else";
  if (forced_) return was_ready_ ? "was killed by force, its grace being over" : "was killed while it started";
  const std::string signal = last_.stop_signal.empty() ? "SIGTERM" : last_.stop_signal;
  std::string text = describe_exit(last_, spec_.memory);
  if (asked_) return text == "was killed by " + signal ? "ended on " + signal : text + " after " + signal;
  if (frozen_) text += " while it was frozen";
  if (!was_ready_) text += " before it listened on port " + std::to_string(port_of(spec_));
  return text;
}

}  // namespace rouse::docker
