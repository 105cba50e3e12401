// The client commands that change what a running daemon does.

#include <algorithm>
#include <charconv>
#include <chrono>
#include <ostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "gateway/cli_support.hpp"
#include "gateway/table.hpp"

namespace rouse::gateway {
namespace {

using nlohmann::json;

/// The daemon itself gives up after 30 s.
constexpr std::chrono::seconds patience{40};

/// Asks for an action and says how it went.
int act(const client_options& client, const char* method, const std::string& target, const json& body,
        const std::string& function, cli_io& io) {
  return with_daemon(client, io, [&](const admin_address& at) -> int {
    const auto reply = admin_send(at, method, "/api/v1/" + target, body.dump(), patience);
    if (reply.status != 200 && reply.status != 202) return refused(reply, function, io);
    const auto result = json::parse(reply.body);
    if (result.contains("lines")) {
      for (const auto& line : result.at("lines")) io.out << shown(line) << '\n';
    }
    io.out << shown(result.at("detail")) << '\n';
    return exit_done;
  });
}

/// REV=WEIGHT; nothing when it is not that.
std::optional<std::pair<std::string, std::uint32_t>> parse_weight(const std::string& text) {
  const auto equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) return {};
  std::uint32_t weight = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + equals + 1, end, weight);
  if (error != std::errc() || stop != end) return {};
  return std::pair(text.substr(0, equals), weight);
}

bool is_pool_name(const std::string& name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

}  // namespace

int scale_command(const client_options& client, const std::string& function, std::optional<unsigned> min,
                  std::optional<unsigned> max, cli_io& io) {
  if (!is_label(function)) return bad_name(function, io);
  if (!min && !max)
    return report(io, "scale needs --min, --max or both, for example `rouse scale hello --min 2`", exit_usage);
  if (max == 0u) return report(io, "--max must be at least 1", exit_usage);
  if (min && max && *min > *max) return report(io, fmt::format("--min {} is above --max {}", *min, *max), exit_usage);
  json body = json::object();
  if (min) body["min"] = *min;
  if (max) body["max"] = *max;
  return act(client, "PUT", "functions/" + function + "/scale", body, function, io);
}

int traffic_command(const client_options& client, const std::string& function, const std::vector<std::string>& weights,
                    cli_io& io) {
  if (!is_label(function)) return bad_name(function, io);
  json body = json::object();
  bool any = false;
  for (const auto& text : weights) {
    const auto one = parse_weight(text);
    if (!one)
      return report(io,
                    "`" + text + "` is not a revision and its weight, which is a whole number from 0, such as v1=90",
                    exit_usage);
    if (body.contains(one->first)) return report(io, "revision `" + one->first + "` is given twice", exit_usage);
    body[one->first] = one->second;
    any = any || one->second > 0;
  }
  if (!any) return report(io, "at least one revision needs a weight above 0, such as v1=1", exit_usage);
  return act(client, "PUT", "functions/" + function + "/traffic", body, function, io);
}

int restart_command(const client_options& client, const std::string& function, cli_io& io) {
  if (!is_label(function)) return bad_name(function, io);
  return act(client, "POST", "functions/" + function + "/restart", json::object(), function, io);
}

int cordon_command(const client_options& client, const std::string& pool, bool cordoned, cli_io& io) {
  if (!is_pool_name(pool))
    return report(io, "`" + pool + "` cannot be a pool's name; `rouse status` lists the pools", exit_usage);
  return act(client, "PUT", "pools/" + pool + "/cordon", {{"cordoned", cordoned}}, {}, io);
}

namespace {

bool is_number(const std::string& text) {
  return !text.empty() && text.size() <= 18 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

int list_dead_letters(const admin_address& at, const std::string& owner, cli_io& io) {
  table out({{"ID", true}, {"OF"}, {"KIND"}, {"GIVEN UP"}, {"TRIES", true}, {"STATUS", true}, {"WHY"}});
  std::int64_t after = 0;
  std::size_t count = 0;
  for (;;) {
    const auto query = "/api/v1/dead-letters?after=" + std::to_string(after) + (owner.empty() ? "" : "&owner=" + owner);
    const auto reply = admin_get(at, query);
    if (reply.status != 200) return refused(reply, {}, io);
    const auto all = json::parse(reply.body).at("dead_letters");
    for (const auto& one : all) {
      after = one.at("id").get<std::int64_t>();
      out.add({shown(one.at("id")), shown(one.at("owner")), shown(one.at("kind")), shown(one.at("given_up")),
               shown(one.at("attempts")), shown(one.at("status")), shown(one.at("reason")).substr(0, 100)});
      ++count;
    }
    if (all.empty()) break;
  }
  if (count == 0) {
    io.out << "no dead letters\n";
    return exit_done;
  }
  out.print(io.out, io.colour);
  io.out << "\n`rouse dead-letters show ID` has the content, `redrive` delivers again, `purge` removes.\n";
  return exit_done;
}

}  // namespace

int dead_letters_command(const client_options& client, const std::string& verb, const std::string& which, cli_io& io) {
  const bool number = is_number(which);
  if (!number && !which.empty() && !is_label(which)) return bad_name(which, io);
  if (verb == "show" && !number)
    return report(io, "show takes the number of a dead letter; `rouse dead-letters list` has them", exit_usage);
  if (verb == "list") {
    if (number) return report(io, "list takes the name of a trigger or a function; `show` takes a number", exit_usage);
    return with_daemon(client, io, [&](const admin_address& at) { return list_dead_letters(at, which, io); });
  }
  if (verb == "show") {
    return with_daemon(client, io, [&](const admin_address& at) -> int {
      const auto reply = admin_get(at, "/api/v1/dead-letters/" + which);
      if (reply.status != 200) return refused(reply, {}, io);
      io.out << nlohmann::ordered_json::parse(reply.body).dump(2) << '\n';
      return exit_done;
    });
  }
  json body = json::object();
  if (number) {
    body["id"] = std::stoll(which);
  } else {
    body["owner"] = which;
  }
  return act(client, "POST", "dead-letters/" + verb, body, {}, io);
}

int reload_command(const client_options& client, cli_io& io) {
  return act(client, "POST", "reload", json::object(), {}, io);
}

int drain_command(const client_options& client, cli_io& io) {
  return act(client, "POST", "drain", json::object(), {}, io);
}

}  // namespace rouse::gateway
