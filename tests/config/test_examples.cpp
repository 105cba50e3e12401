// The examples load, all-keys.yaml says the truth about defaults, and the JSON Schema knows the keys that the loader
// knows.
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "config/keys.hpp"
#include "support.hpp"

using namespace config_test;

namespace {

using keys = std::set<std::string>;

config::snapshot right(const config::load_result& result) {
  INFO(joined(problems(result)));
  REQUIRE(result.value);
  return *result.value;
}

keys accepted(const std::string& section) {
  for (const auto& s : config::accepted_keys()) {
    if (s.name == section) return {s.keys.begin(), s.keys.end()};
  }
  FAIL("no section " << section);
  return {};
}

keys keys_of(const YAML::Node& map) {
  keys out;
  for (const auto& entry : map) out.insert(entry.first.as<std::string>());
  return out;
}

void check_default_server(const config::server& got) {
  config::server const want;
  CHECK(got.listen == want.listen);
  CHECK(got.admin == want.admin);
  CHECK(got.admin_token == want.admin_token);
  CHECK(got.workers == want.workers);
  CHECK(got.drain_delay == want.drain_delay);
  CHECK(got.drain_timeout == want.drain_timeout);
  CHECK(got.function_urls == want.function_urls);
  CHECK(got.expose_errors == want.expose_errors);
  CHECK(got.trusted_proxies.empty());
  CHECK(got.limits.header_bytes == want.limits.header_bytes);
  CHECK(got.limits.header_timeout == want.limits.header_timeout);
  CHECK(got.limits.idle_timeout == want.limits.idle_timeout);
  CHECK(got.limits.body_bytes == want.limits.body_bytes);
  CHECK(got.limits.connections == want.limits.connections);
  CHECK(got.access_log == want.access_log);
}

void check_default_function(const config::function& got) {
  config::function const want;
  CHECK(got.env == want.env);
  CHECK(got.concurrency == want.concurrency);
  CHECK(got.timeout == want.timeout);
  CHECK(got.stream_idle_timeout == want.stream_idle_timeout);
  CHECK(got.max_duration == want.max_duration);
  CHECK(got.ready_path == want.ready_path);
  CHECK(got.start_timeout == want.start_timeout);
  CHECK(got.stop_grace == want.stop_grace);
  CHECK(got.expose_http == want.expose_http);
  CHECK(got.scale.min == want.scale.min);
  CHECK(got.scale.max == want.scale.max);
  CHECK(got.scale.idle == want.scale.idle);
  CHECK(got.queue.max_requests == want.queue.max_requests);
  CHECK(got.queue.max_bytes == want.queue.max_bytes);
  CHECK(got.queue.max_wait == want.queue.max_wait);
  CHECK(got.retry.attempts == want.retry.attempts);
}

YAML::Node schema() {
  return YAML::LoadFile(repository_file("config/rouse.schema.json"));
}

/// The schema's object for a section of the loader.
YAML::Node schema_section(const YAML::Node& root, const std::string& section) {
  if (section.empty()) return root;
  std::size_t const dot = section.find('.');
  std::string const head = section.substr(0, dot);
  YAML::Node const top = head == "function" || head == "route" ? root["definitions"][head] : root["properties"][head];
  return dot == std::string::npos ? top : top["properties"][section.substr(dot + 1)];
}

/// A mapping in flow style of every default that the schema names for `object`, nested objects included.
std::string defaults_of(const YAML::Node& object) {
  std::string out;
  for (const auto& entry : object["properties"]) {
    std::string value;
    if (entry.second["properties"]) value = defaults_of(entry.second);
    if (entry.second["default"]) {
      YAML::Emitter text;
      text << YAML::Flow << entry.second["default"];
      value =
          entry.second["default"].IsScalar() ? "\"" + entry.second["default"].as<std::string>() + "\"" : text.c_str();
    }
    if (!value.empty()) out += (out.empty() ? "" : ", ") + entry.first.as<std::string>() + ": " + value;
  }
  return "{" + out + "}";
}

}  // namespace

