#include "activator/backend/kubernetes/lease_keeper.hpp"

#include <utility>

namespace rouse::kubernetes {

namespace {

using backend_http::response;
using std::chrono::steady_clock;
using std::chrono::system_clock;

/// Well below what is left of trusted_for after renew_every.
constexpr std::chrono::seconds patience{4};
constexpr const char* group = "coordination.k8s.io/v1";
constexpr const char* json_type = "application/json";

}  // namespace

lease_keeper::lease_keeper(boost::asio::io_context& io, api& with, std::string identity, handlers to)
    : with_(with), book_(std::move(identity)), to_(std::move(to)), timer_(io) {}

void lease_keeper::go_on() {
  waiting_ = false;
  tell();
  const auto now = steady_clock::now();
  auto next = book_.next_step(now, system_clock::now());
  switch (next.what) {
    case lease_book::step::wait:
      // What is held may lapse before the next step.
      wait(holds() ? std::min(next.at, now + lease_book::look_every) : next.at);
      break;
    case lease_book::step::read:
      read();
      break;
    case lease_book::step::create:
      write(true, std::move(next.record));
      break;
    case lease_book::step::update:
      write(false, std::move(next.record));
      break;
  }
}

void lease_keeper::wait(steady_clock::time_point until) {
  waiting_ = true;
  timer_.expires_at(until);
  timer_.async_wait([this, alive = std::weak_ptr<int>(alive_)](const boost::system::error_code& failed) {
    if (!failed && !alive.expired()) go_on();
  });
}

void lease_keeper::hurry() {
  delay_.reset();
  if (!waiting_ || !troubled_) return;
  book_.failed(steady_clock::now(), std::chrono::milliseconds(0));
  wait(steady_clock::now());
}

void lease_keeper::read() {
  call_ = with_.send("GET", with_.path(group, "leases/") + lease_name, {}, nullptr, patience, [this](response answer) {
    if (answer.status == 404) {
      book_.read(std::nullopt, steady_clock::now());
    } else if (auto record = answer.status == 200 ? parse_lease(answer.body) : std::nullopt) {
      book_.read(std::move(record), steady_clock::now());
    } else {
      look_at_failure(answer, "get leases");
    }
    go_on();
    // Whoever takes the Lease says so when it is written; whoever waits for it has seen all that there is to see.
    if (book_.is_others() && answer.status == 200 && std::exchange(troubled_, false)) to_.on_problem({});
  });
}

void lease_keeper::write(bool create, lease_record record) {
  std::string body = write_lease(record, lease_name, with_.name_space());
  const auto sent = steady_clock::now();
  const std::string path = with_.path(group, create ? "leases" : std::string("leases/") + lease_name);
  call_ = with_.send(create ? "POST" : "PUT", path, std::move(body), json_type, patience,
                     [this, sent, create, record = std::move(record)](response answer) mutable {
                       auto now_is =
                           answer.status == 200 || answer.status == 201 ? parse_lease(answer.body) : std::nullopt;
                       if (now_is) {
                         book_.wrote(std::move(record), std::move(now_is->version), sent);
                         delay_.reset();
                         if (std::exchange(troubled_, false)) to_.on_problem({});
                       } else if (answer.status == 409 || (answer.status == 404 && !create)) {
                         book_.conflicted();
                       } else {
                         look_at_failure(answer, create ? "create leases" : "update leases");
                       }
                       go_on();
                     });
}

void lease_keeper::look_at_failure(const response& answer, const std::string& doing) {
  book_.failed(steady_clock::now(), delay_.next(random_));
  troubled_ = true;
  auto words = refusal_in_words(answer, doing, with_.name_space());
  if (words.empty()) words = "the API server's answer about the Lease cannot be read";
  to_.on_problem(words);
}

void lease_keeper::tell() {
  const bool held = holds(), others = is_others();
  if (held == told_holds_ && others == told_others_) return;
  told_holds_ = held;
  told_others_ = others;
  to_.on_change();
}

void lease_keeper::release() {
  timer_.cancel();
  call_ = {};
  const auto record = book_.release(system_clock::now());
  if (!record || !holds()) return;
  boost::asio::io_context own{1};
  std::string problem;
  const auto with = api::make(own, with_.how(), with_.name_space(), problem);
  if (!with) return;
  const auto call =
      with->send("PUT", with_.path(group, "leases/") + lease_name, write_lease(*record, lease_name, with_.name_space()),
                 json_type, std::chrono::seconds(1), [&own](const response&) { own.stop(); });
  own.run_for(std::chrono::seconds(1));
}

}  // namespace rouse::kubernetes
