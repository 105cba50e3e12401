// What was set by hand, in a file: there and back, and written only when something has changed.

#include <catch2/catch.hpp>

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "gateway/settings_store.hpp"

using namespace rouse;
using gateway::settings_store;
namespace fs = std::filesystem;

namespace {

struct folder {
  folder() {
    std::string name = (fs::temp_directory_path() / "rouse-settings-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~folder() { fs::remove_all(path); }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  [[nodiscard]] std::string data() const { return (path / "data").string(); }
  [[nodiscard]] fs::path file() const { return path / "data" / "settings.json"; }
  fs::path path;
};

activator::kept_settings some_settings() {
  activator::kept_settings out;
  auto& one = out.functions["f"];
  one.min = activator::overrides::entry<unsigned>{2, 0};
  one.traffic = activator::overrides::entry<std::map<std::string, std::uint32_t>>{{{"v2", 1}}, {{"v1", 1}, {"v2", 0}}};
  out.cordoned = {"cloud"};
  return out;
}

}  // namespace

TEST_CASE("nothing set, nothing written: not even the folder") {
  const folder where;
  settings_store store(where.data());
  CHECK(store.load().problem.empty());
  CHECK(store.save({}).empty());
  CHECK_FALSE(fs::exists(where.data()));
}

TEST_CASE("what is set is there again, and is written once") {
  const folder where;
  settings_store store(where.data());
  static_cast<void>(store.load());
  REQUIRE(store.save(some_settings()).empty());
  REQUIRE(fs::exists(where.file()));
  // Whoever wrote again would put the file back.
  REQUIRE(fs::remove(where.file()));
  CHECK(store.save(some_settings()).empty());
  CHECK_FALSE(fs::exists(where.file()));
  auto other = some_settings();
  other.functions["f"].min->value = 3;
  CHECK(store.save(other).empty());
  REQUIRE(fs::exists(where.file()));

  settings_store next(where.data());
  const auto read = next.load();
  CHECK(read.problem.empty());
  REQUIRE(read.value.functions.contains("f"));
  CHECK(read.value.functions.at("f").min->value == 3);
  CHECK(read.value.functions.at("f").min->file == 0);
  CHECK_FALSE(read.value.functions.at("f").max);
  CHECK(read.value.functions.at("f").traffic->value.at("v2") == 1);
  CHECK(read.value.cordoned.contains("cloud"));
  REQUIRE(fs::remove(where.file()));
  CHECK(next.save(other).empty());  // as it was read
  CHECK_FALSE(fs::exists(where.file()));
  CHECK(next.save({}).empty());
  CHECK(fs::exists(where.file()));  // what is gone stays gone
}

TEST_CASE("a file that rouse did not write is told of, and replaced by the next change") {
  const folder where;
  fs::create_directories(where.data());
  std::ofstream(where.file()) << "{";
  settings_store store(where.data());
  CHECK(store.load().problem.find("is not what rouse wrote") != std::string::npos);
  CHECK(store.save(some_settings()).empty());
  CHECK(settings_store(where.data()).load().value.cordoned.contains("cloud"));
}
