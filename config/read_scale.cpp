#include <algorithm>
#include <array>

#include "config/readers.hpp"

namespace rouse::config {
namespace {

using draft = revision_draft;

/// Longest memory of load: what is kept for each instance and second grows with it.
constexpr milliseconds longest_window = std::chrono::hours(1);
constexpr double most_target = 1'000'000;
constexpr double most_rate = 1'000'000;

said now(const scope& in, const member& entry, const draft& out) {
  return {{&in.file, entry.value_mark()}, out.level};
}

void read_window_length(const scope& in, const member& entry, milliseconds& out) {
  milliseconds given = out;
  read_duration(in, entry, zero::refused, given);
  if (given > longest_window)
    return in.fail(entry,
                   "is " + shown(entry.value->text) + ", but must be at most " + format_duration(longest_window));
  out = given;
}

/// One entry of `schedule` while it is read.
struct entry_draft {
  scale_window value;
  place min;
  place max;
};

constexpr std::array entry_fields{
    field<entry_draft>{"min",
                       [](const scope& in, const member& e, entry_draft& out) {
                         read_scalar(in, e, out.value.min,
                                     [](std::string_view t) { return parse_whole(t, 0, most_instances); });
                         out.min = {&in.file, e.value_mark()};
                       }},
    field<entry_draft>{"max",
                       [](const scope& in, const member& e, entry_draft& out) {
                         read_scalar(in, e, out.value.max,
                                     [](std::string_view t) { return parse_whole(t, 1, most_instances); });
                         out.max = {&in.file, e.value_mark()};
                       }},
};

entry_draft read_entry(const scope& in, const node& map) {
  entry_draft out;
  window_draft when;
  for (const member& key : map.members) {
    if (!read_window_key(in, key, when) && !read_field(in, key, entry_fields, out))
      unknown_key(in, key, "scale_window");
  }
  out.value.when = finish_window(in, map, std::move(when));
  if (out.min.file == nullptr && out.max.file == nullptr) {
    in.fail(map.at, "an entry of `schedule` needs a `min` or a `max`: what holds during that time");
  } else if (out.value.min && out.value.max && *out.value.min > *out.value.max) {
    in.problems.add(out.max, "`min` (" + std::to_string(*out.value.min) + ") is more than `max` (" +
                                 std::to_string(*out.value.max) + "): raise `max` or lower `min`");
  }
  return out;
}

void read_schedule(const scope& in, const member& entry, draft& out) {
  auto const given =
      mappings(in, entry, "an entry of `schedule`", "{days: mon-fri, from: \"08:00\", to: \"20:00\", min: 2}");
  if (!given) return;
  out.value.scale.schedule.clear();
  out.value.scale.schedule.reserve(given->size());
  out.schedule.clear();
  for (const node* map : *given) {
    entry_draft made = read_entry(in, *map);
    out.value.scale.schedule.push_back(std::move(made.value));
    out.schedule.emplace_back(made.min, made.max);
  }
}

constexpr std::array<std::pair<std::string_view, scale_metric>, 3> metrics{
    {{"concurrency", scale_metric::concurrency}, {"rps", scale_metric::rps}, {"backlog", scale_metric::backlog}}};
constexpr std::array<std::pair<std::string_view, to_zero>, 2> to_zero_choices{
    {{"stop", to_zero::stop}, {"freeze", to_zero::freeze}}};

constexpr std::array scale_fields{
    field<draft>{"min",
                 [](const scope& in, const member& e, draft& out) {
                   read_whole(in, e, 0, most_instances, out.value.scale.min);
                   out.min = now(in, e, out);
                 }},
    field<draft>{"max",
                 [](const scope& in, const member& e, draft& out) {
                   read_whole(in, e, 1, most_instances, out.value.scale.max);
                   out.max = now(in, e, out);
                 }},
    field<draft>{"metric", [](const scope& in, const member& e,
                              draft& out) { read_choice(in, e, metrics, out.value.scale.metric); }},
    field<draft>{"target",
                 [](const scope& in, const member& e, draft& out) {
                   read_scalar(in, e, out.value.scale.target, [](std::string_view t) {
                     return parse_decimal(t, {0.01, most_target});
                   });
                 }},
    field<draft>{"utilization",
                 [](const scope& in, const member& e, draft& out) {
                   read_decimal(in, e, {0, 1, true}, out.value.scale.utilization);
                 }},
    field<draft>{"window",
                 [](const scope& in, const member& e, draft& out) {
                   read_window_length(in, e, out.value.scale.window);
                   out.window = now(in, e, out);
                 }},
    field<draft>{"panic_window",
                 [](const scope& in, const member& e, draft& out) {
                   read_window_length(in, e, out.value.scale.panic_window);
                   out.panic_window = now(in, e, out);
                 }},
    field<draft>{"panic_threshold",
                 [](const scope& in, const member& e, draft& out) {
                   read_decimal(in, e, {1, most_rate, true}, out.value.scale.panic_threshold);
                 }},
    field<draft>{"max_up_rate",
                 [](const scope& in, const member& e, draft& out) {
                   read_decimal(in, e, {1, most_rate, true}, out.value.scale.max_up_rate);
                 }},
    field<draft>{"max_down_rate",
                 [](const scope& in, const member& e, draft& out) {
                   read_decimal(in, e, {1, most_rate, true}, out.value.scale.max_down_rate);
                 }},
    field<draft>{"down_delay", [](const scope& in, const member& e,
                                  draft& out) { read_duration(in, e, zero::allowed, out.value.scale.down_delay); }},
    field<draft>{"idle", [](const scope& in, const member& e,
                            draft& out) { read_duration(in, e, zero::allowed, out.value.scale.idle); }},
    field<draft>{"to_zero", [](const scope& in, const member& e,
                               draft& out) { read_choice(in, e, to_zero_choices, out.value.scale.to_zero); }},
    field<draft>{"frozen_for", [](const scope& in, const member& e,
                                  draft& out) { read_duration(in, e, zero::allowed, out.value.scale.frozen_for); }},
    field<draft>{"spare", [](const scope& in, const member& e,
                             draft& out) { read_whole(in, e, 0, most_instances, out.value.scale.spare); }},
    field<draft>{"schedule", read_schedule},
};

std::string number(unsigned value) {
  return " (" + std::to_string(value) + ")";
}

/// Of two keys that do not fit together, the one that was given nearer to the revision; `second` of equals.
place nearer(const said& first, const said& second) {
  return second.level >= first.level ? second.at : first.at;
}

/// A `min` that no `max` of any time reaches, or the other way round, can never hold.
void check_schedule(const scope& in, const draft& out) {
  const scale& value = out.value.scale;
  unsigned highest = value.max;
  unsigned lowest = value.min;
  for (const scale_window& entry : value.schedule) {
    highest = std::max(highest, entry.max.value_or(0));
    lowest = std::min(lowest, entry.min.value_or(lowest));
  }
  for (std::size_t i = 0; i < out.schedule.size(); ++i) {
    const scale_window& entry = value.schedule[i];
    if (entry.min && !entry.max && *entry.min > highest) {
      in.problems.add(out.schedule[i].first, "`min`" + number(*entry.min) + " is more than `max`" + number(highest) +
                                                 ": give this entry a `max`, or raise the one of `scale`");
    }
    if (entry.max && !entry.min && *entry.max < lowest) {
      in.problems.add(out.schedule[i].second, "`max`" + number(*entry.max) + " is less than `min`" + number(lowest) +
                                                  ": give this entry a `min`, or lower the one of `scale`");
    }
  }
}

}  // namespace

void read_scale(const scope& in, const member& entry, revision_draft& out) {
  if (const node* map = mapping(in, entry)) read_fields(in, *map, "function.scale", scale_fields, out);
}

void finish_scale(const scope& in, revision_draft& out) {
  scale& value = out.value.scale;
  if (value.min > value.max) {
    in.problems.add(nearer(out.min, out.max), "`min`" + number(value.min) + " is more than `max`" + number(value.max) +
                                                  ": raise `max` or lower `min`");
  } else {
    check_schedule(in, out);
  }
  if (value.panic_window <= value.window) return;
  if (!out.panic_window.anywhere()) {
    value.panic_window = value.window;
    return;
  }
  in.problems.add(nearer(out.window, out.panic_window),
                  "`panic_window` (" + format_duration(value.panic_window) + ") is longer than `window` (" +
                      format_duration(value.window) + "): it is the part of it that counts in a rush, shorten it");
}

void add_scale_keys(std::vector<key_section>& out) {
  out.push_back({"function.scale", keys_of(scale_fields)});
  std::vector<std::string_view> entry = window_keys();
  for (std::string_view key : keys_of(entry_fields)) entry.push_back(key);
  out.push_back({"scale_window", std::move(entry)});
}

}  // namespace rouse::config
