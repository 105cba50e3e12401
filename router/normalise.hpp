#pragma once
// One spelling for every path, so that a route cannot be got round by writing its path another way. Pure functions;
// they work on the caller's bytes and one scratch string, in time linear in the target, and hold nothing.

#include <cstddef>
#include <string>
#include <string_view>

namespace rouse::router {

/// A path in three spellings. Each is a view of the target or of the scratch string that was given.
struct normalised_path {
  std::string_view raw;   ///< as sent, without the query
  std::string_view path;  ///< means the same to every server (RFC 3986, 6.2.2): fit to be forwarded
  std::string_view key;   ///< only for comparing: `path` with the escapes of `!$&'()*+,;=:@` decoded too
  /// The first so many bytes of `path` come from segments that no dot segment follows into: the n-th slash in there is
  /// the n-th slash of `raw`. npos when the path has no dot segments at all.
  std::size_t untouched = std::string_view::npos;

  /// What follows `raw` in the target: empty, or the `?` and the query.
  [[nodiscard]] std::string_view query(std::string_view target) const { return target.substr(raw.size()); }
};

/// Normalises the path of an origin-form `target`: decodes the escapes of unreserved characters, writes the hex digits
/// of the others in upper case, escapes raw bytes that a path may not hold, and resolves `.` and `..`, escaped ones too
/// (RFC 3986, 5.2.4). `%2F` and `%5C` are never decoded, and empty segments are kept.
///
/// False for what is not a path, and for what servers read in different ways, which is refused rather than guessed at:
/// - no leading slash, a control character or space, a `#` anywhere in the target, a broken escape, `%00`;
/// - `..` above the root, or `..` that takes back a segment which is empty or holds `;`, `%2F` or `%5C`;
/// - a segment that is `.` or `..` to those who cut it at `;`, `%2F` or `%5C` (`..;x`, `..%2Fx`, `x%5C..`).
///
/// A path that is normal already leaves `scratch` alone. Otherwise `scratch` is overwritten, with at most six times the
/// path's length.
[[nodiscard]] bool normalise(std::string_view target, std::string& scratch, normalised_path& result);

}  // namespace rouse::router
