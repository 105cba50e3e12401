// Files: reading them, and merging those that `include` names.
#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "support.hpp"

using namespace config_test;

namespace {

config::load_result load_in(const folder& tmp, const std::string& name = "rouse.yaml") {
  return config::load(tmp.path(name), env_of({{"PART", "parts"}}));
}

/// Problems with the folder's name taken away.
std::vector<std::string> short_problems(const folder& tmp, const config::load_result& result) {
  auto lines = problems(result);
  for (std::string& line : lines) {
    for (std::size_t at = line.find(tmp.path() + "/"); at != std::string::npos; at = line.find(tmp.path() + "/")) {
      line.erase(at, tmp.path().size() + 1);
    }
  }
  return lines;
}

using lines = std::vector<std::string>;

}  // namespace

TEST_CASE("included files add functions and routes") {
  folder const tmp;
  tmp.write("rouse.yaml",
            "include: [functions/*.yaml, more.yaml]\ndefaults: {timeout: 7s}\nfunctions: {m: {command: [m]}}\n"
            "routes: [{path: /main, function: b}]\n");
  tmp.write("functions/b.yaml", "functions: {b: {command: [b]}}\nroutes: [{path: /b, function: m}]\n");
  tmp.write("functions/a.yaml", "functions: {a: {command: [a], timeout: 1s}}\nroutes: [{path: /a, function: a}]\n");
  tmp.write("functions/.hidden.yaml", "nonsense");
  tmp.write("functions/c.txt", "nonsense");
  tmp.write("more.yaml", "include: deep/*/x.yaml\nroutes: [{path: /more, function: x}]\n");
  tmp.write("deep/er/x.yaml", "functions: {x: {command: [x], directory: .}, y: {command: [y]}}\n");
  auto const got = load_in(tmp);
  INFO(joined(problems(got)));
  REQUIRE(got.value);
  lines names;
  for (const auto& f : got.value->functions) names.push_back(f.name);
  CHECK(names == lines{"a", "b", "m", "x", "y"});
  CHECK(got.value->functions[0].revisions[0].timeout == std::chrono::milliseconds(1000));
  CHECK(got.value->functions[1].revisions[0].timeout == std::chrono::milliseconds(7000));
  CHECK(got.value->functions[1].revisions[0].directory == tmp.path("functions"));
  CHECK(got.value->functions[3].revisions[0].directory == tmp.path("deep/er"));
  CHECK(got.value->functions[4].revisions[0].directory == tmp.path("deep/er"));
  lines paths;
  for (const auto& r : got.value->routes) paths.push_back(r.path);
  CHECK(paths == lines{"/main", "/a", "/b", "/more"});
}

TEST_CASE("a pattern may match nothing, a name may not") {
  folder const tmp;
  tmp.write("rouse.yaml", "include:\n  - none/*.yaml\n  - none.yaml\n  - \"\"\n  - a/**/b.yaml\n  - ${PART}\n");
  fs::create_directories(tmp.path("parts"));
  CHECK(short_problems(tmp, load_in(tmp)) ==
        lines{"rouse.yaml:3:5: `include` names `none.yaml`, but the file does not exist: check the name",
              "rouse.yaml:4:5: `include` has an empty name: write the name of a file, or a pattern such as "
              "`functions/*.yaml`",
              "rouse.yaml:5:5: `include` is `a/**/b.yaml`, but `**` is not supported: write one pattern for each level "
              "of folders",
              "rouse.yaml:6:5: `include` names `parts`, but this is a directory, not a file: name the file in it"});
  tmp.write("rouse.yaml", "include: [none/*.yaml]\n");
  CHECK(load_in(tmp).value);
}

TEST_CASE("characters of patterns in the folder's own name are not patterns") {
  folder const tmp;
  tmp.write("a[b]*/rouse.yaml", "include: ['f/*.yaml', /no/such/folder/*]\n");
  tmp.write("a[b]*/f/x.yaml", "functions: {x: {command: [x]}}\n");
  auto const got = load_in(tmp, "a[b]*/rouse.yaml");
  REQUIRE(got.value);
  CHECK(got.value->functions.size() == 1);
}

TEST_CASE("a function defined in two files is a problem that names both") {
  folder const tmp;
  tmp.write("rouse.yaml", "include: [a.yaml]\nfunctions:\n  f: {command: [x]}\n");
  tmp.write("a.yaml", "functions:\n    f: {command: [y]}\n");
  CHECK(short_problems(tmp, load_in(tmp)) ==
        lines{"a.yaml:2:5: the function `f` is defined twice: here and at rouse.yaml:3:3"});
}

