#include "gateway/admin/connection.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include "gateway/admin/metrics.hpp"
#include "gateway/admin/status_json.hpp"
#include "gateway/http/chars.hpp"
#include "gateway/http/compose.hpp"

namespace rouse::gateway {
namespace {

using namespace std::chrono_literals;

constexpr auto idle_time = 60s;
constexpr auto head_time = 10s;
constexpr auto write_time = 30s;
constexpr auto linger_time = 1s;
constexpr auto follow_period = 200ms;
constexpr std::size_t linger_bytes = 64 * 1024;
constexpr auto silence = 15s;  ///< so long, and whatever stands between may think that nobody is there
constexpr std::string_view json_type = "application/json";
constexpr std::string_view log_lines_type = "application/x-ndjson";
constexpr std::string_view event_stream_type = "text/event-stream";
constexpr std::string_view silent;

/// Counts one follower for as long as it lives.
class follower {
 public:
  explicit follower(std::size_t& count) : count_(count) { ++count_; }
  ~follower() { --count_; }
  follower(const follower&) = delete;
  follower& operator=(const follower&) = delete;

 private:
  std::size_t& count_;
};

/// What a reader of server-sent events says that it has seen; nothing where that is no number.
std::optional<std::uint64_t> last_event_id(const http::request_head& head) {
  for (const auto& field : head.fields) {
    if (!http::detail::iequals(field.name, "last-event-id")) continue;
    std::uint64_t seen = 0;
    const char* const end = field.value.data() + field.value.size();
    const auto [stopped, error] = std::from_chars(field.value.data(), end, seen);
    if (error == std::errc() && stopped == end) return seen;
  }
  return {};
}

}  // namespace

admin_connection::admin_connection(admin_shared& shared, tcp_socket socket)
    : shared_(shared),
      socket_(std::move(socket)),
      poll_(socket_.get_executor()),
      deadline_(steady::now() + head_time) {}

void admin_connection::close() {
  closed_ = true;
  error_code ignored;
  socket_.close(ignored);
  poll_.cancel();
}

void admin_connection::stop() {
  if (idle_) return close();
  last_ = true;
  deadline_ = std::min(deadline_, steady::now() + 1s);
  poll_.cancel();
}

awaitable<void> admin_connection::run() {
  bool more = true;
  while (more && !last_ && !closed_) more = co_await serve_one();
  if (more && !closed_) co_await close_politely();
}

/// Reads and answers one request; false when the connection is of no more use.
awaitable<bool> admin_connection::serve_one() {
  reply_ = reply();
  const bool read = co_await read_head();
  if (!read) co_return false;
  if (reply_.status != 200) {  // refused while it was read
    last_ = true;
    co_return co_await send_reply();
  }
  if (head_.version == 10 || !head_.keep_alive || shared_.stopping) last_ = true;
  const bool answered = co_await answer();
  in_.erase(0, head_bytes_ + std::exchange(body_bytes_, 0));
  served_ = true;
  co_return answered;
}

/// False when the caller left or was too slow. A refusal is left in reply_.
awaitable<bool> admin_connection::read_head() {
  std::array<char, 4096> piece;
  std::size_t seen = 0;
  idle_ = in_.empty();
  deadline_ = steady::now() + (idle_ && served_ ? idle_time : head_time);
  while (true) {
    if (!in_.empty()) {
      head_.clear();
      auto parsed = http::parse_request(in_, admin_limits::header_bytes, head_, seen);
      if (parsed.what == http::parse_result::kind::refused) {
        problem(parsed.why.status, parsed.why.type, parsed.why.detail);
        head_.clear();  // not defined after a refusal
        co_return true;
      }
      if (parsed.what == http::parse_result::kind::done) {
        head_bytes_ = parsed.head_bytes;
        deadline_ = steady::time_point::max();
        co_return true;
      }
      seen = in_.size();
    }
    const auto [error, size] = co_await socket_.async_read_some(asio::buffer(piece), as_result);
    if (error) co_return false;
    if (std::exchange(idle_, false)) deadline_ = steady::now() + head_time;
    in_.append(piece.data(), size);
  }
}

awaitable<bool> admin_connection::answer() {
  const auto target = match_target(head_.target);
  if (!check_caller(target)) co_return co_await send_reply();
  if (changes_state(target.what)) co_return co_await answer_action(target);
  switch (target.what) {
    case endpoint::functions:
    case endpoint::function:
    case endpoint::instances:
    case endpoint::pools:
    case endpoint::metrics:
      co_return co_await answer_status(target);
    case endpoint::triggers:
    case endpoint::dead_letters:
    case endpoint::dead_letter:
      co_return co_await answer_events(target);
    case endpoint::logs:
      co_return co_await answer_logs(target.query);
    case endpoint::events:
      co_return co_await answer_story(target.query);
    case endpoint::healthz:
      reply_.body = "ok\n";
      break;
    case endpoint::readyz:
      answer_ready();
      break;
    case endpoint::root:
      reply_.body = root_text();
      break;
    case endpoint::openapi:
      reply_.body = openapi_json();
      reply_.type = json_type;
      break;
    default:
      break;  // check_caller has answered for none, answer_action for what changes state
  }
  co_return co_await send_reply();
}

/// Whether the request may be answered; otherwise the refusal is in reply_.
bool admin_connection::check_caller(const admin_target& target) {
  const bool change = changes_state(target.what);
  const std::string_view methods = methods_of(target.what);
  if (!change && head_.body != http::framing::none &&
      !(head_.body == http::framing::length && head_.content_length == 0)) {
    last_ = true;
    problem(413, "body-too-large",
            "Nothing here that only answers takes a request body; send the request without one.");
  } else if (!shared_.rules->host_allowed(head_.host)) {
    problem(403, "host-not-allowed",
            "The Host of this request is not the address that the admin interface listens on; call it as http://" +
                shared_.rules->authority() + " or by the name localhost.");
  } else if (target.what != endpoint::healthz && target.what != endpoint::readyz &&
             shared_.rules->check_token(head_) != guard::token_verdict::allowed) {
    const bool missing = shared_.rules->check_token(head_) == guard::token_verdict::missing;
    problem(401, "unauthorized",
            missing ? "This needs the field `Authorization: Bearer TOKEN` with server.admin_token of the configuration."
                    : "The token is not server.admin_token of the configuration.");
    reply_.fields = "WWW-Authenticate: Bearer realm=\"rouse\"\r\n";
  } else if (target.what == endpoint::none) {
    problem(404, "not-found", "Nothing is here; GET / lists what there is.");
  } else if (change ? head_.method != methods : head_.method != "GET" && head_.method != "HEAD") {
    problem(405, "method-not-allowed", fmt::format("Here the method must be {}.", change ? methods : "GET or HEAD"));
    reply_.fields = fmt::format("Allow: {}\r\n", methods);
  } else {
    return !change || check_change();
  }
  if (change) last_ = true;  // its body is not read
  return false;
}

void admin_connection::answer_ready() {
  const std::string_view why = shared_.stopping ? "draining" : shared_.sources.unready();
  if (!why.empty()) reply_.status = 503;
  reply_.body = why.empty() ? "ok" : why;
  reply_.body += '\n';
}

awaitable<bool> admin_connection::answer_status(admin_target target) {
  if (target.what != endpoint::metrics && !target.query.empty()) {
    problem(400, "bad-request", "This takes no query; ask for the path alone.");
    co_return co_await send_reply();
  }
  const auto all = co_await shared_.status.fetch();
  reply_.type = json_type;
  if (!all) {
    problem(503, "no-answer",
            shared_.stopping ? "The daemon is about to end."
                             : "The control thread has not answered for 5 s; the daemon is overloaded or stuck.");
  } else if (target.what == endpoint::metrics) {
    action_result asked;
    if (shared_.sources.actions) {
      const action_call ask = [](actions& of, actions::done then) { of.events(std::move(then)); };
      co_await shared_.calls.run(ask, *shared_.sources.actions, asked);
    }
    reply_.type = "text/plain; version=0.0.4; charset=utf-8";
    reply_.body = metrics_collector(shared_.sources.workers, *all, asked.events.get()).text();
  } else if (target.what == endpoint::pools) {
    reply_.body = pools_json(all->pools);
  } else if (target.what == endpoint::functions) {
    reply_.body = functions_json(all->functions);
  } else if (target.what == endpoint::instances) {
    reply_.body = instances_json(all->functions);
  } else {
    for (const auto& function : all->functions) {
      if (function.name == target.name) reply_.body = function_json(function);
    }
    if (reply_.body.empty()) {
      problem(404, "no-function", "There is no function of that name; GET /api/v1/functions lists those there are.");
    }
  }
  co_return co_await send_reply();
}

awaitable<bool> admin_connection::answer_logs(std::string_view query) {
  std::string why;
  auto wanted = parse_logs_query(query, why);
  const auto ring = wanted ? shared_.sources.output(wanted->function) : nullptr;
  if (!wanted) {
    problem(400, "bad-request", "The query cannot be understood: " + why + ".");
  } else if (!ring) {
    problem(404, "no-function", "There is no function of that name; GET /api/v1/functions lists those there are.");
  } else if (wanted->follow && head_.method != "HEAD") {
    if (shared_.followers < admin_limits::followers) {
      last_ = true;
      news_source news = [&] {
        std::string text;
        for (const auto& line : ring->since(wanted->after, wanted->limit)) {
          append_log_line(text, line);
          wanted->after = line.number;
        }
        wanted->limit = activator::output_ring::max_lines;
        return text;
      };
      co_await follow(log_lines_type, news, silent);
      co_return !closed_;
    }
    too_many_followers();
  } else {
    reply_.type = log_lines_type;
    for (const auto& line : ring->since(wanted->after, wanted->limit)) append_log_line(reply_.body, line);
  }
  co_return co_await send_reply();
}

/// What has happened and what happens, as server-sent events: they number them, and tell after a break what was last.
awaitable<bool> admin_connection::answer_story(std::string_view query) {
  std::string why;
  auto wanted = parse_events_query(query, why);
  if (!wanted) {
    problem(400, "bad-request", "The query cannot be understood: " + why + ".");
  } else if (shared_.followers >= admin_limits::followers && head_.method != "HEAD") {
    too_many_followers();
  } else if (head_.method == "HEAD") {
    reply_.type = event_stream_type;
  } else {
    const auto& story = *shared_.sources.story;
    if (const auto seen = last_event_id(head_)) {  // it was here before, and the limit was for that time
      wanted->after = *seen;
      wanted->limit = activator::chronicle::max_entries;
    }
    if (wanted->after > story.last()) wanted->after = 0;  // of an earlier daemon, whose clock was ahead
    news_source news = [&] {
      auto entries = story.since(wanted->after);
      if (!entries.empty()) wanted->after = entries.back()->number;
      std::erase_if(entries, [&](const auto& one) {
        return !wanted->function.empty() && one->what.function != wanted->function;
      });
      // So many of what there is; of what comes, all.
      const auto most = std::exchange(wanted->limit, activator::chronicle::max_entries);
      std::string text;
      for (std::size_t i = entries.size() - std::min(entries.size(), most); i < entries.size(); ++i)
        append_event(text, *entries[i]);
      return text;
    };
    last_ = true;
    co_await follow(event_stream_type, news, ": still here\n\n");
    co_return !closed_;
  }
  co_return co_await send_reply();
}

/// News as they come, until the caller leaves or the server stops. In silence, now and then `still_here`, if anything.
awaitable<void> admin_connection::follow(std::string_view type, news_source& news, std::string_view still_here) {
  const follower counted(shared_.followers);
  reply_.type = type;
  std::string head;
  const bool chunked = head_.version != 10;
  compose_head(head, chunked ? "Transfer-Encoding: chunked\r\n" : "");
  if (!co_await write(head)) co_return;
  auto spoke = steady::now();
  while (true) {
    const bool ending = shared_.stopping;
    std::string text = news();
    if (text.empty() && steady::now() - spoke >= silence) text = still_here;
    if (!text.empty()) {
      spoke = steady::now();
      const bool sent = co_await send_piece(std::move(text));
      if (!sent) co_return;
    }
    if (ending) break;
    if (caller_has_left()) co_return close();
    poll_.expires_after(follow_period);
    co_await poll_.async_wait(as_result);
    if (closed_) co_return;
  }
  if (chunked) co_await write("0\r\n\r\n");
}

awaitable<bool> admin_connection::send_piece(std::string text) {
  if (head_.version != 10) {
    text.insert(0, fmt::format("{:x}\r\n", text.size()));
    text += "\r\n";
  }
  co_return co_await write(text);
}

/// A follower has nothing more to say: whatever arrives, be it the end, ends it.
bool admin_connection::caller_has_left() {
  char byte;
  const auto got = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got >= 0 || (errno != EAGAIN && errno != EINTR);
}

void admin_connection::problem(unsigned status, std::string_view type, std::string_view detail) {
  reply_ = reply();
  reply_.status = status;
  reply_.type = "application/problem+json";
  reply_.body = problem_json(status, type, detail);
}

void admin_connection::too_many_followers() {
  problem(503, "too-many-followers", "As many callers as allowed follow logs or events already; end one of them.");
  reply_.fields = "Retry-After: 5\r\n";
}

void admin_connection::compose_head(std::string& out, std::string_view framing) {
  std::string date;
  http::write_date(date, std::chrono::system_clock::now());
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\n{}{}", reply_.status,
                 http::status_text(reply_.status), date, reply_.type, framing, reply_.fields);
  fmt::format_to(std::back_inserter(out), "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{}\r\n",
                 last_ ? "Connection: close\r\n" : "");
}

