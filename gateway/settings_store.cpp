#include "gateway/settings_store.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

namespace rouse::gateway {
namespace {

using json = nlohmann::json;
using traffic = std::map<std::string, std::uint32_t>;

template <typename Value>
json to_json(const activator::overrides::entry<Value>& entry) {
  json out;
  out["value"] = entry.value;
  out["file"] = entry.file;
  return out;
}

template <typename Value>
void read(const json& from, const char* key, std::optional<activator::overrides::entry<Value>>& out) {
  const auto at = from.find(key);
  if (at == from.end()) return;
  activator::overrides::entry<Value> entry;
  entry.value = at->at("value").get<Value>();
  entry.file = at->at("file").get<Value>();
  out = std::move(entry);
}

activator::kept_settings parse(const json& from) {
  activator::kept_settings out;
  for (const auto& [name, given] : from.at("functions").items()) {
    activator::overrides one;
    read<unsigned>(given, "min", one.min);
    read<unsigned>(given, "max", one.max);
    read<traffic>(given, "traffic", one.traffic);
    out.functions.emplace(name, std::move(one));
  }
  for (const auto& pool : from.at("cordoned")) out.cordoned.insert(pool.get<std::string>());
  return out;
}

json to_json(const activator::kept_settings& settings) {
  json out;
  out["functions"] = json::object();
  for (const auto& [name, one] : settings.functions) {
    json& shown = out["functions"][name] = json::object();
    if (one.min) shown["min"] = to_json(*one.min);
    if (one.max) shown["max"] = to_json(*one.max);
    if (one.traffic) shown["traffic"] = to_json(*one.traffic);
  }
  out["cordoned"] = settings.cordoned;
  return out;
}

std::string text_of(const activator::kept_settings& settings) {
  return to_json(settings).dump(2) + "\n";
}

std::string problem_with(const std::string& what, const std::string& path) {
  return what + " " + path + ": " + std::strerror(errno);
}

/// Writes and syncs; why not, or nothing.
std::string write_durably(const std::string& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return problem_with("cannot create", path);
  std::string problem;
  for (std::size_t done = 0; done < text.size() && problem.empty();) {
    const auto n = ::write(file, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) problem = problem_with("cannot write", path);
    done += n > 0 ? static_cast<std::size_t>(n) : 0;
  }
  if (problem.empty() && ::fsync(file) != 0) problem = problem_with("cannot write", path);
  ::close(file);
  return problem;
}

}  // namespace

settings_store::settings_store(std::string data_dir)
    : folder_(std::move(data_dir)), path_(folder_ + "/settings.json") {}

settings_store::loaded settings_store::load() {
  loaded out;
  saved_ = text_of({});  // no file says as much
  std::ifstream file(path_, std::ios::binary);
  if (!file) {
    if (errno != ENOENT && errno != ENOTDIR) out.problem = problem_with("cannot read", path_);
    return out;
  }
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  try {
    out.value = parse(json::parse(text));
    saved_ = text;
  } catch (const json::exception& error) {
    out.problem = path_ + " is not what rouse wrote (" + error.what() + "): what was set by hand is forgotten";
  }
  return out;
}

std::string settings_store::save(const activator::kept_settings& settings) {
  const auto text = text_of(settings);
  if (text == saved_) return {};
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) return "cannot create the folder " + folder_ + " (server.data_dir): " + error.message();
  const auto fresh = path_ + ".new";
  if (auto problem = write_durably(fresh, text); !problem.empty()) return problem;
  if (::rename(fresh.c_str(), path_.c_str()) != 0) return problem_with("cannot replace", path_);
  const int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);  // the new name survives a power cut as well
    ::close(folder);
  }
  saved_ = text;
  return {};
}

}  // namespace rouse::gateway
