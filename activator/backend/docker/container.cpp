#include "activator/backend/docker/container.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>

namespace rouse::docker {
namespace {

using nlohmann::json;

constexpr std::string_view owner_label = "rouse.owner";
constexpr std::string_view pool_label = "rouse.pool";
constexpr std::string_view function_label = "rouse.function";
constexpr std::string_view revision_label = "rouse.revision";
constexpr std::string_view hash_label = "rouse.hash";
constexpr std::string_view instance_label = "rouse.instance";

/// What the engine keeps of the output: enough to look at with `docker logs`, and bounded.
constexpr const char* log_size = "4m";
constexpr const char* log_files = "2";

/// A text where there is one: the API says null for what is not set.
std::string text_at(const json& of, std::string_view key) {
  if (!of.is_object()) return {};
  const auto found = of.find(std::string(key));
  return found != of.end() && found->is_string() ? found->get<std::string>() : std::string();
}

const json& part(const json& of, const char* key) {
  static const json nothing;
  if (!of.is_object()) return nothing;
  const auto found = of.find(key);
  return found != of.end() ? *found : nothing;
}

labels labels_in(const json& of) {
  labels found;
  found.owner = text_at(of, owner_label);
  found.pool = text_at(of, pool_label);
  found.function = text_at(of, function_label);
  found.revision = text_at(of, revision_label);
  found.hash = text_at(of, hash_label);
  found.instance = text_at(of, instance_label);
  return found;
}

container_state state_of(std::string_view word) {
  if (word == "created") return container_state::created;
  if (word == "running" || word == "restarting") return container_state::running;
  if (word == "paused") return container_state::paused;
  if (word == "exited" || word == "dead") return container_state::exited;
  if (word == "removing") return container_state::removing;
  return container_state::other;
}

/// IPv4 before IPv6; in the network that was asked for, else in whichever there is.
std::string address_in(const json& networks, const std::string& network) {
  if (!networks.is_object()) return {};
  for (const auto* key : {"IPAddress", "GlobalIPv6Address"}) {
    if (const auto own = networks.find(network); own != networks.end() && !text_at(*own, key).empty())
      return text_at(*own, key);
    if (!network.empty()) continue;
    for (const auto& one : networks)
      if (const auto text = text_at(one, key); !text.empty()) return text;
  }
  return {};
}

bool contains(std::string_view text, std::string_view what) {
  return text.find(what) != std::string_view::npos;
}

}  // namespace

std::uint16_t port_of(const activator::run_spec& spec) noexcept {
  return spec.port != 0 ? spec.port : 8080;
}

std::string hash_text(std::uint32_t hash) {
  std::array<char, 9> text{};
  std::snprintf(text.data(), text.size(), "%08x", hash);
  return text.data();
}

bool runs(const labels& of, const activator::run_spec& spec) {
  return of.function == spec.function && of.revision == spec.revision && of.hash == hash_text(spec.hash);
}

std::string create_body(const activator::start_spec& spec, const std::string& owner, const std::string& pool,
                        const std::string& network, bool init) {
  auto env = spec.env;
  env.insert_or_assign("PORT", std::to_string(port_of(spec)));
  env.insert_or_assign("K_SERVICE", spec.function);
  env.insert_or_assign("K_REVISION", spec.revision);
  env.insert_or_assign("K_CONFIGURATION", spec.function);
  json body;
  body["Image"] = spec.image;
  body["Env"] = json::array();
  for (const auto& [name, value] : env) body["Env"].push_back(name + "=" + value);
  if (!spec.command.empty()) body["Cmd"] = spec.command;
  body["Labels"] = {{std::string(owner_label), owner},
                    {std::string(pool_label), pool},
                    {std::string(function_label), spec.function},
                    {std::string(revision_label), spec.revision},
                    {std::string(hash_label), hash_text(spec.hash)},
                    {std::string(instance_label), spec.instance}};
  body["StopTimeout"] = std::chrono::ceil<std::chrono::seconds>(spec.stop_grace).count();
  json host;
  host["Init"] = init;
  host["LogConfig"] = {{"Type", "local"}, {"Config", {{"max-size", log_size}, {"max-file", log_files}}}};
  if (!network.empty()) host["NetworkMode"] = network;
  if (spec.memory > 0) {
    host["Memory"] = spec.memory;
    host["MemorySwap"] = spec.memory;  // of both together: no swap
  }
  if (spec.cpu > 0) host["NanoCpus"] = static_cast<std::int64_t>(spec.cpu * 1e9);
  body["HostConfig"] = std::move(host);
  // What is not UTF-8 in a variable cannot be said in JSON.
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string container_name(const std::string& instance, std::uint32_t suffix) {
  std::string name = "rouse-";
  for (const char c : instance) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    name += plain ? c : '_';
  }
  return name + "-" + hash_text(suffix);
}

std::string label_filter(const std::string& owner, const std::string& pool, bool events) {
  json filter;
  filter["label"] = {std::string(owner_label) + "=" + owner, std::string(pool_label) + "=" + pool};
  if (events) {
    filter["type"] = {"container"};
    filter["event"] = {"create", "start", "die", "oom", "destroy"};
  }
  return "filters=" + percent_encoded(filter.dump());
}

std::optional<std::vector<container>> parse_list(const std::string& text) {
  const auto all = json::parse(text, nullptr, false);
  if (!all.is_array()) return std::nullopt;
  std::vector<container> found;
  for (const auto& one : all) {
    container made;
    const auto& names = part(one, "Names");
    // A link from another container is a name as well: "/other/alias".
    for (const auto& name : names) {
      const auto word = name.is_string() ? name.get<std::string>() : std::string();
      if (word.starts_with('/') && word.find('/', 1) == std::string::npos) made.name = word.substr(1);
    }
    made.state = state_of(text_at(one, "State"));
    made.of = labels_in(part(one, "Labels"));
    if (!made.name.empty()) found.push_back(std::move(made));
  }
  return found;
}

std::optional<container_details> parse_details(const std::string& text, const std::string& network) {
  const auto all = json::parse(text, nullptr, false);
  const auto& state = part(all, "State");
  if (!state.is_object()) return std::nullopt;
  container_details found;
  found.state = state_of(text_at(state, "Status"));
  if (const auto& code = part(state, "ExitCode"); code.is_number_integer()) found.exit_code = code.get<int>();
  if (const auto& oom = part(state, "OOMKilled"); oom.is_boolean()) found.oom_killed = oom.get<bool>();
  found.error = text_at(state, "Error");
  found.stop_signal = text_at(part(all, "Config"), "StopSignal");
  found.address = address_in(part(part(all, "NetworkSettings"), "Networks"), network);
  return found;
}

std::optional<event> parse_event(std::string_view text) {
  const auto all = json::parse(text, nullptr, false);
  const auto& actor = part(all, "Actor");
  const auto& attributes = part(actor, "Attributes");
  event found;
  found.action = text_at(all, "Action");
  found.name = text_at(attributes, "name");
  if (found.action.empty() || found.name.empty()) return std::nullopt;
  found.exit_code = std::atoi(text_at(attributes, "exitCode").c_str());
  return found;
}

std::string message_of(const std::string& body) {
  constexpr std::size_t most = 1000;
  std::string text = text_at(json::parse(body, nullptr, false), "message");
  if (text.empty()) text = body;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '.')) text.pop_back();
  if (text.size() > most) text = text.substr(0, most) + "...";
  return text;
}

