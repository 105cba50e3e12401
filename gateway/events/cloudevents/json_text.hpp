#pragma once
// JSON as text: checked by nlohmann's parser, then cut into members without being changed, so that data passes through
// byte for byte (numbers beyond 64 bits, the order of keys). For this folder's sources only. Pure; any thread.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rouse::gateway::events::detail {

/// Why `text` is not one JSON value (RFC 8259) of at most `most_depth` nested arrays and objects; nullopt when it is.
/// The end of a sentence: "is not valid JSON at byte 5". Numbers that a double cannot hold (1e999) are refused.
[[nodiscard]] std::optional<std::string> json_problem(std::string_view text, std::size_t most_depth);

/// The functions below take JSON that json_problem() found nothing wrong with.

enum class json_type : unsigned char { object, array, string, number, boolean, null };
[[nodiscard]] json_type type_of(std::string_view value);

/// `text` without white space around it.
[[nodiscard]] std::string_view json_trimmed(std::string_view text);

/// Of an object: each key decoded, each value as it stands.
[[nodiscard]] std::vector<std::pair<std::string, std::string_view>> json_members(std::string_view object);

/// Of an array: each value as it stands.
[[nodiscard]] std::vector<std::string_view> json_items(std::string_view array);

/// What a JSON string says.
[[nodiscard]] std::string json_string(std::string_view value);

/// Appends `text`, which is UTF-8, as a JSON string with its quotes.
void append_json_string(std::string& out, std::string_view text);

}  // namespace rouse::gateway::events::detail
