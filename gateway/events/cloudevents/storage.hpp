#pragma once
// An event as a few bytes for the durable queue: compact, lossless, with a version in front. Pure; any thread.

#include <optional>
#include <string>
#include <string_view>

#include "gateway/events/cloudevents/event.hpp"

namespace rouse::gateway::events {

/// Version 1: the byte 1; id, source, type; a byte that says which of datacontenttype, dataschema, subject and time
/// follow, and those; the number of extensions, and of each the name, a byte for its type and the value, by name; a
/// byte for the kind of data, and the data. Texts, the data among them, stand behind their length; lengths and numbers
/// are LEB128. What was written once must stay readable.
[[nodiscard]] std::string encode(const cloud_event& event);

/// nullopt for anything that encode() did not write, of a later version or damaged. Attributes that come back keep
/// their rules, whatever the bytes were; that JSON data is JSON is taken from the writer.
[[nodiscard]] std::optional<cloud_event> decode(std::string_view bytes);

}  // namespace rouse::gateway::events
