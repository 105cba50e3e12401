#include "activator/backend/process/environment.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>

namespace rouse::process {
namespace {

constexpr std::string_view usual_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

bool inherits(std::string_view name) {
  constexpr std::array<std::string_view, 6> names{"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"};
  for (const auto& known : names)
    if (name == known) return true;
  return name.starts_with("LC_");
}

std::string error_text(int error) {
  std::array<char, 128> scratch{};
  return ::strerror_r(error, scratch.data(), scratch.size());
}

/// The command as a path that can be looked at from here, or empty when it was looked up in PATH.
std::string path_of(const launch& what) {
  const std::string& name = what.argv.front();
  if (name.find('/') == std::string::npos) return {};
  return name.front() == '/' || what.directory.empty() ? name : what.directory + "/" + name;
}

std::string describe_exec(int error, const launch& what) {
  const std::string name = "cannot run `" + what.argv.front() + "`: ";
  const std::string path = path_of(what);
  switch (error) {
    case ENOENT:
      if (path.empty()) return name + "no such file in PATH=" + what.search_path;
      if (::access(path.c_str(), F_OK) == 0)
        return name + "the interpreter that its first line names (or the loader it was linked for) does not exist";
      return name + "no such file" +
             (name.find("`/") == std::string::npos ? " in directory `" + what.directory + "`" : "");
    case EACCES:
      return name + "it may not be executed; `chmod +x` it, or name its interpreter in `command`";
    case ENOEXEC:
      return name + "it is neither a program for this machine nor a script whose first line names its interpreter (#!)";
    case E2BIG:
      return name + "its arguments and environment are larger than the system allows";
    default:
      return name + error_text(error);
  }
}

}  // namespace

environment inherited(const char* const* all) {
  environment out;
  for (; all != nullptr && *all != nullptr; ++all) {
    const std::string_view entry(*all);
    const auto equals = entry.find('=');
    if (equals == std::string_view::npos || !inherits(entry.substr(0, equals))) continue;
    out.insert_or_assign(std::string(entry.substr(0, equals)), std::string(entry.substr(equals + 1)));
  }
  out.try_emplace("PATH", usual_path);
  return out;
}

launch compose(const activator::start_spec& spec, const environment& inherited, std::uint16_t port) {
  environment all = inherited;
  for (const auto& [name, value] : spec.env) all.insert_or_assign(name, value);
  all.insert_or_assign("PORT", std::to_string(port));
  all.insert_or_assign("K_SERVICE", spec.function);
  all.insert_or_assign("K_REVISION", spec.revision);
  all.insert_or_assign("K_CONFIGURATION", spec.function);
  launch what;
  what.directory = spec.directory;
  what.search_path = all["PATH"];
  what.argv = spec.command;
  for (const auto& [name, value] : all) what.env.push_back(name + "=" + value);
  return what;
}

std::string command_line(const std::vector<std::string>& argv) {
  constexpr std::size_t most = 200;
  std::string text;
  for (const auto& word : argv) {
    if (!text.empty()) text += ' ';
    text += word;
  }
  if (text.size() > most) text = text.substr(0, most) + "...";
  return text;
}

std::string describe_status(int status) {
  if (WIFEXITED(status)) return "exited with status " + std::to_string(WEXITSTATUS(status));
  if (!WIFSIGNALED(status)) return "ended";
  const char* name = ::sigabbrev_np(WTERMSIG(status));
  return "was killed by " +
         (name != nullptr ? "SIG" + std::string(name) : "signal " + std::to_string(WTERMSIG(status))) +
         (WCOREDUMP(status) ? " (core dumped)" : "");
}

std::string_view status_word(int status) {
  return WIFSIGNALED(status) ? "signalled" : "exited";
}

std::string describe_failure(start_step step, int error, const launch& what) {
  switch (step) {
    case start_step::directory:
      return "cannot enter its directory `" + what.directory + "`: " + error_text(error);
    case start_step::exec:
      return describe_exec(error, what);
    case start_step::fork:
      return "cannot fork a process for it: " + error_text(error) +
             "; the machine or the user's limit (ulimit -u) is exhausted";
    default:
      return "cannot hand the command to the keeper process: " + error_text(error);
  }
}

std::string describe(std::chrono::milliseconds duration) {
  if (duration.count() % 1000 == 0) return std::to_string(duration.count() / 1000) + " s";
  return std::to_string(duration.count()) + " ms";
}

}  // namespace rouse::process
