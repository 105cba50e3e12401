#include "config/units.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>

#include "config/text.hpp"

namespace rouse::config {
namespace {

using std::chrono::milliseconds;

struct unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array<unit, 5> durations{{{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};
constexpr std::array<unit, 5> sizes{{{"TiB", std::uint64_t{1} << 40U},
                                     {"GiB", std::uint64_t{1} << 30U},
                                     {"MiB", std::uint64_t{1} << 20U},
                                     {"KiB", std::uint64_t{1} << 10U},
                                     {"", 1}}};

/// What people write for a unit that is spelt differently here. Names are lower case.
struct alias {
  std::string_view written;
  std::string_view meant;
};
constexpr std::array<alias, 21> duration_aliases{
    {{"millis", "ms"}, {"msec", "ms"},  {"msecs", "ms"},  {"millisecond", "ms"}, {"milliseconds", "ms"},
     {"sec", "s"},     {"secs", "s"},   {"second", "s"},  {"seconds", "s"},      {"min", "m"},
     {"mins", "m"},    {"minute", "m"}, {"minutes", "m"}, {"hr", "h"},           {"hrs", "h"},
     {"hour", "h"},    {"hours", "h"},  {"day", "d"},     {"days", "d"},         {"ms", "ms"},
     {"s", "s"}}};
constexpr std::array<alias, 17> size_aliases{{{"k", "KiB"},
                                              {"kb", "KiB"},
                                              {"ki", "KiB"},
                                              {"kib", "KiB"},
                                              {"m", "MiB"},
                                              {"mb", "MiB"},
                                              {"mi", "MiB"},
                                              {"mib", "MiB"},
                                              {"g", "GiB"},
                                              {"gb", "GiB"},
                                              {"gi", "GiB"},
                                              {"gib", "GiB"},
                                              {"t", "TiB"},
                                              {"tb", "TiB"},
                                              {"ti", "TiB"},
                                              {"tib", "TiB"},
                                              {"b", ""}}};

/// Digits at the front of `text` as a number; saturates at the largest value.
std::uint64_t leading_number(std::string_view digits) {
  std::uint64_t value = 0;
  for (char c : digits) {
    auto const digit = static_cast<std::uint64_t>(c - '0');
    if (value > (UINT64_MAX - digit) / 10) return UINT64_MAX;
    value = value * 10 + digit;
  }
  return value;
}

std::size_t count_digits(std::string_view text) {
  auto const end = std::find_if(text.begin(), text.end(), [](char c) { return c < '0' || c > '9'; });
  return static_cast<std::size_t>(end - text.begin());
}

/// What a wrong unit was probably meant to be; `none` when there is no telling.
std::string_view meant_unit(std::string_view written, std::span<const alias> aliases, std::string_view none) {
  while (!written.empty() && written.front() == ' ') written.remove_prefix(1);
  std::string const folded = lower(written);
  auto const found = std::find_if(aliases.begin(), aliases.end(), [&](const alias& a) { return a.written == folded; });
  return found == aliases.end() ? none : found->meant;
}

parsed<std::uint64_t> failed(std::string why) {
  return {std::nullopt, std::move(why)};
}

parsed<std::uint64_t> scaled(std::string_view text, std::string_view digits, std::uint64_t factor, std::uint64_t most,
                             const std::string& most_text) {
  std::uint64_t const number = leading_number(digits);
  if (number > most / factor) return failed("is " + shown(text) + ", which is too large: at most " + most_text);
  return {number * factor, {}};
}

/// The value of digits with at most one point between them; nothing for any other text.
std::optional<double> decimal(std::string_view text) {
  std::size_t const whole = count_digits(text);
  if (whole == 0 || text.size() > 64) return std::nullopt;
  if (whole < text.size()) {
    std::string_view const fraction = text.substr(whole + 1);
    if (text[whole] != '.' || fraction.empty() || count_digits(fraction) != fraction.size()) return std::nullopt;
  }
  double value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

const unit* find_unit(std::span<const unit> units, std::string_view name) {
  auto const found = std::find_if(units.begin(), units.end(), [&](const unit& u) { return u.name == name; });
  return found == units.end() ? nullptr : &*found;
}

}  // namespace

parsed<milliseconds> parse_duration(std::string_view text) {
  auto fail = [](std::string why) { return parsed<milliseconds>{std::nullopt, std::move(why)}; };
  std::string_view const digits = text.substr(0, count_digits(text));
  std::string_view const name = text.substr(digits.size());
  if (digits.empty()) {
    return fail("must be a duration such as `250ms`, `30s`, `5m`, `1h`, `7d` or `0`, not " + shown(text));
  }
  if (name.empty()) {
    if (leading_number(digits) == 0) return {milliseconds(0), {}};
    return fail("is " + shown(text) + " without a unit: write " + shown(std::string(text) + "s") + " for seconds or " +
                shown(std::string(text) + "ms") + " for milliseconds");
  }
  if (const unit* found = find_unit(durations, name)) {
    auto const result = scaled(text, digits, found->factor, static_cast<std::uint64_t>(longest_duration.count()),
                               format_duration(longest_duration));
    if (!result.value) return fail(result.error);
    return {milliseconds(static_cast<milliseconds::rep>(*result.value)), {}};
  }
  std::string_view const meant = meant_unit(name, duration_aliases, "?");
  if (meant != "?") {
    return fail("is " + shown(text) + ", which is not a duration: did you mean " +
                shown(std::string(digits) + std::string(meant)) + "?");
  }
  return fail("is " + shown(text) +
              ", which is not a duration: write a whole number and one of ms, s, m, h, d, such as `90s`");
}

parsed<std::uint64_t> parse_size(std::string_view text) {
  std::string_view const digits = text.substr(0, count_digits(text));
  std::string_view const name = text.substr(digits.size());
  if (digits.empty()) {
    return failed("must be a size such as `64KiB`, `16MiB`, `1GiB` or a number of bytes, not " + shown(text));
  }
  if (const unit* found = find_unit(sizes, name))
    return scaled(text, digits, found->factor, largest_size, "1048576TiB");
  std::string_view const meant = meant_unit(name, size_aliases, "?");
  if (meant != "?") {
    return failed("is " + shown(text) + ", which is not a size: did you mean " +
                  shown(std::string(digits) + std::string(meant)) + "?");
  }
  return failed("is " + shown(text) +
                ", which is not a size: write a whole number and one of KiB, MiB, GiB, TiB, or plain bytes");
}

parsed<std::uint64_t> parse_whole(std::string_view text, std::uint64_t least, std::uint64_t most) {
  std::string const range = "from " + std::to_string(least) + " to " + std::to_string(most);
  if (text.empty() || count_digits(text) != text.size()) {
    return failed("must be a whole number " + range + ", not " + shown(text));
  }
  std::uint64_t const value = leading_number(text);
  if (value < least || value > most) return failed("is " + shown(text) + ", but must be " + range);
  return {value, {}};
}

parsed<double> parse_decimal(std::string_view text, const decimal_range& range) {
  std::string const words = range.above
                                ? "more than " + format_decimal(range.least) + ", at most " + format_decimal(range.most)
                                : "from " + format_decimal(range.least) + " to " + format_decimal(range.most);
  std::optional<double> const value = decimal(text);
  if (!value) return {std::nullopt, "must be a number, " + words + ", not " + shown(text)};
  bool const low = range.above ? *value <= range.least : *value < range.least;
  if (low || *value > range.most) return {std::nullopt, "is " + shown(text) + ", but must be " + words};
  return {value, {}};
}

parsed<double> parse_part(std::string_view text) {
  bool const percent = text.ends_with('%');
  std::optional<double> const number = decimal(percent ? text.substr(0, text.size() - 1) : text);
  if (!number) return {std::nullopt, "must be a part such as `20%` or `0.2`, not " + shown(text)};
  double const value = percent ? *number / 100 : *number;
  if (value <= 1) return {value, {}};
  std::string const hint = percent || *number > 100 ? "" : ": did you mean " + shown(std::string(text) + "%") + "?";
  return {std::nullopt, "is " + shown(text) + ", but must be from 0 to 100%" + hint};
}

parsed<bool> parse_boolean(std::string_view text) {
  if (text == "true" || text == "True" || text == "TRUE") return {true, {}};
  if (text == "false" || text == "False" || text == "FALSE") return {false, {}};
  std::string const folded = lower(text);
  std::string hint;
  if (folded == "yes" || folded == "on" || folded == "1" || folded == "y") hint = ": did you mean `true`?";
  if (folded == "no" || folded == "off" || folded == "0" || folded == "n") hint = ": did you mean `false`?";
  return {std::nullopt, "must be `true` or `false`, not " + shown(text) + hint};
}

std::string format_duration(milliseconds value) {
  auto const count = static_cast<std::uint64_t>(value.count());
  if (count == 0) return "0";
  for (const unit& u : durations) {
    if (count % u.factor == 0) return std::to_string(count / u.factor) + std::string(u.name);
  }
  return {};  // not reached: everything is a multiple of 1 ms
}

std::string format_decimal(double value) {
  std::array<char, 400> buffer{};  // the largest double has 309 digits
  auto const end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
  return {buffer.data(), end.ptr};
}

std::string format_size(std::uint64_t value) {
  if (value == 0) return "0";
  for (const unit& u : sizes) {
    if (value % u.factor == 0) return std::to_string(value / u.factor) + std::string(u.name);
  }
  return {};  // not reached: everything is a multiple of 1 byte
}

}  // namespace rouse::config
