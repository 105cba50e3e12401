#include "config/cron.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <span>
#include <utility>
#include <vector>

#include "config/text.hpp"
#include "config/units.hpp"

namespace rouse::config {
namespace {

/// One of the five fields: what it is called, and which values it has.
struct cron_field {
  std::string_view name;
  unsigned least;
  unsigned most;
  unsigned wrap;  ///< most values of a step: how many there are before they begin again
  std::string_view example;
};

constexpr std::array fields{
    cron_field{"minute", 0, 59, 60, "0 or */10"},           cron_field{"hour", 0, 23, 24, "2 or 8-18"},
    cron_field{"day of the month", 1, 31, 31, "1 or 1,15"}, cron_field{"month", 1, 12, 12, "1 or jan"},
    cron_field{"day of the week", 0, 7, 7, "1 or mon-fri"},
};
constexpr std::size_t month_field = 3;
constexpr std::size_t weekday_field = 4;

constexpr std::array<std::string_view, 12> month_names{"jan", "feb", "mar", "apr", "may", "jun",
                                                       "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> weekday_names{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

constexpr std::array<std::pair<std::string_view, std::string_view>, 7> nicknames{{
    {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
    {"@monthly", "0 0 1 * *"},
    {"@weekly", "0 0 * * 0"},
    {"@daily", "0 0 * * *"},
    {"@midnight", "0 0 * * *"},
    {"@hourly", "0 * * * *"},
}};

/// Days that a month has at most, by its number.
constexpr std::array<unsigned, 13> month_days{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

constexpr bool is_space(char c) {
  return c == ' ' || c == '\t';
}

/// Reads one field; views are into the whole expression.
class field_reader {
 public:
  field_reader(std::string_view whole, std::string_view text, std::size_t index)
      : whole_(whole), text_(text), index_(index), what_(fields[index]) {}

  /// The bits of the field; nullopt when `problem` says why not.
  std::optional<std::uint64_t> read() {
    std::uint64_t bits = 0;
    for (std::size_t begin = 0; begin <= text_.size();) {
      std::size_t const end = std::min(text_.find(',', begin), text_.size());
      if (!read_part(text_.substr(begin, end - begin), bits)) return std::nullopt;
      begin = end + 1;
    }
    return bits;
  }

  cron_result problem;

 private:
  /// `at` is a view into the expression: where the problem is.
  bool fail(std::string_view at, const std::string& why) {
    problem.position = static_cast<std::size_t>(at.data() - whole_.data());
    problem.error = "is " + shown(whole_) + ", but its " + std::string(what_.name) + " " + shown(at) + " (character " +
                    std::to_string(problem.position + 1) + ") " + why;
    return false;
  }

  [[nodiscard]] std::string range_text() const {
    return std::to_string(what_.least) + " to " + std::to_string(what_.most);
  }

  [[nodiscard]] std::span<const std::string_view> names() const {
    if (index_ == month_field) return month_names;
    if (index_ == weekday_field) return weekday_names;
    return {};
  }

  bool bad_value(std::string_view word) {
    if (word == "?") return fail(word, "is not known here: write `*`");
    std::string const folded = lower(word);
    auto near = std::find_if(names().begin(), names().end(), [&](auto name) { return folded.starts_with(name); });
    std::string_view const meant = near != names().end() ? *near : closest(word, names());
    if (!meant.empty()) return fail(word, "is no name: did you mean " + shown(meant) + "?");
    return fail(word, "is no value: write one from " + range_text() + ", such as " + std::string(what_.example));
  }

  bool read_value(std::string_view word, unsigned& out) {
    if (word.empty()) {
      return fail(text_, "lacks a value: write a list such as " + std::string(what_.example));
    }
    auto const named = std::find(names().begin(), names().end(), lower(word));
    if (named != names().end()) {
      out = static_cast<unsigned>(named - names().begin()) + what_.least;
      return true;
    }
    if (word.find_first_not_of("0123456789") != word.npos) return bad_value(word);
    auto const number = parse_whole(word, what_.least, what_.most);
    if (!number.value) return fail(word, "is not possible: it must be from " + range_text());
    out = static_cast<unsigned>(*number.value);
    return true;
  }

  bool read_step(std::string_view word, unsigned& out) {
    bool const digits = !word.empty() && word.find_first_not_of("0123456789") == word.npos;
    auto const number = digits ? parse_whole(word, 1, what_.wrap) : parsed<std::uint64_t>{};
    if (!number.value) {
      std::string_view const at = word.empty() ? text_ : word;
      return fail(at, "has no step that is possible: it must be from 1 to " + std::to_string(what_.wrap) +
                          ", for the " + std::string(what_.name) + "s begin again then");
    }
    out = static_cast<unsigned>(*number.value);
    return true;
  }

  bool read_range(std::string_view part, std::size_t dash, unsigned& first, unsigned& last) {
    if (!read_value(part.substr(0, dash), first) || !read_value(part.substr(dash + 1), last)) return false;
    // Sunday is also the last day of a week.
    if (index_ == weekday_field && last == 0 && first > 0) last = 7;
    if (first <= last) return true;
    auto const range = [](unsigned from, unsigned to) {
      return from == to ? std::to_string(from) : std::to_string(from) + "-" + std::to_string(to);
    };
    unsigned const top = index_ == weekday_field ? 6 : what_.most;
    std::string const hint =
        first > top ? range(what_.least, last) : range(first, top) + "," + range(what_.least, last);
    return fail(part, "runs backwards: did you mean " + shown(hint) + "?");
  }

  bool read_part(std::string_view part, std::uint64_t& bits) {
    std::size_t const slash = part.find('/');
    std::string_view const span = part.substr(0, slash);
    std::size_t const dash = span.find('-');
    unsigned first = what_.least;
    unsigned last = what_.most;
    unsigned step = 1;
    if (span == "*") {
      if (index_ == weekday_field) last = 6;
    } else if (dash != span.npos) {
      if (!read_range(span, dash, first, last)) return false;
    } else {
      if (!read_value(span, first)) return false;
      last = first;
      if (slash != part.npos) {
        return fail(part,
                    "has a step behind a single value: write a range, such as " +
                        shown(std::string(span) + "-" + std::to_string(what_.most) + std::string(part.substr(slash))));
      }
    }
    if (slash != part.npos && !read_step(part.substr(slash + 1), step)) return false;
    for (unsigned value = first; value <= last; value += step) bits |= std::uint64_t{1} << value;
    return true;
  }

  std::string_view whole_;
  std::string_view text_;
  std::size_t index_;
  const cron_field& what_;
};

cron_result whole_problem(std::string why, std::size_t position = 0) {
  return {std::nullopt, std::move(why), position};
}

cron_result bad_nickname(std::string_view text, std::string_view word) {
  std::vector<std::string_view> known;
  for (const auto& [name, fields_of] : nicknames) known.push_back(name);
  std::string const start = "is " + shown(text);
  if (word == "@reboot") return whole_problem(start + ", but a trigger has no such time: write when it is due");
  if (lower(word).starts_with("@every")) {
    return whole_problem(start + ", which is no cron expression: write `*/5 * * * *` for every five minutes");
  }
  std::string_view const near = closest(word, known);
  return whole_problem(start + ", which is not known" +
                       (near.empty() ? ": write five fields, or one of @yearly, @monthly, @weekly, @daily, @hourly"
                                     : ": did you mean " + shown(near) + "?"));
}

cron_result bad_count(std::string_view text, const std::vector<std::string_view>& words) {
  std::string const start = "is " + shown(text) + ", which has " + std::to_string(words.size()) + " field" +
                            (words.size() == 1 ? "" : "s") +
                            ", but there must be five (minute, hour, day of the month, " + "month, day of the week)";
  if (words.size() < fields.size()) {
    return whole_problem(start + ": the " + std::string(fields[words.size()].name) + " is missing", text.size());
  }
  auto const position = static_cast<std::size_t>(words[fields.size()].data() - text.data());
  return whole_problem(start + (words.size() == 6 ? ": leave out the seconds or the year" : ""), position);
}

/// Whether there is a month that has one of the days.
bool happens(const cron& when) {
  if (when.either_day) return true;
  for (unsigned month = 1; month <= 12; ++month) {
    if ((when.months >> month & 1U) == 0) continue;
    if (static_cast<unsigned>(std::countr_zero(when.days)) <= month_days[month]) return true;
  }
  return false;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at < text.size();) {
    while (at < text.size() && is_space(text[at])) ++at;
    std::size_t const begin = at;
    while (at < text.size() && !is_space(text[at])) ++at;
    if (at > begin) words.push_back(text.substr(begin, at - begin));
  }
  return words;
}

}  // namespace

cron_result parse_cron(std::string_view text) {
  auto const words = split(text);
  if (words.empty()) return whole_problem("is empty: write five fields, such as `0 2 * * *` for 02:00 every day");
  if (words.size() == 1 && words[0].starts_with('@')) {
    for (const auto& [name, expression] : nicknames) {
      if (lower(words[0]) == name) return parse_cron(expression);
    }
    return bad_nickname(text, words[0]);
  }
  if (words.size() != fields.size()) return bad_count(text, words);
  std::array<std::uint64_t, fields.size()> bits{};
  for (std::size_t i = 0; i < fields.size(); ++i) {
    field_reader in(text, words[i], i);
    auto const read = in.read();
    if (!read) return std::move(in.problem);
    bits[i] = *read;
  }
  cron out;
  out.minutes = bits[0];
  out.hours = static_cast<std::uint32_t>(bits[1]);
  out.days = static_cast<std::uint32_t>(bits[2]);
  out.months = static_cast<std::uint16_t>(bits[3]);
  out.weekdays = static_cast<std::uint8_t>((bits[4] | bits[4] >> 7U) & 0x7FU);
  out.either_day = !words[2].starts_with('*') && !words[4].starts_with('*');
  if (!happens(out)) {
    auto const position = static_cast<std::size_t>(words[2].data() - text.data());
    return whole_problem("is " + shown(text) + ", which never comes: no month that it names has such a day", position);
  }
  return {out, {}, 0};
}

}  // namespace rouse::config