std::string_view failure_word(std::string_view message) {
  for (const auto* lacking :
       {"no space left on device", "annot allocate memory", "no available IPv4 addresses", "no available addresses",
        "could not find an available", "resource temporarily unavailable", "Range of CPUs", "too many open files"})
    if (contains(message, lacking)) return "no-capacity";
  // "network X not found", but not what the path of a program or an image says of networks.
  if (contains(message, "network") && contains(message, "not found") && !contains(message, "executable"))
    return "network";
  return "spawn";
}

std::string describe_exit(const container_details& of, std::uint64_t memory) {
  if (of.oom_killed) {
    std::string text = "was killed by the kernel for want of memory";
    if (memory > 0) text += ": `resources.memory` allows it " + std::to_string((memory + (1 << 20) - 1) >> 20) + " MiB";
    return text;
  }
  if (!of.error.empty()) return "could not be run: " + message_of(of.error);
  // As the shell has it: 128 and the signal. A program may also exit with such a status, which is then not told apart.
  const int number = of.exit_code - 128;
  const char* name = number > 0 && number < 65 ? ::sigabbrev_np(number) : nullptr;
  if (name != nullptr) return std::string("was killed by SIG") + name;
  return "exited with status " + std::to_string(of.exit_code);
}

std::string_view exit_word(const container_details& of) {
  return of.oom_killed || (of.exit_code > 128 && of.exit_code < 193) ? "signalled" : "exited";
}

std::string percent_encoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
        std::strchr("-._~", c) != nullptr) {
      encoded += c;
      continue;
    }
    std::array<char, 4> code{};
    std::snprintf(code.data(), code.size(), "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
    encoded += code.data();
  }
  return encoded;
}

std::string pull_query(const std::string& image) {
  const auto at = image.find('@');
  std::string name = image.substr(0, at);
  std::string tag = at == std::string::npos ? std::string() : image.substr(at + 1);
  const auto slash = name.rfind('/');
  const auto colon = name.rfind(':');
  // Before the last slash it is the port of a registry.
  if (colon != std::string::npos && (slash == std::string::npos || colon > slash)) {
    if (tag.empty()) tag = name.substr(colon + 1);
    name.resize(colon);
  }
  if (tag.empty()) tag = "latest";
  return "fromImage=" + percent_encoded(name) + "&tag=" + percent_encoded(tag);
}

}  // namespace rouse::docker