awaitable<bool> admin_connection::send_reply() {
  std::string out;
  compose_head(out, fmt::format("Content-Length: {}\r\n", reply_.body.size()));
  if (head_.method != "HEAD") out += reply_.body;
  reply_.body = std::string();
  co_return co_await write(out);
}

awaitable<bool> admin_connection::write(std::string_view text) {
  if (closed_) co_return false;
  deadline_ = steady::now() + (shared_.stopping ? linger_time : write_time);
  const auto [error, size] = co_await asio::async_write(socket_, asio::buffer(text), as_result);
  deadline_ = shared_.stopping ? deadline_ : steady::time_point::max();
  co_return !error && size == text.size();
}

/// The end of our side first; what the caller still sends is read for a moment, or the kernel would reset the
/// connection and with it an answer that was not read yet.
awaitable<void> admin_connection::close_politely() {
  error_code error;
  socket_.shutdown(tcp_socket::shutdown_send, error);
  deadline_ = steady::now() + linger_time;
  std::array<char, 4096> piece;
  for (std::size_t left = linger_bytes; !error && left >= piece.size(); left -= piece.size()) {
    const auto result = co_await socket_.async_read_some(asio::buffer(piece), as_result);
    error = std::get<0>(result);
  }
  close();
}

}  // namespace rouse::gateway
