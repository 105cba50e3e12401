#include "config/time_zones.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>

#include "config/local_time.hpp"

namespace rouse::config {
namespace {

namespace fs = std::filesystem;

/// Copies of the database in other forms, and what the machine itself is set to: files, but no names of zones.
bool is_reserved(std::string_view name) {
  return name.starts_with("posix/") || name.starts_with("right/") || name == "posixrules" || name == "localtime";
}

/// Parts of letters, digits, `_`, `+` and `-` between single slashes: no name of a zone has others, and none of these
/// leads out of the folder.
bool is_name(std::string_view name) {
  if (name.empty() || name.size() > 100 || name.front() == '/' || name.back() == '/') return false;
  if (name.find("//") != name.npos || is_reserved(name)) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    bool const letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter || (c >= '0' && c <= '9') || c == '_' || c == '+' || c == '-' || c == '/';
  });
}

/// Whether the file begins like a compiled zone (RFC 8536, section 3.1); the folder holds tables as well.
bool is_zone(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  std::ifstream file(path, std::ios::binary);
  std::array<char, 4> magic{};
  return file.read(magic.data(), magic.size()) && std::string_view(magic.data(), magic.size()) == "TZif";
}

}  // namespace

std::string timezone_folder() {
  return "/usr/share/zoneinfo";
}

bool known_timezone(std::string_view name) {
  // The file is looked at first: the library would take any file of the folder for a zone.
  std::string const path = timezone_folder() + "/" + std::string(name);
  return is_name(name) && is_zone(path) && time_zone::find(std::string(name));
}

std::vector<std::string> timezone_names() {
  std::vector<std::string> out;
  std::string const folder = timezone_folder() + "/";
  std::error_code error;
  fs::recursive_directory_iterator at(folder, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::string name = at->path().string().substr(folder.size());
    if (name == "posix" || name == "right") at.disable_recursion_pending();
    if (known_timezone(name)) out.push_back(std::move(name));
  }
  return out;
}

}  // namespace rouse::config
