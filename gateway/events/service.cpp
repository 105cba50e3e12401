#include "gateway/events/service.hpp"

#include <sys/random.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <utility>

#include <nlohmann/json.hpp>

#include "activator/schedule.hpp"
#include "gateway/events/cloudevents/http.hpp"
#include "gateway/events/cloudevents/storage.hpp"
#include "gateway/events/kept_response.hpp"
#include "gateway/events/plan.hpp"
#include "gateway/events/stream_source.hpp"
#include "gateway/events/times.hpp"

namespace rouse::gateway::events {

namespace {

using namespace std::chrono_literals;

constexpr auto cron_retention = std::chrono::hours(24 * 35);
constexpr auto backlog_period = 250ms;

intake_reply problem(unsigned status, const char* type, std::string detail,
                     std::optional<std::uint64_t> retry_after = std::nullopt) {
  intake_reply out;
  out.status = status;
  out.type = type;
  out.detail = std::move(detail);
  out.retry_after = retry_after;
  return out;
}

intake_reply problem_of(const store_error& error) {
  switch (error.code) {
    case store_errc::storage_full:
      return problem(503, "storage-full", error.text, 5);
    case store_errc::busy:
    case store_errc::limit:
      return problem(503, "queue-full", error.text, 1);
    case store_errc::closed:
      return problem(503, "draining", "rouse is shutting down", 5);
    case store_errc::not_found:
      return problem(404, "no-route", error.text);
    case store_errc::conflict:
      return problem(409, "conflict", error.text);
    case store_errc::io:
    case store_errc::corrupt:
      break;
  }
  return problem(500, "storage-failed", error.text);
}

intake_reply problem_of(const event_error& error) {
  auto detail = error.message;
  if (error.index) detail = "event " + std::to_string(*error.index) + " of the batch: " + detail;
  switch (error.what) {
    case fault::too_large:
      return problem(413, "body-too-large", std::move(detail));
    case fault::unsupported:
      return problem(415, "unsupported-media-type", std::move(detail));
    case fault::invalid:
      break;
  }
  return problem(400, "bad-request", std::move(detail));
}

const char* name_of_state(invocation_state state) {
  switch (state) {
    case invocation_state::queued:
      return "queued";
    case invocation_state::running:
      return "running";
    case invocation_state::succeeded:
      return "succeeded";
    case invocation_state::failed:
      return "failed";
    case invocation_state::cancelled:
      return "cancelled";
  }
  return "";
}

/// Waits for what the store calls back; for start and reload.
template <typename T, typename Call>
store_result<T> wait_for(Call call) {
  std::promise<store_result<T>> promise;
  auto future = promise.get_future();
  call([&promise](store_result<T> result) { promise.set_value(std::move(result)); });
  return future.get();
}

const config::function* find_function(const activator::view& in, std::string_view name) {
  const auto& functions = in.snapshot->functions;
  const auto at = std::ranges::lower_bound(functions, name, {}, &config::function::name);
  return at == functions.end() || at->name != name ? nullptr : &*at;
}

}  // namespace

service::service(surroundings around)
    : around_(std::move(around)), cron_(around_.admin, around_.log), backlog_timer_(around_.admin) {}

service::~service() = default;

// --- start and reload
// ----------------------------------------------------------------------------------------------------

std::string service::prepare(const config::snapshot& next) {
  if (!open_) {
    std::error_code ignored;
    const bool left = std::filesystem::exists(std::filesystem::path(around_.data_dir) / "events.db", ignored);
    if (!left && next.buses.empty() && next.triggers.empty()) return {};
    if (auto problem = open_store(); !problem.empty()) return problem;
  }
  for (const auto& bus : next.buses) {
    if (auto problem = prepare_stream(bus_stream + bus.name, bus.retention); !problem.empty()) return problem;
  }
  for (const auto& one : next.triggers) {
    if (!std::holds_alternative<config::cron_source>(one.source)) continue;
    if (auto problem = prepare_stream(cron_stream + one.name, cron_retention); !problem.empty()) return problem;
  }
  return {};
}

std::string service::open_store() {
  auto opened = store::open(around_.data_dir);
  if (!opened) return opened.error().text;
  store_.emplace(std::move(*opened));
  store_->on_queued([this](const std::string& function) { poke_invoker(function); });
  open_ = true;
  add_backlog();
  return {};
}

/// What an earlier daemon did not come to.
std::string service::begin_invocations() {
  const auto usage = wait_for<store_usage>([this](auto done) { store_->usage(std::move(done)); });
  if (!usage) return usage.error().text;
  for (const auto& queue : usage->queues) {
    if (queue.requests > 0) poke_invoker(queue.function);
  }
  return {};
}

std::string service::prepare_stream(const std::string& name, std::chrono::milliseconds retention) {
  const auto made = store_->stream(name, retention);
  if (!made) return made.error().text;
  {
    const std::lock_guard lock(mutex_);
    if (streams_.contains(name)) return {};
    auto entry = std::make_shared<bus_entry>();
    entry->stream = *made;
    streams_.emplace(name, entry);
  }
  store_->on_growth(*made, [this, name](std::int64_t last) { on_growth(name, last); });
  return {};
}

std::string service::apply(const config::snapshot& snapshot) {
  if (!open_) return {};
  std::vector<plan> wanted;
  for (const auto& one : snapshot.triggers) wanted.emplace_back(one, snapshot);
  const auto usage = wait_for<store_usage>([this](auto done) { store_->usage(std::move(done)); });
  if (!usage) return usage.error().text;
  for (const auto& one : usage->streams) {
    const std::lock_guard lock(mutex_);
    const auto at = streams_.find(one.name);
    if (at != streams_.end() && at->second->newest->load() < one.last) at->second->newest->store(one.last);
  }
  forget_others(wanted);
  for (const auto& one : wanted) {
    const auto at = triggers_.find(one.config->name);
    if (at != triggers_.end() && at->second.first->same_as(one)) continue;
    if (at != triggers_.end()) {
      // The new one begins when nothing of the old one is in flight: an event is never at two places.
      at->second.first = std::make_shared<plan>(one);
      if (!ending_.insert(one.config->name).second) continue;
      at->second.second->stop([this, name = one.config->name] {
        asio::post(around_.admin, [this, name] {
          ending_.erase(name);
          const auto now = triggers_.find(name);
          if (now == triggers_.end() || stopped_) return;
          if (const auto problem = begin_trigger(*now->second.first); !problem.empty())
            around_.log.error("trigger {} does not run: {}", name, problem);
        });
      });
      continue;
    }
    if (ending_.contains(one.config->name)) {  // removed, and back before its end: begins then
      triggers_[one.config->name].first = std::make_shared<plan>(one);
      continue;
    }
    if (auto problem = begin_trigger(one); !problem.empty()) return problem;
  }
  set_cron(wanted);
  return begin_invocations();
}

/// Those that the configuration does not name any more: their place is forgotten, or their bus would keep all that
/// comes for them.
void service::forget_others(const std::vector<plan>& wanted) {
  const auto is_wanted = [&](const std::string& name) {
    return std::ranges::any_of(wanted, [&](const auto& one) { return one.config->name == name; });
  };
  for (auto at = triggers_.begin(); at != triggers_.end();) {
    if (is_wanted(at->first)) {
      ++at;
      continue;
    }
    const auto name = at->first;
    const auto old = at->second.second;
    at = triggers_.erase(at);
    if (!old || !ending_.insert(name).second) continue;
    old->stop([this, name] {
      asio::post(around_.admin, [this, name] {
        ending_.erase(name);
        if (stopped_) return;
        const auto now = triggers_.find(name);
        if (now != triggers_.end()) {
          if (const auto problem = begin_trigger(*now->second.first); !problem.empty())
            around_.log.error("trigger {} does not run: {}", name, problem);
          return;
        }
        around_.log.warn("trigger {} is not in the configuration any more: where it was on its bus is forgotten", name);
        if (const auto done = store_->forget_consumer(name); !done)
          around_.log.error("trigger {}: its place could not be forgotten: {}", name, done.error().text);
      });
    });
  }
  const auto known = store_->consumers();
  if (!known) return;
  for (const auto& name : *known) {
    if (is_wanted(name) || ending_.contains(name)) continue;
    around_.log.warn("trigger {} is not in the configuration any more: where it was on its bus is forgotten", name);
    if (const auto done = store_->forget_consumer(name); !done)
      around_.log.error("trigger {}: its place could not be forgotten: {}", name, done.error().text);
  }
}

std::string service::begin_trigger(const plan& what) {
  std::shared_ptr<bus_entry> entry;
  {
    const std::lock_guard lock(mutex_);
    entry = streams_.at(what.stream);
  }
  const auto* const bus = std::get_if<config::bus_source>(&what.config->source);
  // A cron trigger that was taken out and comes back has no business with the times of before.
  const bool earliest = bus && bus->start == config::event_start::earliest;
  const auto consumer =
      store_->consumer(what.config->name, entry->stream, earliest ? start_at::earliest : start_at::latest);
  if (!consumer) return consumer.error().text;
  auto state = store_->load(*consumer);
  if (!state) return state.error().text;
  auto& on = next_worker();
  auto source =
      std::make_unique<stream_source>(on, *store_, entry->stream, *consumer, std::move(*state), entry->newest);
  std::vector<std::pair<activator::day_window, unsigned>> windows;
  for (const auto& one : what.config->schedule) windows.emplace_back(activator::day_window(one.when), one.concurrency);
  auto limit = [windows = std::move(windows), usual = what.config->concurrency] {
    if (windows.empty()) return usual;
    const auto now = std::chrono::system_clock::now();
    const auto at = std::ranges::find_if(windows, [&](const auto& one) { return one.first.holds(now); });
    return at == windows.end() ? usual : at->second;
  };
  trigger_names names;
  names.function = what.function;
  names.reply = what.reply;
  using to = config::dead_letter_to::kind;
  if (what.config->dead_letter.to == to::bus) names.dead_bus = what.dead;
  if (what.config->dead_letter.to == to::function) names.dead_function = what.dead;
  auto made = std::make_shared<trigger>(on, what.config, std::move(names), std::move(source), *this, around_.log,
                                        std::move(limit));
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(entry->triggers, [](const auto& one) { return one.expired(); });
    entry->triggers.push_back(made);
  }
  triggers_[what.config->name] = {std::make_shared<plan>(what), made};
  made->start();
  return {};
}

