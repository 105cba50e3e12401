#include <algorithm>
#include <array>

#include "config/json_data.hpp"
#include "config/readers.hpp"

namespace rouse::config {
namespace {

/// Events of one trigger that are being delivered at once: each is held in memory.
constexpr std::uint64_t most_events = 100'000;
constexpr std::uint64_t most_attempts = 100'000;

/// A trigger while it is read: every source that it may have.
struct draft {
  trigger_draft made;
  bus_source bus;
  cron_source cron;
  kafka_source kafka;
  cluster_draft cluster;
  event_filter filter;
};

void read_cron(const scope& in, const member& entry, draft& out) {
  read_scalar(in, entry, out.cron.when, [](std::string_view text) -> parsed<cron> {
    auto made = parse_cron(text);
    return {made.value, std::move(made.error)};
  });
}

constexpr std::array<std::pair<std::string_view, event_start>, 2> starts{
    {{"latest", event_start::latest}, {"earliest", event_start::earliest}}};
constexpr std::array<std::pair<std::string_view, missed_runs>, 2> missed_choices{
    {{"skip", missed_runs::skip}, {"once", missed_runs::once}}};
constexpr std::array<std::pair<std::string_view, event_order>, 3> orders{
    {{"none", event_order::none}, {"key", event_order::key}, {"partition", event_order::partition}}};
constexpr std::array<std::pair<std::string_view, event_delivery>, 2> deliveries{
    {{"binary", event_delivery::binary}, {"structured", event_delivery::structured}}};
constexpr std::array<std::pair<std::string_view, backoff>, 2> backoffs{
    {{"exponential", backoff::exponential}, {"linear", backoff::linear}}};

/// Longest that Kafka's protocol can name.
constexpr std::size_t longest_group = 32'767;

parsed<std::string> parse_group(std::string_view text) {
  using result = parsed<std::string>;
  if (text.empty())
    return result{std::nullopt, "is empty: write a name, or leave it out for `rouse-` and the trigger's"};
  bool const plain = std::none_of(text.begin(), text.end(), [](char c) {
    auto const byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7F;
  });
  if (!plain || text.size() > longest_group || first_invalid_utf8(text) != text.npos)
    return result{std::nullopt, "is " + shown(text) + ", which cannot be a group's name: write plain text"};
  return {std::string(text), {}};
}

void read_topics(const scope& in, const member& entry, kafka_source& out) {
  auto const given = texts(in, entry, "[clicks]", true);
  if (!given) return;
  if (given->empty()) return in.fail(entry, "is empty: write at least one topic");
  for (const marked_text& one : *given) {
    auto topic = parse_topic(*one.text);
    if (!topic.value) {
      in.fail(one.at, shown(entry.key) + " " + topic.error);
    } else if (std::find(out.topics.begin(), out.topics.end(), *topic.value) != out.topics.end()) {
      in.fail(one.at, shown(entry.key) + " has " + shown(*topic.value) + " twice: remove one");
    } else {
      out.topics.push_back(std::move(*topic.value));
    }
  }
}

constexpr std::array kafka_fields{
    field<draft>{"brokers", [](const scope& in, const member& e, draft& out) { read_brokers(in, e, out.cluster); }},
    field<draft>{"topics", [](const scope& in, const member& e, draft& out) { read_topics(in, e, out.kafka); }},
    field<draft>{"group",
                 [](const scope& in, const member& e, draft& out) {
                   read_scalar(in, e, out.kafka.group, parse_group);
                   out.made.group = {&in.file, e.value_mark()};
                 }},
    field<draft>{"start",
                 [](const scope& in, const member& e, draft& out) { read_choice(in, e, starts, out.kafka.start); }},
    field<draft>{"properties",
                 [](const scope& in, const member& e, draft& out) { read_properties(in, e, out.cluster); }},
};

void read_kafka(const scope& in, const member& entry, draft& out) {
  const node* const map = mapping(in, entry);
  if (map == nullptr) return;
  read_fields(in, *map, "trigger.kafka", kafka_fields, out);
  for (std::string_view const needed : {"brokers", "topics"}) {
    bool const there =
        std::any_of(map->members.begin(), map->members.end(), [&](const member& m) { return m.key == needed; });
    if (there) continue;
    in.fail(entry.at, "`kafka` needs " + shown(needed) + ", such as `{brokers: [\"kafka-1:9092\"], topics: [clicks]}`");
  }
}

constexpr std::array reply_fields{
    field<reference>{"bus",
                     [](const scope& in, const member& e, reference& out) { read_reference(in, e, "a bus", out); }},
};

void read_reply(const scope& in, const member& entry, draft& out) {
  const node* const map = mapping(in, entry);
  if (map == nullptr) return;
  read_fields(in, *map, "trigger.reply", reply_fields, out.made.reply);
  if (map->members.empty()) in.fail(entry, "needs a `bus`, for the events with which the function answers");
}

void read_dead_letter_to(const scope& in, const member& entry, dead_letter_to::kind to, std::string_view what,
                         trigger_draft& out) {
  read_reference(in, entry, what, out.dead_letter);
  out.value.dead_letter.to = to;
}

constexpr std::array dead_letter_fields{
    field<trigger_draft>{"bus",
                         [](const scope& in, const member& e, trigger_draft& out) {
                           read_dead_letter_to(in, e, dead_letter_to::kind::bus, "a bus", out);
                         }},
    field<trigger_draft>{"function",
                         [](const scope& in, const member& e, trigger_draft& out) {
                           read_dead_letter_to(in, e, dead_letter_to::kind::function, "a function", out);
                         }},
    field<trigger_draft>{"topic",
                         [](const scope& in, const member& e, trigger_draft& out) {
                           auto& to = out.value.dead_letter;
                           read_scalar(in, e, to.topic, parse_topic);
                           if (to.topic.empty()) return;
                           to.to = dead_letter_to::kind::topic;
                           out.dead_letter = {to.topic, {&in.file, e.value_mark()}};
                         }},
};

void read_dead_letter(const scope& in, const member& entry, draft& out) {
  const node* const map = mapping(in, entry);
  if (map == nullptr) return;
  read_fields(in, *map, "trigger.dead_letter", dead_letter_fields, out.made);
  if (map->members.size() != 1) {
    in.fail(entry,
            "must have exactly one of `bus`, `topic` and `function`, such as `{bus: NAME}`; without it dead letters "
            "are kept in `data_dir`");
  }
}

struct retry_draft {
  event_retry value;
  mark at;  ///< of the last one of the two delays
};

constexpr std::array retry_fields{
    field<retry_draft>{"attempts", [](const scope& in, const member& e,
                                      retry_draft& out) { read_whole(in, e, 1, most_attempts, out.value.attempts); }},
    field<retry_draft>{"backoff", [](const scope& in, const member& e,
                                     retry_draft& out) { read_choice(in, e, backoffs, out.value.backoff); }},
    field<retry_draft>{"delay",
                       [](const scope& in, const member& e, retry_draft& out) {
                         read_duration(in, e, zero::refused, out.value.delay);
                         out.at = e.value_mark();
                       }},
    field<retry_draft>{"max_delay",
                       [](const scope& in, const member& e, retry_draft& out) {
                         read_duration(in, e, zero::refused, out.value.max_delay);
                         out.at = e.value_mark();
                       }},
};

void read_retry(const scope& in, const member& entry, draft& out) {
  const node* const map = mapping(in, entry);
  if (map == nullptr) return;
  retry_draft made;
  read_fields(in, *map, "trigger.retry", retry_fields, made);
  out.made.value.retry = made.value;
  if (made.value.delay <= made.value.max_delay) return;
  in.fail(made.at, "`delay` (" + format_duration(made.value.delay) + ") is more than `max_delay` (" +
                       format_duration(made.value.max_delay) + "): raise `max_delay` or lower `delay`");
}

constexpr std::array window_fields{
    field<trigger_window>{"concurrency",
                          [](const scope& in, const member& e, trigger_window& out) {
                            read_whole(in, e, 1, most_events, out.concurrency);
                          }},
};

trigger_window read_window(const scope& in, const node& map) {
  trigger_window out;
  window_draft when;
  bool sized = false;
  for (const member& key : map.members) {
    sized = sized || key.key == "concurrency";
    if (!read_window_key(in, key, when) && !read_field(in, key, window_fields, out))
      unknown_key(in, key, "trigger_window");
  }
  out.when = finish_window(in, map, std::move(when));
  if (!sized) in.fail(map.at, "an entry of `schedule` needs `concurrency`: what holds during that time");
  return out;
}

void read_schedule(const scope& in, const member& entry, draft& out) {
  auto const given =
      mappings(in, entry, "an entry of `schedule`", "{from: \"22:00\", to: \"06:00\", concurrency: 500}");
  if (!given) return;
  out.made.value.schedule.reserve(given->size());
  for (const node* map : *given) out.made.value.schedule.push_back(read_window(in, *map));
}

constexpr std::array trigger_fields{
    field<draft>{"bus",
                 [](const scope& in, const member& e, draft& out) { read_reference(in, e, "a bus", out.made.bus); }},
    field<draft>{"start",
                 [](const scope& in, const member& e, draft& out) { read_choice(in, e, starts, out.bus.start); }},
    field<draft>{"filter", [](const scope& in, const member& e, draft& out) { read_filter(in, e, out.filter); }},
    field<draft>{"kafka", read_kafka},
    field<draft>{"cron", read_cron},
    field<draft>{"timezone",
                 [](const scope& in, const member& e, draft& out) { read_timezone(in, e, out.cron.timezone); }},
    field<draft>{"missed", [](const scope& in, const member& e,
                              draft& out) { read_choice(in, e, missed_choices, out.cron.missed); }},
    field<draft>{"data", [](const scope& in, const member& e, draft& out) { read_json(in, e, out.cron.data); }},
    field<draft>{"function", [](const scope& in, const member& e,
                                draft& out) { read_reference(in, e, "a function", out.made.function); }},
    field<draft>{"reply", read_reply},
    field<draft>{"order", [](const scope& in, const member& e,
                             draft& out) { read_choice(in, e, orders, out.made.value.order); }},
    field<draft>{"concurrency", [](const scope& in, const member& e,
                                   draft& out) { read_whole(in, e, 1, most_events, out.made.value.concurrency); }},
    field<draft>{"schedule", read_schedule},
    field<draft>{"delivery", [](const scope& in, const member& e,
                                draft& out) { read_choice(in, e, deliveries, out.made.value.delivery); }},
    field<draft>{"retry", read_retry},
    field<draft>{"dead_letter", read_dead_letter},
};

const member* given(const node& map, std::string_view key) {
  auto const at = std::find_if(map.members.begin(), map.members.end(), [&](const member& m) { return m.key == key; });
  return at == map.members.end() ? nullptr : &*at;
}

/// The keys that say where events come from.
constexpr std::array<std::string_view, 3> sources{"bus", "kafka", "cron"};

/// A key that says more about some kinds of source.
struct source_key {
  std::string_view key;
  std::string_view source;
  std::string_view other = {};
};
constexpr std::array<source_key, 5> source_keys{
    {{"start", "bus"}, {"filter", "bus", "kafka"}, {"timezone", "cron"}, {"missed", "cron"}, {"data", "cron"}}};

/// The key of the one source; nothing, and a problem, when there is none or more than one.
const member* find_source(const scope& in, const member& entry, const node& map) {
  const member* found = nullptr;
  for (const member& one : map.members) {
    if (std::find(sources.begin(), sources.end(), one.key) == sources.end()) continue;
    if (found != nullptr) {
      in.fail(one.at, "a trigger has one source, but this one has " + shown(found->key) + " and " + shown(one.key) +
                          ": remove one, or make two triggers of it");
      return nullptr;
    }
    found = &one;
  }
  if (found == nullptr) {
    in.fail(entry.at,
            "trigger " + shown(entry.key) +
                " has no source: add the `bus` that it takes events from, `kafka` with its topics, or when it "
                "is due, such as `cron: \"0 2 * * *\"`");
  }
  return found;
}

/// Checks that there is one source, and nothing of another.
void check_source(const scope& in, const member& entry, const node& map) {
  const member* const source = find_source(in, entry, map);
  if (source == nullptr) return;
  for (const source_key& other : source_keys) {
    const member* const key = given(map, other.key);
    if (key == nullptr || other.source == source->key || other.other == source->key) continue;
    if (other.key == "start" && source->key == "kafka") {
      in.fail(key->at, "`start` of a trigger with `kafka` belongs under `kafka`: move it there");
      continue;
    }
    in.fail(key->at, shown(other.key) + " belongs to a trigger with " + shown(other.source) +
                         (other.other.empty() ? "" : " or " + shown(other.other)) + ", but this one has " +
                         shown(source->key) + ": remove it");
  }
}

/// Dead letters must not come back to where they failed.
void check_circle(const scope& in, const node& map, const draft& out) {
  const trigger_draft& made = out.made;
  if (!made.dead_letter.given()) return;
  dead_letter_to::kind const to = made.value.dead_letter.to;
  const member* const filter = given(map, "filter");
  bool const takes_all =
      filter == nullptr || (filter->value->type == node::kind::map && filter->value->members.empty());
  if (to == dead_letter_to::kind::bus && made.bus.given() && made.dead_letter.name == made.bus.name && takes_all) {
    in.problems.add(made.dead_letter.at,
                    "dead letters would come back to this trigger, which takes every event of the bus " +
                        shown(made.bus.name) +
                        ", and circle: name another bus, add a `filter`, or remove `dead_letter` to keep them in "
                        "`data_dir`");
  }
  if (to == dead_letter_to::kind::function && made.dead_letter.name == made.function.name) {
    in.problems.add(made.dead_letter.at,
                    "this is the function that failed: name another one, or remove `dead_letter` "
                    "to keep dead letters in `data_dir`");
  }
}

void take_source(const scope& in, const node& map, draft& out) {
  trigger& value = out.made.value;
  if (given(map, "cron") != nullptr) {
    value.source = std::move(out.cron);
  } else if (given(map, "kafka") != nullptr) {
    check_properties(in, out.cluster, value.dead_letter.to == dead_letter_to::kind::topic);
    out.kafka.cluster = std::move(out.cluster.value);
    out.kafka.filter = std::move(out.filter);
    if (out.kafka.group.empty()) out.kafka.group = group_of(value.name);
    value.source = std::move(out.kafka);
  } else {
    out.bus.filter = std::move(out.filter);
    value.source = std::move(out.bus);
  }
}

}  // namespace

std::optional<trigger_draft> read_trigger(const scope& in, const member& entry) {
  bool const named = is_dns_label(entry.key);
  if (!named) in.fail(entry.at, bad_name(entry.key, "a trigger's"));
  draft out;
  trigger& value = out.made.value;
  value.name = entry.key;
  out.made.group = {&in.file, entry.at};
  if (const node* map = mapping(in, entry)) {
    read_fields(in, *map, "trigger", trigger_fields, out);
    check_source(in, entry, *map);
    if (given(*map, "function") == nullptr)
      in.fail(entry.at, "trigger " + shown(entry.key) + " needs a `function`, the name of the one that it calls");
    check_circle(in, *map, out);
    take_source(in, *map, out);
  }
  if (!named) return std::nullopt;
  return std::move(out.made);
}

void resolve(trigger_draft& out, name_table& functions, name_table& buses, problem_list& problems) {
  trigger& value = out.value;
  auto* const source = std::get_if<bus_source>(&value.source);
  auto const bus = buses.find(out.bus, problems);
  if (source != nullptr) source->bus = bus.value_or(0);
  value.function = functions.find(out.function, problems).value_or(0);
  value.reply = buses.find(out.reply, problems);
  if (value.dead_letter.to == dead_letter_to::kind::topic) return;
  bool const to_bus = value.dead_letter.to == dead_letter_to::kind::bus;
  value.dead_letter.index = (to_bus ? buses : functions).find(out.dead_letter, problems).value_or(0);
}

void add_trigger_keys(std::vector<key_section>& out) {
  out.push_back({"trigger", keys_of(trigger_fields)});
  out.push_back({"trigger.kafka", keys_of(kafka_fields)});
  out.push_back({"trigger.retry", keys_of(retry_fields)});
  out.push_back({"trigger.reply", keys_of(reply_fields)});
  out.push_back({"trigger.dead_letter", keys_of(dead_letter_fields)});
  std::vector<std::string_view> entry = window_keys();
  for (std::string_view key : keys_of(window_fields)) entry.push_back(key);
  out.push_back({"trigger_window", std::move(entry)});
}

}  // namespace rouse::config
