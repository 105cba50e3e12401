#include "activator/backend/docker/engine.hpp"

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <random>
#include <utility>

#include "activator/backend/backend.hpp"
#include "activator/backend/docker/streams.hpp"

namespace rouse::docker {
namespace {

namespace http = backend_http;
using std::chrono::milliseconds;

/// What is asked for is there since 1.41 (Engine 20.10); newer engines are spoken to as this was written for, and those
/// that do not know it any more, as they want it.
constexpr int oldest_api = 41;
constexpr int newest_api = 48;

constexpr milliseconds first_pause{100};
constexpr milliseconds longest_pause{10'000};
constexpr milliseconds quick_timeout{20'000};
constexpr milliseconds greeting_timeout{5'000};
constexpr milliseconds list_pause{50};

/// Of "1.41": 41; nothing for what is no version 1.
std::optional<int> minor_of(std::string_view version) {
  if (!version.starts_with("1.")) return std::nullopt;
  int minor = 0;
  const auto [end, error] = std::from_chars(version.data() + 2, version.data() + version.size(), minor);
  if (error != std::errc{} || end != version.data() + version.size()) return std::nullopt;
  return minor;
}

http::client_settings settings_for(const std::string& socket, std::size_t most_open) {
  http::client_settings settings;
  settings.to = http::unix_origin(socket);
  settings.most_open = most_open;
  return settings;
}

}  // namespace

struct engine::state : std::enable_shared_from_this<engine::state> {
  state(boost::asio::io_context& io, const std::string& at, std::uint32_t seed, engine_listener& to)
      : socket(at),
        quick(io, settings_for(at, 64)),
        slow(io, settings_for(at, 16)),
        retry(io),
        list_timer(io),
        patience(io),
        random(seed),
        listener(&to) {}

  void greet();
  void on_greeting(const http::response& answer);
  void listen();
  void on_listening(int status);
  void list();
  void on_list(const http::response& answer);
  void on_lost(const std::string& why);
  void set_problem(std::string text);
  void be_patient();
  void list_soon();

  std::string path(const std::string& rest) const { return "/v1." + std::to_string(api) + rest; }

  const std::string socket;
  std::string filter;
  std::string event_filter;
  http::client quick;
  http::client slow;
  boost::asio::steady_timer retry;
  boost::asio::steady_timer list_timer;
  boost::asio::steady_timer patience;  ///< until an absence is too long to be waited for
  std::minstd_rand random;
  engine_listener* listener;  ///< null once the engine is destroyed
  http::call greeting;
  http::call events;
  http::call listing;
  line_reader lines;
  std::string refusal;  ///< of the event stream
  int api = oldest_api;
  bool synced = false;
  bool ever_synced = false;
  bool hopeless = false;
  bool away_long = false;
  bool list_due = false;
  bool fresh = true;  ///< the first try after it was well: a break alone is no news
  milliseconds pause = first_pause;
  std::string problem;
};

void engine::state::greet() {
  http::request ask;
  ask.target = "/_ping";
  ask.timeout = greeting_timeout;
  greeting = quick.send(std::move(ask), [weak = weak_from_this()](const http::response& answer) {
    if (const auto self = weak.lock()) self->on_greeting(answer);
  });
}

void engine::state::on_greeting(const http::response& answer) {
  if (answer.status != 200) return on_lost(words_of(answer));
  const auto minor = minor_of(http::find_header(answer.headers, "Api-Version"));
  if (!minor) return on_lost(socket + " is not the socket of a Docker Engine: it names no version of its API");
  if (*minor < oldest_api)
    return on_lost("the Docker Engine at " + socket + " is too old: rouse needs version 1." +
                   std::to_string(oldest_api) + " of its API (Engine 20.10), it has 1." + std::to_string(*minor));
  api = std::min(*minor, newest_api);
  listen();
}

void engine::state::listen() {
  http::request ask;
  ask.target = path("/events?" + event_filter);
  ask.timeout = greeting_timeout;
  http::stream_handlers handlers;
  lines = {};
  refusal.clear();
  handlers.on_head = [weak = weak_from_this()](int status, const http::header_list&) {
    if (const auto self = weak.lock()) self->on_listening(status);
  };
  handlers.on_data = [weak = weak_from_this()](std::string_view bytes) {
    const auto self = weak.lock();
    if (!self) return;
    if (!self->listing.active() && !self->synced) return self->refusal.append(bytes.substr(0, 1000)), void();
    self->lines.push(bytes, [&](std::string_view line) {
      const auto found = parse_event(line);
      if (found && self->listener != nullptr) self->listener->on_event(*found);
    });
  };
  handlers.on_end = [weak = weak_from_this()](const http::failure& why) {
    const auto self = weak.lock();
    if (!self) return;
    if (!self->refusal.empty()) return self->on_lost(message_of(self->refusal));
    self->on_lost(why ? why.problem : "the Docker Engine at " + self->socket + " ended its stream of events");
  };
  events = slow.stream(std::move(ask), std::move(handlers));
}

/// What happens from here on is told; what happened before is in the list.
void engine::state::on_listening(int status) {
  if (status == 200) list();
}

void engine::state::list() {
  list_due = false;
  if (listener != nullptr) listener->on_listing();
  http::request ask;
  ask.target = path("/containers/json?all=1&" + filter);
  ask.timeout = quick_timeout;
  listing = quick.send(std::move(ask), [weak = weak_from_this()](const http::response& answer) {
    if (const auto self = weak.lock()) self->on_list(answer);
  });
}

void engine::state::on_list(const http::response& answer) {
  if (answer.status != 200) return on_lost(words_of(answer));
  auto all = parse_list(answer.body);
  if (!all) return on_lost("the Docker Engine at " + socket + " answered a list that cannot be read");
  synced = ever_synced = true;
  hopeless = away_long = false;
  patience.cancel();
  fresh = true;
  pause = first_pause;
  set_problem({});
  if (listener != nullptr) listener->on_synced(std::move(*all));
  if (list_due) list_soon();
}

void engine::state::on_lost(const std::string& why) {
  greeting.cancel();
  events.cancel();
  listing.cancel();
  synced = false;
  if (std::exchange(fresh, false) && ever_synced) {
    retry.expires_after(milliseconds(1));
  } else {
    hopeless = why.find("no permission") != std::string::npos ||
               (!ever_synced && why.find("there is no socket") != std::string::npos);
    if (problem.empty()) be_patient();
    const auto jitter = std::uniform_real_distribution<double>(0.75, 1.25)(random);
    retry.expires_after(std::chrono::duration_cast<milliseconds>(pause * jitter));
    // Starts are waiting for it, as long as they do.
    pause = std::min(pause * 2, away_long ? longest_pause : milliseconds(1000));
    set_problem("the Docker Engine does not answer: " + why);
  }
  retry.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (const auto self = weak.lock(); self && !error) self->greet();
  });
}

void engine::state::be_patient() {
  patience.expires_after(activator::away_patience);
  patience.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!self || error || self->problem.empty()) return;
    self->away_long = true;
    if (self->listener != nullptr) self->listener->on_problem(self->problem);
  });
}

