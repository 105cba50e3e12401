#include <algorithm>
#include <array>

#include "config/readers.hpp"
#include "config/schedule.hpp"
#include "config/time_zones.hpp"

namespace rouse::config {
namespace {

void read_days(const scope& in, const member& entry, window_draft& out) {
  auto const given = texts(in, entry, "[mon-fri, sun]", true);
  if (!given) return;
  if (given->empty()) return in.fail(entry, "must not be empty: leave it out for every day");
  out.value.days = 0;
  for (const marked_text& item : *given) {
    auto const result = parse_days(*item.text);
    if (!result.value) {
      in.fail(item.at, shown(entry.key) + " " + result.error);
    } else {
      out.value.days |= *result.value;
    }
  }
}

void read_time(const scope& in, const member& entry, day_edge edge, std::optional<unsigned>& out) {
  read_scalar(in, entry, out, [&](std::string_view text) { return parse_time_of_day(text, edge); });
}

/// The name that was probably meant. The list of names is in mixed case, and people forget that first of all.
std::string near_timezone(std::string_view name) {
  std::vector<std::string> const names = timezone_names();
  std::vector<std::string> folded;
  for (const std::string& known : names) folded.push_back(lower(known));
  std::vector<std::string_view> const words(folded.begin(), folded.end());
  std::string_view const near = closest(name, words);
  auto const at = std::find(folded.begin(), folded.end(), near);
  return at == folded.end() ? "" : names[static_cast<std::size_t>(at - folded.begin())];
}

/// Why `name` is no time zone; empty when it is one. `suggest` costs a walk through the database.
std::string timezone_problem(const std::string& name, bool suggest) {
  if (known_timezone(name)) return {};
  if (!known_timezone("UTC")) {
    return "cannot be looked up, because there is no tz database in " + shown(timezone_folder()) +
           ": install the package tzdata";
  }
  std::string const near = suggest ? near_timezone(name) : "";
  return "is " + shown(name) + ", which is not in the tz database" +
         (near.empty() ? ": write a name such as `Asia/Shanghai` or `UTC`" : ": did you mean " + shown(near) + "?");
}

constexpr std::array window_fields{
    field<window_draft>{"days", read_days},
    field<window_draft>{"from",
                        [](const scope& in, const member& e, window_draft& out) {
                          out.from = &e;
                          read_time(in, e, day_edge::begin, out.begin);
                        }},
    field<window_draft>{"to",
                        [](const scope& in, const member& e, window_draft& out) {
                          out.to = &e;
                          read_time(in, e, day_edge::end, out.end);
                        }},
    field<window_draft>{"timezone", [](const scope& in, const member& e,
                                       window_draft& out) { read_timezone(in, e, out.value.timezone); }},
};

}  // namespace

void read_timezone(const scope& in, const member& entry, std::string& out) {
  const std::string* const text = scalar(in, entry);
  if (text == nullptr) return;
  if (text->empty()) return in.fail(entry, "is empty: leave it out for the time zone of this machine");
  constexpr std::size_t most_suggestions = 20;
  auto const [known, fresh] = in.found.timezones.try_emplace(*text);
  if (fresh) known->second = timezone_problem(*text, in.found.timezones.size() <= most_suggestions);
  if (known->second.empty()) {
    out = *text;
  } else {
    in.fail(entry, known->second);
  }
}

bool read_window_key(const scope& in, const member& entry, window_draft& out) {
  return read_field(in, entry, window_fields, out);
}

window finish_window(const scope& in, const node& map, window_draft draft) {
  constexpr unsigned day = 24 * 60;
  if (draft.from == nullptr || draft.to == nullptr) {
    std::string const missing = draft.from != nullptr ? "a `to`" : draft.to != nullptr ? "a `from`" : "`from` and `to`";
    in.fail(map.at, "an entry of `schedule` needs " + missing +
                        ", such as `from: \"08:00\", to: \"20:00\"`; a whole day is from `00:00` to `24:00`");
  } else if (draft.begin && draft.end) {
    if (*draft.begin == *draft.end)
      in.fail(*draft.to, "is the same time as `from`: write `00:00` and `24:00` for a whole day");
    draft.value.from = *draft.begin;
    draft.value.to = *draft.end < *draft.begin ? *draft.end + day : *draft.end;
  }
  return std::move(draft.value);
}

std::vector<std::string_view> window_keys() {
  return keys_of(window_fields);
}

}  // namespace rouse::config
