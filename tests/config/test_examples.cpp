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

void check_default_pool(const config::pool& got) {
  config::pool const want;
  CHECK(got.name == "local");
  CHECK(got.backend == want.backend);
  CHECK(got.max_instances == want.max_instances);
  CHECK(got.reserved == want.reserved);
  CHECK(got.cost == want.cost);
  CHECK(got.schedule.empty());
}

void check_default_function(const config::function& function) {
  config::function const wanted;
  CHECK(function.expose_http == wanted.expose_http);
  CHECK(function.queue.max_requests == wanted.queue.max_requests);
  CHECK(function.queue.max_bytes == wanted.queue.max_bytes);
  CHECK(function.queue.max_wait == wanted.queue.max_wait);
  CHECK(function.expose_async == wanted.expose_async);
  CHECK(function.async.max_requests == wanted.async.max_requests);
  CHECK(function.async.max_bytes == wanted.async.max_bytes);
  CHECK(function.async.max_body == wanted.async.max_body);
  CHECK(function.async.result_ttl == wanted.async.result_ttl);
  CHECK(function.async.retry.attempts == wanted.async.retry.attempts);
  CHECK(function.async.retry.delay == wanted.async.retry.delay);
  CHECK(function.async.retry.max_delay == wanted.async.retry.max_delay);
  REQUIRE(function.revisions.size() == 1);
  config::revision const want;
  config::revision const& got = function.revisions[0];
  CHECK(got.env == want.env);
  CHECK(got.concurrency == want.concurrency);
  CHECK(got.timeout == want.timeout);
  CHECK(got.stream_idle_timeout == want.stream_idle_timeout);
  CHECK(got.max_duration == want.max_duration);
  CHECK(got.ready_path == want.ready_path);
  CHECK(got.start_timeout == want.start_timeout);
  CHECK(got.stop_grace == want.stop_grace);
  CHECK(got.scale.min == want.scale.min);
  CHECK(got.scale.max == want.scale.max);
  CHECK(got.scale.metric == want.scale.metric);
  CHECK_FALSE(got.scale.target);
  CHECK(got.scale.utilization == want.scale.utilization);
  CHECK(got.scale.window == want.scale.window);
  CHECK(got.scale.panic_window == want.scale.panic_window);
  CHECK(got.scale.panic_threshold == want.scale.panic_threshold);
  CHECK(got.scale.max_up_rate == want.scale.max_up_rate);
  CHECK(got.scale.max_down_rate == want.scale.max_down_rate);
  CHECK(got.scale.down_delay == want.scale.down_delay);
  CHECK(got.scale.idle == want.scale.idle);
  CHECK(got.scale.to_zero == want.scale.to_zero);
  CHECK(got.scale.frozen_for == want.scale.frozen_for);
  CHECK(got.scale.spare == want.scale.spare);
  CHECK(got.scale.schedule.empty());
  CHECK(got.drain_max == want.drain_max);
  CHECK(got.outlier.failures == want.outlier.failures);
  CHECK(got.outlier.eject == want.outlier.eject);
  CHECK(got.retry.budget == want.retry.budget);
  REQUIRE(got.pools.size() == 1);
  CHECK(got.pools[0].pool == 0);
  CHECK(got.pools[0].max == 0);
  CHECK(function.rate_limit.rps == wanted.rate_limit.rps);
  CHECK(function.rate_limit.burst == wanted.rate_limit.burst);
  CHECK_FALSE(function.fallback);
  CHECK_FALSE(function.sticky);
  CHECK(function.lanes.empty());
  CHECK(got.retry.attempts == want.retry.attempts);
}

/// Everything but what it names: those have no defaults.
void check_default_trigger(const config::trigger& got) {
  config::trigger const want;
  auto const& source = std::get<config::bus_source>(got.source);
  CHECK(source.start == config::bus_source{}.start);
  CHECK(source.filter.what == config::event_filter::dialect::all);
  CHECK(source.filter.parts.empty());
  CHECK_FALSE(got.reply);
  CHECK(got.order == want.order);
  CHECK(got.concurrency == want.concurrency);
  CHECK(got.schedule.empty());
  CHECK(got.delivery == want.delivery);
  CHECK(got.retry.attempts == want.retry.attempts);
  CHECK(got.retry.backoff == want.retry.backoff);
  CHECK(got.retry.delay == want.retry.delay);
  CHECK(got.retry.max_delay == want.retry.max_delay);
  CHECK(got.dead_letter.to == want.dead_letter.to);
}

keys both(const YAML::Node& one, const YAML::Node& other) {
  keys out = keys_of(one);
  out.merge(keys_of(other));
  return out;
}

YAML::Node schema() {
  return YAML::LoadFile(repository_file("config/rouse.schema.json"));
}

