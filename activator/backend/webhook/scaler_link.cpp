#include "activator/backend/webhook/scaler_link.hpp"

#include <unistd.h>

#include <boost/asio/post.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <utility>

namespace rouse::webhook {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr std::size_t most_answer = 4 * 1024 * 1024;
constexpr milliseconds first_pause{100};
constexpr milliseconds longest_pause{10'000};
constexpr milliseconds pause_of_the_patient{1'000};
constexpr milliseconds longest_retry_after{60'000};
constexpr unsigned most_doubled = 7;  ///< 100 ms doubled so often is above 10 s
constexpr std::chrono::minutes forgotten_for{10};

/// Nothing moves, and something runs: polled so much less often. Nothing runs: still less.
constexpr int resting = 10;
constexpr int at_zero = 300;

milliseconds retry_after(const backend_http::header_list& headers) {
  const auto text = backend_http::find_header(headers, "Retry-After");
  unsigned seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || end != text.data() + text.size()) return milliseconds(0);
  return std::min(milliseconds(1000) * static_cast<std::int64_t>(seconds), longest_retry_after);
}

bool is_refusal(int status) {
  return status >= 300 && status < 500 && status != 408 && status != 425 && status != 429;
}

subject subject_of(const std::string& pool, const activator::run_spec& spec) {
  subject out;
  out.pool = pool;
  out.function = spec.function;
  out.revision = spec.revision;
  out.hash = spec.hash;
  return out;
}

}  // namespace

scaler_link::scaler_link(link_host& host, const activator::run_spec& spec)
    : host_(host),
      spec_(spec),
      subject_(subject_of(host.settings().pool, spec)),
      next_(host.io()),
      deadlines_(host.io()) {
  if (!host_.unusable().empty()) {
    unusable_ = host_.unusable();
  } else if (auto url = backend_http::parse_url(spec.url, unusable_)) {
    url_ = *std::move(url);
    client_ = host_.client_to(url_.to);
  } else {
    unusable_ = "function " + spec.function + ": the `url` " + unusable_;
  }
  act();
}

void scaler_link::start(const activator::start_spec& spec) {
  const bool listed = books_.start(spec.id, spec.found, clock::now() + spec.start_timeout);
  if (!refusal_.empty()) books_.refused("refused", refusal_);
  if (listed && !backing_off_) wait(milliseconds(0));
  act();
}

void scaler_link::stop(std::uint64_t id, milliseconds grace) {
  books_.stop(id, grace, clock::now());
  act();
}

void scaler_link::let_go(std::uint64_t id) {
  books_.let_go(id);
  act();
}

void scaler_link::forget() {
  books_.forget();
  over_at_ = clock::now() + forgotten_for;
  act();
}

bool scaler_link::is_over() const {
  return over_at_ <= clock::now() || (books_.is_over() && !call_.active());
}

/// Tells what came out of the books, and sees that the scaler hears what it must.
void scaler_link::act() {
  for (auto& news : books_.take_events()) {
    if (news.what == ledger::event::kind::try_out) {
      try_out(news.id, news.where);
    } else if (news.what == ledger::event::kind::give_up) {
      tries_.erase(news.id);
    } else {
      host_.tell(spec_.key, std::move(news));
    }
  }
  watch_deadlines();
  if (books_.has_news()) soon();
}

/// Later, so that what is told in a row is one request.
void scaler_link::soon() {
  if (call_.active() || backing_off_ || std::exchange(posted_, true)) return;
  asio::post(host_.io(), [weak = std::weak_ptr<scaler_link*>(alive_)] {
    const auto self = weak.lock();
    if (!self) return;
    (*self)->posted_ = false;
    if (!(*self)->call_.active() && !(*self)->backing_off_) (*self)->send();
  });
}

void scaler_link::send() {
  backing_off_ = false;
  next_.cancel();
  if (!client_) {
    refuse(unusable_);
    fail(unusable_, longest_pause);
    act();
    return host_.on_change();
  }
  const auto asked = books_.ask(clock::now());
  backend_http::request request;
  request.method = "POST";
  request.target = url_.target;
  request.body = to_json(subject_, asked, host_.next_sequence());
  request.timeout = host_.settings().request_timeout;
  request.most_body = most_answer;
  request.repeatable = true;
  std::array<char, 40> id{};
  std::snprintf(id.data(), id.size(), "req_%016llx%016llx", static_cast<unsigned long long>(host_.random()()),
                static_cast<unsigned long long>(host_.random()()));
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
  request.headers = {{"Content-Type", "application/json"},
                     {"User-Agent", "rouse"},
                     {"webhook-id", id.data()},
                     {"webhook-timestamp", std::to_string(now.count())},
                     {"webhook-signature", sign(host_.key(), id.data(), now.count(), request.body)}};
  call_ = client_->send(std::move(request), [this, round = asked.round](backend_http::response answer) {
    call_ = {};
    on_answer(std::move(answer), round);
  });
}

void scaler_link::on_answer(backend_http::response answer, std::uint64_t round) {
  refusal_.clear();
  if (answer.error) {
    fail(who() + " cannot be asked: " + answer.error.problem, {});
  } else if (answer.status >= 200 && answer.status < 300) {
    on_listing(answer.body, round);
  } else {
    std::string problem = who() + " answers " + std::to_string(answer.status);
    if (!answer.body.empty()) problem += ": " + printable(answer.body);
    if (answer.status == 401 || answer.status == 403) problem += " (is `secret` of the pool the scaler's own?)";
    if (is_refusal(answer.status)) refuse(problem);
    fail(problem, retry_after(answer.headers));
  }
  act();
  host_.on_change();
}

void scaler_link::on_listing(const std::string& body, std::uint64_t round) {
  std::string wrong;
  const auto got = parse_listing(body, wrong);
  if (!got) return fail("the answer of " + who() + " " + wrong, {});
  failures_ = 0;
  if (!books_.problem().empty()) host_.on_recovery();
  books_.set_problem({}, clock::now());
  books_.heard(*got, round, clock::now());
  wait(pace());
}

/// Nothing will be started before somebody has changed something: nobody waits for that.
void scaler_link::refuse(const std::string& problem) {
  refusal_ = problem;
  books_.refused("refused", problem);
}

/// Tries again after a while that doubles up to ten seconds.
void scaler_link::fail(std::string problem, milliseconds at_least) {
  books_.set_problem(std::move(problem), clock::now());
  backing_off_ = true;
  // While starts wait for it, they wait for no long pause.
  const auto longest = books_.away_long(clock::now()) ? longest_pause : pause_of_the_patient;
  const auto pause = std::min(first_pause * (1 << std::min(failures_, most_doubled)), longest);
  failures_ = std::min(failures_ + 1, most_doubled);
  wait(std::max(pause, at_least));
}

milliseconds scaler_link::pace() const {
  const auto interval = host_.settings().poll_interval;
  if (books_.in_progress()) return interval;
  return interval * (books_.is_empty() ? at_zero : resting);
}

/// Asks after that time, a tenth more or less, unless something calls for it earlier.
void scaler_link::wait(milliseconds about) {
  if (call_.active()) return;
  const double part = std::uniform_real_distribution<double>(0.9, 1.1)(host_.random());
  next_.expires_after(milliseconds(static_cast<std::int64_t>(static_cast<double>(about.count()) * part)));
  next_.async_wait([weak = std::weak_ptr<scaler_link*>(alive_)](const error_code& error) {
    if (const auto self = weak.lock(); self && !error && !(*self)->call_.active()) (*self)->send();
  });
}

void scaler_link::try_out(std::uint64_t id, const router::address& where) {
  backend_http::readiness_settings look;
  look.where = where;
  look.path = spec_.ready_path;
  tries_[id] = std::make_unique<backend_http::readiness>(
      host_.io(), look,
      [this, id, where](const backend_http::readiness_result& result) { on_tried(id, where, result); });
}

void scaler_link::on_tried(std::uint64_t id, const router::address& where,
                           const backend_http::readiness_result& result) {
  const auto done = tries_.extract(id);
  if (!result.ready || !books_.accepted(id)) {
    if (result.socket >= 0) ::close(result.socket);
    return;
  }
  activator::ready_report report;
  report.where = where;
  report.probe_socket = result.socket;
  host_.tell_ready(id, report);
}

void scaler_link::expire() {
  for (const auto& [id, look] : tries_)
    if (auto wrong = look->problem(); !wrong.empty()) books_.not_yet(id, "it " + wrong);
  watched_.reset();
  books_.expire(clock::now());
  act();
}

void scaler_link::watch_deadlines() {
  const auto next = books_.next_expiry();
  if (next == watched_) return;
  watched_ = next;
  deadlines_.cancel();
  if (!next) return;
  deadlines_.expires_at(*next);
  deadlines_.async_wait([weak = std::weak_ptr<scaler_link*>(alive_)](const error_code& error) {
    if (const auto self = weak.lock(); self && !error) (*self)->expire();
  });
}

std::string scaler_link::who() const {
  return "the scaler of function " + spec_.function + " at " + backend_http::describe(url_.to);
}

}  // namespace rouse::webhook
