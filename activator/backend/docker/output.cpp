#include "activator/backend/docker/output.hpp"

#include <boost/asio/post.hpp>

#include <utility>

namespace rouse::docker {
namespace {

/// For the engine to hand over the rest of what a dead container wrote.
constexpr auto rest_patience = std::chrono::seconds(2);

/// As the engine wants it: seconds since 1970, with a fraction.
std::string in_seconds(std::chrono::system_clock::time_point time) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
  std::string fraction = std::to_string(micros % 1'000'000);
  fraction.insert(0, 6 - fraction.size(), '0');
  return std::to_string(micros / 1'000'000) + "." + fraction;
}

}  // namespace

output::output(boost::asio::io_context& io, engine& docker, std::string name, std::function<void(std::string)> line)
    : io_(io),
      docker_(docker),
      name_(std::move(name)),
      line_(std::move(line)),
      timer_(io),
      dropped_(io),
      lines_(clock::now()) {}

void output::follow(unsigned tail) {
  if (call_.active() || !line_) return;
  if (broken_) return ask("follow=1&since=" + in_seconds(broke_at_));
  ask(tail > 0 ? "follow=1&tail=" + std::to_string(tail) : "follow=1");
}

void output::ask(const std::string& query) {
  followed_ = true;
  frames_ = {};
  backend_http::stream_handlers handlers;
  auto good = std::make_shared<bool>(false);
  handlers.on_head = [good](int status, const backend_http::header_list&) { *good = status == 200; };
  handlers.on_data = [weak = weak_from_this(), good](std::string_view bytes) {
    const auto self = weak.lock();
    if (!self || !*good) return;
    self->frames_.push(bytes, [&](std::string_view text) { self->lines_.push(text, clock::now()); });
    self->hand_on();
  };
  handlers.on_end = [weak = weak_from_this(), good](const backend_http::failure& why) {
    const auto self = weak.lock();
    if (!self) return;
    if (why) {
      self->broken_ = true;
      self->broke_at_ = std::chrono::system_clock::now();
    } else {
      self->ended_ = *good;
    }
    self->on_end();
  };
  call_ = docker_.stream("GET", "/containers/" + name_ + "/logs?stdout=1&stderr=1&" + query, {}, std::move(handlers));
}

void output::hand_on() {
  while (line_) {
    auto line = lines_.next(clock::now());
    if (!line) break;
    line_(std::move(*line));
  }
  // A flood that has stopped is told though nothing more may ever come.
  if (!line_ || !lines_.dropping_until()) return;
  dropped_.expires_at(*lines_.dropping_until());
  dropped_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (const auto self = weak.lock(); self && !error && self->line_) self->hand_on();
  });
}

void output::on_end() {
  if (done_) conclude();
}

void output::finish(std::function<void()> done) {
  done_ = std::move(done);
  // It was dead before it could be followed, or died while the engine was away.
  if (docker_.synced() && !call_.active() && (!followed_ || broken_))
    ask(broken_ ? "since=" + in_seconds(broke_at_) : "follow=0");
  if (ended_ || !call_.active()) {
    boost::asio::post(io_, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->conclude();
    });
    return;
  }
  timer_.expires_after(rest_patience);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (const auto self = weak.lock(); self && !error) self->conclude();
  });
}

void output::conclude() {
  if (!done_) return;
  timer_.cancel();
  call_.cancel();
  lines_.close();
  hand_on();
  const auto done = std::exchange(done_, nullptr);
  done();
}

void output::close() {
  line_ = nullptr;
  done_ = nullptr;
  call_.cancel();
  timer_.cancel();
  dropped_.cancel();
}

}  // namespace rouse::docker
