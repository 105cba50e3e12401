#include "activator/backend/kubernetes/deployment_control.hpp"

#include <unistd.h>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

namespace rouse::kubernetes {

namespace {

using backend_http::response;
using counted::happened;
using std::chrono::steady_clock;

}  // namespace

deployment_control::deployment_control(surroundings& around, std::string name)
    : around_(around), name_(std::move(name)), timer_(around.io), retry_(around.io) {}

const activator::run_spec* deployment_control::spec_of(std::uint32_t key) const {
  const auto at = std::find_if(specs_.begin(), specs_.end(), [&](const auto& one) { return one.key == key; });
  return at == specs_.end() ? nullptr : &*at;
}

port_rule deployment_control::rule() const {
  if (specs_.empty()) return {};
  return {specs_.back().port_name, specs_.back().port};
}

std::string deployment_control::missing_in_words() const {
  const api* with = around_.reach();
  return "there is no Deployment " + name_ + (with ? " in namespace " + with->name_space() : std::string()) +
         ": it is used as soon as it is created";
}

// --- what the activator tells
// -----------------------------------------------------------------------------------------

void deployment_control::serve(const activator::run_spec& spec) {
  const auto at = std::find_if(specs_.begin(), specs_.end(), [&](const auto& one) { return one.key == spec.key; });
  if (at != specs_.end()) {
    *at = spec;
  } else {
    specs_.push_back(spec);
  }
}

void deployment_control::forget(std::uint32_t key) {
  std::erase_if(specs_, [&](const auto& one) { return one.key == key; });
}

void deployment_control::start(const activator::start_spec& spec) {
  const auto now = steady_clock::now();
  if (!spec_of(spec.key)) serve(spec);
  member mine;
  mine.key = spec.key;
  mine.began = now;
  mine.deadline = now + spec.start_timeout;
  ids_[spec.id] = mine;
  if (!spec.found.empty()) {
    of_.start_found(spec.id, spec.found, now, spec.start_timeout);
  } else {
    of_.start(spec.id, now, spec.start_timeout);
  }
  schedule();
}

void deployment_control::stop(std::uint64_t id) {
  probes_.erase(id);
  of_.stop(id, steady_clock::now());
  schedule();
}

void deployment_control::let_go(std::uint64_t id) {
  probes_.erase(id);
  of_.let_go(id);
  schedule();
}

// --- what the watches tell
// --------------------------------------------------------------------------------------------

void deployment_control::begin() {
  if (of_.known()) return;
  look_at_deployment();
}

void deployment_control::look_at_deployment() {
  const auto now = steady_clock::now();
  const deployment* is = around_.view.find_deployment(name_);
  if (!is) {
    // Starts wait a moment, for what was created just now may be news on its way.
    of_.refused("missing", missing_in_words(), now);
    of_.standing(0, now);
  } else if (is->version >= version_) {
    if (of_.known() && version_ != 0 && is->replicas != of_.count() && is->replicas != asked_ &&
        !std::exchange(noted_others_, true))
      around_.note("somebody else has set Deployment " + name_ + " from " + std::to_string(of_.count()) + " to " +
                   std::to_string(is->replicas) +
                   " replicas (an autoscaler, a person): what rouse wants holds from its next change on");
    if (is->refusal.empty()) {
      of_.refused({}, {}, now);
    } else {
      of_.refused(is->refused_for_room ? "no-capacity" : "rejected",
                  "the pods of Deployment " + name_ + " cannot be created: " + is->refusal, now);
    }
    of_.standing(is->replicas, now);
  }
  schedule();
}

void deployment_control::look_at(const std::string& pod_name) {
  const auto now = steady_clock::now();
  const pod* is = around_.view.find_pod(pod_name);
  if (!is || is->deployment != name_) {
    ends_.erase(pod_name);
    marked_.erase(pod_name);
    of_.gone(pod_name, "pod " + pod_name + " is gone", now);
  } else {
    const auto [before, is_new] = ends_.try_emplace(pod_name, is->ends);
    if (!is_new && is->ends > before->second)
      of_.died(pod_name, "exited", "pod " + pod_name + ": " + (is->last_end.empty() ? "it ended" : is->last_end), now);
    before->second = is->ends;
    if (is->marked) marked_.insert(pod_name);
    of_.saw(pod_name, around_.view.look(*is, rule()).is, now);
  }
  schedule();
}

void deployment_control::set_problem(const std::string& why, steady_clock::time_point since) {
  of_.set_problem(why, since, steady_clock::now());
  schedule();
}

void deployment_control::go_on() {
  if (std::exchange(retrying_, false)) retry_.cancel();
  schedule();
}

// --- reports
// ----------------------------------------------------------------------------------------------------------

void deployment_control::schedule() {
  if (std::exchange(scheduled_, true)) return;
  boost::asio::post(around_.io, [this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    scheduled_ = false;
    flush();
  });
}

void deployment_control::flush() {
  for (auto events = of_.take(); !events.empty(); events = of_.take())
    for (const auto& one : events) report(one);
  advance();
  arm();
}

void deployment_control::report(const counted::event& one) {
  auto& listener = around_.listener;
  switch (one.what) {
    case happened::ready:
      probe(one.id, one.name);
      break;
    case happened::not_ready:
      probes_.erase(one.id);
      break;
    case happened::leaving:
      listener.on_leaving(one.id,
                          "pod " + one.name + (one.detail.empty() ? " is not ready any more" : ": " + one.detail));
      break;
    case happened::exit: {
      probes_.erase(one.id);
      ids_.erase(one.id);
      activator::exit_report last;
      last.was_ready = one.was_ready;
      last.was_asked = one.was_asked;
      last.reason = one.reason;
      last.detail = one.detail;
      around_.ended(one.id);
      listener.on_exit(one.id, std::move(last));
      break;
    }
    case happened::found:
      if (!specs_.empty()) listener.on_found(around_.pool, specs_.back().key, one.name);
      break;
  }
}

/// Kubernetes says that it is ready; a connection shows it, and is the first that is used.
void deployment_control::probe(std::uint64_t id, const std::string& pod_name) {
  const auto mine = ids_.find(id);
  const pod* is = around_.view.find_pod(pod_name);
  if (mine == ids_.end() || !is || of_.name_of(id) != pod_name) return;
  const activator::run_spec* spec = spec_of(mine->second.key);
  if (!spec) return;
  const auto seen = around_.view.look(*is, {spec->port_name, spec->port});
  if (!seen.where) {
    // Of an older revision on the same Deployment, with a port of another name; or it is not ready any more, which
    // comes.
    if (around_.view.look(*is, rule()).where) of_.fail(id, "port", "pod " + pod_name + ": " + seen.is.detail);
    return;
  }
  backend_http::readiness_settings how;
  how.where = *seen.where;
  how.path = spec->ready_path;
  how.begun = steady_clock::now();
  how.deadline = std::max(mine->second.deadline, how.begun + std::chrono::milliseconds(100));
  probes_[id] = std::make_unique<backend_http::readiness>(
      around_.io, std::move(how),
      [this, id, where = *seen.where](const backend_http::readiness_result& result) { probed(id, where, result); });
}

void deployment_control::probed(std::uint64_t id_of, const router::address& at,
                                const backend_http::readiness_result& result_of) {
  // Copies, for what is reported first may end the probe that calls this.
  const auto id = id_of;
  const auto where = at;
  const auto result = result_of;
  flush();
  const auto probe_at = probes_.find(id);
  if (probe_at == probes_.end()) {
    if (result.socket >= 0) ::close(result.socket);
    return;
  }
  probes_.erase(probe_at);
  if (result.ready) {
    of_.confirm(id);
    activator::ready_report report;
    report.where = where;
    report.probe_socket = result.socket;
    around_.listener.on_ready(id, report);
  } else {
    of_.fail(id, "timeout",
             "Kubernetes says that pod " + of_.name_of(id) + " is ready, but " + backend_http::to_string(where) + " " +
                 result.problem);
  }
  schedule();
}

// --- writing
// ----------------------------------------------------------------------------------------------------------

void deployment_control::advance() {
  if (!around_.reach() || !around_.may_write() || writing_ || retrying_) return;
  unmark();
  const auto want = of_.write();
  if (!want || is_missing()) return;
  std::vector<std::string> to_mark;
  // Where none stays there is nothing to choose.
  if (*want > 0)
    for (auto& name : of_.victims())
      if (marked_.count(name) == 0) to_mark.push_back(std::move(name));
  if (to_mark.empty()) return write(*want);
  mark_and_write(to_mark);
}

/// What was to go and stays is like any other.
void deployment_control::unmark() {
  for (auto at = marked_.begin(); at != marked_.end();) {
    const pod* is = around_.view.find_pod(*at);
    if (is && (is->terminating || of_.is_victim(*at) || unmarking_.count(*at) > 0)) {
      ++at;
      continue;
    }
    if (is) patch_cost(*at, false, [this, name = *at](const response&) { unmarking_.erase(name); });
    at = marked_.erase(at);
  }
}

void deployment_control::patch_cost(const std::string& pod_name, bool mark, std::function<void(const response&)> then) {
  const std::string value = mark ? std::string("\"") + cost_of_a_victim + "\"" : "null";
  const std::string body = std::string(R"({"metadata":{"annotations":{")") + deletion_cost + "\":" + value + "}}}";
  api& with = *around_.reach();
  unmarking_.erase(pod_name);
  if (!mark) unmarking_.insert(pod_name);
  calls_[pod_name] =
      with.send("PATCH", with.path("v1", "pods/" + percent_encoded(pod_name)), body, "application/merge-patch+json",
                std::chrono::seconds(10), [this, pod_name, then = std::move(then)](const response& answer) {
                  calls_.erase(pod_name);
                  then(answer);
                });
}

/// All that go are marked first; the count is written after that, as it is wanted then.
void deployment_control::mark_and_write(const std::vector<std::string>& victims) {
  writing_ = true;
  marks_failed_ = false;
  marks_left_ = static_cast<unsigned>(victims.size());
  for (const auto& name : victims)
    patch_cost(name, true, [this, name](const response& answer) {
      if (answer.status == 200 || answer.status == 404) {
        marked_.insert(name);
      } else if (!std::exchange(marks_failed_, true)) {
        try_again(answer, "patch pods");
      }
      if (--marks_left_ > 0) return;
      writing_ = false;
      schedule();
    });
}

void deployment_control::write(unsigned count) {
  writing_ = true;
  asked_ = count;
  api& with = *around_.reach();
  calls_["/scale"] = with.send("PATCH", with.path("apps/v1", "deployments/" + percent_encoded(name_) + "/scale"),
                               R"({"spec":{"replicas":)" + std::to_string(count) + "}}", "application/merge-patch+json",
                               std::chrono::seconds(10), [this](const response& answer) { wrote(answer); });
}

void deployment_control::wrote(const response& answer) {
  writing_ = false;
  const auto now = steady_clock::now();
  const auto stands = answer.status == 200 ? parse_scale(answer.body) : std::nullopt;
  if (stands) {
    delay_.reset();
    if (std::exchange(troubled_, false)) around_.trouble(name_, {});
    version_ = stands->version;
    const deployment* is = around_.view.find_deployment(name_);
    of_.wrote(stands->replicas, now);
    if (is && is->version > version_) of_.standing(is->replicas, now);
  } else {
    try_again(answer, "patch deployments/scale");
  }
  schedule();
}

void deployment_control::try_again(const response& answer, const std::string& doing) {
  const auto now = steady_clock::now();
  if (is_forbidden(answer.status)) {
    const auto words = refusal_in_words(answer, doing, around_.reach()->name_space());
    troubled_ = true;
    around_.trouble(name_, words);
    of_.impossible("forbidden", words, now);
  } else if (answer.status >= 400 && answer.status < 500 && answer.status != 404 && answer.status != 409 &&
             answer.status != 429) {
    // 404: it was deleted, which the watch tells.
    of_.impossible("rejected", refusal_in_words(answer, doing, around_.reach()->name_space()), now);
  }
  retrying_ = true;
  retry_.expires_after(delay_.next(around_.random));
  retry_.async_wait([this, alive = std::weak_ptr<int>(alive_)](const boost::system::error_code& failed) {
    if (failed || alive.expired()) return;
    retrying_ = false;
    flush();
  });
}

void deployment_control::arm() {
  const auto due = of_.due();
  if (due == armed_) return;
  armed_ = due;
  timer_.cancel();
  if (!due) return;
  timer_.expires_at(*due);
  timer_.async_wait([this, alive = std::weak_ptr<int>(alive_)](const boost::system::error_code& failed) {
    if (failed || alive.expired()) return;
    armed_.reset();
    of_.tick(steady_clock::now());
    flush();
  });
}

}  // namespace rouse::kubernetes
