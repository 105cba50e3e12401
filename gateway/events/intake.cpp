// What callers hand in: events for buses, invocations to be made later, and questions about these.

#include <sys/random.h>

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "gateway/events/cloudevents/http.hpp"
#include "gateway/events/kept_response.hpp"
#include "gateway/events/plan.hpp"
#include "gateway/events/times.hpp"

namespace rouse::gateway::events {

namespace {

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

intake_reply with_inside(intake_reply reply, std::string detail) {
  reply.inside = std::move(detail);
  return reply;
}

/// The event is durable, or why not.
intake_reply reply_of(const append_result& result) {
  using kind = append_result::kind;
  switch (result.how) {
    case kind::kept:
      return {};
    case kind::busy:
      if (result.perhaps_kept) break;
      return with_inside(problem(503, "queue-full", "too much waits to be written", 1), result.problem);
    case kind::full:
      return problem(503, "storage-full", result.problem, 5);
    case kind::closed:
      return problem(503, "draining", "rouse is shutting down", 5);
    case kind::too_large:
      return problem(413, "body-too-large", result.problem);
    case kind::broken:
      return problem(500, "storage-failed", result.problem);
    case kind::failed:
      break;
  }
  const std::string known =
      result.perhaps_kept ? "; it is not known whether this was kept" : "; it is known that nothing of it was kept";
  // Brokers, topics and credentials are nothing for strangers; the log has them.
  return with_inside(problem(503, "storage-failed", "what keeps the events of this bus did not take it" + known, 5),
                     result.problem + known);
}

const config::function* find_function(const activator::view& in, std::string_view name) {
  const auto& functions = in.snapshot->functions;
  const auto at = std::ranges::lower_bound(functions, name, {}, &config::function::name);
  return at == functions.end() || at->name != name ? nullptr : &*at;
}

}  // namespace

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
  if (parsed->empty()) return done(intake_reply());
  const auto log = find_log(request.name);
  if (!log) return done(problem(503, "storage-failed", "the bus is not open yet; see the log of rouse", 1));
  log->append(std::move(*parsed), [done = std::move(done)](const append_result& result) { done(reply_of(result)); });
}

std::shared_ptr<event_log> service::find_log(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto at = logs_.find(name);
  return at == logs_.end() ? nullptr : at->second;
}

void service::append(const std::string& bus, std::vector<std::string> encoded,
                     std::function<void(std::string problem)> then) {
  const auto log = find_log(bus);
  if (!log) return then("there is no such bus");
  log->append_encoded(std::move(encoded), [this, bus, then = std::move(then)](append_result result) {
    // Whoever gave it tries again, and says of which event it is; why is said here.
    if (!result.kept() && result.how != append_result::kind::closed) {
      const bool dead = bus.starts_with(dead_log);
      around_.log.warn("{} {}: nothing could be written: {}", dead ? "dead letters of trigger" : "bus",
                       dead ? bus.substr(std::string_view(dead_log).size()) : bus, result.problem);
    }
    then(std::move(result.problem));
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