/// What a `$ref` stands for; anything else is itself.
YAML::Node followed(const YAML::Node& root, const YAML::Node& value) {
  if (!value.IsMap() || !value["$ref"]) return value;
  return root["definitions"][value["$ref"].as<std::string>().substr(std::string("#/definitions/").size())];
}

/// The schema's object for a section of the loader. Those that are no key of the top level are definitions.
YAML::Node schema_section(const YAML::Node& root, const std::string& section) {
  if (section.empty()) return root;
  std::size_t dot = section.find('.');
  std::string const head = section.substr(0, dot);
  YAML::Node found = head == "server" || head == "defaults" ? root["properties"][head] : root["definitions"][head];
  while (dot != std::string::npos) {
    std::size_t const next = section.find('.', dot + 1);
    std::string const key = section.substr(dot + 1, next == std::string::npos ? next : next - dot - 1);
    // A node is a reference to what it was first: assigning to it would change that.
    found.reset(followed(root, found["properties"][key]));
    dot = next;
  }
  return found;
}

/// A mapping in flow style of every default that the schema names for `object`, nested objects included. What has
/// defaults only once it is there is left out: `fallback`, and what only triggers of the other kind have.
std::string defaults_of(const YAML::Node& root, const YAML::Node& object) {
  std::string out;
  for (const auto& entry : object["properties"]) {
    if (entry.first.as<std::string>() == "fallback" || entry.first.as<std::string>() == "missed") continue;
    if (entry.first.as<std::string>() == "kafka") continue;
    // Of other backends than the default.
    if (entry.first.as<std::string>().ends_with("_interval")) continue;
    if (entry.first.as<std::string>() == "request_timeout") continue;
    YAML::Node const key = followed(root, entry.second);
    std::string value;
    if (key["properties"]) value = defaults_of(root, key);
    if (value == "{}") value.clear();
    if (key["default"]) {
      YAML::Emitter text;
      text << YAML::Flow << key["default"];
      value = key["default"].IsScalar() ? "\"" + key["default"].as<std::string>() + "\"" : text.c_str();
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
  CHECK(count >= 3);
}

TEST_CASE("all-keys.yaml has every key, with its default") {
  std::string const path = repository_file("config/examples/all-keys.yaml");
  auto const got = right(config::load(path, env_of({})));
  YAML::Node const file = YAML::LoadFile(path);
  CHECK(keys_of(file) == accepted(""));
  CHECK(keys_of(file["server"]) == accepted("server"));
  CHECK(keys_of(file["server"]["limits"]) == accepted("server.limits"));
  YAML::Node const function = file["functions"]["hello"];
  YAML::Node const versions = file["functions"]["versions"];
  YAML::Node const wherever = file["functions"]["wherever"];
  keys all = both(function, versions);
  all.merge(keys_of(wherever));
  CHECK(all == accepted("function"));
  CHECK(keys_of(wherever["resources"]) == accepted("function.resources"));
  CHECK(both(function["scale"], versions["scale"]) == accepted("function.scale"));
  CHECK(keys_of(function["outlier"]) == accepted("function.outlier"));
  CHECK(keys_of(function["rate_limit"]) == accepted("function.rate_limit"));
  CHECK(keys_of(versions["fallback"]) == accepted("function.fallback"));
  CHECK(keys_of(versions["lanes"][0]) == accepted("lane"));
  CHECK(keys_of(versions["pools"][0]) == accepted("pool_use"));
  CHECK(keys_of(versions["scale"]["schedule"][0]) == accepted("scale_window"));
  keys pool = both(file["pools"]["local"], file["pools"]["night"]);
  for (const char* kind : {"docker", "kubernetes", "scaler", "machines"}) pool.merge(keys_of(file["pools"][kind]));
  CHECK(pool == accepted("pool"));
  CHECK(got.pools.at(0).connection == config::connection{});
  CHECK(got.pools.at(3).name == "scaler");
  CHECK(got.pools.at(4).name == "machines");
  CHECK(got.pools.at(4).connection == config::connection{});
  config::connection scaler = got.pools.at(3).connection;
  scaler.secret.clear();
  CHECK(scaler == config::connection{});
  CHECK(keys_of(file["pools"]["night"]["schedule"][0]) == accepted("pool_window"));
  CHECK(keys_of(function["queue"]) == accepted("function.queue"));
  CHECK(keys_of(function["async"]) == accepted("function.async"));
  CHECK(keys_of(function["async"]["retry"]) == accepted("function.async.retry"));
  CHECK(both(file["buses"]["orders"], file["buses"]["payments"]) == accepted("bus"));
  YAML::Node const plain = file["triggers"]["all-orders"];
  YAML::Node const large = file["triggers"]["large-orders"];
  keys trigger = both(plain, large);
  trigger.merge(keys_of(file["triggers"]["nightly"]));
  YAML::Node const clicks = file["triggers"]["clicks"];
  trigger.merge(keys_of(clicks));
  CHECK(keys_of(clicks["kafka"]) == accepted("trigger.kafka"));
  CHECK(trigger == accepted("trigger"));
  CHECK(keys_of(plain["retry"]) == accepted("trigger.retry"));
  CHECK(keys_of(large["reply"]) == accepted("trigger.reply"));
  CHECK(keys_of(large["schedule"][0]) == accepted("trigger_window"));
  CHECK(keys_of(function["retry"]) == accepted("function.retry"));
  CHECK(keys_of(versions["ready"]) == accepted("function.ready"));
  CHECK(keys_of(file["routes"][0]) == accepted("route"));
  check_default_server(got.server);
  REQUIRE(got.functions.size() == 3);
  REQUIRE(got.functions[0].name == "hello");
  check_default_pool(got.pools.at(0));
  REQUIRE(got.functions[1].fallback);
  CHECK(got.functions[1].fallback->status == config::fallback{}.status);
  CHECK(got.functions[1].fallback->content_type == config::fallback{}.content_type);
  CHECK(got.functions[1].fallback->body == config::fallback{}.body);
  check_default_function(got.functions[0]);
  CHECK(got.buses.at(0).retention == config::bus{}.retention);
  REQUIRE(got.triggers.at(0).name == "all-orders");
  check_default_trigger(got.triggers.at(0));
  REQUIRE(got.triggers.at(1).name == "clicks");
  auto const& topics = std::get<config::kafka_source>(got.triggers[1].source);
  CHECK(topics.group == config::group_of("clicks"));
  CHECK(topics.start == config::kafka_source{}.start);
  CHECK(topics.filter.parts.empty());
  REQUIRE(got.buses.at(1).kafka);
  CHECK(got.buses[1].kafka->topic == got.buses[1].name);
  CHECK(std::get<config::cron_source>(got.triggers.at(3).source).missed == config::cron_source{}.missed);
  CHECK(got.functions[0].revisions[0].directory == fs::path(path).parent_path().string());
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
      if (followed(root, property.second)["properties"] && section.name != "revision" && section.name != "defaults") {
        auto const all = config::accepted_keys();
        CHECK(std::any_of(all.begin(), all.end(), [&](const auto& s) { return s.name == name; }));
      }
    }
  }
  CHECK(sections.size() == 30);
  keys without = accepted("function");
  for (const char* own : {"command", "deployment", "endpoints", "revisions", "traffic", "lanes"}) without.erase(own);
  CHECK(accepted("defaults") == without);
}