void service::set_cron(const std::vector<plan>& wanted) {
  std::vector<cron_clock::job> jobs;
  for (const auto& one : wanted) {
    const auto* const source = std::get_if<config::cron_source>(&one.config->source);
    if (!source) continue;
    std::shared_ptr<bus_entry> entry;
    {
      const std::lock_guard lock(mutex_);
      entry = streams_.at(one.stream);
    }
    cron_clock::job job;
    job.name = one.config->name;
    job.source = *source;
    job.since = dealt_with(entry->stream, entry->newest->load(), source->missed == config::missed_runs::once);
    job.keep = [this, stream = entry->stream](std::string encoded, std::function<void(bool)> then) {
      store_->append(stream, {std::move(encoded)}, [this, then = std::move(then)](store_result<appended> result) {
        asio::post(around_.admin, [then, kept = result.has_value()] { then(kept); });
      });
    };
    jobs.push_back(std::move(job));
  }
  cron_.set(std::move(jobs));
}

/// The last event of a cron trigger says up to when its times were dealt with. One that has none begins now; one whose
/// last event was dropped was away for longer than that is kept.
std::chrono::sys_seconds service::dealt_with(stream_id stream, std::int64_t newest, bool once) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  if (newest == 0) return now;
  const auto read =
      wait_for<std::vector<record>>([&](auto done) { store_->read(stream, newest - 1, 1, 1, std::move(done)); });
  if (read && !read->empty()) {
    if (const auto due = due_time_of(read->front().blob)) return *due;
  }
  return once ? now - std::chrono::duration_cast<std::chrono::seconds>(cron_retention) : now;
}

