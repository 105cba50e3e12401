// What an admin connection does with requests that change state.

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>
#include <utility>

#include <boost/asio/buffer.hpp>

#include "gateway/admin/connection.hpp"
#include "gateway/admin/status_json.hpp"

namespace rouse::gateway {
namespace {

using namespace std::chrono_literals;

constexpr auto body_time = 10s;

}  // namespace

/// Whether the request may change state; otherwise the refusal is in reply_. Host and token have been looked at.
bool admin_connection::check_change() {
  if (!shared_.rules->origin_allowed(head_)) {
    problem(403, "origin-not-allowed",
            "The Origin of this request is another site; state is changed by programs and pages of the admin "
            "interface's own address only.");
  } else if (!guard::is_json(head_)) {
    problem(415, "unsupported-media-type",
            "What changes state needs the field `Content-Type: application/json`, also where the body is empty.");
  } else if (head_.body != http::framing::none && head_.body != http::framing::length) {
    problem(411, "length-required", "Send the body with a Content-Length, not in chunks.");
  } else if (head_.content_length > admin_limits::body_bytes) {
    problem(413, "body-too-large", "The body is larger than 64 KiB, which no call here needs.");
  } else {
    return true;
  }
  last_ = true;  // its body is not read
  return false;
}

/// False when the caller left or was too slow. What follows the body stays where it is.
awaitable<bool> admin_connection::read_body(std::string& out) {
  const std::size_t size = head_.body == http::framing::length ? static_cast<std::size_t>(head_.content_length) : 0;
  const std::size_t here = std::min(size, in_.size() - head_bytes_);
  out = in_.substr(head_bytes_, here);
  // Out of in_, and not into it: the head's views point there.
  body_bytes_ = here;
  if (here == size) co_return true;
  if (head_.expect_continue) {
    const bool told = co_await write("HTTP/1.1 100 Continue\r\n\r\n");
    if (!told) co_return false;
  }
  deadline_ = steady::now() + body_time;
  std::array<char, 4096> piece;
  while (out.size() < size) {
    const auto room = asio::buffer(piece.data(), std::min(piece.size(), size - out.size()));
    const auto [error, got] = co_await socket_.async_read_some(room, as_result);
    if (error) co_return false;
    out.append(piece.data(), got);
  }
  deadline_ = steady::time_point::max();
  co_return true;
}

awaitable<bool> admin_connection::answer_action(admin_target target) {
  std::string body;
  const bool read = co_await read_body(body);
  if (!read) co_return false;
  std::string why;
  auto call = parse_action(target, body, why);
  if (!call) {
    problem(400, "bad-request", "The request cannot be understood: " + why + ".");
    co_return co_await send_reply();
  }
  if (!shared_.sources.actions) {
    problem(501, "not-implemented", "This daemon was started without anything that changes its state.");
    co_return co_await send_reply();
  }
  action_result result;
  const bool answered = co_await run_call(std::move(call), result);
  if (!answered) co_return co_await send_reply();
  reply_ = reply();
  reply_.status = result.status;
  reply_.type = result.status >= 400 ? "application/problem+json" : "application/json";
  reply_.body = action_json(result);
  co_return co_await send_reply();
}

/// False with a problem in reply_ when there was no answer.
awaitable<bool> admin_connection::run_call(action_call call, action_result& result) {
  const bool answered = co_await shared_.calls.run(std::move(call), *shared_.sources.actions, result);
  if (!answered) {
    problem(503, "no-answer",
            shared_.stopping ? "The daemon is about to end."
                             : "No answer within 30 s; the daemon is overloaded or stuck. It may still do what was "
                               "asked.");
  }
  co_return answered;
}

/// Triggers and dead letters.
awaitable<bool> admin_connection::answer_events(admin_target target) {
  if (!shared_.sources.actions) {
    problem(501, "not-implemented", "This daemon was started without events.");
    co_return co_await send_reply();
  }
  action_call call;
  dead_letter_question which;
  std::string why;
  if (target.what == endpoint::triggers) {
    call = [](actions& of, actions::done then) { of.events(std::move(then)); };
  } else if (target.what == endpoint::dead_letters) {
    if (parse_dead_letters_query(target.query, which.owner, which.after, why))
      call = [which](actions& of, actions::done then) { of.dead_letters(which, std::move(then)); };
  } else {
    std::int64_t id = 0;
    const auto [end, error] = std::from_chars(target.name.data(), target.name.data() + target.name.size(), id);
    which.id = id;
    if (error == std::errc() && end == target.name.data() + target.name.size())
      call = [which](actions& of, actions::done then) { of.dead_letters(which, std::move(then)); };
    why = "a dead letter is named by its number";
  }
  if (!call) {
    problem(400, "bad-request", "The request cannot be understood: " + why + ".");
    co_return co_await send_reply();
  }
  action_result result;
  const bool answered = co_await run_call(std::move(call), result);
  if (!answered) co_return co_await send_reply();
  reply_ = reply();
  reply_.status = result.status;
  reply_.type = result.status >= 400 ? "application/problem+json" : "application/json";
  reply_.body = result.events ? triggers_json(*result.events) : action_json(result);
  co_return co_await send_reply();
}

}  // namespace rouse::gateway
