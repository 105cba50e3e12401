#pragma once
// Text that came from outside, made safe for one line of a log. Nothing that a caller or a function sends can begin a
// line of its own, move a terminal's cursor, or end a quoted value. Pure; any thread.

#include <chrono>
#include <string>
#include <string_view>

namespace rouse::gateway {

/// Appends `text` for people: control characters (C0, DEL, C1, U+2028, U+2029), bidirectional overrides and bytes that
/// are not UTF-8 become `\n`, `\t` or `\xHH` (each byte of the character). The backslash itself stays, for the sake of
/// paths.
void append_line_text(std::string& out, std::string_view text);

/// Appends `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD; DEL, C1, U+2028 and U+2029
/// are escaped as well, because logs are read on terminals.
void append_json_string(std::string& out, std::string_view text);

/// Appends `text` for a quoted field of the combined access log, as nginx does: `"`, `\`, control characters and
/// everything beyond ASCII become `\xHH`. An empty text becomes `-`.
void append_access_text(std::string& out, std::string_view text);

/// Appends RFC 3339 in UTC with milliseconds: 2024-05-01T12:00:00.123Z
void append_rfc3339(std::string& out, std::chrono::system_clock::time_point at);

}  // namespace rouse::gateway