void service::stop() {
  stopped_ = true;
  cron_.stop();
  backlog_timer_.cancel();
}

// --- what grows
// ------------------------------------------------------------------------------------------------------------

/// The writer's thread.
void service::on_growth(const std::string& stream, std::int64_t last) {
  std::vector<std::shared_ptr<trigger>> interested;
  {
    const std::lock_guard lock(mutex_);
    const auto at = streams_.find(stream);
    if (at == streams_.end()) return;
    at->second->newest->store(last);
    for (const auto& one : at->second->triggers) {
      if (auto alive = one.lock()) interested.push_back(std::move(alive));
    }
  }
  for (const auto& one : interested) one->poke();
}

void service::poke_invoker(const std::string& function) {
  std::shared_ptr<invoker> one;
  bool made = false;
  {
    const std::lock_guard lock(mutex_);
    auto& entry = invokers_[function];
    made = entry == nullptr;
    if (made) entry = std::make_shared<invoker>(next_worker(), *store_, function, around_.log);
    one = entry;
  }
  if (made) {
    one->start();
  } else {
    one->poke();
  }
}

worker& service::next_worker() {
  const auto all = around_.workers();
  return *all[turn_++ % all.size()];
}

/// How many queued invocations are due. They are counted on the store's reader, not where they are made, which looks at
/// a few at a time.
void service::ask_due() {
  if (due_asked_) return;
  {
    const std::lock_guard lock(mutex_);
    if (invokers_.empty()) return;
  }
  due_asked_ = true;
  store_->due([this](store_result<std::vector<queue_due>> result) {
    asio::post(around_.admin, [this, result = std::move(result)] {
      due_asked_ = false;
      if (result) due_ = *result;
    });
  });
}

