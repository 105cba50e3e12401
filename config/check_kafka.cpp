#include <algorithm>

#include "config/readers.hpp"

namespace rouse::config {
namespace {

/// Where a trigger's events come from, when that is Kafka.
struct topics_of {
  const kafka_cluster* cluster = nullptr;  ///< nothing: elsewhere
  std::vector<std::string> topics;
  std::string group;
  bool all = false;  ///< there is no filter
};

/// The bus of that name; nothing when there is none, which was reported.
const bus* find_bus(const reference& name, std::uint32_t index, const std::vector<const bus*>& buses) {
  bool const found = name.given() && index < buses.size() && buses[index]->name == name.name;
  return found ? buses[index] : nullptr;
}

topics_of find_topics(const trigger_draft& of, const std::vector<const bus*>& buses) {
  if (const auto* const source = std::get_if<kafka_source>(&of.value.source))
    return {&source->cluster, source->topics, source->group, source->filter == event_filter{}};
  const auto* const source = std::get_if<bus_source>(&of.value.source);
  const bus* const from = source != nullptr ? find_bus(of.bus, source->bus, buses) : nullptr;
  if (from == nullptr || !from->kafka) return {};
  return {&from->kafka->cluster, {from->kafka->topic}, group_of(of.value.name), source->filter == event_filter{}};
}

/// Known to be no topic's.
bool is_elsewhere(const trigger_draft& of, const std::vector<const bus*>& buses) {
  if (std::holds_alternative<cron_source>(of.value.source)) return true;
  const auto* const source = std::get_if<bus_source>(&of.value.source);
  const bus* const from = source != nullptr ? find_bus(of.bus, source->bus, buses) : nullptr;
  return from != nullptr && !from->kafka;
}

std::vector<std::string> sorted(std::vector<std::string> brokers) {
  std::sort(brokers.begin(), brokers.end());
  return brokers;
}

}  // namespace

void kafka_checks::add(const trigger_draft& of, problem_list& problems) {
  check_dead_letter(of, problems);
  check_group(of, problems);
}

/// Dead letters must have a cluster to go to, and must not come back to where they failed.
void kafka_checks::check_dead_letter(const trigger_draft& of, problem_list& problems) const {
  if (!of.dead_letter.given()) return;
  const dead_letter_to& to = of.value.dead_letter;
  topics_of const from = find_topics(of, buses_);
  const kafka_cluster* cluster = nullptr;
  std::string topic;
  if (to.to == dead_letter_to::kind::topic) {
    if (is_elsewhere(of, buses_)) {
      return problems.add(
          of.dead_letter.at,
          "`topic` is for triggers whose events come from Kafka: name a `bus`, which may be on a topic, "
          "or remove `dead_letter` to keep dead letters in `data_dir`");
    }
    cluster = from.cluster;
    topic = to.topic;
  } else if (to.to == dead_letter_to::kind::bus) {
    const bus* const other = find_bus(of.dead_letter, to.index, buses_);
    if (other == nullptr || !other->kafka) return;
    cluster = &other->kafka->cluster;
    topic = other->kafka->topic;
  }
  if (cluster == nullptr || from.cluster == nullptr || !from.all) return;
  // To its own bus: that was said where the trigger was read.
  if (to.to == dead_letter_to::kind::bus && of.dead_letter.name == of.bus.name) return;
  bool const same = sorted(cluster->brokers) == sorted(from.cluster->brokers);
  if (!same || std::find(from.topics.begin(), from.topics.end(), topic) == from.topics.end()) return;
  problems.add(of.dead_letter.at,
               "dead letters would come back to this trigger, which takes every record of the topic " + shown(topic) +
                   ", and circle: name another one, add a `filter`, or remove `dead_letter` to keep them in "
                   "`data_dir`");
}

/// Members of one group share the records between them.
void kafka_checks::check_group(const trigger_draft& of, problem_list& problems) {
  topics_of const from = find_topics(of, buses_);
  if (from.cluster == nullptr || from.group.empty() || from.cluster->brokers.empty() || of.group.file == nullptr)
    return;
  auto const [known, fresh] = groups_.try_emplace(std::pair(from.group, sorted(from.cluster->brokers)), of.value.name);
  if (fresh) return;
  problems.add(of.group, "the group " + shown(from.group) + " is that of the trigger " + shown(known->second) +
                             " as well, so that each would get a part of the records: give each its own `group`");
}

}  // namespace rouse::config
