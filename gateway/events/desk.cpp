// What people see of events, and what they do with dead letters.

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "gateway/events/cloudevents/storage.hpp"
#include "gateway/events/cloudevents/structured.hpp"
#include "gateway/events/plan.hpp"
#include "gateway/events/times.hpp"

namespace rouse::gateway::events {

namespace {

using nlohmann::ordered_json;

constexpr std::size_t listed = 1000;

const char* word_of(dead_letter_kind kind) {
  switch (kind) {
    case dead_letter_kind::event:
      return "event";
    case dead_letter_kind::invocation:
      return "invocation";
    case dead_letter_kind::external:
      return "external";
  }
  return "";
}

ordered_json to_json(const dead_letter& letter) {
  return {{"id", letter.id},
          {"kind", word_of(letter.kind)},
          {"owner", letter.owner},
          {"created", text_of(letter.created)},
          {"given_up", text_of(letter.given_up)},
          {"attempts", letter.why.attempts},
          {"status", letter.why.last_status},
          {"reason", letter.why.last_error},
          {"size", letter.size}};
}

std::string dump(const ordered_json& what) {
  return what.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

/// UTF-8 without control characters but for white space.
bool is_text(const std::string& data) {
  const auto control = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\n' && c != '\t' && c != '\r') || byte == 0x7F;
  };
  if (std::ranges::any_of(data, control)) return false;
  try {
    static_cast<void>(ordered_json(data).dump());
    return true;
  } catch (const ordered_json::exception&) {
    return false;
  }
}

/// With what was to be delivered: the event, or the request of an invocation.
ordered_json with_content(const dead_letter& letter) {
  auto out = to_json(letter);
  if (letter.kind != dead_letter_kind::invocation) {
    if (letter.kind == dead_letter_kind::external) out["record"] = letter.meta;
    const auto event = decode(letter.blob);
    if (!event) return out;
    out["event"] = ordered_json::parse(write_structured(*event), nullptr, false);
    // Base64 is for machines.
    if (out["event"].contains("data_base64") && is_text(event->data)) out["data_as_text"] = event->data;
    return out;
  }
  const auto line = letter.meta.find('\n');
  if (line != std::string::npos) out["head"] = letter.meta.substr(line + 1);
  out["body"] = letter.blob;
  return out;
}

void add(event_numbers::trigger& to, const trigger& from) {
  const auto& counters = from.counters();
  to.delivered += counters.delivered.get();
  to.retried += counters.retried.get();
  to.dead += counters.dead.get();
  to.filtered += counters.filtered.get();
  to.in_flight += counters.in_flight.load(std::memory_order_relaxed);
  to.waiting += counters.waiting.load(std::memory_order_relaxed);
  to.waiting_retry += counters.waiting_retry.load(std::memory_order_relaxed);
  if (to.paused.empty()) to.paused = from.paused_because();
}

void add_age(event_numbers::trigger& to, wall_time of, wall_time now) {
  const auto age = std::max(std::chrono::milliseconds(0), std::chrono::milliseconds(now - of));
  if (!to.oldest || *to.oldest < age) to.oldest = age;
}

void add(event_numbers::trigger& to, const topic_numbers& from, wall_time now) {
  to.problem = from.problem();
  for (const auto& lane : from.lanes()) {
    to.lanes.push_back({lane.topic + "/" + std::to_string(lane.partition), lane.lag, lane.held_by});
    if (lane.oldest) add_age(to, *lane.oldest, now);
  }
}

/// `named`: also when it has nothing.
void add(event_numbers::trigger& to, const consumer_usage& from, wall_time now, bool named) {
  const auto lag = static_cast<std::uint64_t>(std::max<std::int64_t>(0, from.unsettled));
  if (named || lag > 0) to.lanes.push_back({from.stream, lag, {}});
  if (from.oldest) add_age(to, *from.oldest, now);
}

action_result failed(const store_error& error) {
  action_result out;
  out.status = error.code == store_errc::not_found ? 404 : 503;
  out.type = error.code == store_errc::not_found ? "no-dead-letter" : "storage-failed";
  out.detail = error.text;
  return out;
}

dead_letter_choice choice_of(const dead_letter_question& which) {
  dead_letter_choice out;
  if (which.id) {
    out.ids = std::vector<std::int64_t>{*which.id};
  } else if (!which.owner.empty()) {
    out.owner = which.owner;
  }
  return out;
}

action_result said(std::string detail) {
  action_result out;
  out.detail = std::move(detail);
  return out;
}

std::string letters(std::size_t count) {
  return std::to_string(count) + (count == 1 ? " dead letter" : " dead letters");
}

}  // namespace

/// From the store's threads to the admin thread.
void service::answer(actions::done then, action_result result) {
  asio::post(around_.admin,
             [then = std::move(then), result = std::move(result)]() mutable { then(std::move(result)); });
}

event_numbers service::count(const store_usage& usage) const {
  event_numbers out;
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  for (const auto& [name, entry] : triggers_) {
    event_numbers::trigger one;
    one.name = name;
    one.source = entry.what->source();
    one.function = entry.what->function;
    for (const auto& each : {entry.main, entry.stored}) {
      if (each) add(one, *each);
    }
    if (entry.topics) add(one, *entry.topics, now);
    const auto kept = std::ranges::find(usage.consumers, name, &consumer_usage::name);
    if (kept != usage.consumers.end()) add(one, *kept, now, !entry.topics);
    out.triggers.push_back(std::move(one));
  }
  for (const auto& queue : usage.queues) {
    event_numbers::queue one;
    one.function = queue.function;
    one.requests = static_cast<std::uint64_t>(queue.requests);
    one.bytes = static_cast<std::uint64_t>(queue.bytes);
    const std::lock_guard lock(mutex_);
    if (const auto at = invokers_.find(queue.function); at != invokers_.end()) {
      one.in_flight = at->second->in_flight();
      one.paused = at->second->paused_because();
    }
    out.queues.push_back(std::move(one));
  }
  for (const auto& one : usage.dead_letters) out.dead.push_back({one.owner, static_cast<std::uint64_t>(one.count)});
  return out;
}

void service::numbers(actions::done then) {
  if (!open_) {
    action_result none;
    none.events = std::make_shared<const event_numbers>();
    return answer(std::move(then), std::move(none));
  }
  store_->usage([this, then = std::move(then)](store_result<store_usage> result) {
    auto moved = std::make_shared<store_usage>(result ? std::move(*result) : store_usage());
    asio::post(around_.admin, [this, then, moved] {
      action_result out;
      out.events = std::make_shared<const event_numbers>(count(*moved));
      then(std::move(out));
    });
  });
}

void service::dead_letters(dead_letter_question which, actions::done then) {
  if (!open_ && which.id) return answer(std::move(then), failed({store_errc::not_found, "there are no dead letters"}));
  if (!open_) {
    action_result none;
    none.body = dump({{"dead_letters", ordered_json::array()}});
    return answer(std::move(then), std::move(none));
  }
  if (which.id) {
    return store_->show_dead_letter(*which.id, [this, then = std::move(then)](store_result<dead_letter> result) {
      if (!result) return answer(then, failed(result.error()));
      action_result out;
      out.body = dump(with_content(*result));
      answer(then, std::move(out));
    });
  }
  store_->dead_letters(which.owner, which.after, listed,
                       [this, then = std::move(then)](store_result<std::vector<dead_letter>> result) {
                         if (!result) return answer(then, failed(result.error()));
                         auto all = ordered_json::array();
                         for (const auto& one : *result) all.push_back(to_json(one));
                         action_result out;
                         out.body = dump({{"dead_letters", std::move(all)}});
                         answer(then, std::move(out));
                       });
}

void service::redrive(dead_letter_question which, actions::done then) {
  if (!open_) return answer(std::move(then), said("there are no dead letters"));
  store_->redrive(choice_of(which), std::nullopt, [this, then = std::move(then)](store_result<redriven> result) {
    if (!result) return answer(then, failed(result.error()));
    auto out = said(letters(result->moved) + " taken out, to be delivered again");
    if (result->skipped > 0) out.lines.push_back(letters(result->skipped) + " stay: " + result->first_problem);
    around_.log.info("by hand: {}", out.detail);
    answer(then, std::move(out));
  });
}

void service::purge(dead_letter_question which, actions::done then) {
  if (!open_) return answer(std::move(then), said("there are no dead letters"));
  store_->purge(choice_of(which), [this, then = std::move(then)](store_result<std::size_t> result) {
    if (!result) return answer(then, failed(result.error()));
    auto out = said(letters(*result) + " removed");
    around_.log.info("by hand: {}", out.detail);
    answer(then, std::move(out));
  });
}

}  // namespace rouse::gateway::events