/// Tells the autoscaler how many events and queued invocations wait for each function.
void service::add_backlog() {
  if (stopped_) return;
  ask_due();
  const auto view = around_.view();
  std::map<std::string, std::uint64_t> waiting;
  for (const auto& name : waited_) waiting[name] = 0;  // also where nothing waits any more, or will
  for (const auto& [name, one] : triggers_) {
    if (one.second) waiting[one.first->function] += one.second->counters().runnable.load(std::memory_order_relaxed);
  }
  {
    const std::lock_guard lock(mutex_);
    for (const auto& one : due_) {
      const auto at = invokers_.find(one.function);
      const auto busy = at == invokers_.end() ? 0 : at->second->in_flight();
      const auto due = static_cast<std::uint64_t>(one.requests);
      waiting[one.function] += due - std::min(due, busy);
    }
  }
  waited_.clear();
  for (const auto& [function, count] : waiting) {
    if (count > 0) waited_.insert(function);
    const auto& functions = view->snapshot->functions;
    const auto at = std::ranges::lower_bound(functions, function, {}, &config::function::name);
    if (at == functions.end() || at->name != function) continue;
    view->services[static_cast<std::size_t>(at - functions.begin())]->function->events_waiting.store(
        count, std::memory_order_relaxed);
  }
  backlog_timer_.expires_after(backlog_period);
  backlog_timer_.async_wait([this](const error_code& ec) {
    if (!ec) add_backlog();
  });
}

// --- what callers hand in
// -----------------------------------------------------------------------------------------------

