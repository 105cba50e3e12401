#include <array>

#include "config/readers.hpp"

namespace rouse::config {
namespace {

enum class bus_store { embedded, kafka };

/// A bus while it is read: every store that it may have.
struct draft {
  bus value;
  bus_store store = bus_store::embedded;
  cluster_draft cluster;
  std::string topic;
};

constexpr std::array<std::pair<std::string_view, bus_store>, 2> stores{
    {{"embedded", bus_store::embedded}, {"kafka", bus_store::kafka}}};

constexpr std::array bus_fields{
    field<draft>{"store", [](const scope& in, const member& e, draft& out) { read_choice(in, e, stores, out.store); }},
    field<draft>{"retention", [](const scope& in, const member& e,
                                 draft& out) { read_duration(in, e, zero::refused, out.value.retention); }},
    field<draft>{"brokers", [](const scope& in, const member& e, draft& out) { read_brokers(in, e, out.cluster); }},
    field<draft>{"topic",
                 [](const scope& in, const member& e, draft& out) { read_scalar(in, e, out.topic, parse_topic); }},
    field<draft>{"properties",
                 [](const scope& in, const member& e, draft& out) { read_properties(in, e, out.cluster); }},
};

/// Checks that there is nothing of the other store, and all of its own.
void check_store(const scope& in, const member& entry, const node& map, const draft& out) {
  bool const on_kafka = out.store == bus_store::kafka;
  for (const member& one : map.members) {
    bool const for_kafka = one.key == "brokers" || one.key == "topic" || one.key == "properties";
    if (for_kafka && !on_kafka) {
      in.fail(one.at, shown(one.key) + " belongs to a bus with `store: kafka`: add that, or remove " + shown(one.key));
    }
    if (one.key == "retention" && on_kafka) {
      in.fail(one.at,
              "`retention` belongs to a bus with `store: embedded`: remove it; how long a topic keeps its records is a "
              "setting of the topic (`retention.ms`)");
    }
  }
  if (on_kafka && out.cluster.brokers == nullptr) {
    in.fail(entry.at, "bus " + shown(entry.key) + " with `store: kafka` needs `brokers`, such as `[\"kafka-1:9092\"]`");
  }
}

/// A bus whose `store` is wrong has one problem, not one for each of its other keys.
bool has_right_store(const node& map) {
  for (const member& one : map.members) {
    if (one.key != "store") continue;
    const node& value = *one.value;
    return value.type == node::kind::scalar && !value.broken && (value.text == "embedded" || value.text == "kafka");
  }
  return true;
}

}  // namespace

std::optional<bus> read_bus(const scope& in, const member& entry) {
  bool const named = is_dns_label(entry.key);
  if (!named) in.fail(entry.at, bad_name(entry.key, "a bus's"));
  draft out;
  out.value.name = entry.key;
  out.topic = entry.key;
  if (const node* map = mapping(in, entry)) {
    read_fields(in, *map, "bus", bus_fields, out);
    if (has_right_store(*map)) check_store(in, entry, *map, out);
    if (out.store == bus_store::kafka) check_properties(in, out.cluster, true);
  }
  if (!named) return std::nullopt;
  if (out.store == bus_store::kafka) out.value.kafka = kafka_topic{std::move(out.cluster.value), std::move(out.topic)};
  return std::move(out.value);
}

void add_bus_keys(std::vector<key_section>& out) {
  out.push_back({"bus", keys_of(bus_fields)});
}

}  // namespace rouse::config