TEST_CASE("every example loads") {
  fs::path const examples = fs::path(repository_file("config/examples/all-keys.yaml")).parent_path();
  int count = 0;
  for (const auto& entry : fs::directory_iterator(examples)) {
    if (entry.path().extension() != ".yaml") continue;
    INFO(entry.path());
    auto const result = config::load(entry.path().string(), env_of({}));
    INFO(joined(problems(result)));
    CHECK(result.value);
    ++count;
  }
  CHECK(count >= 1);
}

TEST_CASE("all-keys.yaml has every key, with its default") {
  std::string const path = repository_file("config/examples/all-keys.yaml");
  auto const got = right(config::load(path, env_of({})));
  YAML::Node const file = YAML::LoadFile(path);
  CHECK(keys_of(file) == accepted(""));
  CHECK(keys_of(file["server"]) == accepted("server"));
  CHECK(keys_of(file["server"]["limits"]) == accepted("server.limits"));
  YAML::Node const function = file["functions"]["hello"];
  CHECK(keys_of(function) == accepted("function"));
  CHECK(keys_of(function["scale"]) == accepted("function.scale"));
  CHECK(keys_of(function["queue"]) == accepted("function.queue"));
  CHECK(keys_of(function["retry"]) == accepted("function.retry"));
  CHECK(keys_of(file["functions"]["checked"]["ready"]) == accepted("function.ready"));
  CHECK(keys_of(file["routes"][0]) == accepted("route"));
  check_default_server(got.server);
  REQUIRE(got.functions.size() == 2);
  REQUIRE(got.functions[1].name == "hello");
  check_default_function(got.functions[1]);
  CHECK(got.functions[1].directory == fs::path(path).parent_path().string());
}

TEST_CASE("the schema and the loader know the same keys") {
  YAML::Node const root = schema();
  keys sections;
  for (const auto& section : config::accepted_keys()) {
    INFO(section.name);
    sections.insert(std::string(section.name));
    YAML::Node const object = schema_section(root, std::string(section.name));
    REQUIRE(object["properties"]);
    CHECK(keys_of(object["properties"]) == keys(section.keys.begin(), section.keys.end()));
    CHECK(object["additionalProperties"].as<std::string>() == "false");
    for (const auto& property : object["properties"]) {
      std::string const name = section.name.empty()
                                   ? property.first.as<std::string>()
                                   : std::string(section.name) + "." + property.first.as<std::string>();
      // An object with keys of its own must be a section of the loader; those of `defaults` are the function's.
      if (property.second["properties"] && section.name != "defaults") {
        auto const all = config::accepted_keys();
        CHECK(std::any_of(all.begin(), all.end(), [&](const auto& s) { return s.name == name; }));
      }
    }
  }
  CHECK(sections.size() == 10);
  keys without = accepted("function");
  without.erase("command");
  CHECK(accepted("defaults") == without);
}

TEST_CASE("the schema's defaults are the loader's") {
  YAML::Node const root = schema();
  std::string const server = defaults_of(schema_section(root, "server"));
  std::string const function = defaults_of(schema_section(root, "defaults"));
  CHECK_THAT(server, Catch::Contains("drain_timeout: \"30s\"") && Catch::Contains("limits: {header_bytes: \"64KiB\""));
  CHECK_THAT(function, Catch::Contains("concurrency: \"100\"") && Catch::Contains("scale: {min: \"0\""));
  std::string const text = "server: " + server + "\ndefaults: " + function + "\nfunctions: {a: {command: [x]}}\n";
  INFO(text);
  auto const got = right(load(text));
  check_default_server(got.server);
  check_default_function(got.functions.at(0));
  CHECK(got.functions.at(0).directory == fs::current_path().string());
}