std::uint64_t service::most_body(intake_request::kind what, std::string_view name) const {
  switch (what) {
    case intake_request::kind::event:
      return event_limits().most_bytes;
    case intake_request::kind::invocation:
      return 0;
    case intake_request::kind::invoke:
      break;
  }
  const auto view = around_.view();
  const auto* const function = find_function(*view, name);
  return function ? function->async.max_body : 0;
}

void service::take(intake_request request, std::function<void(intake_reply)> done) {
  switch (request.what) {
    case intake_request::kind::event:
      return take_event(std::move(request), std::move(done));
    case intake_request::kind::invoke:
      return take_call(std::move(request), std::move(done));
    case intake_request::kind::invocation:
      return take_question(request, std::move(done));
  }
}

void service::take_event(intake_request request, std::function<void(intake_reply)> done) {
  if (request.method != "POST") return done(problem(405, "method-not-allowed", "events are sent to a bus with POST"));
  std::vector<header_view> headers;
  for (const auto& [name, value] : request.fields) headers.push_back({name, value});
  auto parsed = parse_http(headers, request.body);
  if (!parsed) return done(problem_of(parsed.error()));
  std::vector<std::string> encoded;
  for (const auto& event : *parsed) encoded.push_back(encode(event));
  if (encoded.empty()) return done(intake_reply());
  std::optional<stream_id> stream;
  {
    const std::lock_guard lock(mutex_);
    if (const auto at = streams_.find(bus_stream + request.name); at != streams_.end()) stream = at->second->stream;
  }
  if (!stream) return done(problem(503, "storage-failed", "the bus is not open yet; see the log of rouse", 1));
  store_->append(*stream, std::move(encoded), [done = std::move(done)](store_result<appended> result) {
    done(result ? intake_reply() : problem_of(result.error()));
  });
}

void service::append(const std::string& bus, std::vector<std::string> encoded,
                     std::function<void(std::string problem)> then) {
  std::optional<stream_id> stream;
  {
    const std::lock_guard lock(mutex_);
    if (const auto at = streams_.find(bus_stream + bus); at != streams_.end()) stream = at->second->stream;
  }
  if (!stream) return then("there is no such bus");
  store_->append(*stream, std::move(encoded), [then = std::move(then)](store_result<appended> result) {
    then(result ? std::string() : result.error().text);
  });
}

/// The first invocation of a daemon without events opens the store.
void service::take_call(intake_request request, std::function<void(intake_reply)> done) {
  if (open_) return enqueue(std::move(request), std::move(done));
  asio::post(around_.admin, [this, request = std::move(request), done = std::move(done)]() mutable {
    if (stopped_) return done(problem(503, "draining", "rouse is shutting down", 5));
    if (!open_) {
      if (const auto why = open_store(); !why.empty()) {
        around_.log.error("queued invocations cannot be kept: {}", why);
        return done(problem(500, "storage-failed", "the store cannot be opened; see the log of rouse"));
      }
    }
    enqueue(std::move(request), std::move(done));
  });
}

void service::enqueue(intake_request request, std::function<void(intake_reply)> done) {
  new_invocation call;
  {
    const auto view = around_.view();
    const auto* const function = find_function(*view, request.name);
    if (!function) return done(problem(404, "no-route", "there is no function " + request.name));
    call.max_requests = static_cast<std::int64_t>(function->async.max_requests);
    call.max_bytes = static_cast<std::int64_t>(function->async.max_bytes);
  }
  if (::getrandom(call.random.data(), call.random.size(), 0) != static_cast<ssize_t>(call.random.size()))
    return done(problem(500, "storage-failed", "the system has no random numbers"));
  call.function = request.name;
  call.meta = encode_call(request.revision, request.head);
  call.body = std::move(request.body);
  call.idempotency_key = std::move(request.idempotency_key);
  store_->enqueue(std::move(call), [done = std::move(done)](store_result<enqueued> result) {
    if (!result) return done(problem_of(result.error()));
    intake_reply out;
    const auto where = "/invocations/" + result->id.text();
    nlohmann::ordered_json body{
        {"id", result->id.text()}, {"status_url", where}, {"response_url", where + "/response"}};
    out.fields = {{"Location", where}, {"Content-Type", "application/json"}};
    out.body = body.dump() + "\n";
    done(std::move(out));
  });
}

