#include "config/route_path.hpp"

#include <algorithm>
#include <vector>

#include "config/text.hpp"

namespace rouse::config {
namespace {

parsed<std::string> failed(std::string why) {
  return {std::nullopt, std::move(why)};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool is_unreserved(int c) {
  bool const letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return letter || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

/// Escapes in their normal form; the error is the second half of a sentence.
parsed<std::string> decode(std::string_view path) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      out += path[i];
      continue;
    }
    int const high = i + 2 < path.size() ? hex_digit(path[i + 1]) : -1;
    int const low = i + 2 < path.size() ? hex_digit(path[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return failed("has a `%` that is not followed by two hex digits: write `%25` for a plain `%`");
    }
    int const value = high * 16 + low;
    if (value == 0) return failed("holds `%00`, which no request may hold");
    if (is_unreserved(value)) {
      out += static_cast<char>(value);
    } else {
      out += {'%', digits[static_cast<std::size_t>(high)], digits[static_cast<std::size_t>(low)]};
    }
    i += 2;
  }
  return {std::move(out), {}};
}

/// Whether `segment`, which is no dot segment, has a part that is one to a server that cuts it at encoded slashes and
/// backslashes and drops what follows a `;`. Requests with such a path are refused (router/normalise.hpp): no route can
/// match them. Escapes are in upper case.
bool hides_dots(std::string_view segment) {
  while (true) {
    std::size_t const escape = std::min(segment.find("%2F"), segment.find("%5C"));
    std::size_t const cut = std::min(escape, segment.find('\\'));
    std::string_view part = segment.substr(0, cut);
    part = part.substr(0, std::min(part.find(';'), part.find("%3B")));
    if (part == "." || part == "..") return true;
    if (cut == segment.npos) return false;
    segment.remove_prefix(cut + (cut == escape ? 3 : 1));
  }
}

/// What no path may hold, in words; empty when there is nothing.
std::string forbidden(std::string_view path) {
  if (path.empty() || path.front() != '/') return "must begin with `/`, not be " + shown(path);
  for (char c : path) {
    if (c == '?') return "is " + shown(path) + ", but a query cannot be matched: leave out the `?` and what follows";
    if (c == '#') return "is " + shown(path) + ", but a `#` never reaches a server: leave it out";
    if (c == ' ') return "is " + shown(path) + ", but a path cannot hold a space: write `%20`";
    if (c < 0x20 || c == 0x7F) {
      return "is " + shown(path) + ", but a path holds only visible ASCII: write other characters percent-encoded";
    }
  }
  return {};
}

}  // namespace

parsed<std::string> normal_path(std::string_view path) {
  auto decoded = decode(path);
  if (!decoded.value) return decoded;
  std::string_view const text = *decoded.value;
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {  // text[at] is the `/` before a segment
    std::size_t const end = std::min(text.find('/', at + 1), text.size());
    std::string_view const segment = text.substr(at + 1, end - at - 1);
    bool const last = end == text.size();
    if (segment == "..") {
      if (out.empty()) return failed("climbs above `/` with its `..`");
      out.resize(out.rfind('/'));
    } else if (segment != "." && hides_dots(segment)) {
      return failed("has the segment " + shown(segment) +
                    ", which some servers read as a step up or in place: requests with it are refused");
    } else if (segment != ".") {
      out.append("/").append(segment);
    }
    if (last && (segment == "." || segment == "..")) out += '/';
    at = end;
  }
  return {std::move(out), {}};
}

parsed<std::string> parse_route_path(std::string_view text) {
  if (std::string why = forbidden(text); !why.empty()) return failed(std::move(why));
  bool const prefix = text.ends_with("/*");
  std::string_view const fixed = prefix ? text.substr(0, text.size() - 1) : text;
  if (fixed.find('*') != fixed.npos) {
    return failed("is " + shown(text) + ", but a `*` is possible only at the end, after a `/`, such as `/thumb/*`");
  }
  auto normal = normal_path(fixed);
  if (!normal.value) return failed("is " + shown(text) + ", which " + normal.error);
  std::string whole = *normal.value + (prefix ? "*" : "");
  if (whole == text) return {std::move(whole), {}};
  return failed("is " + shown(text) + ", which no request matches, because their paths are normalised first: write " +
                shown(whole));
}

parsed<std::string> parse_rewrite(std::string_view text) {
  if (std::string why = forbidden(text); !why.empty()) return failed(std::move(why));
  if (text.find('*') != text.npos) {
    return failed("is " + shown(text) + ", but must not hold a `*`: it replaces what stands before the `*` of `path`");
  }
  auto normal = normal_path(text);
  if (!normal.value) return failed("is " + shown(text) + ", which " + normal.error);
  if (*normal.value == text) return {std::string(text), {}};
  return failed("is " + shown(text) + ", which is not in normal form: write " + shown(*normal.value));
}

parsed<std::string> parse_route_host(std::string_view text) {
  if (text.empty()) return failed("is empty: leave out `host` for any host");
  if (text == "*") return failed("is `*`: leave out `host` for any host, or write `*.example.com`");
  auto bad = [&](std::string_view why) { return failed("is " + shown(text) + ", but " + std::string(why)); };
  if (text.find("//") != text.npos || text.find('/') != text.npos) {
    return bad("must be only a host name, without scheme or path, such as `example.com`");
  }
  if (text.front() == '[' || std::count(text.begin(), text.end(), ':') > 1)
    return bad("an IPv6 address cannot be matched");
  if (text.find(':') != text.npos) return bad("must not have a port: requests are matched by the name alone");
  std::string name = lower(text);
  std::string_view const fixed = name.starts_with("*.") ? std::string_view(name).substr(2) : name;
  if (fixed.find('*') != fixed.npos) return bad("a `*` is possible only at the front, such as `*.example.com`");
  if (name.back() == '.') return bad("must not end with a dot");
  if (name.size() > 255) return bad("is longer than the 253 characters of a host name");
  std::size_t begin = 0;
  while (begin <= fixed.size()) {
    std::size_t const end = std::min(fixed.find('.', begin), fixed.size());
    std::string_view const label = fixed.substr(begin, end - begin);
    bool const valid = std::all_of(label.begin(), label.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
    if (label.empty() || label.size() > 63) return bad("each part between dots must have 1 to 63 characters");
    if (!valid) return bad("a host name holds only letters, digits, `-` and dots (write others in their `xn--` form)");
    begin = end + 1;
  }
  return {std::move(name), {}};
}

}  // namespace rouse::config