void engine::state::set_problem(std::string text) {
  if (text == problem) return;
  problem = std::move(text);
  if (listener != nullptr) listener->on_problem(problem);
}

void engine::state::list_soon() {
  list_timer.expires_after(list_pause);
  list_timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (self && !error && self->synced && !self->listing.active()) self->list();
  });
}

engine::engine(boost::asio::io_context& io, std::string socket, std::string filter, std::string event_filter,
               std::uint32_t seed, engine_listener& listener)
    : state_(std::make_shared<state>(io, socket, seed, listener)) {
  state_->filter = std::move(filter);
  state_->event_filter = std::move(event_filter);
  state_->greet();
}

engine::~engine() {
  state_->listener = nullptr;
  state_->greeting.cancel();
  state_->events.cancel();
  state_->listing.cancel();
  state_->retry.cancel();
  state_->list_timer.cancel();
}

bool engine::synced() const noexcept {
  return state_->synced;
}
const std::string& engine::problem() const noexcept {
  return state_->problem;
}
bool engine::hopeless() const noexcept {
  return state_->hopeless || state_->away_long;
}

http::call engine::quick(std::string method, std::string path, handler done) {
  http::request ask;
  ask.method = std::move(method);
  ask.target = state_->path(path);
  ask.timeout = quick_timeout;
  return state_->quick.send(std::move(ask), std::move(done));
}

http::call engine::slow(std::string method, std::string path, std::string body, milliseconds timeout, handler done) {
  http::request ask;
  ask.method = std::move(method);
  ask.target = state_->path(path);
  ask.timeout = timeout;
  if (!body.empty()) ask.headers.emplace_back("Content-Type", "application/json");
  ask.body = std::move(body);
  return state_->slow.send(std::move(ask), std::move(done));
}

http::call engine::stream(std::string method, std::string path, milliseconds silence, http::stream_handlers handlers) {
  http::request ask;
  ask.method = std::move(method);
  ask.target = state_->path(path);
  ask.timeout = quick_timeout;
  ask.silence = silence;
  return state_->slow.stream(std::move(ask), std::move(handlers));
}

void engine::suspect() {
  if (!state_->synced) return;
  state_->fresh = false;  // with a pause, so that an engine that answers nothing else is not asked without end
  state_->on_lost("it did not answer a request");
}

void engine::list_again() {
  if (std::exchange(state_->list_due, true) || !state_->synced || state_->listing.active()) return;
  state_->list_soon();
}

std::string words_of(const http::response& answer) {
  if (answer.error) return answer.error.problem;
  const std::string said = message_of(answer.body);
  return said.empty() ? "it answered with status " + std::to_string(answer.status) : said;
}

bool is_away(const http::response& answer) {
  return answer.error || answer.status == 502 || answer.status == 503 || answer.status == 504;
}

}  // namespace rouse::docker