namespace {

intake_reply unknown_invocation() {
  return problem(404, "no-route", "there is no such invocation; a result is kept for `async.result_ttl` after its end");
}

}  // namespace

/// How long the end is remembered is its function's to say.
void service::cancel(const invocation_id& id, std::function<void(intake_reply)> done) {
  store_->look_up(id, [this, id, done = std::move(done)](store_result<invocation_status> found) {
    if (!found)
      return done(found.error().code == store_errc::not_found ? unknown_invocation() : problem_of(found.error()));
    const auto view = around_.view();
    const auto* const function = find_function(*view, found->function);
    const auto ttl = function ? function->async.result_ttl : config::async().result_ttl;
    store_->cancel(id, ttl, [done](store_result<void> result) {
      intake_reply out;
      out.status = 204;
      if (result) return done(std::move(out));
      if (result.error().code == store_errc::not_found) return done(unknown_invocation());
      if (result.error().code == store_errc::conflict) {
        return done(
            problem(409, "conflict", "the invocation has begun or is over; only one that is queued can be cancelled"));
      }
      done(problem_of(result.error()));
    });
  });
}

/// /invocations/ID[/response].
void service::take_question(const intake_request& request, std::function<void(intake_reply)> done) {
  std::string_view id_text(request.name);
  const bool response = id_text.ends_with("/response");
  if (response) id_text.remove_suffix(std::string_view("/response").size());
  const auto id = invocation_id::parse(id_text);
  const auto unknown = &unknown_invocation;
  if (!id || !open_) return done(unknown());
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (!reads && !(request.method == "DELETE" && !response))
    return done(problem(405, "method-not-allowed", "an invocation is read with GET and cancelled with DELETE"));
  if (request.method == "DELETE") return cancel(*id, std::move(done));
  if (response) {
    return store_->response(*id, [done = std::move(done), unknown](store_result<std::string> result) {
      if (!result && result.error().code == store_errc::conflict)
        return done(problem(409, "conflict", result.error().text));
      if (!result && result.error().code == store_errc::not_found) return done(unknown());
      if (!result) return done(problem_of(result.error()));
      auto kept = decode_response(*result);
      if (!kept) return done(problem(404, "no-route", "the invocation ended without a response of the function"));
      intake_reply out;
      out.status = kept->status;
      out.fields = std::move(kept->fields);
      out.body = std::move(kept->body);
      // A response of the function's own, whatever its status: it is not a problem of rouse's.
      out.fields.emplace_back("X-Invocation-Response", "true");
      done(std::move(out));
    });
  }
  store_->look_up(*id, [done = std::move(done), id = *id, unknown](store_result<invocation_status> result) {
    if (!result) return done(result.error().code == store_errc::not_found ? unknown() : problem_of(result.error()));
    nlohmann::ordered_json body{{"id", id.text()},
                                {"function", result->function},
                                {"state", name_of_state(result->state)},
                                {"attempts", result->attempts},
                                {"created", text_of(result->created)}};
    if (result->next_attempt) body["next_attempt"] = text_of(*result->next_attempt);
    if (result->finished) body["finished"] = text_of(*result->finished);
    if (result->last_status > 0) body["last_status"] = result->last_status;
    if (!result->last_error.empty()) body["last_error"] = result->last_error;
    intake_reply out;
    out.status = 200;
    out.fields = {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}};
    out.body = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    done(std::move(out));
  });
}

}  // namespace rouse::gateway::events
