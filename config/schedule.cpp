#include "config/schedule.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "config/text.hpp"

namespace rouse::config {
namespace {

constexpr std::array<std::string_view, 7> names{"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

parsed<std::uint8_t> bad_day(std::string_view word, std::string_view text) {
  std::string const folded = lower(word);
  // `Monday`, `Tues`: what begins like a day was meant to be one.
  auto near = std::find_if(names.begin(), names.end(), [&](std::string_view name) { return folded.starts_with(name); });
  std::string_view meant = near == names.end() ? closest(word, names) : *near;
  return {std::nullopt, "is " + shown(text) + ", but " + shown(word) + " is no day: " +
                            (meant.empty() ? "use mon, tue, wed, thu, fri, sat, sun, such as `mon-fri` or `mon,wed`"
                                           : "did you mean " + shown(meant) + "?")};
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

std::size_t day_of(std::string_view word) {
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), word) - names.begin());
}

}  // namespace

parsed<std::uint8_t> parse_days(std::string_view text) {
  if (text.empty()) return {std::nullopt, "is empty: leave it out for every day"};
  unsigned days = 0;
  for (std::size_t begin = 0; begin <= text.size();) {
    std::size_t const end = std::min(text.find(',', begin), text.size());
    std::string_view const part = trimmed(text.substr(begin, end - begin));
    std::size_t const dash = part.find('-');
    std::string_view const first = trimmed(part.substr(0, dash));
    std::string_view const last = dash == part.npos ? first : trimmed(part.substr(dash + 1));
    std::size_t day = day_of(first);
    std::size_t const stop = day_of(last);
    if (day == names.size()) return bad_day(first, text);
    if (stop == names.size()) return bad_day(last, text);
    for (; day != stop; day = (day + 1) % names.size()) days |= 1U << day;
    days |= 1U << stop;
    begin = end + 1;
  }
  return {static_cast<std::uint8_t>(days), {}};
}

parsed<unsigned> parse_time_of_day(std::string_view text, day_edge edge) {
  auto const digit = [](char c) { return c >= '0' && c <= '9'; };
  std::string_view const example = edge == day_edge::begin ? "`08:00`" : "`20:00` or `24:00`";
  auto const fail = [&](const std::string& hint) {
    return parsed<unsigned>{std::nullopt, "must be a time of the day such as " + std::string(example) + ", not " +
                                              shown(text) +
                                              (hint.empty() ? "" : ": did you mean " + shown(hint) + "?")};
  };
  if (text.size() == 4 && text[1] == ':' && digit(text[0])) return fail("0" + std::string(text));
  bool const shaped =
      text.size() == 5 && digit(text[0]) && digit(text[1]) && text[2] == ':' && digit(text[3]) && digit(text[4]);
  if (!shaped) return fail("");
  auto const pair = [&](std::size_t at) { return static_cast<unsigned>((text[at] - '0') * 10 + (text[at + 1] - '0')); };
  unsigned const minutes = pair(0) * 60 + pair(3);
  if (minutes == 24 * 60 && edge == day_edge::begin) return fail("00:00");
  if (pair(3) > 59 || minutes > 24 * 60) return fail("");
  return {minutes, {}};
}

}  // namespace rouse::config
