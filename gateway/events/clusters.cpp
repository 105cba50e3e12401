#include "gateway/events/clusters.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include "gateway/events/kafka/client_settings.hpp"

namespace rouse::gateway::events {

namespace {

using namespace std::chrono_literals;

constexpr auto last_patience = 5s;

}  // namespace

const config::kafka_cluster* cluster_of(const config::trigger& trigger, const config::snapshot& in) {
  if (const auto* const topics = std::get_if<config::kafka_source>(&trigger.source)) return &topics->cluster;
  const auto* const bus = std::get_if<config::bus_source>(&trigger.source);
  if (!bus || !in.buses[bus->bus].kafka) return nullptr;
  return &in.buses[bus->bus].kafka->cluster;
}

clusters::~clusters() {
  std::vector<std::thread> closing;
  for (const auto& [cluster, one] : all_) ending_.push_back(one);
  for (const auto& one : ending_) closing.emplace_back([&one] { one->close(last_patience); });
  for (auto& one : closing) one.join();
}

std::string clusters::prepare(const config::snapshot& next) {
  std::vector<const config::kafka_cluster*> read;
  for (const auto& bus : next.buses) {
    if (!bus.kafka) continue;
    if (auto problem = need(bus.kafka->cluster); !problem.empty()) return "bus " + bus.name + ": " + problem;
  }
  for (const auto& trigger : next.triggers) {
    const auto* const cluster = cluster_of(trigger, next);
    if (!cluster) continue;
    if (trigger.dead_letter.to == config::dead_letter_to::kind::topic) {
      if (auto problem = need(*cluster); !problem.empty()) return "trigger " + trigger.name + ": " + problem;
    }
    if (std::ranges::any_of(read, [&](const auto* known) { return *known == *cluster; })) continue;
    read.push_back(cluster);
    if (auto problem = try_kafka(*cluster, kafka_role::consumer); !problem.empty())
      return "trigger " + trigger.name + ": " + problem;
  }
  return {};
}

std::string clusters::need(const config::kafka_cluster& cluster) {
  if (std::ranges::any_of(all_, [&](const auto& one) { return one.first == cluster; })) return {};
  auto made = producer::make(cluster, log_);
  if (!made) return made.error();
  all_.emplace_back(cluster, std::move(*made));
  return {};
}

std::shared_ptr<event_log> clusters::log_of(const config::kafka_cluster& cluster, const std::string& topic) {
  const auto at = std::ranges::find_if(all_, [&](const auto& one) { return one.first == cluster; });
  return at == all_.end() ? nullptr : std::make_shared<topic_log>(at->second, topic);
}

void clusters::close() {
  for (const auto& [cluster, one] : all_) threads_.run([ending = one] { ending->close(last_patience); });
}

void clusters::drop_unused() {
  std::erase_if(ending_, [](const auto& one) { return one.use_count() == 1; });
  std::erase_if(all_, [this](auto& one) {
    if (one.second.use_count() > 1) return false;
    ending_.push_back(one.second);
    threads_.run([ending = std::move(one.second)] { ending->close(last_patience); });
    return true;
  });
}

}  // namespace rouse::gateway::events
