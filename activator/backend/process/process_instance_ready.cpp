// How an instance becomes ready, or does not in time.

#include <algorithm>
#include <utility>

#include "activator/backend/process/listeners.hpp"
#include "activator/backend/process/process_instance.hpp"

namespace rouse::process {
namespace {

constexpr auto probe_timeout = std::chrono::seconds(5);

}  // namespace

void process_instance::begin_polling() {
  foreign_inode_ = 0;
  if (!std::exchange(polling_, true)) ++host_.polled();
  schedule_poll();
}

void process_instance::end_polling() {
  if (std::exchange(polling_, false)) --host_.polled();
  next_poll_.cancel();
  if (const auto probe = std::exchange(probe_, nullptr)) probe->cancel();
}

/// A look costs some 50 us. One a millisecond adds next to nothing to a fast start, 2 % of the time elapsed to a slow
/// one; and when very many start at once, all looks together stay below half of the control thread's time.
void process_instance::schedule_poll() {
  const auto elapsed = std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - begun_);
  const auto share = std::chrono::microseconds(100) * static_cast<std::int64_t>(host_.polled());
  next_poll_.expires_after(std::max<std::chrono::microseconds>({std::chrono::microseconds(1000), elapsed / 50, share}));
  next_poll_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (const auto self = weak.lock(); self && !error) self->poll();
  });
}

void process_instance::poll() {
  if (!polling_) return;
  ready_check found = check_ready(port_, reaper_pid_);
  switch (found.result) {
    case ready_check::verdict::closed:
      foreign_inode_ = 0;
      return schedule_poll();
    case ready_check::verdict::foreign:
      // Twice the same socket: once could be an instance whose processes change while they are looked at.
      if (std::exchange(foreign_inode_, found.inode) == found.inode) return end(verdict::port_lost);
      return schedule_poll();
    case ready_check::verdict::ours:
      break;
  }
  if (spec_.ready_path) return probe(std::move(found));
  become_ready(found.where, std::move(found.connection));
}

void process_instance::probe(ready_check found) {
  if (last_probe_.empty()) last_probe_ = "has not been answered";
  probe_ = http_probe::begin(host_.control(), std::move(found.connection), found.where, *spec_.ready_path,
                             probe_timeout, [weak = weak_from_this(), where = found.where](http_probe::answer with) {
                               if (const auto self = weak.lock()) self->on_probe(std::move(with), where);
                             });
}

void process_instance::on_probe(http_probe::answer with, const router::address& where) {
  if (!polling_) return;
  // Not cancelled: it still reads what is left of the response.
  probe_.reset();
  if (with.status >= 200 && with.status <= 299) return become_ready(where, {});
  last_probe_ = with.status != 0 ? "is answered with " + std::to_string(with.status) : with.problem;
  schedule_poll();
}

void process_instance::become_ready(const router::address& where, descriptor connection) {
  end_polling();
  deadline_.cancel();
  ready_ = true;
  activator::ready_report report;
  report.where = where;
  report.probe_socket = connection.release();
  host_.listener().on_ready(spec_.id, std::move(report));
}

void process_instance::on_start_timeout() {
  if (ready_ || asked_ || gone_ || killed_) return;
  timeout_detail_ = timeout_detail();
  end(verdict::timeout);
}

/// Asked before the process is killed, while it can still be seen where it listens instead.
std::string process_instance::timeout_detail() const {
  const std::string within = " within " + describe(spec_.start_timeout);
  const std::string ran = "; it ran `" + command_line(spec_.command) + "`";
  if (!last_probe_.empty())
    return "was not ready" + within + ": it listened on port " + std::to_string(port_) + ", but GET " +
           spec_.ready_path.value_or("/") + " " + last_probe_ + ran;
  std::string text = "did not listen on port " + std::to_string(port_) + within + ran;
  std::string places;
  bool right_port = false;
  for (const auto& where : reaper_pid_ > 0 ? listening_below(reaper_pid_) : std::vector<router::address>()) {
    if (!places.empty()) places += " and ";
    places += to_string(where);
    right_port = right_port || where.port == port_;
  }
  if (places.empty()) return text + "; functions must listen on $PORT";
  if (right_port) return text + "; it listens on " + places + ", which is not reached over 127.0.0.1 or ::1";
  return text + "; it listens on " + places + " instead of $PORT";
}

}  // namespace rouse::process
