// How an instance comes to run, and how it goes on when the engine was away. Its end is in docker_instance_end.cpp.

#include "activator/backend/docker/docker_instance.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

#include "activator/backend/http/origin.hpp"
#include "activator/words.hpp"

namespace rouse::docker {
namespace {

namespace http = backend_http;
using std::chrono::milliseconds;

/// A create or a start that takes longer has met an engine that hangs.
constexpr milliseconds slow_timeout{120'000};
/// Of what a container wrote before it was found, so much is read again.
constexpr unsigned lines_of_before = 20;

}  // namespace

docker_instance::docker_instance(instance_host& host, activator::start_spec spec, std::string name)
    : host_(host), spec_(std::move(spec)), name_(std::move(name)), deadline_(host.io()), retry_(host.io()) {}

void docker_instance::begin() {
  start_clock();
}

void docker_instance::start_clock() {
  begun_ = clock::now();
  set_deadline(begun_ + spec_.start_timeout, &docker_instance::on_start_timeout);
}

void docker_instance::begin_in_vain(std::string why) {
  verdict_ = "gone";
  detail_ = std::move(why);
  later(&docker_instance::report);
}

void docker_instance::set_deadline(clock::time_point when, void (docker_instance::*what)()) {
  deadline_.expires_at(when);
  deadline_.async_wait([weak = weak_from_this(), what](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (self && !error && self->at_ != phase::done) (self.get()->*what)();
  });
}

void docker_instance::later(void (docker_instance::*what)()) {
  boost::asio::post(host_.io(), [weak = weak_from_this(), what] {
    const auto self = weak.lock();
    if (self && self->at_ != phase::done) (self.get()->*what)();
  });
}

void docker_instance::make() {
  if (asked_ || at_ == phase::done) return;
  at_ = phase::creating;
  made_ = true;  // until the engine says that it is not
  call_ = host_.docker().slow("POST", "/containers/create?name=" + name_, host_.body_for(spec_), slow_timeout,
                              [weak = weak_from_this()](const http::response& answer) {
                                if (const auto self = weak.lock()) self->on_made(answer);
                              });
}

void docker_instance::on_made(const http::response& answer) {
  if (is_away(answer)) return wait_for_engine(answer);
  if (answer.status == 201) return asked_ ? clear_away() : run();
  made_ = answer.status >= 500;
  const std::string said = words_of(answer);
  if (answer.status != 404 || said.find("o such image") == std::string::npos || asked_)
    return fail(std::string(failure_word(said)), "its container could not be made: " + said);
  if (pulled_) return fail("image", "the image " + spec_.image + " was pulled, and is not there all the same: " + said);
  at_ = phase::pulling;
  deadline_.cancel();  // a pull takes as long as it takes, while it goes on
  host_.pull(spec_.image, spec_.id);
}

void docker_instance::on_pulled(std::string word, const std::string& problem, bool away) {
  if (at_ != phase::pulling) return;
  start_clock();
  if (away) {
    waited_for_ = problem;
    at_ = phase::waiting;
    host_.docker().suspect();
    if (host_.docker().hopeless()) on_hopeless(host_.docker().problem());
    return;
  }
  if (!word.empty())
    return fail(std::move(word), "the image " + spec_.image + " is not there and could not be pulled: " + problem);
  pulled_ = true;
  make();
}

void docker_instance::run() {
  at_ = phase::starting;
  call_ = host_.docker().slow("POST", "/containers/" + name_ + "/start", {}, slow_timeout,
                              [weak = weak_from_this()](const http::response& answer) {
                                if (const auto self = weak.lock()) self->on_running(answer);
                              });
}

void docker_instance::on_running(const http::response& answer) {
  if (is_away(answer)) return wait_for_engine(answer);
  if (answer.status == 204 || answer.status == 304) return look();
  const std::string said = words_of(answer);
  if (said.find("docker-init") != std::string::npos && host_.do_without_init() && !asked_) {
    return host_.remove(name_, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self && self->at_ == phase::starting) self->make();
    });
  }
  if (answer.status == 404 && said.find("o such container") != std::string::npos) return on_removed_by_others();
  fail(std::string(failure_word(said)), "its container could not be started: " + said);
}

/// It runs, or ran for a moment: where, and how it wants to be ended.
void docker_instance::look() {
  at_ = phase::checking;
  if (!output_) {
    output_ = std::make_shared<output>(host_.io(), host_.docker(), name_, [this](std::string line) {
      host_.listener().on_output(spec_.id, std::move(line));
    });
  }
  output_->follow(found_ ? lines_of_before : 0);
  call_ = host_.docker().quick("GET", "/containers/" + name_ + "/json",
                               [weak = weak_from_this()](const http::response& answer) {
                                 if (const auto self = weak.lock()) self->on_look(answer);
                               });
}

