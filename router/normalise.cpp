#include "router/normalise.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace rouse::router {
namespace {

constexpr auto npos = std::string_view::npos;

/// What a byte is to a path (RFC 3986, 3.3).
enum class kind : std::uint8_t {
  unreserved,  ///< the same with and without an escape, to everybody
  reserved,    ///< sub-delims, `:` and `@`: an escape may make a difference to the function, none to a route
  slash,
  percent,
  foreign,  ///< may stand there only as an escape: `"<>[\]^`{|}` and everything beyond ASCII
  refused,  ///< control characters, space, DEL
};

constexpr std::array<kind, 256> make_kinds() {
  std::array<kind, 256> kinds{};
  kinds.fill(kind::foreign);
  for (int c = 0; c <= 0x20; ++c) kinds[static_cast<std::size_t>(c)] = kind::refused;
  kinds[0x7f] = kind::refused;
  for (char c = 'a'; c <= 'z'; ++c) kinds[static_cast<unsigned char>(c)] = kind::unreserved;
  for (char c = 'A'; c <= 'Z'; ++c) kinds[static_cast<unsigned char>(c)] = kind::unreserved;
  for (char c = '0'; c <= '9'; ++c) kinds[static_cast<unsigned char>(c)] = kind::unreserved;
  for (const char c : std::string_view("-._~")) kinds[static_cast<unsigned char>(c)] = kind::unreserved;
  for (const char c : std::string_view("!$&'()*+,;=:@")) kinds[static_cast<unsigned char>(c)] = kind::reserved;
  kinds['/'] = kind::slash;
  kinds['%'] = kind::percent;
  return kinds;
}

constexpr std::array<kind, 256> kinds = make_kinds();

/// Stands for itself in a segment.
constexpr bool is_plain(kind k) {
  return k <= kind::reserved;
}

kind kind_of(char c) {
  return kinds[static_cast<unsigned char>(c)];
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

/// The byte that the escape at `text[at]` (a `%`) stands for; -1 when it is broken.
int escaped_byte(std::string_view text, std::size_t at) {
  if (text.size() - at < 3) return -1;
  const int high = hex_value(text[at + 1]);
  const int low = hex_value(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

void append_escape(std::string& out, unsigned char byte) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  const std::array<char, 3> escape{'%', digits[byte >> 4], digits[byte & 15]};
  out.append(escape.data(), escape.size());
}

/// Whether one or two dots stand at `at` that end there, or where somebody may see an end.
bool dots_at(std::string_view path, std::size_t at) {
  if (at >= path.size() || path[at] != '.') return false;
  ++at;
  if (at < path.size() && path[at] == '.') ++at;
  return at == path.size() || path[at] == '/' || path[at] == ';' || path[at] == '%' || path[at] == '\\';
}

/// Whether the escape at `at` is written as normalise() would write it, and needs no second look.
bool settled_escape(std::string_view path, std::size_t at) {
  const int byte = escaped_byte(path, at);
  if (byte <= 0 || path[at + 1] >= 'a' || path[at + 2] >= 'a') return false;
  if (is_plain(kinds[static_cast<std::size_t>(byte)])) return false;
  return (byte != '/' && byte != '\\') || !dots_at(path, at + 3);
}

/// Whether `path` is normal as it stands. Says no when in doubt; the thorough way then decides.
bool plainly_normal(std::string_view path) {
  for (std::size_t i = 0; i < path.size(); ++i) {
    const kind k = kind_of(path[i]);
    if (is_plain(k)) continue;
    if (k == kind::slash) {
      if (dots_at(path, i + 1)) return false;
    } else if (k == kind::percent && settled_escape(path, i)) {
      i += 2;
    } else {
      return false;
    }
  }
  return true;
}

/// Where the next `%2F` or `%5C` of `segment` begins; npos when there is none.
std::size_t encoded_slash(std::string_view segment) {
  for (std::size_t at = segment.find('%'); at != npos; at = segment.find('%', at + 1)) {
    const std::string_view escape = segment.substr(at, 3);
    if (escape == "%2F" || escape == "%5C") return at;
  }
  return npos;
}

/// Whether `segment`, which is not a dot segment, has a part that is one to a server that cuts it at encoded slashes
/// and drops what follows a `;`.
bool hides_dots(std::string_view segment) {
  while (true) {
    const std::size_t cut = encoded_slash(segment);
    std::string_view part = segment.substr(0, cut);
    part = part.substr(0, std::min(part.find(';'), part.find("%3B")));
    if (part == "." || part == "..") return true;
    if (cut == npos) return false;
    segment.remove_prefix(cut + 3);
  }
}

/// Whether every server agrees that `..` takes back exactly this segment.
bool may_be_taken_back(std::string_view segment) {
  return !segment.empty() && segment.find(';') == npos && segment.find("%3B") == npos && encoded_slash(segment) == npos;
}

/// The thorough way: writes the path into `out`, segment by segment.
class rewriter {
 public:
  rewriter(std::string_view path, std::string& out) : path_(path), out_(out) { out_.clear(); }

  [[nodiscard]] bool run() {
    std::size_t at = 0;
    while (at < path_.size()) {  // path_[at] is a slash
      out_ += '/';
      const std::size_t segment = out_.size();
      for (++at; at < path_.size() && path_[at] != '/';) {
        if (!copy(at)) return false;
      }
      if (!end_segment(segment, at == path_.size())) return false;
    }
    return true;
  }

  [[nodiscard]] std::size_t untouched() const { return untouched_; }
  [[nodiscard]] bool has_reserved_escapes() const { return reserved_escapes_; }

 private:
  /// Copies a run of plain bytes, another byte, or an escape from `at`, and moves on.
  bool copy(std::size_t& at) {
    const std::size_t begin = at;
    while (at < path_.size() && is_plain(kind_of(path_[at]))) ++at;
    if (at > begin) {
      out_.append(path_, begin, at - begin);
      return true;
    }
    const kind k = kind_of(path_[at]);
    if (k == kind::refused) return false;
    if (k == kind::foreign) {
      append_escape(out_, static_cast<unsigned char>(path_[at++]));
      return true;
    }
    const int byte = escaped_byte(path_, at);
    if (byte <= 0) return false;
    at += 3;
    const kind escaped = kinds[static_cast<std::size_t>(byte)];
    if (escaped == kind::unreserved) {
      out_ += static_cast<char>(byte);
    } else {
      append_escape(out_, static_cast<unsigned char>(byte));
      reserved_escapes_ = reserved_escapes_ || escaped == kind::reserved;
    }
    return true;
  }

  /// Resolves the segment that begins at out_[begin] when it is a dot segment.
  bool end_segment(std::size_t begin, bool last) {
    const std::string_view segment = std::string_view(out_).substr(begin);
    if (segment != "." && segment != "..") return !hides_dots(segment);
    const bool up = segment.size() == 2;
    out_.resize(begin - 1);
    if (up && !take_back()) return false;
    untouched_ = std::min(untouched_, out_.size());
    if (last) out_ += '/';
    return true;
  }

  bool take_back() {
    if (out_.empty()) return false;  // above the root
    const std::size_t slash = out_.rfind('/');
    if (!may_be_taken_back(std::string_view(out_).substr(slash + 1))) return false;
    out_.resize(slash);
    return true;
  }

  std::string_view path_;
  std::string& out_;
  std::size_t untouched_ = npos;
  bool reserved_escapes_ = false;
};

/// Appends the first `length` bytes of `text` to it, with the escapes of reserved characters decoded.
void append_key(std::string& text, std::size_t length) {
  text.reserve(2 * length);
  for (std::size_t i = 0; i < length; ++i) {
    if (text[i] == '%') {
      const auto byte = static_cast<unsigned char>(escaped_byte(text, i));
      if (kinds[byte] == kind::reserved) {
        text += static_cast<char>(byte);
        i += 2;
        continue;
      }
    }
    text += text[i];
  }
}

}  // namespace

bool normalise(std::string_view target, std::string& scratch, normalised_path& result) {
  if (target.empty() || target.front() != '/' || target.find('#') != npos) return false;
  result.raw = target.substr(0, target.find('?'));
  result.path = result.key = result.raw;
  result.untouched = npos;
  if (plainly_normal(result.raw)) return true;

  rewriter thorough(result.raw, scratch);
  if (!thorough.run()) return false;
  const std::size_t length = scratch.size();
  if (thorough.has_reserved_escapes()) append_key(scratch, length);
  result.path = std::string_view(scratch).substr(0, length);
  result.key = thorough.has_reserved_escapes() ? std::string_view(scratch).substr(length) : result.path;
  result.untouched = thorough.untouched();
  return true;
}

}  // namespace rouse::router
