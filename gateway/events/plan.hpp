#pragma once
// For the service's own files.

#include <memory>
#include <string>
#include <variant>

#include "config/config.hpp"
#include "gateway/events/service.hpp"

namespace rouse::gateway::events {

/// What stands before the names of streams.
inline constexpr const char* cron_stream = "cron/";
inline constexpr const char* bus_stream = "bus/";

/// A trigger as it is to run. Names stand for indices, which another configuration may have changed.
struct service::plan {
  plan(const config::trigger& of, const config::snapshot& in)
      : config(std::make_shared<const config::trigger>(of)), function(in.functions[of.function].name) {
    const auto* const from = std::get_if<config::bus_source>(&of.source);
    bus = from ? in.buses[from->bus].name : std::string();
    stream = from ? std::string(bus_stream) + bus : std::string(cron_stream) + of.name;
    if (of.reply) reply = in.buses[*of.reply].name;
    using to = config::dead_letter_to::kind;
    if (of.dead_letter.to == to::bus) dead = in.buses[of.dead_letter.index].name;
    if (of.dead_letter.to == to::function) dead = in.functions[of.dead_letter.index].name;
  }
  [[nodiscard]] bool same_as(const plan& other) const {
    auto mine = *config;
    auto others = *other.config;
    for (auto* one : {&mine, &others}) {
      one->function = one->dead_letter.index = 0;
      if (one->reply) one->reply = 0;
      if (auto* const from = std::get_if<config::bus_source>(&one->source)) from->bus = 0;
    }
    return mine == others && function == other.function && stream == other.stream && reply == other.reply &&
           dead == other.dead;
  }
  [[nodiscard]] bool is_cron() const { return std::holds_alternative<config::cron_source>(config->source); }

  std::shared_ptr<const config::trigger> config;
  std::string function;
  std::string bus;
  std::string stream;
  std::string reply;
  std::string dead;
};

}  // namespace rouse::gateway::events