TEST_CASE("the schema's defaults are the loader's") {
  YAML::Node const root = schema();
  std::string const server = defaults_of(root, schema_section(root, "server"));
  std::string const function = defaults_of(root, schema_section(root, "defaults"));
  CHECK_THAT(server, Catch::Contains("drain_timeout: \"30s\"") && Catch::Contains("limits: {header_bytes: \"64KiB\""));
  CHECK_THAT(function, Catch::Contains("concurrency: \"100\"") && Catch::Contains("scale: {min: \"0\"") &&
                           Catch::Contains("eject: \"30s\""));
  std::string const pool = defaults_of(root, schema_section(root, "pool"));
  CHECK_THAT(pool, Catch::Contains("cost: \"1\"") || Catch::Contains("cost: \"1.0\""));
  std::string trigger = defaults_of(root, schema_section(root, "trigger"));
  CHECK_THAT(trigger, Catch::Contains("start: \"latest\"") && Catch::Contains("max_delay: \"5m\""));
  trigger.insert(1, "bus: b, function: a, ");
  std::string const text =
      "server: " + server + "\npools: {local: " + pool + "}\ndefaults: " + function +
      "\nfunctions: {a: {command: [x]}}\nbuses: {b: " + defaults_of(root, schema_section(root, "bus")) +
      "}\ntriggers: {t: " + trigger + "}\n";
  INFO(text);
  auto const got = right(load(text));
  check_default_server(got.server);
  check_default_pool(got.pools.at(0));
  CHECK(got.buses.at(0).retention == config::bus{}.retention);
  check_default_trigger(got.triggers.at(0));
  CHECK(schema_section(root, "trigger.kafka")["properties"]["start"]["default"].as<std::string>() == "latest");
  YAML::Node const missed = schema_section(root, "trigger")["properties"]["missed"];
  CHECK(missed["default"].as<std::string>() == "skip");
  CHECK(got.server.data_dir == fs::current_path().string() + "/rouse-data");
  check_default_function(got.functions.at(0));
  CHECK(got.functions.at(0).revisions.at(0).directory == fs::current_path().string());
}
