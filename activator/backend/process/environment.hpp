#pragma once
// What an instance's process is told: its closed environment, and in words what went wrong with it. Pure.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "activator/backend/backend.hpp"
#include "activator/backend/process/protocol.hpp"

namespace rouse::process {

using environment = std::map<std::string, std::string>;

/// The variables that an instance inherits: PATH, HOME, USER, LANG, LC_*, TZ and TMPDIR of `all` (as `environ`:
/// NAME=VALUE, ends with a null pointer), with a PATH of the usual folders where there is none.
[[nodiscard]] environment inherited(const char* const* all);

/// How to run `spec` on `port`: the inherited variables, `env` over them, and PORT, K_SERVICE, K_REVISION and
/// K_CONFIGURATION over both.
[[nodiscard]] launch compose(const activator::start_spec& spec, const environment& inherited, std::uint16_t port);

/// "python3 app.py", for people; long ones are cut.
[[nodiscard]] std::string command_line(const std::vector<std::string>& argv);
/// "exited with status 3", "was killed by SIGSEGV".
[[nodiscard]] std::string describe_status(int status);
/// "exited" or "signalled": the metric's word for a wait status.
[[nodiscard]] std::string_view status_word(int status);
/// Why a start went wrong at `step`, and what to do.
[[nodiscard]] std::string describe_failure(start_step step, int error, const launch& what);
/// "60 s", "250 ms".
[[nodiscard]] std::string describe(std::chrono::milliseconds duration);

}  // namespace rouse::process