TEST_CASE("circles are problems, and a file that is named twice is read once") {
  folder const tmp;
  tmp.write("rouse.yaml", "include: [a.yaml]\n");
  tmp.write("a.yaml", "include: [sub/../b.yaml]\n");
  tmp.write("b.yaml", "include: [a.yaml]\n");
  fs::create_directories(tmp.path("sub"));
  CHECK(short_problems(tmp, load_in(tmp)) == lines{"b.yaml:1:11: `include` makes a circle: a.yaml -> b.yaml -> a.yaml; "
                                                   "remove `a.yaml`, or make it match other files only"});
  tmp.write("rouse.yaml", "include: [\"*.yaml\"]\n");
  tmp.write("a.yaml", "functions: {a: {command: [x]}}\n");
  fs::remove(tmp.path("b.yaml"));
  CHECK(short_problems(tmp, load_in(tmp)) == lines{"rouse.yaml:1:11: `include` makes a circle: rouse.yaml -> "
                                                   "rouse.yaml; remove `*.yaml`, or make it match other files only"});
  tmp.write("rouse.yaml", "include: [a.yaml, ./a.yaml, link.yaml, 'a*']\n");
  fs::create_symlink("a.yaml", tmp.path("link.yaml"));
  CHECK(load_in(tmp).value);
}

TEST_CASE("a chain of files has an end") {
  folder const tmp;
  tmp.write("rouse.yaml", "include: [0.yaml]\n");
  for (int i = 0; i < 100; ++i)
    tmp.write(std::to_string(i) + ".yaml", "include: [" + std::to_string(i + 1) + ".yaml]\n");
  auto const found = short_problems(tmp, load_in(tmp));
  REQUIRE(found.size() == 1);
  CHECK_THAT(found[0], Catch::StartsWith("30.yaml:1:11: ") && Catch::Contains("too many files"));
}

TEST_CASE("server and defaults stand in the main file only") {
  folder const tmp;
  tmp.write("rouse.yaml", "include: [a.yaml]\n");
  tmp.write("a.yaml", "server: {}\ndefaults: {}\nfuncs: {}\n");
  CHECK(short_problems(tmp, load_in(tmp)) ==
        lines{"a.yaml:1:1: `server` can stand only in the main file, `rouse.yaml`: an included file has `functions`, "
              "`routes`, `buses`, `triggers` and `include`",
              "a.yaml:2:1: `defaults` can stand only in the main file, `rouse.yaml`: an included file has `functions`, "
              "`routes`, `buses`, `triggers` and `include`",
              "a.yaml:3:1: unknown key `funcs`: possible here are include, defaults, server, pools, functions, routes, "
              "buses, triggers"});
}

TEST_CASE("each file has its own syntax error, and missing functions are not blamed on routes then") {
  folder const tmp;
  tmp.write("rouse.yaml", "include: ['*.yml']\nserver: {workers: x}\nroutes: [{path: /, function: a}]\n");
  tmp.write("a.yml", "functions: {a: {command: [x]}\nroutes: []\n");
  tmp.write("b.yml", "functions: ]\n");
  auto const found = short_problems(tmp, load_in(tmp));
  REQUIRE(found.size() == 3);
  CHECK_THAT(found[0], Catch::StartsWith("rouse.yaml:2:19: `workers`"));
  CHECK_THAT(found[1], Catch::StartsWith("a.yml:2:1: a `{` is not closed"));
  CHECK_THAT(found[2], Catch::StartsWith("b.yml:1:12: this bracket closes nothing"));
}

TEST_CASE("a file given relatively is shown relatively, with what it includes") {
  folder const tmp;
  tmp.write("conf/rouse.yaml", "include: [parts/*.yaml, ../up.yaml]\nx: 1\n");
  tmp.write("conf/parts/a.yaml", "x: 1\n");
  tmp.write("up.yaml", "x: 1\n");
  fs::path const before = fs::current_path();
  fs::current_path(tmp.path());
  auto const found = problems(config::load("conf/rouse.yaml", env_of({})));
  fs::current_path(tmp.path("conf"));
  auto const text = problems(config::load_text("include: [parts/*.yaml]", "stdin", env_of({})));
  fs::current_path(before);
  REQUIRE(found.size() == 3);
  CHECK_THAT(found[0], Catch::StartsWith("conf/rouse.yaml:2:1: "));
  CHECK_THAT(found[1], Catch::StartsWith("conf/parts/a.yaml:1:1: "));
  CHECK_THAT(found[2], Catch::StartsWith("up.yaml:1:1: "));
  REQUIRE(text.size() == 1);
  CHECK_THAT(text[0], Catch::StartsWith("parts/a.yaml:1:1: "));
}

TEST_CASE("files that cannot be read") {
  folder const tmp;
  CHECK(short_problems(tmp, load_in(tmp)) == lines{"rouse.yaml: the file does not exist: check the name"});
  CHECK(problems(config::load("", env_of({}))).size() == 1);
  CHECK(short_problems(tmp, config::load(tmp.path() + "/.", env_of({}))).at(0).find("this is a directory") !=
        std::string::npos);
  tmp.write("secret.yaml", "");
  ::chmod(tmp.path("secret.yaml").c_str(), 0);
  auto const got = load_in(tmp, "secret.yaml");
  if (::geteuid() != 0)
    CHECK(short_problems(tmp, got) == lines{"secret.yaml: the file cannot be read: permission denied"});
  auto const endless = problems(config::load("/dev/zero", env_of({})));
  REQUIRE(endless.size() == 1);
  CHECK_THAT(endless[0], Catch::Contains("larger than 16MiB"));
}
