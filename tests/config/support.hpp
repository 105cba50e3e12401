#pragma once
// What the tests of the config share: an environment from a map, problems as text, a folder that goes away, and the way
// to the repository's files from wherever a test was built.

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"

namespace config_test {

namespace config = rouse::config;
namespace fs = std::filesystem;

inline config::environment env_of(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    auto const found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  };
}

inline config::load_result load(std::string_view text, std::map<std::string, std::string> env = {}) {
  return config::load_text(text, "t.yaml", env_of(std::move(env)));
}

/// Every problem as `LINE:COLUMN: message` (with the file, when it is another than t.yaml).
inline std::vector<std::string> problems(const config::load_result& result) {
  std::vector<std::string> out;
  for (const auto& p : result.problems) {
    std::string text = p.to_string();
    out.push_back(text.starts_with("t.yaml:") ? text.substr(7) : text);
  }
  return out;
}

inline std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const auto& line : lines) out += line + "\n";
  return out;
}

/// One text and what must be reported for it: `LINE:COLUMN: ` and a part of the message, for each problem in order.
struct wrong {
  std::string text;
  std::vector<std::string> expected;
};

/// Whether exactly the expected problems were found; otherwise says what was.
inline std::string mismatch(const wrong& w, const config::load_result& result) {
  auto const got = problems(result);
  std::string const story = "for\n" + w.text + "\nexpected\n" + joined(w.expected) + "got\n" + joined(got);
  if (result.value || got.size() != w.expected.size()) return story;
  for (std::size_t i = 0; i < got.size(); ++i) {
    std::size_t const at = w.expected[i].find(": ") + 2;
    bool const same_place = got[i].compare(0, at, w.expected[i], 0, at) == 0;
    if (!same_place || got[i].find(w.expected[i].substr(at)) == std::string::npos) return story;
  }
  return {};
}

/// A temporary folder.
class folder {
 public:
  folder() {
    std::string pattern = (fs::temp_directory_path() / "rouse-config-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = fs::canonical(pattern);
  }
  ~folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;

  /// Writes a file, with its folders; returns its path.
  std::string write(const std::string& name, std::string_view text) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
    return (path_ / name).string();
  }
  [[nodiscard]] std::string path(const std::string& name = "") const {
    return name.empty() ? path_.string() : (path_ / name).string();
  }

 private:
  fs::path path_;
};

/// A file of the repository. __FILE__ may be relative to the build folder, so every folder above the program is tried.
inline std::string repository_file(const std::string& name) {
  fs::path const here = fs::path(__FILE__).parent_path();
  for (fs::path base = fs::read_symlink("/proc/self/exe"); base != base.parent_path(); base = base.parent_path()) {
    fs::path const candidate = base.parent_path() / here / "../.." / name;
    if (fs::exists(candidate)) return fs::weakly_canonical(candidate).string();
  }
  throw std::runtime_error("cannot find " + name);
}

inline std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

}  // namespace config_test
