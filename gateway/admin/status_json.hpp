#pragma once
// The admin interface's JSON, from plain values. Pure; any thread. Text that is not UTF-8 is shown with U+FFFD in its
// place.

#include <string>
#include <string_view>
#include <vector>

#include "activator/activator.hpp"
#include "activator/output_ring.hpp"
#include "gateway/event_numbers.hpp"

namespace rouse::gateway {

/// {"functions": [...]}
[[nodiscard]] std::string functions_json(const std::vector<activator::function_status>& functions);
/// One function: name, revision, parked, parked_bytes, in_flight, desired, cold_starts, failure (null when none is in
/// force), instances (id, name, state, address, in_flight, age_ms) and decisions (at, from, to, reason), newest first.
[[nodiscard]] std::string function_json(const activator::function_status& function);
/// {"instances": [...]}: those of every function, each with function and revision.
[[nodiscard]] std::string pools_json(const std::vector<activator::pool_status>& pools);
[[nodiscard]] std::string instances_json(const std::vector<activator::function_status>& functions);
/// {"triggers": {NAME: ...}, "queues": {FUNCTION: ...}}
[[nodiscard]] std::string triggers_json(const event_numbers& events);
/// One line of newline-delimited JSON: number, at, instance, text; with its line end.
void append_log_line(std::string& out, const activator::output_ring::line& line);
/// One server-sent event, whose data is JSON: number, at, type, and of function, revision, instance, pool, cause, from,
/// to and text what there is.
void append_event(std::string& out, const activator::chronicle::entry& entry);
/// RFC 9457: type, title (the type in words), status, detail.
[[nodiscard]] std::string problem_json(unsigned status, std::string_view type, std::string_view detail);

}  // namespace rouse::gateway