void docker_instance::on_look(const http::response& answer) {
  if (is_away(answer)) return wait_for_engine(answer);
  if (answer.status == 404) return on_removed_by_others();
  const auto seen = parse_details(answer.body, host_.network());
  if (answer.status != 200 || !seen) return fail("spawn", "its container cannot be looked at: " + words_of(answer));
  last_ = *seen;
  if (last_.state == container_state::exited) return on_died();
  if (asked_) {
    at_ = phase::ending;
    return go_on_ending();
  }
  const auto where = http::parse_address(last_.address, port_of(spec_));
  if (!where) {
    return fail("network", "its container has no address of its own in the network `" +
                               (host_.network().empty() ? std::string("bridge") : host_.network()) +
                               "`; name a bridge network of the engine as the pool's `network`");
  }
  where_ = *where;
  frozen_ = last_.state == container_state::paused;
  if (frozen_) return go_on_freezing();  // an earlier rouse froze it; it is checked when it runs
  check();
}

void docker_instance::check() {
  http::readiness_settings settings;
  settings.where = where_;
  settings.path = spec_.ready_path;
  settings.begun = begun_;
  readiness_ = std::make_unique<http::readiness>(
      host_.io(), std::move(settings), [this](http::readiness_result result) { on_checked(std::move(result)); });
}

void docker_instance::on_checked(http::readiness_result result) {
  const auto self = shared_from_this();
  readiness_.reset();
  deadline_.cancel();
  at_ = phase::ready;
  was_ready_ = true;
  activator::ready_report report;
  report.where = where_;
  report.probe_socket = result.socket;
  host_.listener().on_ready(spec_.id, std::move(report));
}

void docker_instance::on_start_timeout() {
  const std::string within = " within " + activator::in_words(spec_.start_timeout);
  if (at_ == phase::checking && readiness_) {
    std::string seen = readiness_->problem();
    std::string text = "was not ready" + within + ": " + http::to_string(where_) + " " + seen;
    if (!spec_.ready_path || seen.find("GET") == std::string::npos) {
      text += "; a function in a container must listen on $PORT (" + std::to_string(port_of(spec_)) +
              ") of all addresses, as 0.0.0.0, and not of 127.0.0.1 alone";
    }
    return fail("timeout", std::move(text));
  }
  if (!host_.docker().synced() || at_ == phase::waiting) {
    const std::string& problem = host_.docker().problem();
    return fail("unavailable", "could not be started" + within + ": " +
                                   (problem.empty() ? "the Docker Engine does not answer: " + waited_for_ : problem));
  }
  fail("timeout", "the Docker Engine did not get its container to run" + within);
}

/// What was asked was not answered: what has become of it the next list tells.
void docker_instance::wait_for_engine(const http::response& answer) {
  waited_for_ = words_of(answer);
  host_.docker().suspect();
}

void docker_instance::on_hopeless(const std::string& problem) {
  if (at_ != phase::waiting && at_ != phase::creating && at_ != phase::starting) return;
  verdict_ = "unavailable";
  detail_ = "cannot be started: " + problem;
  call_.cancel();
  made_ ? give_up() : report();
}

/// It cannot be started. What there is of it is removed before that is reported.
void docker_instance::fail(std::string word, std::string detail) {
  verdict_ = std::move(word);
  detail_ = std::move(detail);
  call_.cancel();
  readiness_.reset();
  if (made_ && !gone_) return end_by_force();
  report();
}

void docker_instance::adopt(const container& found) {
  name_ = found.name;
  found_ = made_ = true;
  start_clock();
  look();
}

void docker_instance::on_listed(const container* found) {
  const bool busy = call_.active();
  if (found == nullptr) {
    const bool unsure = at_ == phase::creating && !busy;
    if (unsure && !asked_) return make();
    if (unsure || (listed_ && !clearing_ && at_ != phase::dead)) on_removed_by_others();
    return;
  }
  if (clearing_ || at_ == phase::dead || at_ == phase::done) return;
  if (found->state == container_state::exited && at_ != phase::creating && !busy) return on_died();
  switch (at_) {
    case phase::creating:
    case phase::starting:
      if (busy) return;
      if (asked_) return end_by_force();
      return found->state == container_state::created ? run() : look();
    case phase::checking:
      output_->follow();
      if (!busy && !readiness_ && !freezing_.active()) look();
      return;
    case phase::ready:
      output_->follow();
      if (!freezing_.active()) frozen_ = found->state == container_state::paused;
      return go_on_freezing();
    case phase::ending:
      output_->follow();
      return go_on_ending();
    default:
      return;
  }
}

void docker_instance::on_event(const event& what) {
  if (what.action == "destroy") {
    if (!clearing_ && (at_ == phase::checking || at_ == phase::ready || at_ == phase::ending)) on_removed_by_others();
    return;
  }
  // Of one that is being started, the look that follows tells.
  if (what.action != "die" || clearing_) return;
  if (at_ != phase::checking && at_ != phase::ready && at_ != phase::ending) return;
  last_.exit_code = what.exit_code;
  on_died();
}

}  // namespace rouse::docker
