#pragma once
// For the service's own files.

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "config/config.hpp"
#include "gateway/events/clusters.hpp"
#include "gateway/events/service.hpp"

namespace rouse::gateway::events {

/// What stands before the names of streams. Cron's and Kafka's have the name of their trigger.
inline constexpr const char* cron_stream = "cron/";
inline constexpr const char* bus_stream = "bus/";
inline constexpr const char* kafka_stream = "kafka/";
/// What stands before the trigger's name where logs of buses have the name of the bus: its topic of dead letters.
inline constexpr const char* dead_log = "dead/";

/// A trigger as it is to run. Names stand for indices, which another configuration may have changed.
struct service::plan {
  plan(const config::trigger& of, const config::snapshot& in, wall_time now)
      : config(std::make_shared<const config::trigger>(of)), function(in.functions[of.function].name), since(now) {
    if (const auto* const from = std::get_if<config::bus_source>(&of.source)) {
      bus = in.buses[from->bus].name;
      stream = bus_stream + bus;
      if (const auto& at = in.buses[from->bus].kafka)
        topics = config::kafka_source{at->cluster, {at->topic}, config::group_of(of.name), from->start, {}};
    } else if (const auto* const kafka = std::get_if<config::kafka_source>(&of.source)) {
      stream = kafka_stream + of.name;
      topics = *kafka;
    } else {
      stream = cron_stream + of.name;
    }
    if (of.reply) reply = in.buses[*of.reply].name;
    using to = config::dead_letter_to::kind;
    if (of.dead_letter.to == to::bus) dead = in.buses[of.dead_letter.index].name;
    if (of.dead_letter.to == to::function) dead = in.functions[of.dead_letter.index].name;
    if (of.dead_letter.to == to::topic) dead = dead_log + of.name;
  }
  [[nodiscard]] bool same_as(const plan& other) const {
    auto mine = *config;
    auto others = *other.config;
    for (auto* one : {&mine, &others}) {
      one->function = one->dead_letter.index = 0;
      if (one->reply) one->reply = 0;
      if (auto* const from = std::get_if<config::bus_source>(&one->source)) from->bus = 0;
    }
    return mine == others && function == other.function && stream == other.stream && topics == other.topics &&
           reply == other.reply && dead == other.dead;
  }
  /// The same group on the same topics.
  [[nodiscard]] bool goes_on(const plan& other) const {
    return topics && other.topics && topics->cluster.brokers == other.topics->cluster.brokers &&
           topics->topics == other.topics->topics && topics->group == other.topics->group;
  }
  [[nodiscard]] bool is_cron() const { return std::holds_alternative<config::cron_source>(config->source); }
  /// As people see it.
  [[nodiscard]] std::string source() const {
    if (is_cron()) return "cron";
    if (!bus.empty()) return "bus " + bus;
    std::string out = "kafka";
    for (const auto& topic : topics->topics) out += " " + topic;
    return out;
  }

  std::shared_ptr<const config::trigger> config;
  std::string function;
  wall_time since{};  ///< what `latest` means on Kafka; no part of same_as()
  std::string bus;
  /// Where its events wait in the store. Of a trigger on Kafka: those that were given up and are to be delivered again,
  /// and those that its bus had kept there before it was moved.
  std::string stream;
  std::optional<config::kafka_source> topics;  ///< of a trigger on Kafka; `filter` does not matter
  std::string reply;
  std::string dead;
};

}  // namespace rouse::gateway::events
