#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include <unistd.h>

#include "gateway/owner_name.hpp"

using rouse::gateway::owner_name;

TEST_CASE("the owner's name stays, and is never that of two at a time") {
  const auto folder = std::filesystem::temp_directory_path() / ("rouse-owner-" + std::to_string(::getpid()));
  const std::string path = folder / "data";
  auto first = std::make_unique<owner_name>(path);
  CHECK(first->problem().empty());
  CHECK(first->name().size() == 32);
  {
    const owner_name second(path);
    CHECK(second.name() != first->name());
    CHECK_FALSE(second.problem().empty());
  }
  const std::string name = first->name();
  first.reset();
  CHECK(owner_name(path).name() == name);
  // What was cut off is made anew.
  std::ofstream(path + "/owner") << "abc";
  // One at a time: two in one expression would both live until its end.
  const std::string anew = owner_name(path).name();
  CHECK(anew != name);
  const std::string again = owner_name(path).name();
  CHECK(again == anew);
  std::filesystem::remove_all(folder);
  CHECK_FALSE(owner_name("/proc/nowhere").problem().empty());
}
