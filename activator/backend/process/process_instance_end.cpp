// How an instance ends, or begins anew on another port.

#include <utility>

#include "activator/backend/process/process_instance.hpp"

namespace rouse::process {
namespace {

constexpr unsigned most_attempts = 4;

}  // namespace

/// Nothing of the process runs any more (or none was made). What it wrote may still be in the pipe.
void process_instance::on_gone() {
  if (std::exchange(gone_, true)) return;
  end_polling();
  reaper_.reset();
  if (!output_) return conclude();
  output_->finish([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->conclude();
  });
}

void process_instance::conclude() {
  if (output_) last_lines_ = output_->last_lines();
  output_.reset();
  if (try_elsewhere()) return attempt();
  report();
}

/// True when the process ended for want of its port and gets another one. A server that cannot bind exits with any
/// status it likes, so what counts is whether somebody else has the port.
bool process_instance::try_elsewhere() {
  if (ready_ || asked_ || !failure_.empty() || !host_.keeper_alive()) return false;
  if (verdict_ != verdict::none && verdict_ != verdict::port_lost) return false;
  if (verdict_ == verdict::none && can_bind(port_, true)) return false;
  verdict_ = verdict::port_lost;
  if (attempts_ >= most_attempts || clock::now() >= begun_ + spec_.start_timeout) return false;
  host_.listener().on_output(spec_.id, "rouse: port " + std::to_string(port_) +
                                           " was taken by another process; starting again on another one");
  verdict_ = verdict::none;
  status_.reset();
  killed_ = false;
  reaper_pid_ = -1;
  last_probe_.clear();
  return true;
}

void process_instance::report() {
  deadline_.cancel();
  activator::exit_report report;
  report.was_ready = ready_;
  report.was_asked = asked_;
  report.detail = exit_detail();
  report.last_lines = std::move(last_lines_);
  if (!failure_.empty()) {
    report.reason = failure_word_;
  } else if (verdict_ == verdict::timeout) {
    report.reason = "timeout";
  } else if (verdict_ == verdict::port_lost) {
    report.reason = "port";
  } else if (verdict_ == verdict::keeper_gone) {
    report.reason = "keeper";
  } else {
    report.reason = status_ ? status_word(*status_) : "signalled";
  }
  host_.listener().on_exit(spec_.id, std::move(report));
  host_.finished(spec_.id);
}

std::string process_instance::exit_detail() const {
  if (!failure_.empty()) return failure_;
  switch (verdict_) {
    case verdict::timeout:
      return timeout_detail_;
    case verdict::port_lost:
      return "was tried on " + std::to_string(attempts_) +
             " ports and found each taken by another process (the last was " + std::to_string(port_) +
             "); a function must itself listen on $PORT, not another process for it";
    case verdict::keeper_gone:
      return "was ended because rouse's keeper process has ended; restart rouse";
    case verdict::none:
      break;
  }
  // A reaper that was killed can tell no status.
  std::string text = status_ ? describe_status(*status_) : "was killed together with the process that watches over it";
  if (frozen_) text += " while it was frozen";
  if (asked_) return text + (killed_ ? " (by force, its grace being over)" : " after SIGTERM");
  if (!ready_) text += " before it listened on port " + std::to_string(port_);
  return text;
}

}  // namespace rouse::process
